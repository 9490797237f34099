"""The rules by which measured facts about a column become a verdict, each with its reason in words.

A rule is proof, not suspicion: each asks for an effect no honest column shows and for enough rows to be sure
of it. A suspicious name only lowers the marks. The marks were set from what is possible: a graded column
that ranks with AUC 0.85 separates the outcomes by 0.55, a binary one with AUC 0.82 by 0.64, and a copy of the
label with 10 % noise by 0.80.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from training.leakage_evidence import MISSING, Common, Power, Pure, Running

FEWEST_OPEN = 20
CERTAIN = 1e-6
OUTCOME_WORDS = {
    "renewal": {1: "renewed contracts", 0: "lost contracts"},
    "win": {1: "won deals", 0: "lost deals"},
}
SUSPECT_WORDS = frozenset(
    """
    lost loss losing churn churned churning attrition cancel cancels canceled cancelled cancellation won win
    winback closed close closing outcome result terminated termination renewed nonrenewal nonrenewed decided
    disposition postmortem exit exited refund refunded final ended offboarding status stage reason
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Facts:
    """What was measured about one column; rates are shares 0–1, None where it could not be asked.

    `filled_*` are the shares filled among good and bad outcomes (`filled_p`: Fisher's p that they are equal)
    and among decided and open rows (`open_p` likewise); `open_known` the share of open rows whose value
    decided rows know, `open_common` the value that most open rows hold; `dates_after` the share of its dates
    that lie at or after the decision; `changes_after` the share of its recorded changes that came after it.
    """

    column: str
    kind: str
    n: int
    power: Power
    few_levels: bool
    suspect_name: bool
    pure: Pure | None
    filled_good: float
    filled_bad: float
    filled_p: float
    unique: float = 0.0
    running: Running | None = None
    pure_in_open: float | None = None
    open_n: int = 0
    filled_decided: float | None = None
    filled_open: float | None = None
    open_p: float | None = None
    open_known: float | None = None
    open_common: Common | None = None
    dates_after: float | None = None
    changes_after: float | None = None

    def ended(self, outcome: int) -> str:
        """Rows of an outcome in words."""
        return OUTCOME_WORDS[self.kind][outcome]


Rule = Callable[[Facts, float], str | None]


def is_suspect(column: str) -> bool:
    """Whether a column's own name refers to the outcome or the close."""
    bare = column.rpartition(".")[2]
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", bare).lower()
    return not SUSPECT_WORDS.isdisjoint(re.split(r"[^a-z]+", words))


def near_copy(fact: Facts, limit: float) -> str | None:
    """It parts the outcomes as only a copy of the label, clean or noisy, can."""
    power = fact.power
    mark = 0.68 if fact.few_levels else 0.74
    mark -= 0.10 if fact.suspect_name else 0.0
    if power.separation - power.separation_error < mark - 0.02 or power.separation < mark:
        return None
    return (
        f"near copy of the outcome: by itself it parts {fact.ended(1)} from {fact.ended(0)} with "
        f"{power.separation:.0%} separation (AUC {power.auc:.2f}) on {fact.n:,} rows"
    )


def implausible_power(fact: Facts, limit: float) -> str | None:
    """One column alone ranks better than any one honest column of such data does."""
    power = fact.power
    limit -= 0.04 if fact.suspect_name else 0.0
    if power.auc - power.error < limit:
        return None
    return (
        f"implausibly strong alone: AUC {power.auc:.2f} on {fact.n:,} rows, where {limit:.2f} is the most "
        "that one honest column would reach in this data"
    )


def filled_for_one(fact: Facts, limit: float) -> str | None:
    """It is filled (or empty) for one outcome and hardly ever for the other.

    Where open rows are filled as often as decided ones, the gap is one of kinds of rows (expansions have no
    lead source), not of the close.
    """
    if _open_is_alike(fact):
        return None
    for good, bad, what in (
        (fact.filled_good, fact.filled_bad, "filled"),
        (1 - fact.filled_good, 1 - fact.filled_bad, "empty"),
    ):
        less, more = sorted((good, bad))
        times = 6 if fact.suspect_name else 20
        floor = 0.5 / max(fact.n / 2, 1)
        if more >= 0.02 and more >= times * max(less, floor) and fact.filled_p < CERTAIN:
            return (
                f"{what} for {fact.ended(int(good > bad))} ({more:.0%}) and hardly for "
                f"{fact.ended(int(good <= bad))} ({less:.1%})"
            )
    return None


def _open_is_alike(fact: Facts) -> bool:
    """Whether enough open rows are filled about as often as decided ones."""
    return fact.open_n >= 2 * FEWEST_OPEN and fact.open_p is not None and fact.open_p > 0.05


