"""How good the scores turned out: outcomes joined with the prediction log, and an estimate before.

Rows of one account hang together, so every error bar here is summed by account (cluster-robust, Liang and
Zeger 1986): 2,000 predictions of 300 accounts are not 2,000 observations. An alert needs a difference that
is beyond what one would care about, and surely so.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from monitoring.checks import Check, Verdict
from training.metrics import (
    auc,
    bootstrap_gain,
    fit_line,
    holm,
    losses,
    to_logit,
    to_probability,
)

ALPHA_EACH = 0.0025
"""Level of each of the four tests over all rows; 0.01 together."""

ALPHA_PARTS = 0.005
"""Level of all lead times and cohorts together."""

ACTED_ON, LEFT_ALONE, HELD_OUT = "actions=taken", "actions=none", "held out"
LEAST_ACCOUNTS = 100
LEAST_OUTCOMES = 20
LEAST_IN_PART = 50
SLOPES = (0.8, 1.25)
AUC_SLACK = 0.05
COIN = 0.5
"""The AUC of tossing a coin: no limit lies below it, where hardly any model could fall."""

COHORT_DECIDED = 0.95
OK_WITHIN = 2.0
"""Ok means that a gap of so many times the limit would have shown: less data is too little to say so."""

_RATE_SLACK, _LEAST_SLACK = 0.15, 0.01


@dataclass(frozen=True)
class Outcomes:
    """Predictions with what became of them.

    Attributes:
        decided: rows whose outcome may be judged, with `y` (0/1).
        undecided: rows still open, or known too early: of a cohort half decided, the quick outcomes come
            first.
    """

    decided: pd.DataFrame
    undecided: pd.DataFrame


def split_decided(rows: pd.DataFrame, until: pd.Timestamp) -> Outcomes:
    """Split rows into those that may be judged and those that may not yet.

    Args:
        rows: `as_of`, `lead_bucket`, `label` (NaN: unknown), `matured_at` (NaT: never known to mature).
        until: the day of looking.

    Returns:
        A row is judged once it has matured, or when 95 % of its cohort (month and lead time) are decided.
    """
    is_known = rows["label"].notna()
    cohort = [cohort_of(rows), rows["lead_bucket"]]
    is_complete = is_known.groupby(cohort).transform("mean") >= COHORT_DECIDED
    judged = is_known & ((rows["matured_at"] <= until) | is_complete)
    decided = rows[judged].assign(y=rows.loc[judged, "label"].astype(float))
    return Outcomes(decided, rows[~judged])


def cohort_of(rows: pd.DataFrame) -> pd.Series:
    """The quarter of `as_of`; `undated` without."""
    quarter = rows["as_of"].dt.to_period("Q").astype(str)
    return quarter.where(rows["as_of"].notna(), "undated")


def performance(outcomes: Outcomes, expected_auc: float | None, seed: int = 0) -> list[Check]:
    """Check the scores of decided rows against their outcomes, and estimate the rest.

    Args:
        outcomes: rows with `p`, `account_id`, `as_of`, `lead_bucket`, and `y` where decided; one row a
            subject and lead time.
        expected_auc: of the model on its own later data; None: what the scores themselves claim.
        seed: of the bootstrap.
    """
    decided = outcomes.decided
    checks = [_undecided(outcomes), *estimates(outcomes.undecided)]
    lack = _lack(decided)
    if lack:
        names = ("calibration", "calibration slope", "AUC", "log loss", "Brier score")
        return [
            _unknown(f"performance: {name}", lack, essential=name == "calibration") for name in names
        ] + checks
    y, p = decided["y"].to_numpy(float), decided["p"].to_numpy(float)
    account = account_codes(decided)
    return [
        calibration_check(y, p, account),
        slope_check(y, p, account),
        _auc_check(y, p, account, expected_auc, seed),
        *_loss_checks(y, p, account, seed),
        *_parts(decided),
        *checks,
    ]


def calibration_check(y: np.ndarray, p: np.ndarray, account: np.ndarray) -> Check:
    """Observed against expected rate over all rows (calibration in the large), overdispersed by account."""
    gap, error, _ = calibration_gap(y, p, account)
    slack = _slack(p)
    is_off = _p_beyond(abs(gap), slack, error, len(np.unique(account))) <= ALPHA_EACH
    verdict, unsure = _judged(is_off, abs(gap) > slack, error, slack)
    why = f"{_rates(y, p)} (± {1.96 * error:.1%}; {len(y):,} rows){unsure}"
    return Check("performance: calibration", "", gap, slack, verdict, why, is_essential=True)


def _judged(is_off: bool, is_beyond: bool, error: float, limit: float) -> tuple[Verdict, str]:
    """The one decision of all these checks: (verdict, what to add to its reason).

    Args:
        is_off: surely beyond the limit.
        is_beyond: beyond it, sure or not.
        error: the figure's standard error.
        limit: how far it may lie off.
    """
    if is_off:
        return Verdict.ALERT, ""
    if is_beyond:
        return Verdict.UNKNOWN, "; more than the limit, but it may be chance"
    noticed = (stats.norm.ppf(0.95) + stats.norm.ppf(0.80)) * error
    if noticed > OK_WITHIN * limit:
        return Verdict.UNKNOWN, f"; with these numbers only a gap of {noticed:.3f} would surely be seen"
    return Verdict.OK, ""


def slope_check(y: np.ndarray, p: np.ndarray, account: np.ndarray) -> Check:
    """The slope of outcomes on log-odds (Cox 1958): below 1 overconfident, above 1 too timid."""
    name = "performance: calibration slope"
    logit = to_logit(p)
    if np.std(logit) < 0.05:
        return Check(
            name, "", None, SLOPES[0], Verdict.UNKNOWN, "the scores hardly differ, so a slope has no meaning"
        )
    slope, shift = fit_line(logit, y)
    error = _slope_error(logit, y, slope, shift, account)
    z = stats.t.ppf(1 - ALPHA_EACH / 2, len(np.unique(account)) - 1)
    low, high = slope - z * error, slope + z * error
    is_off = high < SLOPES[0] or low > SLOPES[1]
    word = "overconfident" if slope < 1 else "too timid"
    limit = SLOPES[0] if slope < 1 else SLOPES[1]
    verdict, unsure = _judged(is_off, not SLOPES[0] <= slope <= SLOPES[1], error, abs(limit - 1))
    why = f"slope {slope:.2f} ± {1.96 * error:.2f}, 1 is right" + (
        f": the scores are {word}" if is_off else unsure
    )
    return Check(name, "", slope, limit, verdict, why)


def estimates(rows: pd.DataFrame) -> list[Check]:
    """What AUC, log loss and Brier score of rows without outcome will be if the scores are calibrated.

    The expectation of each metric over outcomes drawn with the predicted probabilities, as in
    confidence-based performance estimation (Białek et al. 2024). It cannot see a calibration that broke, so
    it is no verdict.
    """
    if rows.empty:
        return []
    p = rows["p"].to_numpy(float)
    values = {
        "AUC": expected_auc(p),
        "log loss": float((p * losses(np.ones(len(p)), p) + (1 - p) * losses(np.zeros(len(p)), p)).mean()),
        "Brier score": float((p * (1 - p)).mean()),
    }
    why = f"an estimate from {len(p):,} scores without outcome, true only while they are calibrated"
    return [
        Check(f"estimate before outcomes: {name}", "", value, None, Verdict.UNKNOWN, why)
        for name, value in values.items()
    ]


def expected_auc(p: np.ndarray) -> float:
    """The AUC to expect of calibrated probabilities: each row is good with weight p, bad with 1 − p."""
    twice = np.concatenate([p, p])
    y = np.concatenate([np.ones(len(p)), np.zeros(len(p))])
    return auc(y, twice, weight=np.concatenate([p, 1 - p]))


def calibration_gap(y: np.ndarray, p: np.ndarray, account: np.ndarray) -> tuple[float, float, int]:
    """Mean of y − p, its standard error summed by account, and the number of accounts."""
    residual = y - p
    gap = float(residual.mean())
    summed = np.bincount(account, residual - gap)
    groups = len(np.unique(account))
    return gap, float(np.sqrt((summed**2).sum() * groups / max(groups - 1, 1)) / len(y)), groups


def _p_beyond(size: float, slack: float, error: float, groups: int) -> float:
    """p-value of a difference being no larger than `slack`."""
    if error <= 0:
        return float(size <= slack)
    return float(2 * stats.t.sf((size - slack) / error, max(groups - 1, 1)))


def _slack(p: np.ndarray) -> float:
    """A rate off by less than 15 % of the rarer outcome is nothing to act on."""
    mean = float(p.mean())
    return max(_LEAST_SLACK, _RATE_SLACK * min(mean, 1 - mean))


def _slope_error(logit: np.ndarray, y: np.ndarray, slope: float, shift: float, account: np.ndarray) -> float:
    """The slope's standard error by the sandwich estimator, residuals summed by account."""
    design = np.column_stack([logit, np.ones(len(logit))])
    fitted = to_probability(design @ np.array([slope, shift]))
    bread = np.linalg.inv((design * (fitted * (1 - fitted))[:, None]).T @ design)
    scores = design * (y - fitted)[:, None]
    summed = np.column_stack([np.bincount(account, scores[:, at]) for at in range(2)])
    return float(np.sqrt((bread @ (summed.T @ summed) @ bread)[0, 0]))


