"""Who was right: the model, the owners' own forecasts, or people who overrode a score; on matured outcomes.

Each comparison is paired: both said something about the same contract or deal at the same time. A forecast
counts as it was then: as the list of that night had it, or as `history` has it; today's value of a decided
contract may have been written after the fact and is no forecast.

Two forecasters of the same rows, paired: who was closer to what happened, and how surely.

Two versions of a model on the same matured outcomes: the champion beside the one it replaced.

The former champion goes on scoring every list, unseen (`Store.shadows`), so that after some months the
outcomes themselves show whether the promotion was right.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from features.columns import KEYS
from features.crm.contract import SUBJECTS, Kind
from features.crm.crm import Crm
from features.settings import Settings
from monitoring.checks import Check, Verdict
from monitoring.matured import judged, with_actions
from monitoring.performance import (
    LEAST_ACCOUNTS,
    LEAST_OUTCOMES,
    account_codes,
    calibration_gap,
    cohort_of,
    treatments,
)
from monitoring.store import Store, open_store
from training.metrics import auc, bootstrap_gain, brier, losses
from training.registry import show

if TYPE_CHECKING:
    from features.crm.crm import Crm


LEVEL = 0.98
"""Of the intervals: they are looked at every night, so a difference must be rather sure."""

DRAWS = 2_000
SUREST = 0.01
"""A forecast of 0 or 1 by a person counts as 1 % or 99 % in the log loss, which would be endless else."""


@dataclass(frozen=True)
class Versus:
    """What `one` and `other` said of the same decided rows.

    `gain` is the mean log loss of `one` less that of `other`, in nats: above 0 `other` was closer. `low` and
    `high`: an interval (98 % by default), by a paired bootstrap that draws whole accounts. `brier_gain`
    likewise. `closer`: `one`, `other`, `neither` (no sure difference) or `unknown` (too few rows; then
    there are no intervals).
    """

    rows: int
    accounts: int
    log_loss: tuple[float, float] | None
    brier: tuple[float, float] | None
    auc: tuple[float, float] | None
    gain: float | None
    low: float | None
    high: float | None
    brier_gain: tuple[float, float, float] | None
    closer: str
    why: str

    def as_dict(self, one: str, other: str) -> dict[str, Any]:
        """The comparison with the forecasters' names."""
        result = asdict(self)
        for name in ("log_loss", "brier", "auc"):
            pair = result[name]
            result[name] = None if pair is None else {one: pair[0], other: pair[1]}
        result["closer"] = {"one": one, "other": other}.get(self.closer, self.closer)
        return result


def versus(
    rows: pd.DataFrame, *, seed: int = 0, least_accounts: int = LEAST_ACCOUNTS, level: float = LEVEL
) -> Versus:
    """Compare two forecasts of decided rows.

    Args:
        rows: `y` (0/1), `one` and `other` (probabilities), `account_id` (or, where it is missing,
            `subject_id`): rows of one account hang together and are drawn together.
        seed: of the bootstrap.
        least_accounts: fewer are too few for a verdict.
        level: of the intervals; nearer to 1 where many comparisons are made at once.
    """
    rows = rows[rows["one"].notna() & rows["other"].notna()]
    y = rows["y"].to_numpy(float)
    one, other = (np.clip(rows[name].to_numpy(float), SUREST, 1 - SUREST) for name in ("one", "other"))
    account = pd.factorize(rows["account_id"].where(rows["account_id"].notna(), rows["subject_id"]))[0]
    accounts, rarer = len(np.unique(account)), int(min(y.sum(), (1 - y).sum())) if len(y) else 0
    if not len(rows):
        return _unknown(0, 0, "no row has both, and an outcome that may be judged")
    loss = float(losses(y, one).mean()), float(losses(y, other).mean())
    pairs = {
        "log_loss": loss,
        "brier": (brier(y, one), brier(y, other)),
        "auc": (auc(y, one), auc(y, other)) if rarer else None,
    }
    if accounts < least_accounts or rarer < LEAST_OUTCOMES:
        lack = (
            f"{accounts} accounts with {rarer} rows of the rarer outcome; "
            f"{least_accounts} and {LEAST_OUTCOMES} are needed"
        )
        return _unknown(len(rows), accounts, lack, **pairs)
    gain = bootstrap_gain(losses(y, one) - losses(y, other), account, times=DRAWS, level=level, seed=seed)
    squared = bootstrap_gain((y - one) ** 2 - (y - other) ** 2, account, times=DRAWS, level=level, seed=seed)
    closer = "other" if gain[1] > 0 else "one" if gain[2] < 0 else "neither"
    why = (
        f"log loss {loss[0]:.3f} and {loss[1]:.3f} on the same {len(rows):,} rows "
        f"of {accounts:,} accounts, a difference of {gain[0]:+.3f} ({gain[1]:+.3f} to {gain[2]:+.3f})"
    )
    return Versus(len(rows), accounts, **pairs, gain=gain[0], low=gain[1], high=gain[2],
                  brier_gain=squared, closer=closer, why=why)  # fmt: skip


