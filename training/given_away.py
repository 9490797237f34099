"""Columns that give a segment away by themselves: left out unless allowed in writing, with what that costs.

A postcode that reveals who owns a business is a proxy for the owner, whatever it adds. Such a column is never
among the reasons shown to sales, even where it is allowed (`training.explain` reads `about["unspoken"]`).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from features.errors import RenewalError
from features.progress import Say
from features.settings import Settings
from training.dataset import Dataset
from training.fairness.parity import segments_of
from training.fairness.proxies import proxies
from training.metrics import log_loss
from training.rejudge import rejudged
from training.selection_figures import Selection

if TYPE_CHECKING:
    from features.crm.crm import Crm


def without_proxies(
    ds: Dataset, crm: "Crm", settings: Settings, allowed: Mapping[str, str], say: Say
) -> tuple[Dataset, list[dict[str, Any]]]:
    """The dataset without columns that alone give a segment away beyond the limit, and what these are.

    Args:
        ds: the rows, what leaks already left out.
        crm: for the segments; without any nothing is left out.
        settings: seed.
        allowed: column → the written reason to keep it all the same.
        say: called with a line for each.

    Returns:
        The dataset and rows: `column`, `segment`, `auc`, `allowed` (None or the reason).

    Raises:
        RenewalError: an allowed column does not exist, or has no reason.
    """
    _check(ds, allowed)
    segments = segments_of(crm)
    if segments.empty:
        return ds, []
    rows = proxies(ds.X, ds.snapshots, segments, seed=settings.seed, singly=True)
    alerts = [row for row in rows if row["verdict"] == "alert"]
    strongest: dict[str, dict[str, Any]] = {}
    for row in sorted(alerts, key=lambda row: -row["auc"]):
        strongest.setdefault(row["column"], row)
    proxied = [
        {"column": name, "segment": row["segment"], "auc": row["auc"], "allowed": allowed.get(name)}
        for name, row in strongest.items()
    ]
    for row in proxied:
        say(in_a_sentence(row))
    left_out = {row["column"] for row in proxied if row["allowed"] is None}
    if len(left_out) == ds.X.shape[1]:
        raise RenewalError(
            expected="some columns that do not give a segment away by themselves",
            found="none",
            do='Allow one in writing: --allow-proxy "COLUMN=why it may be used".',
        )
    return (ds.without(left_out) if left_out else ds), proxied


def price_of(
    row: Mapping[str, Any], full: Dataset, clean: Dataset, selection: Selection, settings: Settings
) -> float:
    """By how much the log loss of the judged rows would be lower with the column (allowed: is, with it).

    Args:
        row: of `without_proxies`.
        full: the rows with every column the leakage guard let pass.
        clean: the rows with the columns that were used.
        selection: made of `clean`.
        settings: seed and threads.
    """
    name = str(row["column"])
    wanted = set(map(str, clean.X.columns)) ^ {name}
    other = full.without(set(map(str, full.X.columns)) - wanted)
    y = clean.y[selection.test["row"].to_numpy()]
    used = log_loss(y, rejudged(clean, selection, selection.recipe, settings))
    changed = log_loss(y, rejudged(other, selection, selection.recipe, settings))
    return changed - used if name in clean.X.columns else used - changed


def in_a_sentence(row: Mapping[str, Any]) -> str:
    """For the log and the card."""
    what = f"{row['column']} alone gives {row['segment']} away (AUC {row['auc']:.2f})"
    price = f", price {row['price']:+.4f} log loss" if "price" in row else ""
    done = f"allowed: {row['allowed']}" if row["allowed"] else "left out"
    return f"{what}: {done}{price}"


def _check(ds: Dataset, allowed: Mapping[str, str]) -> None:
    unknown = [name for name in allowed if name not in ds.X.columns]
    if unknown or not all(reason.strip() for reason in allowed.values()):
        raise RenewalError(
            expected="columns of the model, each with a written reason",
            found=f"no column {unknown[0]!r}" if unknown else "no reason",
            do='Write --allow-proxy "COLUMN=why it may be used".',
        )