def _auc_check(y: np.ndarray, p: np.ndarray, account: np.ndarray, promised: float | None, seed: int) -> Check:
    expected = expected_auc(p) if promised is None else promised
    measured = auc(y, p)
    error = _auc_error(y, p, account)
    limit = max(expected - AUC_SLACK, COIN)
    groups = len(np.unique(account))
    is_off = measured < limit and _p_beyond(limit - measured, 0.0, error, groups) / 2 <= ALPHA_EACH
    source = "the scores themselves claim" if promised is None else "the model had on later data"
    verdict, unsure = _judged(is_off, measured < limit, error, AUC_SLACK)
    why = f"{measured:.3f} ± {1.96 * error:.3f}; {source} {expected:.3f}{unsure}"
    return Check("performance: AUC", "", measured, limit, verdict, why)


def _auc_error(y: np.ndarray, p: np.ndarray, account: np.ndarray) -> float:
    """DeLong's placements (1988), summed by account (Obuchowski 1997)."""
    rank = stats.rankdata(p)
    good, bad = y == 1, y == 0
    m, n = good.sum(), bad.sum()
    placement = np.empty(len(y))
    placement[good] = (rank[good] - stats.rankdata(p[good])) / n
    placement[bad] = 1 - (rank[bad] - stats.rankdata(p[bad])) / m
    area = placement[good].mean()
    share = np.where(good, (placement - area) / m, (placement - area) / n)
    return float(np.sqrt((np.bincount(account, share) ** 2).sum()))


