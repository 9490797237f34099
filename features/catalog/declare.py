"""How a feature is declared: which events, which aggregate, which window, and a sentence for people.

Formulas of derived features: elementwise, divisions last, NaN where nothing can be said.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Window = int | Literal["ever", "term", "runup"]
EVER: Window = "ever"
TERM: Window = "term"
RUNUP: Window = "runup"
Scope = Literal["account", "contract", "opportunity", "owner", "industry", "everyone"]
Aggregate = Literal[
    "count", "sum", "mean", "last", "previous", "first",
    "days_since", "days_since_first", "days_until", "gap_days", "distinct",
]  # fmt: skip
BOTH, RENEWAL, WIN = ("renewal", "win"), ("renewal",), ("win",)
OWN_SCOPE: dict[str, Scope] = {"renewal": "contract", "win": "opportunity"}
SCOPE_COLUMN: dict[str, str] = {
    "account": "account_id",
    "contract": "contract_id",
    "opportunity": "opportunity_id",
    "owner": "owner_id",
    "industry": "industry",
}
"""The column that says to which account, contract, … a row belongs; `everyone` needs none."""
PHRASES: dict[Window, str] = {
    EVER: "so far",
    TERM: "since the term or deal began",
    RUNUP: "since 180 days before the end",
}


class Hashed:
    """Hashes once: these are keys of look-ups on the live path."""

    _hash: int

    def __post_init__(self) -> None:
        parts = tuple(getattr(self, name) for name in self.__dataclass_fields__)  # type: ignore[attr-defined]
        object.__setattr__(self, "_hash", hash(parts))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, eq=True)
class Test(Hashed):
    """A condition on one column of an event: exactly one of these.

    Args:
        column: the column.
        words: any of them (as `Coded.plain` writes them).
        flag: true or false.
        least: not below.
        most: not above.
        given: not null.
    """

    column: str
    words: frozenset[str] | None = None
    flag: bool | None = None
    least: float | None = None
    most: float | None = None
    given: bool = False

    __hash__ = Hashed.__hash__


@dataclass(frozen=True)
class Events(Hashed):
    """Rows of one table, placed in time by one of their moments (or a computed one), that pass every test."""

    table: str
    at: str
    where: tuple[Test, ...] = ()

    __hash__ = Hashed.__hash__

    def having(self, *tests: Test) -> "Events":
        """The same events, further filtered."""
        return replace(self, where=(*self.where, *tests))

    def among(self, column: str, words: Iterable[str]) -> "Events":
        """Those whose `column` is one of `words`."""
        return self.having(Test(column, words=frozenset(words)))

    def given(self, column: str) -> "Events":
        """Those whose `column` is not null."""
        return self.having(Test(column, given=True))


@dataclass(frozen=True)
class Info:
    """How a feature is described to people.

    Args:
        name: unique.
        words: a phrase that fits "…: value", such as "calls in the last 90 days".
        unit: of the value.
        touchpoint: where the customer was met.
        collected: the table and column it is read from.
        source: `event`, or `column` for columns of accounts, contracts, opportunities and leads.
        column: `table.column` for the latter.
        group: features reported as one in reasons.
        direction: +1 where more is usually better for the outcome, -1 where it is worse, 0 where open.
    """

    name: str
    words: str
    unit: str
    touchpoint: str
    collected: str
    source: Literal["event", "column"] = "event"
    column: str | None = None
    group: str = ""
    direction: int = 0


@dataclass(frozen=True)
class Feature:
    """One aggregate of events within one window, seen from a snapshot's account, contract, opportunity,
    owner, ….

    `value` names the column summed, taken or counted by value; `divide` turns stored units into those of
    `info`. `kinds` are the models it is for. A feature that is only a part of others is not `shown`. `source`
    are the events that count: those whose value is given.
    """

    info: Info
    events: Events
    take: Aggregate
    window: Window = EVER
    value: str | None = None
    scope: Scope = "account"
    kinds: tuple[str, ...] = BOTH
    divide: int = 1
    shown: bool = True
    name: str = field(init=False)
    source: Events = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.info.name)
        needs_value = self.value is not None and self.take != "distinct"
        object.__setattr__(self, "source", self.events.given(str(self.value)) if needs_value else self.events)


@dataclass(frozen=True)
class Derived:
    """A small function of other features (`needs`, in the order of its arguments)."""

    info: Info
    needs: tuple[str, ...]
    formula: Callable[..., NDArray[np.float64]]
    scope: Scope = "account"
    kinds: tuple[str, ...] = BOTH
    name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.info.name)


Declared = Feature | Derived
ACROSS: frozenset[str] = frozenset({"owner", "industry", "everyone"})
"""Scopes that span accounts; they are answered as of the previous midnight, in a pass of their own."""


@dataclass(frozen=True)
class Options:
    """What most declarations leave as it is."""

    windows: tuple[Window, ...] = (EVER,)
    split: bool = False
    scope: Scope = "account"
    kinds: tuple[str, ...] = BOTH
    better: int = 0
    divide: int = 1
    shown: bool = True
    group: str = ""


_OWN_NAMES = {"contract": ("contract_", " (this contract)"), "opportunity": ("deal_", " (this deal)")}


@dataclass(frozen=True)
class Page:
    """Writes the declarations of one touchpoint. Names may hold `{w}` for a window's ending, words for its
    phrase.

    Keyword options of each method are those of `Options`: `split` makes one feature for contracts and one for
    opportunities, their names starting with `contract_` and `deal_`; `better` is the direction.
    """

    touchpoint: str

    def count(
        self, name: str, events: Events, words: str, unit: str = "count", **options: object
    ) -> tuple[Feature, ...]:
        """How many."""
        return self._make(name, events, "count", None, words, unit, options)

    def distinct(
        self, name: str, events: Events, value: str, words: str, unit: str, **options: object
    ) -> tuple[Feature, ...]:
        """How many different values."""
        return self._make(name, events, "distinct", value, words, unit, options)

    def total(
        self, name: str, events: Events, value: str, words: str, unit: str, **options: object
    ) -> tuple[Feature, ...]:
        """The sum of a whole number."""
        return self._make(name, events, "sum", value, words, unit, options)

    def mean(
        self, name: str, events: Events, value: str, words: str, unit: str, **options: object
    ) -> tuple[Feature, ...]:
        """The mean of a whole number."""
        return self._make(name, events, "mean", value, words, unit, options)

    def last(
        self, name: str, events: Events, value: str, words: str, unit: str, **options: object
    ) -> tuple[Feature, ...]:
        """The last value given."""
        return self._make(name, events, "last", value, words, unit, options)

    def previous(
        self, name: str, events: Events, value: str, words: str, unit: str, **options: object
    ) -> tuple[Feature, ...]:
        """The value before the last."""
        return self._make(name, events, "previous", value, words, unit, options)

    def first(
        self, name: str, events: Events, value: str, words: str, unit: str, **options: object
    ) -> tuple[Feature, ...]:
        """The first value given."""
        return self._make(name, events, "first", value, words, unit, options)

    def until(
        self, name: str, events: Events, value: str, words: str, **options: object
    ) -> tuple[Feature, ...]:
        """Days from the snapshot to the last moment given."""
        return self._make(name, events, "days_until", value, words, "days", options)

    def since(self, name: str, events: Events, words: str, **options: object) -> tuple[Feature, ...]:
        """Days since the last one."""
        return self._make(name, events, "days_since", None, words, "days", options)

    def since_first(self, name: str, events: Events, words: str, **options: object) -> tuple[Feature, ...]:
        """Days since the first one."""
        return self._make(name, events, "days_since_first", None, words, "days", options)

    def gap(self, name: str, events: Events, words: str, **options: object) -> tuple[Feature, ...]:
        """Mean days between one and the next."""
        return self._make(name, events, "gap_days", None, words, "days", options)

    def _make(
        self, name: str, events: Events, take: Aggregate, value: str | None, words: str, unit: str,
        options: dict
    ) -> tuple[Feature, ...]:  # fmt: skip
        opted = Options(**options)
        features = []
        for window in opted.windows:
            for scope, kinds in _places(opted):
                prefix, of = _OWN_NAMES.get(scope, ("", ""))
                info = Info(
                    name=prefix + name.format(w=tail(window)),
                    words=words.format(w=phrase(window)) + of,
                    unit=unit,
                    touchpoint=self.touchpoint,
                    collected=f"{events.table}.{value or events.at}",
                    group=prefix + (opted.group or name.replace("_{w}", "")),
                    direction=opted.better,
                )
                features.append(
                    Feature(info, events, take, window, value, scope, kinds, opted.divide, opted.shown)
                )
        return tuple(features)

    def derived(
        self, name: str, needs: str, formula: Callable[..., NDArray[np.float64]], words: str, unit: str,
        **options: object
    ) -> tuple[Derived, ...]:  # fmt: skip
        """Calculated from the features named in `needs`; if `split`, `~` there stands for the names'
        beginning."""
        opted = Options(**options)  # type: ignore[arg-type]
        derived_features = []
        for scope, kinds in _places(opted):
            prefix, of = _OWN_NAMES.get(scope, ("", ""))
            full = tuple(need.replace("~", prefix) for need in needs.split())
            info = Info(
                name=prefix + name,
                words=words + of,
                unit=unit,
                touchpoint=self.touchpoint,
                collected="from " + ", ".join(full),
                group=prefix + (opted.group or name),
                direction=opted.better,
            )
            derived_features.append(Derived(info, full, formula, scope, kinds))
        return tuple(derived_features)


def _places(opted: Options) -> list[tuple[Scope, tuple[str, ...]]]:
    if not opted.split:
        return [(opted.scope, opted.kinds)]
    return [(OWN_SCOPE[kind], (kind,)) for kind in opted.kinds]


def phrase(window: Window) -> str:
    """A window in words."""
    return PHRASES[window] if isinstance(window, str) else f"in the last {window} days"


def tail(window: Window) -> str:
    """A window as the ending of a name."""
    return window if isinstance(window, str) else f"{window}d"


def flat(*groups: tuple[Declared, ...]) -> tuple[Declared, ...]:
    """Declarations of several calls as one."""
    return tuple(declared for group in groups for declared in group)


Floats = NDArray[np.float64]


def share(part: Floats, whole: Floats) -> Floats:
    """`part / whole`, NaN where the whole is 0."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def trend(recent: Floats, both: Floats) -> Floats:
    """How the recent window compares with the equally long one before it, in [-1, 1]: (r - e) / (|r| + |e|
    + 1).

    `both` covers the two windows together. 0 where nothing happened in either.
    """
    earlier = both - recent
    return (recent - earlier) / (np.abs(recent) + np.abs(earlier) + 1.0)


