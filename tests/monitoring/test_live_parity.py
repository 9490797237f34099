import numpy as np
import pandas as pd
import pytest

from monitoring.checks import Verdict
from monitoring.live_parity import (
    ParityRows,
    parity_by_segment,
    parity_checks,
    parity_table,
    proxy_checks,
    sure,
)
from training.fairness.group_metrics import METRICS


def rows(gap=0.0, n=3000, seed=0):
    """Renewal scores of two groups; of those of x under the threshold a share `gap` is scored above."""
    draw = np.random.default_rng(seed)
    p = draw.random(n)
    y = (draw.random(n) < p).astype(float)
    account = np.arange(n) // 2
    group = draw.choice(["x", "y"], account.max() + 1)[account]
    spared = (group == "x") & (p < 0.3) & (draw.random(n) < gap)
    frame = pd.DataFrame({"account_id": account.astype(str), "subject_id": np.arange(n).astype(str), "y": y})
    frame["p"] = np.where(spared, 0.6, p)
    segments = pd.DataFrame({"account_id": frame["account_id"], "attribute": "group", "value": group})
    return ParityRows("live", frame, segments.drop_duplicates(), 0.3, ("true positive rate",))


def verdicts(table):
    return {check.segment: check.verdict for check in parity_by_segment("renewal", [], [table])}


def test_a_segment_that_is_passed_over_alerts():
    assert verdicts(rows(0.5))["group=x"] is Verdict.ALERT


@pytest.mark.slow
def test_equal_treatment_raises_hardly_ever_an_alert():
    assert sum(Verdict.ALERT in verdicts(rows(seed=seed, n=1500)).values() for seed in range(60)) <= 2


def test_an_alert_needs_more_than_the_gate_does():
    found = [
        {
            "verdict": "alert",
            "difference": -0.1,
            "difference_low": -0.18,
            "difference_high": high,
            "why": "less",
        }
        for high in (-0.01, -0.07)
    ]
    assert [row["verdict"] for row in sure(found)] == ["unknown", "alert"]


def test_figures_are_fairlearns_and_n_is_accounts():
    from fairlearn.metrics import true_positive_rate

    table = rows(0.2)
    answer = parity_checks("renewal", table.rows, table.segments, 0.3, table.metrics)
    group = table.rows["account_id"].map(table.segments.set_index("account_id")["value"])
    for row in answer:
        own = table.rows[group == row["segment"].split("=")[1]]
        assert row["estimate"] == pytest.approx(true_positive_rate(own["y"] == 0, own["p"] < 0.3))
        assert row["n"] <= own["account_id"].nunique()


def test_the_table_holds_every_metric_with_its_source_and_figures():
    table = rows(0.2)
    more = ParityRows("live, all", table.rows, table.segments, 0.3, ("selection rate", "mean score"))
    found = parity_table(
        "renewal", parity_checks("renewal", table.rows, table.segments, 0.3, METRICS), [more]
    )
    assert {(row["source"], row["metric"]) for row in found} == {
        *(("test data", metric) for metric in METRICS),
        ("live, all", "selection rate"),
        ("live, all", "mean score"),
    }
    answer = next(row for row in found if row["source"] == "live, all" and row["metric"] == "selection rate")
    assert answer["difference_low"] < answer["difference"] < answer["difference_high"]
    assert answer["ratio"] == pytest.approx(answer["estimate"] / answer["rest"])


def test_proxies_are_checks_and_those_of_an_attribute_one_alert():
    row = {
        "name": "proxy: accounts.postal_code",
        "attribute": "group",
        "segment": "group=x",
        "threshold": 0.65,
    }
    answer = {"auc": 0.9, "verdict": "alert", "why": "ranks 90% of pairs right"}
    other = {**row, **answer, "name": "proxy: accounts.credit_score"}
    checks = proxy_checks(
        [{**row, **answer}, other, {**row, "auc": None, "verdict": "unknown", "why": "few"}]
    )
    assert [check.verdict for check in checks] == [Verdict.ALERT, Verdict.ALERT, Verdict.UNKNOWN]
    assert checks[0].alert_as == checks[1].alert_as
    assert checks[0].value == 0.9


def test_gaps_on_test_data_are_looked_at_too():
    table = rows(0.5)
    of_test = parity_checks("renewal", table.rows, table.segments, 0.3, table.metrics)
    found = {check.segment: check for check in parity_by_segment("renewal", of_test, [])}
    assert found["group=x"].verdict is Verdict.ALERT
    assert found["group=x"].name == "parity (test data): true positive rate"


def test_no_segments_is_unknown():
    (check,) = parity_by_segment("win", [], [])
    assert check.verdict is Verdict.UNKNOWN
    assert not check.is_essential