def _loss_checks(y: np.ndarray, p: np.ndarray, account: np.ndarray, seed: int) -> list[Check]:
    """Whether the scores are worse than the observed rate for everybody, by log loss and Brier score."""
    constant = np.full(len(y), y.mean())
    log_losses = (losses(y, p), losses(y, constant))
    return [
        _loss_check("log loss", *log_losses, account, seed),
        _loss_check("Brier score", (p - y) ** 2, (constant - y) ** 2, account, seed),
    ]


def _loss_check(
    name: str, here: np.ndarray, of_a_constant: np.ndarray, account: np.ndarray, seed: int
) -> Check:
    """One loss of the scores, row by row (n,), against that of a constant rate."""
    gain, _, high = bootstrap_gain(
        of_a_constant - here, account, times=2000, level=1 - 2 * ALPHA_EACH, seed=seed
    )
    measured, mark = float(here.mean()), float(of_a_constant.mean())
    why = f"{measured:.3f}; a constant rate would have {mark:.3f} (gain {gain:+.3f})"
    if high < 0:
        verdict, unsure = Verdict.ALERT, ""
    elif gain < 0:
        verdict, unsure = Verdict.UNKNOWN, "; worse, but it may be chance"
    else:
        verdict, unsure = Verdict.OK, ""
    return Check(f"performance: {name}", "", measured, mark, verdict, why + unsure)


