"""Who is drawn for what: accounts in clusters, by stratum, so that the same seed draws the same again."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from features.crm.crm import Crm
from features.errors import RenewalError

CLUSTERS = ("account", "parent", "owner")
COLUMNS = {"parent": "parent_account_id", "owner": "owner_id"}
ADVICE, USUAL = "advice", "usual"
EVERYBODY = "all"
UNKNOWN, SMALL = "unknown", "the small ones"
LEAST_CLUSTERS = 4
"""A stratum of fewer is put together with the other small ones: within it hardly anything can be compared."""


def clusters_of(crm: Crm, by: str) -> dict[str, str]:
    """Account → what is drawn as one: itself, the topmost parent of its group, or its owner.

    An account without parent or owner stands for itself.

    Raises:
        RenewalError: no such way, or the CRM does not have it.
    """
    if by not in CLUSTERS:
        raise RenewalError(expected=f"--cluster {' or '.join(CLUSTERS)}", found=repr(by), do="Choose one.")
    column = COLUMNS.get(by)
    if column is not None and not crm.has("accounts", column):
        raise RenewalError(
            expected=f"accounts with {column}, to draw by {by}",
            found="a CRM without",
            do="Draw by another cluster, or map that column.",
        )
    rows = crm.frame("accounts", ["account_id", *([column] if column else [])])
    ids = rows["account_id"].astype(str).tolist()
    if column is None:
        return {one: one for one in ids}
    named = [None if pd.isna(one) else str(one) for one in rows[column]]
    if by == "owner":
        return {one: f"owner {owner}" if owner else one for one, owner in zip(ids, named, strict=True)}
    parents = {one: parent for one, parent in zip(ids, named, strict=True) if parent}
    return {one: _topmost(one, parents) for one in ids}


def _topmost(account: str, parents: Mapping[str, str]) -> str:
    """The head of a group; where parents go round in a circle, the first of them by name."""
    passed = [account]
    while (parent := parents.get(passed[-1])) is not None:
        if parent in passed:
            return min(passed[passed.index(parent) :])
        passed.append(parent)
    return passed[-1]


def strata_of(crm: Crm, clusters: Mapping[str, str], columns: Sequence[str]) -> dict[str, str]:
    """Cluster → stratum: the values most of its accounts have in these columns of accounts.

    Raises:
        RenewalError: accounts lack such a column.
    """
    missing = [name for name in columns if not crm.has("accounts", name)]
    if missing:
        raise RenewalError(
            expected="--stratify to name columns of accounts",
            found=", ".join(missing),
            do="Leave it out, or name a column such as industry or region.",
        )
    if not columns:
        return dict.fromkeys(clusters.values(), EVERYBODY)
    rows = crm.frame("accounts", ["account_id", *columns])
    values = rows[list(columns)].astype("string").fillna(UNKNOWN).agg(" / ".join, axis=1)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for account, value in zip(rows["account_id"].astype(str), values, strict=True):
        counts[clusters.get(account, account)][value] += 1
    return {
        cluster: min(count, key=lambda value: (-count[value], value)) for cluster, count in counts.items()
    }


def merged_small(strata: Mapping[str, str]) -> dict[str, str]:
    """The strata of clusters, those of fewer than four clusters put together."""
    sizes = Counter(strata.values())
    return {one: s if sizes[s] >= LEAST_CLUSTERS else SMALL for one, s in strata.items()}


def draw(strata: Mapping[str, str], share: float, seed: int, before: Mapping[str, int]) -> dict[str, str]:
    """Cluster → arm.

    Within a stratum clusters stand in an order that only the seed decides, and the arm is taken by systematic
    sampling with a random start (Madow & Madow 1944): each has the chance `share` of the advice, and after
    any number of clusters the arms are within one of their share. Those who come later go on from there.

    Args:
        strata: of the clusters to be drawn.
        share: chance of the advice.
        seed: of the experiment.
        before: stratum → clusters of it that were drawn already.
    """
    waiting: dict[str, list[str]] = defaultdict(list)
    for cluster, stratum in strata.items():
        waiting[stratum].append(cluster)
    arms: dict[str, str] = {}
    for stratum, clusters in waiting.items():
        start = _uniform(seed, "stratum", stratum)
        ordered = sorted(clusters, key=lambda one: (_uniform(seed, "cluster", one), one))
        place = before.get(stratum, 0) + np.arange(len(ordered) + 1)
        steps = np.diff(np.floor(place * share + start))
        arms |= {one: ADVICE if step else USUAL for one, step in zip(ordered, steps, strict=True)}
    return arms


def _uniform(seed: int, what: str, name: str) -> float:
    digest = hashlib.sha256(f"{seed}:{what}:{name}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def in_both_arms(groups: Mapping[str, str], arms: Mapping[str, str]) -> list[str]:
    """The groups (owners, families) that have accounts in both arms, sorted.

    Args:
        groups: account → group.
        arms: account → arm.
    """
    met: dict[str, set[str]] = defaultdict(set)
    for account, arm in arms.items():
        if account in groups:
            met[groups[account]].add(arm)
    return sorted(group for group, groups_met in met.items() if len(groups_met) > 1)


def contamination(crm: Crm, arms: Mapping[str, str], moved: Sequence[str]) -> dict[str, Any]:
    """By which ways the advice can reach those who are to go without it.

    Args:
        crm: as it stands now.
        arms: account → arm.
        moved: accounts that belong to another cluster now than when they were drawn.

    Returns:
        `families`: groups of companies with accounts in both arms (how many; None: the CRM has no such
        column), `owners`: who looks after customers of both arms, `shared`: the share of the usual arm that
        one of these has to do with, `moved` (how many), and `words`.
    """
    both = {how: _both(crm, how, arms) for how in COLUMNS}
    usual = [account for account, arm in arms.items() if arm == USUAL]
    touched = sum(
        any(groups_met is not None and account in groups_met[1] for groups_met in both.values())
        for account in usual
    )
    families, owners = both["parent"], both["owner"]
    summary = {
        "families": None if families is None else len(families[0]),
        "owners": None if owners is None else [one.removeprefix("owner ") for one in owners[0]],
        "shared": touched / len(usual) if usual else 0.0,
        "moved": len(moved),
    }
    return {**summary, "words": list(_words(summary))}


def _both(crm: Crm, how: str, arms: Mapping[str, str]) -> tuple[list[str], set[str]] | None:
    """Groups with accounts in both arms, and those groups' accounts; None: the CRM has no such column."""
    if not crm.has("accounts", COLUMNS[how]):
        return None
    groups = {account: group for account, group in clusters_of(crm, how).items() if account in arms}
    mixed = in_both_arms(groups, arms)
    return mixed, {account for account, group in groups.items() if group in set(mixed)}


def _words(summary: Mapping[str, Any]) -> Iterable[str]:
    if summary["families"]:
        yield f"{summary['families']:,} groups of companies have accounts in both arms: --cluster parent"
    if summary["owners"]:
        yield (
            f"{len(summary['owners']):,} owners look after customers of both arms: what they learn from the "
            "advice may spread and make the difference look smaller; --cluster owner keeps the arms apart, "
            "and needs more owners"
        )
    if summary["moved"]:
        yield f"{summary['moved']:,} accounts have changed hands since; they count where they were drawn"