def _unknown(rows: int, accounts: int, why: str, **pairs: Any) -> Versus:
    metrics = dict.fromkeys(("log_loss", "brier", "auc")) | pairs
    none = dict.fromkeys(("gain", "low", "high", "brier_gain"))
    return Versus(rows, accounts, **metrics, **none, closer="unknown", why=why)


MODEL, OWNERS, OVERRIDES = "model", "owners' forecasts", "overrides"
LEAST_ACCOUNTS_EACH = 30
"""Of one owner or one quarter, to be reported separately."""


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
    result: dict[str, Any] = {"compared": [], "categories": [], "calibration": [], "notes": []}
    for each in [kind] if kind else list(SUBJECTS):
        if crm.has(SUBJECTS[each]):
            _of_kind(each, crm, store, settings.seed, result)
    return result


def _of_kind(kind: str, crm: Crm, store: Store, seed: int, result: dict[str, Any]) -> None:
    log = store.predictions.read(kind)
    if log.empty:
        result["notes"].append(f"{kind}: no scores are logged; run `perennial score {kind}`")
        return
    outcomes = with_actions(judged(crm, kind, log, store.outcomes.read(kind)), store.judgements.actions(kind))
    decided = outcomes.decided.assign(one=lambda rows: rows["p"])
    decided["other"] = _odds(decided["forecast"]).fillna(_stood(crm, kind, "forecast", decided, _odds))
    result["compared"] += _compared(kind, OWNERS, decided, seed)
    result["compared"] += _compared(kind, OVERRIDES, _overridden(crm, kind, log, store), seed)
    result["categories"] += [
        row for name in _worded(crm, kind) for row in _categories(crm, kind, name, decided)
    ]
    result["calibration"] += _calibration(kind, decided)
    if decided["other"].isna().all() and len(decided):
        result["notes"].append(
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
    comparisons = []
    for segment, part in parts:
        least = {} if not segment else {"least_accounts": LEAST_ACCOUNTS_EACH}
        level = 1 - (1 - LEVEL) / max(len(parts) - 1, 1) if segment else LEVEL
        comparison = versus(part, seed=seed, level=level, **least)
        comparisons.append({"kind": kind, "who": who, "segment": segment, **comparison.as_dict(MODEL, who)})
    return comparisons


def _overridden(crm: Crm, kind: str, log: pd.DataFrame, store: Store) -> pd.DataFrame:
    """Decided rows with the override (`other`) of the newest score there was when it was noted (`one`)."""
    overrides = store.judgements.overrides(kind)
    overrides = overrides[overrides["probability"].notna()]
    noted = pd.DataFrame(
        {
            "subject_id": overrides["subject_id"].astype(object),
            "made_at": pd.to_datetime(overrides["made_at"]).astype("datetime64[us]"),
            "other": overrides["probability"].astype(float),
        }
    )
    log = log[log["subject_id"].isin(noted["subject_id"])].astype({"subject_id": object})
    matches = pd.merge_asof(
        noted.sort_values("made_at"),
        log.sort_values("scored_at"),
        left_on="made_at",
        right_on="scored_at",
        by="subject_id",
    )
    matches = matches[matches["probability"].notna()].drop_duplicates(["subject_id", "as_of"], keep="last")
    if matches.empty:
        return log.iloc[:0].assign(y=0.0, one=0.0, other=0.0)
    return judged(crm, kind, matches, store.outcomes.read(kind)).decided.assign(one=lambda rows: rows["p"])


def _stood(crm: Crm, kind: str, column: str, rows: pd.DataFrame, read: Any) -> pd.Series:
    """(n,) what `history` says a column held before each row's `as_of`; missing where it is silent."""
    nothing = read(pd.Series(None, rows.index, dtype=object))
    if not crm.has("history", "table", "id", "column", "changed_at", "value"):
        return nothing
    wanted = f"\"table\" = '{SUBJECTS[kind]}' AND \"column\" = '{column}'"
    changes = crm.sql(f"SELECT id, changed_at, value FROM history WHERE {wanted}").to_pandas()
    moments = rows.loc[rows["as_of"].notna(), ["subject_id", "as_of"]].reset_index(names="place")
    if changes.empty or moments.empty:
        return nothing
    changes = changes.astype({"id": object, "changed_at": "datetime64[us]"}).sort_values("changed_at")
    moments = moments.astype({"subject_id": object, "as_of": "datetime64[us]"}).sort_values("as_of")
    matches = pd.merge_asof(
        moments, changes, left_on="as_of", right_on="changed_at", left_by="subject_id", right_by="id",
        allow_exact_matches=False,
    )  # fmt: skip
    return read(matches.set_index("place")["value"].reindex(rows.index))


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
    result = []
    for word, rows in decided.groupby(words.astype(object), sort=True):
        good = int(rows["y"].sum())
        low, high = stats.binomtest(good, len(rows)).proportion_ci(0.9, method="wilson")
        result.append({"kind": kind, "column": column, "category": str(word), "rows": len(rows),
                     "came_true": good / len(rows), "low": float(low), "high": float(high),
                     "model": float(rows["p"].mean()), "known": known_as})  # fmt: skip
    return result


def _calibration(kind: str, decided: pd.DataFrame) -> list[dict[str, Any]]:
    """What the scores said and what happened, over all and by what people did; 95 % intervals by account."""
    result = []
    for segment, rows in [("all", decided), *treatments(decided)]:
        if not len(rows):
            continue
        y, p = rows["y"].to_numpy(float), rows["p"].to_numpy(float)
        gap, error, accounts = calibration_gap(y, p, account_codes(rows))
        spread = float(stats.t.ppf(0.975, max(accounts - 1, 1)) * error)
        limits = (None, None) if accounts < LEAST_ACCOUNTS_EACH else (gap - spread, gap + spread)
        result.append({"kind": kind, "rows_of": segment, "rows": len(rows), "accounts": accounts,
                     "said": float(p.mean()), "turned_out": float(y.mean()), "gap": gap,
                     "low": limits[0], "high": limits[1]})  # fmt: skip
    return result


def _accounts(rows: pd.DataFrame) -> int:
    return len(np.unique(account_codes(rows)))


WORTH_IT = 0.01
"""A log loss lower by less than 1 % is no reason to go back."""

_KEY = ["subject_id", "as_of"]


def on_outcomes(
    kind: str, one: str | int, other: str | int, crm: "Crm | None", settings: Settings
) -> dict[str, Any]:
    """Compare two versions on rows both have scored and whose outcome has matured.

    Args:
        kind: `renewal` or `win`.
        one: a version, by its number or alias.
        other: likewise.
        crm: what became of the subjects; None: only the outcomes reported to the store.
        settings: where the store is.
    """
    a, b = (str(show(kind, settings, version)["version"]) for version in (one, other))
    comparison = compared(kind, a, b, crm, open_store(settings), settings.seed)
    return comparison.as_dict(f"version {a}", f"version {b}")


def compared(kind: str, one: str, other: str, crm: "Crm | None", store: Store, seed: int) -> Versus:
    """As `on_outcomes`, as it is."""
    log = store.predictions.read(kind)
    version_scores = (
        _said(kind, one, log, store).rename("one"),
        _said(kind, other, log, store).rename("other"),
    )
    logged = log.drop_duplicates(_KEY, keep="last")
    both = logged.merge(version_scores[0].reset_index(), on=_KEY).merge(
        version_scores[1].reset_index(), on=_KEY
    )
    return versus(judged(crm, kind, both, store.outcomes.read(kind)).decided, seed=seed)


def former_checks(
    kind: str, served: str, before: str | None, crm: "Crm", store: Store, seed: int
) -> list[Check]:
    """Whether the former champion would have done better; no check where there is none.

    Args:
        kind: `renewal` or `win`.
        served: the champion's version.
        before: the former champion's, as the registry has it.
        crm: what became of the subjects.
        store: of the log and the shadow scores.
        seed: of the bootstrap.
    """
    if before is None:
        return []
    return [former_check(kind, served, before, compared(kind, served, before, crm, store, seed))]


def former_check(kind: str, served: str, before: str, comparison: Versus) -> Check:
    """The verdict on a comparison of the champion (`one`) with the champion before it (`other`)."""
    name, why = "former champion: log loss", f"version {served} beside version {before}: {comparison.why}"
    if comparison.gain is None or comparison.log_loss is None:
        return Check(name, "", None, None, Verdict.UNKNOWN, why)
    least = WORTH_IT * comparison.log_loss[0]
    is_better = comparison.closer == "other" and comparison.gain >= least
    if is_better:
        why += f"; `perennial models rollback {kind}` brings version {before} back"
    verdict, cause = Verdict.ALERT if is_better else Verdict.OK, "former champion: would have done better"
    return Check(name, "", comparison.gain, least, verdict, why, cause=cause)


def _said(kind: str, version: str, log: pd.DataFrame, store: Store) -> pd.Series:
    """(subject, moment) → what a version said, served or not."""
    served = log.loc[log["model_version"] == version, [*_KEY, "probability"]]
    unseen = store.predictions.shadows(kind, version)[[*_KEY, "probability"]]
    both = pd.concat([part for part in (served, unseen) if len(part)] or [served])
    return both.drop_duplicates(_KEY).set_index(_KEY)["probability"]
