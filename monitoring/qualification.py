"""What changing a qualification rule would change: who comes in, who falls out, by segment, at what cost.

A rule is a threshold on columns of accounts: `employees>=50, country=DE|AT`. Columns that stand for segments
make no rule: credit scores and postcodes by their name, any other that gives a segment away.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.crm.crm import Crm
from features.errors import RenewalError
from monitoring.contact_costs import contact_costs, touched_accounts
from training.fairness.group_metrics import interval
from training.fairness.parity import parity, segment_rows, segments_of
from training.fairness.proxies import CLASSICS
from training.icp.prospect_outcomes import decided_deals
from training.icp.prospects import known_accounts
from training.icp.reach import proxies
from training.icp.rules import Condition, Rule, rule_of

EVERYBODY = "everybody"
STANDS_FOR_GROUP = "it stands for an audited group"
"""Shown in place of the group's name to those who may not see it."""

LEAST = 30
LEVEL = 0.90
_MOST_LEVELS = 12
_TERM = re.compile(r"\s*(\w[\w ]*?)\s*(>=|<=|=)\s*(.+?)\s*")


@dataclass(frozen=True)
class Usable:
    """What a rule may use.

    Attributes:
        today: accounts as they stand today, indexed by account_id.
        taken_out: column → why no rule may use it.
        standing: those of them that were found to give a segment away.
        is_checked: whether segments are known well enough to find what stands for them.
    """

    today: pd.DataFrame
    taken_out: dict[str, str]
    standing: tuple[str, ...]
    is_checked: bool


def usable(crm: Crm, names_segments: bool = True, standing_before: Mapping[str, str] | None = None) -> Usable:
    """The columns that may make a rule, and those that may not.

    Args:
        crm: the CRM.
        names_segments: whether reasons may say which segment a column stands for.
        standing_before: column → why, of those that were found to give a segment away of this very CRM; None:
            they are looked for.

    Raises:
        RenewalError: accounts have no column that describes a prospect.
    """
    accounts = known_accounts(crm)
    taken_out = dict(accounts.left_out)
    for name in accounts.frame.columns:
        if CLASSICS.search(str(name).lower()):
            taken_out[str(name)] = "it stands for segments: credit scores and postcodes always do"
    standing = standing_before
    if standing is None:
        account_id = accounts.frame.index.to_numpy(object)
        standing = proxies(crm, accounts.frame.reset_index(drop=True), account_id)
    reasons = standing if names_segments else dict.fromkeys(standing, STANDS_FOR_GROUP)
    taken_out = {**reasons, **taken_out}
    columns = [name for name in accounts.frame.columns if name not in taken_out]
    shares = segments_of(crm).get("share", pd.Series(dtype=float)).astype(float).fillna(1.0)
    is_checked = crm.has("segments") and bool((shares >= 0.99).sum() >= 2 * LEAST or shares.empty)
    return Usable(accounts.today[columns], taken_out, tuple(standing), is_checked)


def columns_of(columns: Usable) -> list[dict[str, Any]]:
    """For each usable column: `column`, `known` (share of accounts), `levels`, or `low`, `median`, `high`."""
    rows = []
    for name, column in columns.today.items():
        row = {"column": str(name), "known": float(column.notna().mean())}
        row |= {"low": None, "median": None, "high": None, "levels": None}
        if pd.api.types.is_numeric_dtype(column):
            low, median, high = column.quantile([0.1, 0.5, 0.9])
            row |= {
                at: None if np.isnan(each) else float(each)
                for at, each in (("low", low), ("median", median), ("high", high))
            }
        else:
            row["levels"] = list(map(str, column.value_counts().index[:_MOST_LEVELS]))
        rows.append(row)
    return rows


def read_rule(text: str, columns: Usable) -> Rule:
    """A rule as written: terms `column>=number`, `column<=number`, `column=value|value`, set apart by commas.

    Raises:
        RenewalError: no such term or column, a column that stands for segments, a number where none is.
    """
    by_column: dict[str, dict[str, Any]] = {}
    for term in filter(str.strip, text.split(",")):
        parsed = _TERM.fullmatch(term)
        if parsed is None:
            raise _wrong("terms like employees>=50 or country=DE|AT", repr(term.strip()))
        name, sign, value = parsed[1].lower().replace(" ", "_"), parsed[2], parsed[3]
        if name in columns.taken_out:
            raise _wrong("a rule by columns that stand for no segment", f"{name}: {columns.taken_out[name]}")
        if name not in columns.today:
            raise _wrong(f"a column of {', '.join(map(str, columns.today.columns))}", repr(name))
        of_column = by_column.setdefault(name, {})
        of_column.update(_limits(name, sign, value, pd.api.types.is_numeric_dtype(columns.today[name])))
    return rule_of(Condition(name, **limits) for name, limits in by_column.items())


def _limits(name: str, sign: str, value: str, is_number: bool) -> dict[str, Any]:
    if not is_number:
        if sign != "=":
            raise _wrong(f"{name}=value, for {name} is no number", f"{name}{sign}{value}")
        return {"levels": tuple(sorted(filter(None, (one.strip() for one in value.split("|")))))}
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not np.isfinite(number):
        raise _wrong(f"a number after {name}{sign}", repr(value))
    low, high = {"low": number}, {"high": number}
    return {">=": low, "<=": high, "=": {**low, **high}}[sign]