def _parts(decided: pd.DataFrame) -> list[Check]:
    """Calibration of each lead time, cohort and treatment, corrected for their number."""
    parts: list[tuple[str, pd.DataFrame]] = []
    for name, key in (("lead", decided["lead_bucket"].astype(str)), ("cohort", cohort_of(decided))):
        groups = list(decided.groupby(key, sort=True))
        if len(groups) > 1:
            parts += [(f"{name}={value}", rows) for value, rows in groups]
    parts += treatments(decided)
    large = [rows["account_id"].nunique() >= LEAST_IN_PART for _, rows in parts]
    tested = [_part_gap(rows) for (_, rows), is_large in zip(parts, large, strict=True) if is_large]
    corrected = iter(zip(tested, holm([p for *_, p in tested]), strict=True))
    checks = []
    for (segment, rows), is_large in zip(parts, large, strict=True):
        if not is_large:
            lack = f"{rows['account_id'].nunique()} accounts, {LEAST_IN_PART} are needed"
            checks.append(_unknown("performance: calibration", lack, segment=segment))
            continue
        (gap, slack, error, _), p = next(corrected)
        name = "performance: calibration"
        verdict, unsure = _judged(p <= ALPHA_PARTS, abs(gap) > slack, error, slack)
        limit: float | None = slack
        why = f"{_rates(rows['y'], rows['p'])}; {len(rows):,} rows"
        if segment == ACTED_ON:
            limit, verdict = None, Verdict.UNKNOWN
            unsure = "; what the actions did is in it, so it is no verdict"
        checks.append(Check(name, segment, gap, limit, verdict, why + unsure, cause=name))
    return checks


def treatments(decided: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Rows by what people did with the score: (segment, rows) pairs, empty where nothing was done.

    Args:
        decided: rows with `held_out` (the score was kept from its reader) and `acted` (somebody did something
            about the subject since this score), where those are known. A score that is acted on may
            make itself wrong; rows left alone, and best the random hold-out, judge the model itself.
    """
    kinds = ((HELD_OUT, "held_out", True), (ACTED_ON, "acted", True), (LEFT_ALONE, "acted", False))
    parts = []
    for segment, column, wanted in kinds:
        if column in decided and decided[column].fillna(False).any():
            parts.append((segment, decided[decided[column].fillna(False).astype(bool) == wanted]))
    return [(segment, rows) for segment, rows in parts if len(rows)]


def _part_gap(rows: pd.DataFrame) -> tuple[float, float, float, float]:
    """Gap, limit, standard error and p-value of being beyond the limit."""
    y, p = rows["y"].to_numpy(float), rows["p"].to_numpy(float)
    gap, error, groups = calibration_gap(y, p, account_codes(rows))
    slack = _slack(p)
    return gap, slack, error, _p_beyond(abs(gap), slack, error, groups)


def account_codes(rows: pd.DataFrame) -> np.ndarray:
    """(n,) a number for each account; a row without one is an account of its own."""
    account = rows["account_id"].where(rows["account_id"].notna(), rows["subject_id"])
    return pd.factorize(account)[0]


def _lack(decided: pd.DataFrame) -> str:
    """What is missing for a verdict; empty: nothing."""
    accounts = decided["account_id"].nunique()
    rarer = int(min((decided["y"] == 1).sum(), (decided["y"] == 0).sum())) if len(decided) else 0
    if accounts < LEAST_ACCOUNTS:
        return f"{accounts} accounts with a matured outcome, {LEAST_ACCOUNTS} are needed"
    if rarer < LEAST_OUTCOMES:
        return f"{rarer} rows of the rarer outcome, {LEAST_OUTCOMES} are needed"
    return ""


def _undecided(outcomes: Outcomes) -> Check:
    open_, decided = len(outcomes.undecided), len(outcomes.decided)
    share = open_ / (open_ + decided) if open_ + decided else None
    why = f"{open_:,} of {open_ + decided:,} predictions wait for their outcome to mature"
    return Check("outcomes: undecided", "", share, None, Verdict.UNKNOWN, why)


def _unknown(name: str, lack: str, *, segment: str = "", essential: bool = False) -> Check:
    return Check(name, segment, None, None, Verdict.UNKNOWN, lack, is_essential=essential)


def _rates(y: pd.Series | np.ndarray, p: pd.Series | np.ndarray) -> str:
    return f"{y.mean():.1%} turned out well, the scores said {p.mean():.1%}"