def one_outcome_value(fact: Facts, limit: float) -> str | None:
    """A value, or emptiness, that many rows share and that is met with one outcome only."""
    pure = fact.pure
    if pure is None:
        return None
    highest_ratio, covered = (0.10, 0.05) if fact.suspect_name else (0.05, 0.15)
    if pure.rate_ratio > highest_ratio or pure.covered < covered:
        return None
    if pure.level == MISSING and _open_is_alike(fact):
        return None
    words = "it is empty" if pure.level == MISSING else f"the value {pure.level}"
    return f"{words} on {pure.rows:,} rows, {pure.rows - pure.odd:,} of them {fact.ended(pure.outcome)}"


def written_at_close(fact: Facts, limit: float) -> str | None:
    """Decided rows have it, open rows do not: it is written when the outcome is known."""
    if fact.open_n < FEWEST_OPEN or fact.filled_decided is None or fact.filled_open is None:
        return None
    times = 5 if fact.suspect_name else 10
    late = fact.filled_decided >= 0.05 and fact.filled_decided >= times * fact.filled_open
    if late and (fact.open_p or 0.0) < (1e-3 if fact.suspect_name else 1e-4):
        return (
            f"filled only after the close: {fact.filled_decided:.0%} of decided rows have it, "
            f"{fact.filled_open:.1%} of {fact.open_n:,} open ones"
        )
    return None


def changed_at_close(fact: Facts, limit: float) -> str | None:
    """Open rows hold other values than decided ones, or lack the value that marks an outcome."""
    if fact.open_n < FEWEST_OPEN:
        return None
    if fact.open_known is not None and fact.open_known <= 0.05 and (fact.filled_open or 0) >= 0.2:
        return f"changed at the close: only {fact.open_known:.0%} of open rows hold a value decided rows know"
    pure = fact.pure
    if pure is None or fact.pure_in_open is None or pure.rate_ratio > 0.35 or pure.covered < 0.05:
        return None
    expected = fact.open_n * pure.rows / fact.n
    if expected >= 8 and fact.pure_in_open <= 0.02 * pure.rows / fact.n:
        words = "emptiness" if pure.level == MISSING else f"the value {pure.level}"
        return (
            f"changed at the close: {words} is met on {pure.rows:,} decided rows, nearly all "
            f"{fact.ended(pure.outcome)}, and on no open row of {fact.open_n:,}"
        )
    return None


def still_at_default(fact: Facts, limit: float) -> str | None:
    """Open rows hold one value that decided rows rarely keep, and the other values predict the outcome.

    A count or mark that starts at zero and is written at the close. Where it predicts nothing it does no
    harm, and a new kind of contract that all open rows are of may look the same.
    """
    common = fact.open_common
    if common is None or fact.open_n < FEWEST_OPEN or (fact.filled_open or 0) * fact.open_n < FEWEST_OPEN:
        return None
    if common.open_share < 0.95 or common.decided_share > 0.5 or common.p > CERTAIN:
        return None
    if fact.power.auc - 2 * fact.power.error < 0.6:
        return None
    return (
        f"written at the close: {common.open_share:.0%} of {fact.open_n:,} open rows hold {common.value}, of "
        f"decided ones {common.decided_share:.0%}; the rest predict the outcome (AUC {fact.power.auc:.2f})"
    )


def after_decision(fact: Facts, limit: float) -> str | None:
    """Its dates lie after the decision, and open rows do not have it planned."""
    if fact.dates_after is None or fact.dates_after < 0.8:
        return None
    planned = fact.open_n >= FEWEST_OPEN and fact.filled_decided is not None and fact.filled_open is not None
    if planned and (fact.filled_open or 0) >= 0.5 * (fact.filled_decided or 0):
        return None
    return f"a date after the decision on {fact.dates_after:.0%} of the rows that have it"


def recorded_late(fact: Facts, limit: float) -> str | None:
    """The history says that it is changed after the decision."""
    if fact.changes_after is None or fact.changes_after < 0.8:
        return None
    return f"changed after the decision in {fact.changes_after:.0%} of its recorded changes"


def numbers_rows(fact: Facts, limit: float) -> str | None:
    """A running number or an identifier."""
    running = fact.running
    if running is not None and running.whole:
        numbered = running.unique >= 0.95 and running.dense >= 0.3
        if numbered or (running.unique >= 0.7 and running.trend >= 0.8):
            return (
                f"a running number: {running.values:,} different whole numbers on {fact.n:,} rows, "
                f"rank correlation with time {running.trend:.2f}"
            )
        if running.values >= 50 and running.trend >= 0.95:
            return f"a number that grows with time (rank correlation {running.trend:.2f})"
    if fact.unique >= 0.8:
        return f"an identifier: {fact.unique:.0%} of its values are met once only"
    return None


RULES: tuple[Rule, ...] = (
    near_copy,
    filled_for_one,
    one_outcome_value,
    written_at_close,
    still_at_default,
    changed_at_close,
    after_decision,
    recorded_late,
    numbers_rows,
    implausible_power,
)