def _wrong(expected: str, problem: str) -> RenewalError:
    return RenewalError(expected=expected, found=problem, do="Change the rule.")


def rule_change(
    crm: Crm,
    rule: str,
    instead: str = "",
    *,
    names_segments: bool = True,
    standing: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Compare two rules on all accounts of the CRM.

    Args:
        crm: the CRM.
        rule: as `read_rule` takes it; empty: everybody qualifies.
        instead: the rule it would be changed to.
        names_segments: whether the answer may name segments.
        standing: as `usable` takes it.

    Returns:
        `rule` and `instead` in words; `sets`: of `before`, `after`, `gained` and `lost` the accounts, deals,
        won, win_rate with low and high (90 %; accounts resampled), unreached (by no campaign so far),
        cost_unreached; `segments`: attribute, value, before and after (share of its accounts that qualify),
        ratio_before and ratio_after (to the rest's), verdict and why of the new rule; none where they may not
        be named; `audited`: verdict → how many of them; `not_known` (column → accounts it says nothing of),
        `taken_out`, `currency`, `notes`. Raises as `read_rule`.
    """
    columns = usable(crm, names_segments, standing)
    old, new = read_rule(rule, columns), read_rule(instead, columns)
    before, after = old.covers(columns.today), new.covers(columns.today)
    account_id = columns.today.index.to_series().reset_index(drop=True)
    named = {"before": before, "after": after, "gained": after & ~before, "lost": before & ~after}
    segments = _by_segment(before, after, segment_rows(account_id, segments_of(crm)))
    used = sorted({*old.attributes, *new.attributes})
    notes = [
        "win rates are of accounts with a deal so far; those the present rule turned away are not in them",
    ]
    if not columns.is_checked:
        notes.append("what stands for segments could not be looked for: too few accounts' segments are known")
    return {
        "rule": old.words or EVERYBODY,
        "instead": new.words or EVERYBODY,
        "sets": _sets(crm, named, account_id),
        "segments": segments if names_segments else [],
        "audited": dict(Counter(row["verdict"] for row in segments)),
        "not_known": {name: int(columns.today[name].isna().sum()) for name in used},
        "taken_out": columns.taken_out,
        "currency": crm.quality.currency,
        "notes": notes,
    }


def _sets(crm: Crm, named: dict[str, np.ndarray], account_id: pd.Series) -> list[dict[str, Any]]:
    deals, _ = decided_deals(crm)
    touched = account_id.isin(touched_accounts(crm) or set()).to_numpy(bool)
    no_segments = pd.DataFrame(columns=["account_id", "attribute", "value", "share"])
    cost = contact_costs(crm, no_segments).get(None)
    rows = []
    for name, inside in named.items():
        of_set = deals[deals["account_id"].isin(set(account_id[inside]))]
        unreached = int((inside & ~touched).sum())
        rows.append(
            {
                "set": name,
                "accounts": int(inside.sum()),
                **_win_rate(of_set),
                "unreached": unreached,
                "cost_unreached": None if cost is None else cost.cost_each * unreached,
            }
        )
    return rows


def _win_rate(deals: pd.DataFrame) -> dict[str, Any]:
    """Won of decided deals, with an interval that counts accounts, not deals; none under 30 deals."""
    n = len(deals)
    if n < LEAST:
        return {"deals": n, "won": None, "win_rate": None, "low": None, "high": None}
    rate = float(deals["won"].mean())
    off = (deals["won"] - rate).groupby(deals["account_id"]).sum()
    variance, alike = float((off**2).sum()) / n**2, rate * (1 - rate)
    worth = min(float(n), alike / variance) if variance > 0 else float(n)
    low, high = interval(rate, 0.0, max(worth, 1.0), True, LEVEL)
    return {"deals": n, "won": int(deals["won"].sum()), "win_rate": rate, "low": low, "high": high}


def _by_segment(before: np.ndarray, after: np.ndarray, rows: pd.DataFrame) -> list[dict[str, Any]]:
    checked = {name: _checks(qualifies, rows) for name, qualifies in (("before", before), ("after", after))}
    result = []
    pairs = rows[["attribute", "value"]].drop_duplicates().sort_values(["attribute", "value"])
    for attribute, value in pairs.itertuples(index=False):
        old, new = (checked[name].get(f"{attribute}={value}", {}) for name in ("before", "after"))
        result.append(
            {
                "attribute": attribute,
                "value": value,
                "before": old.get("estimate"),
                "after": new.get("estimate"),
                "ratio_before": old.get("ratio"),
                "ratio_after": new.get("ratio"),
                "verdict": new.get("verdict", "unknown"),
                "why": new.get("why", "no account of it is known"),
            }
        )
    return result


def _checks(qualifies: np.ndarray, rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
    chosen = qualifies.astype(float)
    checks = parity(chosen, chosen, 0.5, rows, metrics=("selection rate",))
    return {check["segment"]: check for check in checks if " & " not in check["segment"]}
