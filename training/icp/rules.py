"""Conditions on what is known of a prospect, and the rules of up to three that they form."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

WORDS = {
    "employees": "employees",
    "annual_revenue": "annual revenue",
    "lead_source": "lead source",
    "postal_area": "postal area",
}
COUNTED = ("employees", "annual_revenue")


@dataclass(frozen=True, order=True)
class Condition:
    """One attribute is among some levels, or lies in an interval; what is missing fulfils nothing.

    Attributes:
        attribute: a column of the prospects' frame.
        levels: the levels of a category, sorted; empty for a number.
        low, high: the interval's ends, both included; None where it is open.
    """

    attribute: str
    levels: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None

    def covers(self, frame: pd.DataFrame) -> np.ndarray:
        """(n,) bool: rows that fulfil it; nobody does where the attribute is not there."""
        if self.attribute not in frame:
            return np.zeros(len(frame), bool)
        column = frame[self.attribute]
        if self.levels:
            return column.astype(object).isin(self.levels).to_numpy(bool)
        values = pd.to_numeric(column, errors="coerce").to_numpy(float, na_value=np.nan)
        above = np.ones(len(values), bool) if self.low is None else values >= self.low
        below = np.ones(len(values), bool) if self.high is None else values <= self.high
        return above & below & ~np.isnan(values)

    @property
    def words(self) -> str:
        """The condition as a person reads it."""
        name = attribute_words(self.attribute)
        if self.levels:
            return f"{name} is {' or '.join(self.levels)}"
        if self.low is None:
            return f"{name} up to {figure(self.high, self.attribute)}"
        if self.high is None:
            return f"{name} from {figure(self.low, self.attribute)}"
        return f"{name} {figure(self.low, self.attribute)} to {figure(self.high, self.attribute)}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON: attribute and values, or low and high."""
        if self.levels:
            return {"attribute": self.attribute, "values": list(self.levels), "words": self.words}
        return {"attribute": self.attribute, "low": self.low, "high": self.high, "words": self.words}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Condition":
        """The reverse of `as_dict`."""
        return cls(data["attribute"], tuple(data.get("values", ())), data.get("low"), data.get("high"))


@dataclass(frozen=True)
class Rule:
    """All of its conditions, each on another attribute."""

    conditions: tuple[Condition, ...] = field(default_factory=tuple)

    def covers(self, frame: pd.DataFrame) -> np.ndarray:
        """(n,) bool: rows that fulfil every condition."""
        masks = [condition.covers(frame) for condition in self.conditions]
        return np.logical_and.reduce(masks) if masks else np.ones(len(frame), bool)

    @property
    def words(self) -> str:
        """The rule as a person reads it."""
        return ", ".join(condition.words for condition in self.conditions)

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes it speaks of."""
        return tuple(condition.attribute for condition in self.conditions)


def rule_of(conditions: Iterable[Condition]) -> Rule:
    """A rule with its conditions in a fixed order."""
    return Rule(tuple(sorted(conditions, key=lambda c: (not c.levels, c.attribute))))


def attribute_words(attribute: str) -> str:
    """An attribute's name for people."""
    return WORDS.get(attribute, attribute.replace("_", " "))


def figure(value: float | None, attribute: str = "") -> str:
    """A number as a person writes it: thousands set apart, years not (employees are never years)."""
    assert value is not None
    if attribute not in COUNTED and 1800 <= value <= 2100 and float(value).is_integer():  # may be a year
        return f"{value:.0f}"
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3g}"
