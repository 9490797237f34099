import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from monitoring.checks import Verdict
from monitoring.performance import (
    calibration_check,
    estimates,
    expected_auc,
    performance,
    slope_check,
    split_decided,
)
from training.metrics import to_logit, to_probability


def rows(n=2000, seed=0, said=lambda p: p, base=1.2, per_account=2, spread=0.0, undecided=0):
    """Scores `said(p)` of rows that turn out well with probability p; with `spread`, accounts share luck."""
    draw = np.random.default_rng(seed)
    account = np.arange(n) // per_account
    luck = draw.normal(0, spread, account.max() + 1)[account] if spread else 0.0
    p = to_probability(base + draw.normal(0, 1, n))
    y = (draw.random(n) < to_probability(to_logit(p) + luck)).astype(float)
    y[:undecided] = np.nan
    as_of = pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 360, n), unit="D")
    return pd.DataFrame(
        {
            "subject_id": [f"c{i}" for i in range(n)],
            "account_id": account.astype(str),
            "as_of": as_of,
            "lead_bucket": draw.choice([30, 60, 90], n),
            "p": said(p),
            "label": y,
            "matured_at": as_of + pd.Timedelta(days=90),
        }
    )


UNTIL = pd.Timestamp("2026-01-01")


def alerting(frame):
    checks = performance(split_decided(frame, UNTIL), None)
    return {check.name for check in checks if check.verdict is Verdict.ALERT}


@pytest.mark.slow
def test_good_scores_raise_nothing():
    assert sum(bool(alerting(rows(seed=seed))) for seed in range(20)) <= 1


def test_luck_shared_by_an_account_is_not_taken_for_evidence():
    off = [
        bool(alerting(rows(1000, seed=seed, per_account=20, spread=0.5)) & {"performance: calibration"})
        for seed in range(40)
    ]
    assert sum(off) <= 2


@pytest.mark.parametrize(
    ("said", "base", "found"),
    [
        (lambda p: to_probability(to_logit(p) + 0.75), -2.0, "performance: calibration"),
        (lambda p: 1 - np.clip((1 - p) / 2, 0, 1), 1.4, "performance: calibration"),
        (lambda p: to_probability(2 * to_logit(p)), 1.2, "performance: calibration slope"),
        (lambda p: to_probability(0.5 * to_logit(p)), 1.2, "performance: calibration slope"),
        (lambda p: np.random.default_rng(1).permutation(p), 0.0, "performance: AUC"),
        (lambda p: 1 - p, 0.0, "performance: log loss"),
    ],
)
def test_each_fault_is_found(said, base, found):
    assert found in alerting(rows(said=said, base=base))


def test_rows_are_judged_when_matured_or_when_their_cohort_is_decided():
    frame = rows(300).assign(label=lambda f: f["label"].where(np.arange(300) % 2 > 0))
    early = split_decided(frame, pd.Timestamp("2024-03-01"))
    assert early.decided.empty
    assert len(early.undecided) == 300
    assert len(split_decided(frame, UNTIL).decided) == 150
    whole = split_decided(rows(300).assign(matured_at=pd.NaT), UNTIL)
    assert len(whole.decided) == 300
    half = rows(300, undecided=150).assign(matured_at=pd.NaT)
    assert split_decided(half, UNTIL).decided.empty


def test_too_little_is_unknown_and_says_what_is_missing():
    few = performance(split_decided(rows(60), UNTIL), None)
    (calibration,) = [c for c in few if c.name == "performance: calibration"]
    assert calibration.verdict is Verdict.UNKNOWN
    assert calibration.is_essential
    assert "30 accounts" in calibration.why
    one_sided = rows(600).assign(label=1.0)
    assert "rarer outcome" in performance(split_decided(one_sided, UNTIL), None)[0].why
    nothing = performance(split_decided(rows(600, undecided=600), UNTIL), None)
    assert not [c for c in nothing if c.verdict is Verdict.OK]


def test_the_estimate_before_outcomes_is_what_comes_true_and_no_verdict():
    frame = rows(40_000, seed=3)
    estimate = {check.name: check for check in estimates(frame)}
    y, p = frame["label"].to_numpy(), frame["p"].to_numpy()
    assert estimate["estimate before outcomes: AUC"].value == pytest.approx(roc_auc_score(y, p), abs=0.01)
    found = -np.mean(np.where(y == 1, np.log(p), np.log(1 - p)))
    assert estimate["estimate before outcomes: log loss"].value == pytest.approx(found, abs=0.01)
    assert estimate["estimate before outcomes: Brier score"].value == pytest.approx(
        np.mean((y - p) ** 2), abs=0.005
    )
    assert {check.verdict for check in estimate.values()} == {Verdict.UNKNOWN}


def test_expected_auc_equals_the_slow_sum_over_pairs():
    p = np.array([0.2, 0.5, 0.5, 0.9])
    wins = sum(a * (1 - b) * ((a > b) + 0.5 * (a == b)) for a in p for b in p)
    assert expected_auc(p) == pytest.approx(wins / sum(a * (1 - b) for a in p for b in p))


def test_error_bars_equal_statsmodels_clustered():
    import statsmodels.api as sm

    frame = rows(400, seed=5, per_account=8, spread=1.0)
    y, p, account = frame["label"].to_numpy(), frame["p"].to_numpy(), pd.factorize(frame["account_id"])[0]
    gap = sm.OLS(y - p, np.ones(len(y))).fit(
        cov_type="cluster", cov_kwds={"groups": account, "use_correction": True, "df_correction": False}
    )
    why = calibration_check(y, p, account).why
    assert f"± {1.96 * gap.bse[0]:.1%}" in why
    logit = sm.GLM(y, sm.add_constant(to_logit(p)), family=sm.families.Binomial()).fit(
        cov_type="cluster", cov_kwds={"groups": account, "use_correction": False}
    )
    assert slope_check(y, p, account).value == pytest.approx(logit.params[1], abs=0.02)
    assert f"± {1.96 * logit.bse[1]:.2f}" in slope_check(y, p, account).why
