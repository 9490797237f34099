"""What looks written after the outcome, where no date, history or open row can prove it.

A column of undated data is what the export held on its day. Tags, a lead's quality or its last activity may
have been entered before the decision or with it, and the values alone don't say which. They are used, and
reported with the evidence against them, for somebody who knows the CRM to exclude (`--bar`).
"""

import re

from training.leakage_evidence import MISSING
from training.leakage_rules import FEWEST_OPEN, Facts

LATEST_STATE = frozenset(
    ("last", "latest", "recent", "updated", "modified", "tag", "tags", "quality", "grade", "rating", "score")
)
"""Words for what is kept up to date or judged by people, rather than given at the start."""
MOST_RATE_RATIO, LEAST_COVERED = 0.25, 0.03
LEAST_AUC = 0.55


def suspicion(fact: Facts) -> str | None:
    """The evidence that a column might know the outcome; None: no evidence, or open rows to compare.

    Either a value is met with one outcome at less than a quarter of the usual rate of the other, and
    holds 3 % of that outcome's rows; or the column's name refers to a latest state or a judgement and it
    ranks outcomes.
    """
    power = fact.power
    if fact.open_n >= FEWEST_OPEN or power.auc - 2 * power.error < LEAST_AUC:
        return None
    alone = f"AUC {power.auc:.2f} alone on {fact.n:,} rows"
    pure = fact.pure
    if pure is not None and pure.rate_ratio <= MOST_RATE_RATIO and pure.covered >= LEAST_COVERED:
        value = "being empty" if pure.level == MISSING else f"“{pure.level}”"
        share = (pure.rows - pure.odd) / pure.rows
        return f"{alone}; of {pure.rows:,} rows with {value} {share:.0%} are {fact.ended(pure.outcome)}"
    words = set(re.split(r"[^a-z]+", fact.column.rpartition(".")[2].lower()))
    if fact.suspect_name or not LATEST_STATE.isdisjoint(words):
        return f"{alone}; its name refers to a latest state or a judgement"
    return None
