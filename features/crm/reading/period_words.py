"""Days given as a period (month, quarter, ISO week), terms of contracts, and amounts a month or a year."""

import calendar
import re
from datetime import date, timedelta

from features.crm.reading.moment_words import MONTHS

_YEAR = r"['’]?(?P<year>(?:19|20)\d\d|\d\d)"
_SIGN = r"[\s./,_-]*"
_QUARTER = (
    r"(?:(?P<kind>Q|H|T|S|Quarter|Quartal|Trimestre|Trim\.?)\s?(?P<number>[1-4])"
    r"|(?P<before>[1-4])\.?\s?(?P<behind>Q|H|Quartal))"
)
_WEEK = r"(?:W|KW|CW|WK|Week|Woche|Sem\.?|Semaine|Semana)\s?(?P<week>\d\d?)"
_FORMS = [
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"{_QUARTER}{_SIGN}{_YEAR}",
        rf"{_YEAR}{_SIGN}{_QUARTER}",
        rf"(?P<year>(?:19|20)\d\d){_SIGN}{_WEEK}(?:-?(?P<day>[1-7]))?",
        rf"{_WEEK}{_SIGN}(?P<year>(?:19|20)\d\d)",
        rf"(?P<name>[^\W\d_]{{3,}})\.?(?:\s+de)?{_SIGN}{_YEAR}",
        rf"(?P<year>(?:19|20)\d\d){_SIGN}(?P<name>[^\W\d_]{{3,}})\.?",
        r"(?P<year>(?:19|20)\d\d)[-./ ](?P<month>\d\d?)",
        r"(?P<month>\d\d?)[-./ ](?P<year>(?:19|20)\d\d)",
    )
]
FISCAL = re.compile(r".*(?:\b|\d)(?:FY|GJ|fiscal|exercice).*", re.IGNORECASE)
"""Years that begin when a firm says so."""
_UNITS = {
    "day": "d|days?|tage?n?|jours?|d[ií]as?|giorn[oi]|dag(?:en)?|dias?",
    "week": "w|wks?|weeks?|wochen?|semaines?|semanas?|settimana|settimane|weken",
    "month": "mos?|mths?|mons?|months?|monate?n?|mois|mes(?:es)?|mes[ei]|maand(?:en)?|m[êe]s(?:es)?",
    "quarter": "qtrs?|quarters?|quartale?|trimestres?",
    "year": "y|yrs?|years?|jahre?n?|ans?|ann[ée]es?|a[ñn]os?|ann[oi]|jaar|jaren|anos?|annum",
}
_IN_MONTHS = {"day": 12 / 365.25, "week": 7 * 12 / 365.25, "month": 1.0, "quarter": 3.0, "year": 12.0}
A_YEAR = {"month": 12, "quarter": 4, "year": 1}
"""Amounts of a unit in a year."""
_UNIT = "|".join(f"(?P<{unit}>{words})" for unit, words in _UNITS.items())
_TERM = re.compile(rf"(?P<number>\d+(?:[.,]\d+)?)[\s-]*(?:{_UNIT})\.?", re.IGNORECASE)
_ISO_TERM = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?")
_EACH = r"(?:/|\bper\b|\bpro\b|\bpar\b|\bal\b|\ball['’]|\bpor\b|\bje\b|\bim\b|\beach\b|\ba\b|\bp\.)"
_ALONE = {
    "month": r"monthly|monatlich|mensuels?|mensual|mensile|mensal|maandelijks|p\.?\s?m\.?|pcm",
    "quarter": r"quarterly|vierteljährlich|trimestriel|trimestral",
    "year": r"yearly|annually|annual|jährlich|annuels?|anual|annuale|jaarlijks|p\.?\s?a\.?",
}
_LETTERS = {"month": "m", "quarter": "q", "year": "a|j"}
"""Units that are short for millions where no amount stands before them."""
PER = {
    unit: rf"\s*(?:{_EACH}\s*(?:{words}|{_LETTERS[unit]})|\b(?:{_ALONE[unit]}))\.?\s*$"
    for unit, words in _UNITS.items()
    if unit in A_YEAR
}
"""What stands behind an amount that is one of each month, quarter or year."""
_PER = {unit: re.compile(pattern, re.IGNORECASE) for unit, pattern in PER.items()}


def period_of(text: str) -> tuple[date, date] | None:
    """The first and the last day of a period; None where the text is none, or of a fiscal year."""
    match = next(filter(None, (form.fullmatch(text) for form in _FORMS)), None)
    if match is None:
        return None
    parts = match.groupdict()
    year = int(parts["year"]) + (0 if len(parts["year"]) == 4 else 2000)
    try:
        if parts.get("week"):
            first = date.fromisocalendar(year, int(parts["week"]), int(parts.get("day") or 1))
            return first, first if parts.get("day") else first + timedelta(days=6)
        if "kind" in parts:
            number, halves = (
                int(parts["number"] or parts["before"]),
                (parts["kind"] or parts["behind"]).upper() in ("H", "S"),
            )
            months = 6 if halves else 3
            return _months(year, months * (number - 1) + 1, months)
        month = int(parts["month"]) if parts.get("month") else MONTHS.get(parts["name"].lower(), 0)
        return _months(year, month, 1)
    except ValueError:
        return None


def _months(year: int, month: int, count: int) -> tuple[date, date]:
    last = month + count - 1
    return date(year, month, 1), date(year, last, calendar.monthrange(year, last)[1])


def term_in_months(text: str) -> float | None:
    """A term such as `3 yrs`, `90 days` or `P1Y6M`, in months; None where it is none."""
    if match := _TERM.fullmatch(text):
        unit = next(unit for unit in _UNITS if match[unit])
        return float(match["number"].replace(",", ".")) * _IN_MONTHS[unit]
    if text != "P" and (match := _ISO_TERM.fullmatch(text)):
        years, months, weeks, days = (int(part or 0) for part in match.groups())
        return 12 * years + months + (7 * weeks + days) * _IN_MONTHS["day"]
    return None


def unit_of_amount(text: str) -> tuple[str, str] | None:
    """An amount without what says that it is one of each unit, and the unit; None where nothing does."""
    endings = ((unit, pattern.search(text)) for unit, pattern in _PER.items())
    return next(((text[: match.start()], unit) for unit, match in endings if match), None)
