"""How a feature is declared: which events, which aggregate, which window, and a sentence for people."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

EVER, TERM, RUNUP = "ever", "term", "runup"
Window = int | Literal["ever", "term", "runup"]
Scope = Literal["account", "contract", "opportunity"]
Aggregate = Literal[
    "count", "sum", "mean", "last", "previous", "first",
    "days_since", "days_since_first", "days_until", "gap_days", "distinct",
]  # fmt: skip
OWN_SCOPE: dict[str, Scope] = {"renewal": "contract", "win": "opportunity"}
PHRASES = {EVER: "so far", TERM: "since the term or deal began", RUNUP: "since 180 days before the end"}


@dataclass(frozen=True)
class Test:
    """A condition on one column of an event. `words`: any of them (as `Coded.plain` writes them);
    `flag`: true or false; `given`: not null; `least`/`most`: bounds of a number.
    """  # fmt: skip

    column: str
    words: frozenset[str] | None = None
    flag: bool | None = None
    given: bool = False
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Events:
    """Rows of one table, placed in time by one of their moments (or a computed one), that pass every test."""

    table: str
    at: str
    where: tuple[Test, ...] = ()

    def where_also(self, *tests: Test) -> "Events":
        """The same events, further filtered."""
        return replace(self, where=(*self.where, *tests))


@dataclass(frozen=True)
class Info:
    """What people are told about a feature.

    Args:
        name: unique.
        words: a phrase that fits "…: value", such as "calls in the last 90 days".
        unit: of the value.
        touchpoint: where the customer was met.
        collected: the table and column it is read from.
        source: `event`, or `column` for columns of accounts, contracts, opportunities and leads.
        column: `table.column` for the latter.
        group: features told as one in reasons.
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
    """One aggregate of events within one window, seen from a snapshot's account, contract or opportunity.

    `value` names the column summed, taken or told apart; `divide` turns stored units into those of `info`. `kinds` are
    the models it is for. A feature that is only a part of others is not `shown`.
    """

    info: Info
    events: Events
    take: Aggregate
    window: Window = EVER
    value: str | None = None
    scope: Scope = "account"
    kinds: tuple[str, ...] = ("renewal", "win")
    divide: int = 1
    shown: bool = True

    @property
    def name(self) -> str:
        """The feature's name."""
        return self.info.name


@dataclass(frozen=True)
class Derived:
    """A small function of other features (`needs`, in the order of its arguments)."""

    info: Info
    needs: tuple[str, ...]
    formula: Callable[..., NDArray[np.float64]]
    kinds: tuple[str, ...] = ("renewal", "win")

    @property
    def name(self) -> str:
        """The feature's name."""
        return self.info.name


def phrase(window: Window) -> str:
    """A window in words."""
    return PHRASES[window] if isinstance(window, str) else f"in the last {window} days"


def tail(window: Window) -> str:
    """A window as the ending of a name."""
    return window if isinstance(window, str) else f"{window}d"


@dataclass(frozen=True)
class Page:
    """What the features of one touchpoint share; its methods write declarations."""

    touchpoint: str

    def over(
        self,
        windows: tuple[Window, ...],
        name: str,
        events: Events,
        take: Aggregate,
        *,
        words: str,
        unit: str,
        value: str | None = None,
        scope: Literal["account", "own"] = "account",
        divide: int = 1,
        direction: int = 0,
        group: str = "",
        shown: bool = True,
        kinds: tuple[str, ...] = ("renewal", "win"),
    ) -> tuple[Feature, ...]:
        """One feature for each window; `own` scope makes one for contracts and one for opportunities.

        `name` may hold `{w}` for the window's ending, `words` `{w}` for its phrase; own names start with
        `contract_` or `deal_`.
        """
        made = []
        for window in windows:
            for place, kind_list in self._places(scope, kinds):
                prefix, of = _OWN_NAMES[place]
                info = Info(
                    name=prefix + name.format(w=tail(window)),
                    words=words.format(w=phrase(window)) + of,
                    unit=unit,
                    touchpoint=self.touchpoint,
                    collected=f"{events.table}.{value or events.at}",
                    group=prefix + (group or name.replace("_{w}", "")),
                    direction=direction,
                )
                made.append(Feature(info, events, take, window, value, place, kind_list, divide, shown))
        return tuple(made)

    @staticmethod
    def _places(scope: str, kinds: tuple[str, ...]) -> list[tuple[Scope, tuple[str, ...]]]:
        if scope == "account":
            return [("account", kinds)]
        return [(OWN_SCOPE[kind], (kind,)) for kind in kinds]

    def derived(
        self,
        name: str,
        needs: tuple[str, ...],
        formula: Callable[..., NDArray[np.float64]],
        *,
        words: str,
        unit: str,
        scope: Literal["account", "own"] = "account",
        direction: int = 0,
        group: str = "",
        kinds: tuple[str, ...] = ("renewal", "win"),
    ) -> tuple[Derived, ...]:
        """A feature calculated from others; in `own` scope `{own}` in `needs` stands for the names' beginning."""
        made = []
        for place, kind_list in self._places(scope, kinds):
            prefix, of = _OWN_NAMES[place]
            full = tuple(need.format(own=prefix) for need in needs)
            info = Info(
                name=prefix + name,
                words=words + of,
                unit=unit,
                touchpoint=self.touchpoint,
                collected="from " + ", ".join(full),
                group=prefix + (group or name),
                direction=direction,
            )
            made.append(Derived(info, full, formula, kind_list))
        return tuple(made)


_OWN_NAMES = {
    "account": ("", ""),
    "contract": ("contract_", " (this contract)"),
    "opportunity": ("deal_", " (this deal)"),
}
