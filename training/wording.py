"""A feature's value in words that a sales person would use: "no meeting in 94 days", "3 calls in the last 90
days".
"""

import re

import numpy as np

from features.declaration import Info

VERDICTS = {"renewal": "customers like this renew at", "win": "deals like this are won at"}
_SINCE_LAST = re.compile(r"days since the last (?P<what>.+)")
_COUNTED = re.compile(r"(?!times |levels |different )\w+s\b.*|(changes|earlier) .*")


def worded(info: Info, value: float | str | None) -> str:
    """One feature's value as a phrase.

    Args:
        info: its words and unit.
        value: as in the feature frame; None or NaN where missing.
    """
    since = _SINCE_LAST.fullmatch(info.words)
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return f"no {since['what']} on record" if since else f"{info.words}: not known"
    if isinstance(value, str):
        return f"{info.words} {value}" if info.words.endswith(" was") else f"{info.words}: {value}"
    if since:
        return f"no {since['what']} in {value:,.0f} days" if value >= 1.5 else f"{since['what']} just now"
    if info.unit == "count" and _COUNTED.fullmatch(info.words):
        return f"no {info.words}" if value == 0 else f"{info.words}: {value:,.0f}"
    return f"{info.words}: {amount(value, info.unit, info.words)}"


def amount(value: float, unit: str, words: str = "") -> str:
    """A number with its unit, which is left out where the words have said it."""
    if unit == "yes or no":
        return "yes" if value else "no"
    if unit == "share":
        return f"{100 * value:.0f} %"
    if unit == "per cent":
        return f"{value:.0f} %"
    if unit == "month":
        return str(round(value))
    number = f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:,.2g}"
    says_unit = unit in ("count", "number", "category", "money", "") or unit.rstrip("s") in words
    return number if says_unit else f"{number} {unit}"


def compared(kind: str, rate: float | None) -> str | None:
    """How those alike fared, such as "customers like this renew at 78 %"; None where too few are alike."""
    return None if rate is None else f"{VERDICTS[kind]} {100 * rate:.0f} %"
