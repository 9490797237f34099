"""What an experiment lets people see: usual practice sees no advice, the other arm the one that is tried."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from monitoring.store import Store
from serving.api.list_filters import amounts
from training.effects.advice import Likelihoods, personalised
from training.effects.arms import USUAL
from training.effects.enrolment import CALLS_QUESTION, DISCOUNT, TIMING
from training.effects.timing_curve import LEADS, Curve

Arm = Mapping[str, Any]
CHANGES = {"contact_days_before": TIMING, "calls_30d": CALLS_QUESTION, "discount_pct": DISCOUNT}
"""Change of a what-if → the question it would answer."""
ADVISED = (
    "window", "act_from", "act_by", "leaning", "present", "estimate", "usual", "gain", "low", "high", "worth",
    "curve", "mean_low", "mean_high", "is_average",
)  # fmt: skip
_WHATS = {TIMING: "when to make contact", CALLS_QUESTION: "how many calls to make", DISCOUNT: "discounts"}


def arm_of(store: Store, account_id: str | None, question: str) -> Arm | None:
    """The account's arm in the open experiment about a question; None: it is in none."""
    return arms_of(store, question, account_id).get(str(account_id))


def arms_of(store: Store, question: str, account_id: str | None = None) -> dict[str, Arm]:
    """Account → its arm in the open experiment about a question."""
    return {row["account_id"]: row for row in store.experiments.arms(question, account_id)}


def is_usual(arm: Arm | None) -> bool:
    """Whether the account was drawn to go without the advice."""
    return arm is not None and arm["arm"] == USUAL


def withheld(arm: Arm) -> str:
    """Why no advice is shown."""
    return (
        f"no advice on {_WHATS.get(arm['question'], arm['question'])}: this customer was drawn for usual "
        f"practice in the experiment {arm['experiment_id']}, so that what the advice is worth can be seen"
    )


def plan_row(row: Mapping[str, Any], arm: Arm | None) -> dict[str, Any]:
    """A row of the plan as its arm sees it.

    Usual practice sees no window. The advice arm sees the window that is tried while it is open and nobody
    was in contact, whatever observation says of it; the figures of observation are left out then.
    """
    if arm is None:
        return dict(row)
    nothing = {**row, **dict.fromkeys(ADVISED), "alike": []}
    if is_usual(arm):
        return {**nothing, "why": withheld(arm)}
    low, high = LEADS[arm["choice"]]
    days = row.get("days_to_end")
    if row.get("contacted_on") or row.get("ends_on") is None or days is None or days < low:
        return dict(row)
    if row.get("window") == arm["choice"]:
        return dict(row)
    ends = pd.Timestamp(row["ends_on"])
    return {
        **nothing,
        "window": arm["choice"],
        "act_from": str((ends - pd.Timedelta(days=min(high, days))).date()),
        "act_by": str((ends - pd.Timedelta(days=low)).date()),
        "why": f"First contact {low} to {high} days before the end: drawn for it in the experiment "
        f"{arm['experiment_id']}",
    }


def plan_rows(
    store: Store, rows: Iterable[Mapping[str, Any]], curve_by_group: Mapping[str, Curve]
) -> list[dict[str, Any]]:
    """Rows of the plan, each with what its contract gains by its current likelihood, as its arm sees it."""
    return as_arms_see(store, personalised(list(rows), curve_by_group, likelihoods(store)))


def as_arms_see(store: Store, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the plan, each as its arm in the open experiment about timing sees it."""
    arms = arms_of(store, TIMING)
    return [plan_row(row, arms.get(row["account_id"])) for row in rows]


def likelihoods(store: Store) -> Likelihoods:
    """Listed contract → its likelihood to renew with its limits, as every list shows it."""
    rows = amounts(store, "renewal", {})
    rows = rows[rows["probability"].notna() & ~rows["held_out"].fillna(False).astype(bool)]
    limits = rows[["probability", "low", "high"]].to_numpy(float).tolist()
    return {one: (p, low, high) for one, (p, low, high) in zip(rows["subject_id"], limits, strict=True)}


def effects_shown(
    store: Store, account_id: str | None, effects: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The estimated effects of changes on one account's contract, without those its arm is not to see."""
    shown = {}
    for change, effect in effects.items():
        arm = arm_of(store, account_id, CHANGES[change])
        if arm is None or not is_usual(arm):
            shown[change] = dict(effect)
            continue
        empty: dict[str, Any] = {
            name: [] if isinstance(value, list) else None for name, value in effect.items()
        }
        shown[change] = {**empty, "bucket": effect.get("bucket"), "why": withheld(arm)}
    return shown
