"""What the columns of answers mean and in what unit they are, for the files people open."""

import re
from collections.abc import Collection
from datetime import datetime
from enum import StrEnum

import pandas as pd

ISO_DAY = re.compile(r"^\d{4}-\d{2}-\d{2}$")
ISO_MOMENT = re.compile(r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}")
YEARS = range(1900, 2262)
"""What a workbook's days can be of, and pandas' moments."""


class Unit(StrEnum):
    """How a column is written, and what it counts."""

    SHARE = "per cent"
    POINTS = "percentage points"
    MONEY = "money"
    MONEY_PER_HOUR = "money per hour"
    HOURS = "hours"
    DAYS = "days"
    COUNT = "count"
    FIGURE = "number"
    DAY = "date"
    MOMENT = "date and time (UTC)"
    TEXT = ""


_SHARES = frozenset(
    [
        "probability",
        "estimate",
        "usual",
        "raw",
        "rate",
        "share",
        "forecast",
        "override",
        "win",
        "discount",
        "renewal",
        "gross",
        "gross_low",
        "gross_high",
        "net",
        "net_low",
        "net_high",
        "by_quarter_end",
        "by_next_quarter_end",
        "came_true",
        "model",
        "said",
        "turned_out",
        "listed_share",
        "wins_caught",
        "value_caught",
        "win_rate",
        "listed",
        "candidates",
        "customers",
        "leads",
        "population",
        "selection_rate",
        "overlap",
        "orphan_share",
        "conversions_caught",
        "share_listed",
        "fit",
    ]
)
_POINTS = frozenset(["gain", "gap", "difference", "margin"])
_MONEY = frozenset(
    [
        "amount",
        "at_risk",
        "expected",
        "expected_value",
        "worth",
        "money",
        "cost",
        "cost_per_win",
        "annual_value",
        "list_value",
        "annual_revenue",
        "up",
        "decided",
        "expansion",
        "own",
        "kept",
        "list_amount",
        "net_amount",
    ]
)
_INTERVALS_OF_SHARES = frozenset(["probability", "estimate", "rate", "came_true"])
"""A table with one of these has `low` and `high` of the same unit."""

MEANING = {
    "probability": "likelihood to renew, or to be won",
    "low": "lower end of the interval",
    "high": "upper end of the interval",
    "band": "where the probability stands among those the model was trained on",
    "amount": "annual value of the contract, or amount of the deal",
    "at_risk": "(1 − probability) × annual value",
    "expected": "probability × amount",
    "as_of": "the score knows what was recorded before this moment",
    "alias": "champion: passed the gates; challenger: has not, read with care",
    "forecast": "the owner's own probability in the CRM",
    "override": "the team's override noted last beside the score",
    "problem": "why this row has no score",
    "reason_1_direction": "whether the reason raises or lowers the score",
    "grade": "fit from A (best) to E, by fifths of your own accounts; see the table grades",
    "fit": "share of your own accounts that this one exceeds",
    "expected_value": "money to expect of the deal and two renewals",
    "expected_effort_hours": "hours of calls and meetings to expect",
    "value_per_hour": "expected_value ÷ expected_effort_hours",
    "listed": "in the first fifth of the whole list",
    "gain": "estimated change of the probability to renew",
    "worth": "gain × annual value",
    "window": "days before the end in which first contact is advised",
    "act_by": "last day of the advised window",
    "threshold": "limit from which on a check is an alert",
    "value": "the figure a check found",
    "why": "in words",
    "waived_by": "who let the gate pass all the same",
    "contacts_allowed": "contacts with an e-mail address who did not opt out",
}


def units_of(frame: pd.DataFrame) -> dict[str, Unit]:
    """The unit of each column of a table."""
    names = [str(name) for name in frame.columns]
    return {name: unit_of(name, frame[name], names) for name in names}


def unit_of(column: str, values: pd.Series, columns: Collection[str] = ()) -> Unit:
    """The unit of a column, by its name, its values and what stands beside it."""
    if pd.api.types.is_datetime64_any_dtype(values):
        return Unit.MOMENT if _has_hours(values) else Unit.DAY
    if pd.api.types.is_bool_dtype(values):
        return Unit.TEXT
    if not pd.api.types.is_numeric_dtype(values):
        return _unit_of_text(values)
    return _unit_of_number(column, values, columns)


def _unit_of_number(column: str, values: pd.Series, columns: Collection[str]) -> Unit:
    present = values.dropna()
    is_share = bool(len(present)) and bool(present.between(-1.0001, 1.0001).all())
    if column in ("low", "high") and "gain" in columns:
        return Unit.POINTS
    if column in ("low", "high") and "lift" not in columns and _INTERVALS_OF_SHARES & set(columns):
        return Unit.SHARE if is_share else Unit.FIGURE
    if column in _POINTS and is_share:
        return Unit.POINTS
    if column in _SHARES and is_share:
        return Unit.SHARE
    if column in _MONEY:
        return Unit.MONEY
    if column == "value_per_hour":
        return Unit.MONEY_PER_HOUR
    if column.endswith("hours"):
        return Unit.HOURS
    if "days" in column.split("_"):
        return Unit.DAYS
    return Unit.COUNT if pd.api.types.is_integer_dtype(values) else Unit.FIGURE


def _unit_of_text(values: pd.Series) -> Unit:
    present = values[values.notna()].tolist()
    if not present:
        return Unit.TEXT
    if all(_is_iso(value) and ISO_DAY.match(value) for value in present):
        return Unit.DAY
    if all(hasattr(value, "isoformat") or _is_iso(value) for value in present):
        return Unit.MOMENT
    return Unit.TEXT


def _is_iso(value: object) -> bool:
    """Whether a text is a day or moment and nothing else; a note may begin with one."""
    if not isinstance(value, str) or not (ISO_MOMENT.match(value) or ISO_DAY.match(value)):
        return False
    try:
        return datetime.fromisoformat(value).year in YEARS
    except ValueError:
        return False


def _has_hours(values: pd.Series) -> bool:
    present = values.dropna()
    return bool((present != present.dt.normalize()).any())
