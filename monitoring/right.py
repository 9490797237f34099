"""Who was right: the model, the owners' own forecasts, or people who overrode a score; on matured outcomes.

Each comparison is paired: both said something about the same contract or deal at the same time. A forecast
counts as it stood then: as the list of that night had it, or as `history` tells; today's value of a decided
contract may have been written after the fact and is no forecast.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from features.columns import KEYS
from features.crm import Crm
from features.settings import Settings
from features.tables import SUBJECTS, Kind
from monitoring.judged import judged, with_actions
from monitoring.performance import account_codes, calibration_gap, cohort_of, treatments
from monitoring.store import Store, open_store
from monitoring.versus import LEVEL, versus

MODEL, OWNERS, OVERRIDES = "model", "owners' forecasts", "overrides"
LEAST_ACCOUNTS_EACH = 30
"""Of one owner or one quarter, to be told apart."""


def who_was_right(crm: Crm, settings: Settings, kind: str | None = None) -> dict[str, Any]:
    """Compare scores, owners' forecasts and overrides with what happened.

    Args:
        crm: what became of the subjects, and the history of forecasts.
        settings: where the store is.
        kind: `renewal` or `win`; None: both.

    Returns:
        `compared`: a row a comparison with `kind`, `who`, `segment` (empty: all; a quarter of `as_of`; an
        owner) and the figures of `Versus.as_dict`; its `closer` is `model`, `who`, `neither` or `unknown`.
        `categories`: forecasts in words: how many of each came true, and what the model said of them.
        `calibration`: of the scores, over all and by what was done about them. `notes`: what is not there.
    """
    store = open_store(settings)
    told: dict[str, Any] = {"compared": [], "categories": [], "calibration": [], "notes": []}
    for each in [kind] if kind else list(SUBJECTS):
        if crm.has(SUBJECTS[each]):
            _of_kind(each, crm, store, settings.seed, told)
    return told


def _of_kind(kind: str, crm: Crm, store: Store, seed: int, told: dict[str, Any]) -> None:
    log = store.predictions(kind)
    if log.empty:
        told["notes"].append(f"{kind}: no scores are logged; run `perennial score {kind}`")
        return
    outcomes = with_actions(judged(crm, kind, log, store.outcomes(kind)), store.actions(kind))
    decided = outcomes.decided.assign(one=lambda rows: rows["p"])
    decided["other"] = _odds(decided["forecast"]).fillna(_stood(crm, kind, "forecast", decided, _odds))
    told["compared"] += _compared(kind, OWNERS, decided, seed)
    told["compared"] += _compared(kind, OVERRIDES, _overridden(crm, kind, log, store), seed)
    told["categories"] += [
        row for name in _worded(crm, kind) for row in _categories(crm, kind, name, decided)
    ]
    told["calibration"] += _calibration(kind, decided)
    if decided["other"].isna().all() and len(decided):
        told["notes"].append(
            f"{kind}: no owner's forecast is known as it stood at the time; it is kept from now on with each "
            f"night's scores, where {SUBJECTS[kind]} have a column forecast"
        )


def _compared(kind: str, who: str, rows: pd.DataFrame, seed: int) -> list[dict[str, Any]]:
    """The comparison over all rows, by quarter and by owner; the small parts are left out."""
    rows = rows[rows["other"].notna()]
    if rows.empty:
        return []
    parts = [("", rows)]
    for name, key in (("quarter", cohort_of(rows)), ("owner", rows["owner_id"])):
        groups = [(f"{name}={value}", part) for value, part in rows.groupby(key, sort=True)]
        parts += [(segment, part) for segment, part in groups if _accounts(part) >= LEAST_ACCOUNTS_EACH]
    made = []
    for segment, part in parts:
        least = {} if not segment else {"least_accounts": LEAST_ACCOUNTS_EACH}
        level = 1 - (1 - LEVEL) / max(len(parts) - 1, 1) if segment else LEVEL
        found = versus(part, seed=seed, level=level, **least)
        made.append({"kind": kind, "who": who, "segment": segment, **found.as_dict(MODEL, who)})
    return made


def _overridden(crm: Crm, kind: str, log: pd.DataFrame, store: Store) -> pd.DataFrame:
    """Decided rows with the override (`other`) of the newest score there was when it was noted (`one`)."""
    made = store.overrides(kind)
    made = made[made["probability"].notna()]
    noted = pd.DataFrame(
        {
            "subject_id": made["subject_id"].astype(object),
            "made_at": pd.to_datetime(made["made_at"]).astype("datetime64[us]"),
            "other": made["probability"].astype(float),
        }
    )
    log = log[log["subject_id"].isin(noted["subject_id"])].astype({"subject_id": object})
    seen = pd.merge_asof(
        noted.sort_values("made_at"),
        log.sort_values("scored_at"),
        left_on="made_at",
        right_on="scored_at",
        by="subject_id",
    )
    seen = seen[seen["probability"].notna()].drop_duplicates(["subject_id", "as_of"], keep="last")
    if seen.empty:
        return log.iloc[:0].assign(y=0.0, one=0.0, other=0.0)
    return judged(crm, kind, seen, store.outcomes(kind)).decided.assign(one=lambda rows: rows["p"])


def _stood(crm: Crm, kind: str, column: str, rows: pd.DataFrame, read: Any) -> pd.Series:
    """(n,) what `history` says a column held before each row's `as_of`; missing where it is silent."""
    nothing = read(pd.Series(None, rows.index, dtype=object))
    if not crm.has("history", "table", "id", "column", "changed_at", "value"):
        return nothing
    wanted = f"\"table\" = '{SUBJECTS[kind]}' AND \"column\" = '{column}'"
    changes = crm.sql(f"SELECT id, changed_at, value FROM history WHERE {wanted}").to_pandas()
    asked = rows.loc[rows["as_of"].notna(), ["subject_id", "as_of"]].reset_index(names="place")
    if changes.empty or asked.empty:
        return nothing
    changes = changes.astype({"id": object, "changed_at": "datetime64[us]"}).sort_values("changed_at")
    asked = asked.astype({"subject_id": object, "as_of": "datetime64[us]"}).sort_values("as_of")
    found = pd.merge_asof(
        asked, changes, left_on="as_of", right_on="changed_at", left_by="subject_id", right_by="id",
        allow_exact_matches=False,
    )  # fmt: skip
    return read(found.set_index("place")["value"].reindex(rows.index))


