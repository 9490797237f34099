"""Durations in minutes, unless they name their unit or are written as a clock."""

import re

from features.crm.reading.value_shapes import Shape

_CLOCK = re.compile(r"\d+:\d\d:\d\d")
_UNCLEAR = re.compile(r"\d+:\d\d")
_UNITS = re.compile(r"\s*(?:PT)?\s*(?=\d)(\d+(?:[.,]\d+)?\s*[a-zA-Z]+\.?,?\s*)+")
_HOURS = "h|hrs?|hours?|std|stunden?|heures?|horas?"
_MINUTES = "m|mins?|minutes?|minuten?|minutos?"
_SECONDS = "s|secs?|seconds?|sek|sekunden?|secondes?|segundos?"

DURATION_MACROS = rf"""
CREATE TEMP MACRO clock_seconds(v) AS TRY_CAST(split_part(v, ':', 1) AS BIGINT) * 3600
    + TRY_CAST(split_part(v, ':', 2) AS BIGINT) * 60 + TRY_CAST(split_part(v, ':', 3) AS BIGINT);
CREATE TEMP MACRO amount_of(p) AS
    CASE WHEN p = '' THEN 0 ELSE TRY_CAST(replace(p, ',', '.') AS DECIMAL(18, 6)) END;
CREATE TEMP MACRO in_units(v) AS regexp_extract(lower(v),
    '^(?:pt)?\s*(?:(\d+(?:[.,]\d+)?)\s*(?:{_HOURS})\.?,?\s*)?(?:(\d+(?:[.,]\d+)?)\s*(?:{_MINUTES})\.?,?\s*)?'
    || '(?:(\d+(?:[.,]\d+)?)\s*(?:{_SECONDS})\.?)?$', ['h', 'm', 's']);
CREATE TEMP MACRO unit_seconds(p) AS CASE WHEN p.h || p.m || p.s <> '' THEN TRY_CAST(round(
    amount_of(p.h) * 3600 + amount_of(p.m) * 60 + amount_of(p.s)) AS BIGINT) END;
"""


def unclear(shapes: tuple[Shape, ...]) -> int:
    """Rows such as `1:30`, which may be hours and minutes or minutes and seconds."""
    return sum(shape.rows for shape in shapes if _UNCLEAR.fullmatch(shape.least))


def needs_units(shapes: tuple[Shape, ...]) -> bool:
    """Whether any value names its unit."""
    return any(_UNITS.fullmatch(shape.least) for shape in shapes)


def duration_steps(number: tuple[str, ...], *, units: bool) -> tuple[str, ...]:
    """The steps to whole seconds; a duration below zero is none.

    Args:
        number: the steps from a given text to a plain number.
        units: whether some name their unit.
    """
    clock = r"regexp_full_match({g}, '\d+:\d{{2}}:\d{{2}}')"
    named = " WHEN unit_seconds(in_units({g})) IS NOT NULL THEN unit_seconds(in_units({g}))" if units else ""
    return (
        *number,
        "micro_of({v})",
        f"CASE WHEN {clock} THEN clock_seconds({{g}}){named} ELSE half_even({{v}} * 60, 1000000) END",
        "CASE WHEN {v} >= 0 THEN {v} END",
    )
