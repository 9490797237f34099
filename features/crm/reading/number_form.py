"""How a column writes its numbers: the decimal sign, currencies, per cent, thousands and millions.

One `1.299,99` shows what `12.000` means in the whole column. A value that shows itself is read as it shows.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from features.crm.contract import Kind
from features.crm.reading.period_words import PER, term_in_months, unit_of_amount
from features.crm.reading.value_shapes import Shape
from features.crm.values import literal

_WRITTEN_AS = {
    " ": "\u00a0\u202f\u2009\u2007\u2008\u2002\u2003",
    "-": "\u2212\u2013\u2012\ufe63\uff0d",
    "'": "’",
    ",": "٬，",
    ".": "٫．",
    **{str(digit): chr(0x660 + digit) + chr(0x6F0 + digit) + chr(0xFF10 + digit) for digit in range(10)},
}
"""Plain sign or digit → those of other scripts and typesetters that mean it."""
_PLAIN_OF = {letter: plain for plain, letters in _WRITTEN_AS.items() for letter in letters}
_SIGNS = "$€£¥₹₽₩₺₪₴₫฿₦₱"
_AROUND = r"""^(?:'|=")|"$|[,.]-+$"""
"""What spreadsheets put around a number to keep it as text, and the dash that stands for no cents."""
_DASH = rf"^(?:[{_SIGNS}]\s*-+|-+\s*[{_SIGNS}])$"
"""Nothing of a currency, as accountants write zero."""
_CODE_LIST = """
AED ARS AUD BGN BHD BRL CAD CHF CLP CNY COP CRC CZK DKK DOP EGP EUR GBP GHS HKD HRK HUF IDR ILS INR ISK JOD
JPY KES KRW KWD KZT LKR MAD MXN MYR NGN NOK NZD OMR PEN PHP PKR PLN QAR RMB RON RSD RUB SAR SEK SGD THB TND
TRY TWD TZS UAH UGX USD UYU VEF VND XAF XOF ZAR
"""
_CODES = frozenset(_CODE_LIST.split())
_BEFORE = r"(?:Rs\.?|kr\.?|Fr\.?|Rp\.?|[A-Z]{1,3})?"
_AFTER = r"(?:kr\.?|zł|Kč|Ft|lei|[A-Z]{1,2}\$|(?i:euros?|dollars?|pounds?|franken|francs?)|[A-Z]{3})?"
_MULTIPLES = {
    "k": 3, "tsd": 3, "tsd.": 3, "thousand": 3, "m": 6, "mm": 6, "mn": 6, "mio": 6, "mio.": 6, "million": 6,
    "millionen": 6, "millions": 6, "mill.": 6, "b": 9, "bn": 9, "mrd": 9, "mrd.": 9, "md": 9, "billion": 9,
    "milliarden": 9, "lakh": 5, "lakhs": 5, "lac": 5, "lacs": 5, "cr": 7, "cr.": 7, "crore": 7, "crores": 7,
}  # fmt: skip
_MULTIPLE = "|".join(sorted((re.escape(word) for word in _MULTIPLES), key=len, reverse=True))
_NUMBER = re.compile(
    rf"(?P<open>\()?(?P<minus>[+-])?\s*(?P<before>{_BEFORE})\s*(?P<sign>[{_SIGNS}¢])?\s*"
    rf"(?P<minus2>[+-])?\s*(?P<open2>\()?\s*(?P<core>\d[\d.,'’ ]*|\.\d+)"
    rf"(?P<power>[eE][+-]?\d+)?\s*(?P<multiple>(?i:{_MULTIPLE}))?\s*"
    rf"(?P<percent>%)?\s*(?P<after>[{_SIGNS}]|{_AFTER})\s*(?P<minus3>-)?(?P<close>\))?"
)
_BAND = re.compile(r"(?P<low>\S.*?)\s*(?:-|–|—|\bto\b|\bbis\b|\bà\b)\s*(?P<high>\S.*)")
_OPEN_BAND = re.compile(
    r"(?:[~≈<>≤≥]=?|ca\.?|circa|approx(?:\.|imately)?|around|etwa|environ|about|over|under|more than"
    r"|less than|über|unter)?"
    r"\s*(?P<number>.*?\d[^+]*?)\s*\+?",
    re.IGNORECASE,
)
_CALLED = re.compile(r"[^\W\d][^\d(]*\((.*\d.*)\)")
"""A band with its name before it: `Small (1-50)`."""
_PEOPLE = re.compile(r"\s*(?:employees|people|mitarbeiter|employés|empleados|users|seats)\.?$", re.IGNORECASE)
_GROUPED = re.compile(
    r"\d+(?:[.,]\d*)?|\.\d+|[1-9]\d{0,2}(?:[ ',.]\d{3})+(?:[.,]\d+)?|[1-9]\d?(?:,\d{2})+,\d{3}(?:\.\d+)?"
)
_PLAIN = re.compile(r"-?\d+(\.\d*)?")
_AMBIGUOUS = re.compile(r"[1-9]\d{0,2}([.,])\d{3}")


@dataclass(frozen=True)
class NumberForm:
    """What the shapes of a column's numbers show.

    Args:
        comma: the comma is the decimal sign.
        plain: every value is digits with at most a point.
        percent: rows with a per-cent sign.
        points: rows that show a decimal point.
        commas: rows that show a decimal comma.
        unclear: rows in which one sign with three digits after it could be either, by sign.
        currencies: signs and codes that occur.
        multiples: rows such as 1.2M.
        bands: rows such as 51-200.
        other: rows that are no number at all.
        numbers: rows that are.
        codes: rows with a leading zero, which numbers do not have, and such as 12E4, which nobody writes.
        wholes: rows of digits alone.
        terms: rows such as `3 yrs`, which are no number but may be one of months.
        per: rows that say what their amount is one of each of (`month`, `year`), by unit.
        example: of what shows the decimal sign.
    """

    comma: bool = False
    plain: bool = True
    percent: int = 0
    points: int = 0
    commas: int = 0
    unclear: dict[str, int] = field(default_factory=dict)
    currencies: tuple[str, ...] = ()
    multiples: int = 0
    bands: int = 0
    other: int = 0
    numbers: int = 0
    codes: int = 0
    wholes: int = 0
    terms: int = 0
    per: dict[str, int] = field(default_factory=dict)
    example: str = ""


def _normal(text: str) -> str:
    text = "".join(_PLAIN_OF.get(letter, letter) for letter in text)
    return re.sub(_DASH, "0", re.sub(_AROUND, "", text.strip()))


def _parsed(text: str) -> re.Match[str] | None:
    match = _NUMBER.fullmatch(_normal(text))
    if match is None or bool(match["open"] or match["open2"]) != bool(match["close"]):
        return None
    if not _GROUPED.fullmatch(match["core"].strip().replace("’", "'")):
        return None
    code = match["before"]
    if len(code) == 3 and code.isalpha() and code.isupper() and code not in _CODES:
        return None
    if 1 <= len(code) < 3 and code.isupper() and not match["sign"]:
        return None
    if len(match["after"]) == 3 and match["after"].isupper() and match["after"] not in _CODES:
        return None
    return match


def number_form(shapes: Iterable[Shape]) -> NumberForm:
    """What a column's shapes show of its numbers; the decimal sign by the most rows that show it."""
    count = dict.fromkeys(
        ("percent", "points", "commas", "multiples", "bands", "other", "numbers", "codes", "wholes", "terms"),
        0,
    )
    unclear: dict[str, int] = {}
    examples: dict[str, str] = {}
    currencies: dict[str, None] = {}
    per: dict[str, int] = {}
    plain = True
    for shape in shapes:
        text, rows = shape.least, shape.rows
        text, unit = unit_of_amount(text) or (text, "")
        match = _parsed(text)
        plain = plain and _PLAIN.fullmatch(text) is not None
        if match is None:
            is_term = term_in_months(text) is not None
            count["bands" if band_ends(text) else "terms" if is_term else "other"] += rows
            continue
        count["numbers"] += rows
        if unit:
            per[unit] = per.get(unit, 0) + rows
        count["percent"] += rows if match["percent"] else 0
        count["multiples"] += rows if match["multiple"] else 0
        core = match["core"].strip()
        count["codes"] += rows if re.fullmatch(r"0\d+|\d+[eE]\d+", text) else 0
        count["wholes"] += rows if re.fullmatch(r"[+-]?\d{1,18}", text) else 0
        for sign in (match["before"], match["sign"], match["after"]):
            if sign:
                currencies[sign] = None
        vote = _decimal(core, shape)
        if vote in (".", ","):
            count["points" if vote == "." else "commas"] += rows
            examples.setdefault(vote, text)
        elif vote:
            unclear[vote[1]] = unclear.get(vote[1], 0) + rows
    comma = count["commas"] > count["points"]
    return NumberForm(
        comma=comma, plain=plain, unclear=unclear, currencies=tuple(currencies), per=per,
        example=examples.get("," if comma else ".", ""), **count,
    )  # fmt: skip


def _decimal(core: str, shape: Shape) -> str:
    """The decimal sign that a number shows; `?.` or `?,` where it could be either, empty if there is none."""
    core = core.replace("'", " ").replace("’", " ")
    signs = [letter for letter in core if letter in ".,"]
    if not signs:
        return ""
    if len(set(signs)) == 2:
        return signs[-1] if signs.count(signs[-1]) == 1 else signs[0]
    if len(signs) > 1:
        return "," if signs[0] == "." else "."
    if " " not in core and _AMBIGUOUS.fullmatch(core) and not core.startswith("0"):
        return f"?{signs[0]}"
    return signs[0]


def decided(form: NumberForm, kind: Kind, table: NumberForm | None = None) -> NumberForm:
    """The form, with what is unclear in it settled by the other columns of its table, or by custom.

    Money has two decimals: where every point of several stands before three digits, it groups thousands. So
    does any such point of whole numbers.
    """
    if kind is Kind.WHOLE and form.unclear and not form.points and not form.commas:
        return replace(form, comma="," not in form.unclear)
    if form.points or form.commas or not form.unclear:
        return form
    if table is not None and table.points != table.commas:
        return replace(form, comma=table.commas > table.points, example=table.example)
    several = kind is Kind.MONEY and form.unclear.get(".", 0) > 1
    return replace(form, comma=several and "," not in form.unclear)


def pooled(forms: Iterable[NumberForm]) -> NumberForm:
    """What the columns of a table show together."""
    points = commas = 0
    example = {False: "", True: ""}
    for form in forms:
        points, commas = points + form.points, commas + form.commas
        if form.example:
            example[form.comma] = example[form.comma] or form.example
    return NumberForm(comma=commas > points, points=points, commas=commas, example=example[commas > points])


def band_ends(text: str) -> tuple[str, str | None] | None:
    """The ends of a size band such as `51-200`, `1,000+`, `~50`: (low, high), high None where it is open."""
    text = _normal(text)
    text = _PEOPLE.sub("", called[1] if (called := _CALLED.fullmatch(text)) else text)
    if (match := _BAND.fullmatch(text)) and _parsed(match["low"]) and _parsed(match["high"]):
        return match["low"], match["high"]
    if (match := _OPEN_BAND.fullmatch(text)) and _parsed(match["number"]):
        return match["number"], None
    return None


def number_of(text: str, comma: bool, *, groups: bool = False) -> float | None:
    """One number read in Python, where a column's few bands are; the SQL below reads all else.

    Args:
        text: the number.
        comma: the comma is the decimal sign.
        groups: a sign with three digits after it groups thousands.
    """
    match = _parsed(text)
    if match is None:
        return None
    core = re.sub(r"[ '’]", "", match["core"])
    shown = _decimal(match["core"].strip(), Shape("", 0, "", ""))
    if groups and shown.startswith("?"):
        core = core.replace(shown[1], "")
    elif shown in (",", *(("?,", "?.") if comma else ())):
        core = core.replace(".", "").replace(",", ".")
    else:
        core = core.replace(",", "")
    try:
        number = float(core + (match["power"] or "")) * 10 ** _MULTIPLES.get(
            (match["multiple"] or "").lower(), 0
        )
    except ValueError:
        return None
    return (
        -number
        if match["minus"] == "-" or match["minus2"] == "-" or match["minus3"] or match["open"]
        else number
    )


def band_value(text: str, comma: bool) -> str | None:
    """A band as one number: the geometric mean of its ends, or the end that is known; as text."""
    ends = band_ends(text)
    if ends is None:
        return None
    low, high = (None if end is None else number_of(end, comma, groups=True) for end in ends)
    if low is None or (high is not None and high < low):
        return None
    return f"{low if high is None else math.sqrt(max(low, 0) * high):.0f}"


NUMBER_MACROS = rf"""
CREATE TEMP MACRO evened(v) AS regexp_replace(regexp_replace(translate(
    v, {literal("".join(_PLAIN_OF))}, {literal("".join(_PLAIN_OF.values()))}), {literal(_AROUND)}, '', 'g'),
    {literal(_DASH)}, '0');
CREATE TEMP MACRO is_negative(v) AS regexp_matches(v, '^[^0-9]*-|[0-9][^0-9]*-$|^[^0-9]*\(.*\)$');
CREATE TEMP MACRO bare(v) AS regexp_replace(v,
    '^\(?[\s+-]*{_BEFORE}\s*\p{{Sc}}?[\s+-]*\(?\s*|\s*%?\s*(?:\p{{Sc}}|{_AFTER})[\s-]*\)?$', '', 'g');
CREATE TEMP MACRO multiple_of(v) AS CASE lower(regexp_extract(v, '\d\s*([A-Za-z.]+)$', 1))
    {" ".join(f"WHEN '{word}' THEN {power}" for word, power in _MULTIPLES.items())} ELSE 0 END;
CREATE TEMP MACRO unmultiplied(v) AS regexp_replace(v, '(\d)\s*(?i:{_MULTIPLE})$', '\1');
CREATE TEMP MACRO plain(v, comma) AS CASE
    WHEN regexp_full_match(v, '(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?')
        THEN CASE WHEN comma AND regexp_full_match(v, '[1-9]\d{{0,2}}\.\d{{3}}') THEN replace(v, '.', '')
            ELSE v END
    WHEN regexp_full_match(v, '[1-9]\d{{0,2}}([,\x27 ]\d{{3}})+(\.\d+)?')
        AND NOT (comma AND regexp_full_match(v, '\d{{1,3}},\d{{3}}'))
        THEN regexp_replace(v, '[,\x27 ]', '', 'g')
    WHEN regexp_full_match(v, '[1-9]\d{{0,2}}(\.\d{{3}}){{2,}}') THEN replace(v, '.', '')
    WHEN regexp_full_match(v, '([1-9]\d{{0,2}}([.\x27 ]\d{{3}})+|\d+),\d+')
        THEN replace(regexp_replace(v, '[.\x27 ]', '', 'g'), ',', '.')
    WHEN regexp_full_match(v, '[1-9]\d?(,\d{{2}})+,\d{{3}}(\.\d+)?') THEN replace(v, ',', '')
    END;
"""


def number_steps(comma: bool, multiples: bool, per: Iterable[str] = ()) -> tuple[str, ...]:
    """The steps from a given text to a plain number as text (`-1234.5`), null where it is none.

    Args:
        comma: the decimal sign is the comma.
        multiples: some are thousands or millions.
        per: units that some say they are one of each of.
    """
    bare = tuple(f"regexp_replace({{v}}, {literal('(?i)' + PER[unit])}, '')" for unit in per)
    if multiples:
        return (
            *bare,
            "evened({v})",
            f"struct_pack(n := is_negative({{v}}), p := multiple_of(bare({{v}})),"
            f" t := plain(unmultiplied(bare({{v}})), {comma}))",
            "CASE WHEN ({v}).n THEN '-' ELSE '' END || CASE WHEN ({v}).p = 0 THEN ({v}).t ELSE"
            " CAST(TRY_CAST(({v}).t AS DECIMAL(30, 6)) * CAST(power(10, ({v}).p) AS BIGINT) AS VARCHAR) END",
        )
    return (
        *bare,
        "evened({v})",
        f"CASE WHEN is_negative({{v}}) THEN '-' ELSE '' END || plain(bare({{v}}), {comma})",
    )
