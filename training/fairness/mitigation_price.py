"""What a mitigation costs in log loss and brings in parity, on rows not learned from."""

from typing import Any

import numpy as np
import pandas as pd

from training.dataset import Dataset
from training.fairness.mitigation import Case, Mended, Sums
from training.fairness.parity import DECLARED, parity, segment_rows, threshold, verdict_of
from training.metrics import bootstrap_gain, losses
from training.selection_figures import Selection

LEVEL = 0.90
DRAWS = 400


def option_row(case: Case, other: Mended | None) -> dict[str, Any]:
    """What a mitigation costs and brings on the rows not learned from, beside the model as it is.

    Args:
        case: the model as it is.
        other: the mended one; None for the model as it is.

    Returns:
        option, what, served, log_loss, auc, `price` (log loss added), `gap` (the widest of the primary metric
        between a segment and the rest), `worst` (whose), `ratio` (the least), `gain` (how much narrower the
        widest gap is), `verdict` of parity; `_low` and `_high` of price and gain: 90 %, by account.
    """
    ds, selection = (case.ds, case.selection) if other is None else (other.ds, other.selection)
    before, after = _judged(case.ds, case.selection), _judged(ds, selection)
    y = case.ds.y[before["row"].to_numpy()]
    row = _figures(ds, selection, after, case.segments)
    if other is not None:
        added = losses(y, after["p"].to_numpy()) - losses(y, before["p"].to_numpy())
        groups = case.ds.groups[before["row"].to_numpy()]
        price, low, high = bootstrap_gain(added, groups, level=LEVEL)
        row |= {"price": price, "price_low": low, "price_high": high}
        row |= _gain(case, before, after, selection)
    name, what = ("as it is", "nothing is done") if other is None else (other.name, other.what)
    return {"option": name, "what": what, **row}


def in_words(mitigation: dict[str, Any]) -> str:
    """What a mitigation did, cost and brought, in a sentence: `before` and `after` are option rows."""
    before, after = mitigation["before"], mitigation["after"]
    price = f"{after['price']:+.4f} ({after['price_low']:+.4f} to {after['price_high']:+.4f})"
    text = f"asked for by the user: {after['option']}, {after['what']}; log loss {price}"
    if after.get("gain") is None:
        return f"{text}; too few outcomes to estimate its effect"
    gain = f"narrower by {after['gain']:+.3f} ({after['gain_low']:+.3f} to {after['gain_high']:+.3f})"
    return f"{text}; widest gap {before['gap']:.3f} before, {after['gap']:.3f} now, {gain}"


def _judged(ds: Dataset, selection: Selection) -> pd.DataFrame:
    test = selection.test.sort_values("row", kind="stable")
    return pd.DataFrame({"row": test["row"].to_numpy(), "p": test["probability"].to_numpy(float)})


def _figures(
    ds: Dataset, selection: Selection, judged: pd.DataFrame, segments: pd.DataFrame
) -> dict[str, Any]:
    rows = judged["row"].to_numpy()
    checks = parity(
        ds.y[rows],
        judged["p"].to_numpy(),
        threshold(selection.model),
        segment_rows(ds.snapshots["account_id"].iloc[rows], segments),
        kind=ds.kind,
        subjects=ds.subjects[rows],
        metrics=(DECLARED[ds.kind].primary,),
    )
    single = [c for c in checks if " & " not in c["segment"] and c["difference"] is not None]
    worst = max(single, key=lambda check: abs(check["difference"]), default=None)
    shown = selection.forward or selection.random
    return {
        "served": selection.served,
        "log_loss": shown["log_loss"],
        "auc": shown["auc"],
        "price": None,
        "price_low": None,
        "price_high": None,
        "gap": abs(worst["difference"]) if worst else None,
        "worst": worst["segment"] if worst else None,
        "ratio": min((c["ratio"] for c in single if c["ratio"] is not None), default=None),
        "gain": None,
        "gain_low": None,
        "gain_high": None,
        "verdict": verdict_of(checks),
    }


def _gain(case: Case, before: pd.DataFrame, after: pd.DataFrame, selection: Selection) -> dict[str, Any]:
    """How much narrower the widest gap is, each model's own widest, accounts drawn with replacement."""
    rows = case.ds.take(before["row"].to_numpy())
    one = Sums.of(rows, before["p"].to_numpy(), case.threshold, case.segments)
    other = Sums.of(rows, after["p"].to_numpy(), threshold(selection.model), case.segments)
    if not one.keys:
        return {}
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(one.accounts, np.full(one.accounts, 1 / one.accounts), DRAWS).astype(float)
    counts = np.vstack([np.ones(one.accounts), drawn])
    gain = _widest(one, counts) - _widest(other, counts)
    low, high = np.nanquantile(gain[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"gain": float(gain[0]), "gain_low": float(low), "gain_high": float(high)}


def _widest(sums: Sums, counts: np.ndarray) -> np.ndarray:
    inside, rest = sums.rates(counts)
    return np.nanmax(np.abs(inside - rest), axis=1)
