"""Who is on a list and who is left out, by audited segment; and which attributes give a segment away.

Segments are never used to choose; they are looked at here, in sums alone, groups under 30 hidden.

What changes about a list if the attributes that stand for segments are taken out.

What was seen place by place: each outcome's mean in a region, country or postal area, with its interval.

A description, not a claim: intervals are 95 % each by itself, and nothing here chooses anybody.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency, fisher_exact

from features.crm.crm import Crm
from training.fairness.parity import MIN_SIZE, parity, segment_rows
from training.icp.prospect_outcomes import UNITS, Sample
from training.icp.prospects import Observed
from training.icp.rules import Rule, attribute_words
from training.icp.study import Study, study_of
from training.icp.target_list import Candidates, listed_of, order_of

FAR = 0.8
SURE = 0.01
LEAST_TIE = 0.10
BINS = 5


def reach(crm: Crm, account_id: pd.Series, listed: np.ndarray) -> list[dict[str, Any]]:
    """Each segment's share of the list beside its share of candidates, customers, leads and the population.

    Args:
        crm: with a table `segments`; without one the result is empty.
        account_id: (n,) the account of each candidate, null where none.
        listed: (n,) bool.

    Returns:
        A dict a segment: attribute, value, listed, candidates, customers, leads, population (shares; None
        where not known or fewer than 30), ratio (chance to be listed over the rest's), verdict, why.
    """
    if not crm.has("segments"):
        return []
    segments = crm.frame("segments")
    checks = parity(
        listed.astype(float),
        listed.astype(float),
        0.5,
        segment_rows(account_id.reset_index(drop=True), segments),
        metrics=("selection rate",),
    )
    verdicts = {check["segment"]: check for check in checks if "&" not in check["segment"]}
    groups = {
        "listed": account_id[listed],
        "candidates": account_id,
        "customers": _accounts_of(crm, "contracts"),
        "leads": _accounts_of(crm, "leads"),
    }
    shares = {name: _shares(segments, ids) for name, ids in groups.items()} | {"population": _population(crm)}
    rows = []
    pairs = segments[["attribute", "value"]].drop_duplicates().sort_values(["attribute", "value"])
    for attribute, value in pairs.itertuples(index=False):
        check = verdicts.get(f"{attribute}={value}", {})
        rows.append(
            {
                "attribute": attribute,
                "value": value,
                **{name: by_segment.get((attribute, value)) for name, by_segment in shares.items()},
                "ratio": check.get("ratio"),
                "verdict": check.get("verdict", "unknown"),
                "why": check.get("why", "no candidate of it is known"),
            }
        )
    return rows


def _accounts_of(crm: Crm, table: str) -> pd.Series:
    if not crm.has(table, "account_id"):
        return pd.Series(dtype="string")
    return crm.frame(table, ["account_id"])["account_id"].dropna().drop_duplicates()


def _shares(segments: pd.DataFrame, account_id: pd.Series) -> dict[tuple[str, str], float]:
    """Each value's share among the accounts of which the attribute is known; not given under 30 accounts."""
    rows = segment_rows(account_id.reset_index(drop=True), segments)
    covered = rows.groupby("attribute")["share"].transform("sum")
    held = rows.assign(part=rows["share"] / covered)[covered >= MIN_SIZE]
    return _by_pair(held, "part")


def _population(crm: Crm) -> dict[tuple[str, str], float]:
    if not crm.has("population", "attribute", "value", "people"):
        return {}
    population = crm.frame("population", ["attribute", "value", "people"]).dropna()
    people = population["people"].astype(float)
    return _by_pair(
        population.assign(part=people / people.groupby(population["attribute"]).transform("sum")), "part"
    )


def _by_pair(rows: pd.DataFrame, column: str) -> dict[tuple[str, str], float]:
    """(attribute, value) → the column's sum."""
    sums = rows.groupby(["attribute", "value"])[column].sum().reset_index()
    return {(str(a), str(v)): float(x) for a, v, x in sums.itertuples(index=False)}


def proxies(crm: Crm, frame: pd.DataFrame, account_id: np.ndarray) -> dict[str, str]:
    """Attribute → why it stands for a segment: Cramér's V of at least 0.1, surely (χ², corrected).

    Args:
        crm: with a table `segments`.
        frame: (n, attributes) prospects.
        account_id: (n,) the account of each.
    """
    named = _segments_of(crm, frame, account_id)
    tests = max(len(named) * frame.shape[1], 1)
    reasons: dict[str, str] = {}
    for segment, (rows, values) in named.items():
        for attribute in frame.columns:
            tie, p = _tie(_binned(frame[attribute].iloc[rows]), values)
            if tie >= LEAST_TIE and p < SURE / tests and attribute not in reasons:
                reasons[attribute] = (
                    f"{attribute_words(attribute)} gives {segment} away (Cramér's V {tie:.2f})"
                )
    return reasons


def _segments_of(
    crm: Crm, frame: pd.DataFrame, account_id: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Audited attribute → rows of the frame of which it is known for sure, and its values there."""
    if not crm.has("segments"):
        return {}
    rows = segment_rows(pd.Series(account_id), crm.frame("segments"))
    rows = rows[rows["share"] >= 0.99].drop_duplicates(["row", "attribute"])
    return {
        str(name): (part["row"].to_numpy(), part["value"].to_numpy(object))
        for name, part in rows.groupby("attribute")
        if len(part) >= 2 * MIN_SIZE
    }


def _binned(column: pd.Series) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(column):
        codes = pd.qcut(column, BINS, labels=False, duplicates="drop")
        return codes.fillna(-1).to_numpy(int)
    return pd.factorize(column.astype(object))[0]


def _tie(codes: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Bias-corrected Cramér's V (Bergsma 2013) and the p of no tie."""
    table = pd.crosstab(codes, values).to_numpy()
    if min(table.shape) < 2:
        return 0.0, 1.0
    chi2, p, _, _ = chi2_contingency(table, correction=False)
    n, (r, k) = table.sum(), table.shape
    phi = max(0.0, chi2 / n - (r - 1) * (k - 1) / (n - 1))
    most = min(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)) - 1
    return float(np.sqrt(phi / most)) if most > 0 else 0.0, float(p)


def gives_away(
    crm: Crm, rules: Sequence[Rule], frame: pd.DataFrame, account_id: np.ndarray
) -> list[list[str]]:
    """For each rule, the conditions whose members a segment is much rarer or commoner among, in words."""
    named = _segments_of(crm, frame, account_id)
    tests = sum(len(set(values)) for _, values in named.values()) * sum(len(r.conditions) for r in rules)
    warnings: list[list[str]] = []
    for rule in rules:
        words = []
        for condition in rule.conditions:
            inside = condition.covers(frame)
            for segment, (rows, values) in named.items():
                words += _apart(condition.words, segment, inside[rows], values, SURE / max(tests, 1))
        warnings.append(words)
    return warnings


def _apart(condition: str, segment: str, inside: np.ndarray, values: np.ndarray, sure: float) -> list[str]:
    words = []
    for value in sorted(set(values)):
        has = values == value
        counts = [(has & inside).sum(), (~has & inside).sum(), (has & ~inside).sum(), (~has & ~inside).sum()]
        if min(counts[0] + counts[1], counts[2] + counts[3]) < MIN_SIZE:
            continue
        share, rest = counts[0] / (counts[0] + counts[1]), counts[2] / (counts[2] + counts[3])
        p = fisher_exact(np.array(counts).reshape(2, 2))[1]
        if share < FAR * rest and p < sure:
            words.append(
                f"{condition} stands for {segment}: {value} is {share:.0%} inside, {rest:.0%} outside"
            )
    return words


def without_proxies(
    crm: Crm, study: Study, may: Candidates, listed: np.ndarray, *, seed: int = 0
) -> dict[str, Any] | None:
    """The list made anew without proxies, beside the one made with them; None where there are none.

    Args:
        crm: the CRM.
        study: the study with all attributes.
        may: the candidates.
        listed: (n,) bool, who is on the list made with all attributes.
        seed: of the bootstrap and folds.

    Returns:
        `taken_out` (attribute → why), `list_kept` (share of the list that stays), `conversions_caught`,
        `value_caught`, `band_ratio`, `win_ratio`, `reach`; None too where nothing would be left to choose by.
    """
    proxy_reasons = proxies(crm, study.observed.frame, study.observed.account_id)
    observed = study.observed.without(set(proxy_reasons))
    if not proxy_reasons or observed.frame.shape[1] == 0:
        return None
    bare = study_of(observed, study.weights, seed)
    still = listed_of(order_of(bare.fit, may), may)
    before = bare.hindsight(seed=seed)
    return {
        "taken_out": proxy_reasons,
        "list_kept": float((still & listed).sum() / max(listed.sum(), 1)),
        "conversions_caught": before.conversions_caught,
        "value_caught": before.value_caught,
        "band_ratio": before.band_ratio,
        "win_ratio": before.win_ratio,
        "reach": reach(crm, may.who["account_id"], still),
    }


PLACES = ("region", "country", "postal_area")
LEAST_ACCOUNTS = 30
MOST_PLACES = 12
Z = 1.96


def places(observed: Observed) -> list[dict[str, Any]]:
    """One entry a place attribute and outcome.

    Returns:
        Dicts of `attribute`, `outcome`, `unit`, `everyone` (mean of all) and `rows`: value, accounts, n,
        mean, low, high of the places with 30 accounts or more, by number of accounts, at most twelve.
    """
    entries = []
    for attribute in PLACES:
        if attribute not in observed.frame:
            continue
        place = observed.frame[attribute].astype(object)
        for sample in observed.samples:
            rows = _rows(place, sample)
            if len(rows) > 1:
                everyone = float(sample.value.mean())
                entries.append(
                    {
                        "attribute": attribute_words(attribute),
                        "outcome": sample.name,
                        "unit": UNITS[sample.name],
                        "everyone": everyone,
                        "rows": rows,
                    }
                )
    return entries


def _rows(place: pd.Series, sample: Sample) -> list[dict[str, Any]]:
    where = place.to_numpy(object)[sample.row]
    levels: Sequence[Any] = [level for level in pd.unique(where) if level is not None and level == level]
    rows = [_row(str(level), sample.take(where == level)) for level in levels]
    rows = [row for row in rows if row["accounts"] >= LEAST_ACCOUNTS]
    return sorted(rows, key=lambda row: (-row["accounts"], row["value"]))[:MOST_PLACES]


def _row(value: str, sample: Sample) -> dict[str, Any]:
    """The mean with an interval that counts accounts, not rows."""
    codes, at = np.unique(sample.account, return_inverse=True)
    mean, n, accounts = float(sample.value.mean()), len(sample), len(codes)
    off = np.bincount(at, weights=sample.value - mean)
    error = float(np.sqrt((off**2).sum() * accounts / max(accounts - 1, 1))) / n
    return {
        "value": value,
        "accounts": accounts,
        "n": n,
        "mean": mean,
        "low": mean - Z * error,
        "high": mean + Z * error,
    }