def difference(now: Floats, before: Floats) -> Floats:
    """`now - before`."""
    return now - before


def total(*parts: Floats) -> Floats:
    """The sum of the parts."""
    return np.add.reduce(parts)


def change_pct(now: Floats, before: Floats) -> Floats:
    """The change from `before` to `now` in per cent of `before`; NaN where that is not above 0."""
    return share(100.0 * (now - before), before)


def discount_pct(net: Floats, full: Floats) -> Floats:
    """How far `net` lies below `full`, in per cent."""
    return share(100.0 * (full - net), full)


def overdue(days_since: Floats, gap_days: Floats) -> Floats:
    """Silence measured in usual gaps: above 1 the next contact is late."""
    return share(days_since, gap_days)


SMOOTHING = 10
"""How many average outcomes an owner's own record is mixed with."""


def smoothed_share(part: Floats, whole: Floats, part_of_all: Floats, whole_of_all: Floats) -> Floats:
    """`part / whole` drawn to the share of all, as if `SMOOTHING` more outcomes of the average had been seen.

    The mean of a beta-binomial with that prior; NaN where nobody has any outcome yet.
    """
    return share(part + SMOOTHING * share(part_of_all, whole_of_all), whole + SMOOTHING)


def mean_age_days(opened: Floats, closed: Floats, still_open: Floats, as_of: Floats) -> Floats:
    """Mean age of what is open, in days, from sums of opening moments (s) of all and of those closed
    again."""
    return share(as_of * still_open - (opened - closed), still_open) / 86_400
