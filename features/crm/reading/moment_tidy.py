"""What stands in a moment's text beside the moment, or in an odd place, put right before it is read."""

import re

from features.crm.values import literal

_STEPS = (
    (r"""^(?:'|=")|"$""", ""),  # a spreadsheet's way to keep a text
    (r"([0-9])(?:st|nd|rd|th|er|[ºª°])([ ,./-])", r"\1\2"),
    (r"([0-9]{4})年 ?([0-9]{1,2})月 ?([0-9]{1,2})日", r"\1-\2-\3"),
    (r" \([^()]*\)$", ""),  # (Central European Standard Time), as JavaScript adds
    (r"(?:GMT|UTC) ?([+-][0-9])", r"\1"),
    (r"(:[0-9]{2}),([0-9]{3,})", r"\1.\2"),
    (r" (?:Uhr|hrs|h)\.?$", ""),
    (r"'([0-9]{2})$", r"\1"),
    (r"^([0-9]{1,2}/[A-Za-z]{3}/[0-9]{4}):", r"\1 "),  # a web server's log
    (r"^(.*[A-Za-z]{3} +[0-9]{1,2}) ([0-9:.]+)( [A-Z]{3,4})? ([0-9]{4})$", r"\1 \4 \2\3"),  # C's ctime
    (r" +", " "),
)


def tidied(text: str) -> str:
    """A text, or its shape, as `tidied_sql` leaves it."""
    for pattern, by in _STEPS:
        text = re.sub(pattern, by, text)
    return text


def tidied_sql(value: str) -> str:
    """The same in SQL of a value, in which `{` and `}` are doubled."""
    for pattern, by in _STEPS:
        value = f"regexp_replace({value}, {_doubled(literal(pattern))}, {literal(by)}, 'g')"
    return value


def _doubled(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
