"""Drawing accounts for an experiment, at its start and as they come, and keeping the arms apart."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from features.crm.crm import Crm
from features.errors import RenewalError
from features.holdout import held_out
from features.settings import Settings
from training.effects.arms import (
    ADVICE,
    SMALL,
    USUAL,
    clusters_of,
    contamination,
    draw,
    merged_small,
    strata_of,
)
from training.effects.enrolment import SCORES


def drawn_for(
    crm: Crm, settings: Settings, facts: Mapping[str, Any], before: pd.DataFrame, wanted: pd.Series
) -> list[dict[str, Any]]:
    """Rows for the accounts that are new: they go where their cluster was drawn, or are drawn now.

    Args:
        crm: as it stands.
        settings: the hold-out of scores.
        facts: of the experiment.
        before: who was drawn already, as `Store.experiment_accounts` gives them.
        wanted: accounts to be drawn.

    Returns:
        account_id, cluster, stratum, arm.
    """
    new = sorted(set(wanted.dropna().astype(str)) - set(before["account_id"]))
    if facts["question"] == SCORES:
        return _held_out_rows(settings, new)
    named = clusters_of(crm, facts["cluster"])
    strata = {code(one): stratum for one, stratum in strata_of(crm, named, facts["strata"]).items()}
    cluster = {account: code(named.get(account, account)) for account in new}
    drawn = before.drop_duplicates("cluster")[["cluster", "stratum", "arm"]]
    drawn_before = {str(c): {"stratum": s, "arm": arm} for c, s, arm in drawn.itertuples(index=False)}
    fresh = {one: strata[one] for one in cluster.values() if one not in drawn_before}
    counts = Counter(each["stratum"] for each in drawn_before.values())
    if drawn_before:  # strata that were small at the start stay together
        fresh = {one: s if s in counts or SMALL not in counts else SMALL for one, s in fresh.items()}
    else:
        fresh = merged_small(fresh)
    arms = draw(fresh, facts["share"], facts["seed"], counts)
    drawn_before |= {one: {"stratum": fresh[one], "arm": arm} for one, arm in arms.items()}
    return [{"account_id": account, "cluster": one, **drawn_before[one]} for account, one in cluster.items()]


def _held_out_rows(settings: Settings, accounts: Sequence[str]) -> list[dict[str, Any]]:
    """The hold-out of scores as a draw: it goes by account id and PERENNIAL_SEED alone."""
    out = held_out(pd.Series(accounts, dtype=object), settings)
    return [
        {"account_id": a, "cluster": code(a), "stratum": "all", "arm": USUAL if hidden else ADVICE}
        for a, hidden in zip(accounts, out, strict=True)
    ]


def code(cluster: str) -> str:
    """How a cluster is called in the store: an erased customer's id does not stay as the name of one."""
    return hashlib.sha256(cluster.encode()).hexdigest()[:16]


def refuse_mixing(crm: Crm, arms: Mapping[str, str]) -> None:
    """Raise where a group of companies would get both arms."""
    families = contamination(crm, arms, [])["families"]
    if families:
        raise RenewalError(
            expected="each group of companies in one arm",
            found=f"{families:,} groups with accounts in both",
            do="Draw by --cluster parent, or say --may-mix if they decide apart from each other.",
        )


def contamination_of(
    crm: Crm, settings: Settings, facts: Mapping[str, Any], accounts: pd.DataFrame
) -> dict[str, Any]:
    """As `training.effects.arms.contamination`, for accounts as the store keeps them."""
    arms = dict(zip(accounts["account_id"], accounts["arm"], strict=True))
    now = {account: code(one) for account, one in clusters_of(crm, facts["cluster"]).items()}
    moved = [
        a for a, c in zip(accounts["account_id"], accounts["cluster"], strict=True) if now.get(a, c) != c
    ]
    if facts["question"] == SCORES:
        drawn = _held_out_rows(settings, list(accounts["account_id"]))
        moved = [row["account_id"] for row in drawn if row["arm"] != arms[row["account_id"]]]
    return contamination(crm, arms, moved)