def _odds(values: pd.Series) -> pd.Series:
    """Forecasts as probabilities; a column of percentages is read as such, what is neither is missing."""
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    if numbers.max() > 1:
        numbers = numbers / 100
    return numbers.where(numbers.between(0, 1))


def _worded(crm: Crm, kind: str) -> list[str]:
    """Carried columns that hold a forecast in words (commit, best case, …)."""
    carried = crm.carried.get(SUBJECTS[kind], {})
    return [name for name, of in carried.items() if "forecast" in name.lower() and of is Kind.CATEGORY]


def _categories(crm: Crm, kind: str, column: str, decided: pd.DataFrame) -> list[dict[str, Any]]:
    """Of each word of a forecast: rows, the share that came true with its 90 % interval, the mean score."""
    words = _stood(crm, kind, column, decided, lambda values: values)
    known_as = "as it stood"
    if words.isna().all():
        key = KEYS[SUBJECTS[kind]]
        today = crm.frame(SUBJECTS[kind], [key, column]).drop_duplicates(key).set_index(key)[column]
        words = decided["subject_id"].map(today.astype(object))
        known_as = "as the CRM has it now, perhaps written after the fact"
    made = []
    for word, rows in decided.groupby(words.astype(object), sort=True):
        good = int(rows["y"].sum())
        low, high = stats.binomtest(good, len(rows)).proportion_ci(0.9, method="wilson")
        made.append({"kind": kind, "column": column, "category": str(word), "rows": len(rows),
                     "came_true": good / len(rows), "low": float(low), "high": float(high),
                     "model": float(rows["p"].mean()), "known": known_as})  # fmt: skip
    return made


def _calibration(kind: str, decided: pd.DataFrame) -> list[dict[str, Any]]:
    """What the scores said and what happened, over all and by what people did; 95 % intervals by account."""
    made = []
    for segment, rows in [("all", decided), *treatments(decided)]:
        if not len(rows):
            continue
        y, p = rows["y"].to_numpy(float), rows["p"].to_numpy(float)
        gap, error, accounts = calibration_gap(y, p, account_codes(rows))
        spread = float(stats.t.ppf(0.975, max(accounts - 1, 1)) * error)
        limits = (None, None) if accounts < LEAST_ACCOUNTS_EACH else (gap - spread, gap + spread)
        made.append({"kind": kind, "rows_of": segment, "rows": len(rows), "accounts": accounts,
                     "said": float(p.mean()), "turned_out": float(y.mean()), "gap": gap,
                     "low": limits[0], "high": limits[1]})  # fmt: skip
    return made


def _accounts(rows: pd.DataFrame) -> int:
    return len(np.unique(account_codes(rows)))
