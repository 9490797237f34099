"""Group figures against literals; a planted gap alerts, no gap is ok, too little data is unknown."""

import numpy as np
import pandas as pd
import pytest

from training.fairness.group_metrics import METRICS, Rows, gap, interval
from training.fairness.parity import load_parity, parity, save_parity, segment_rows, verdict_of

ROWS = Rows(
    positive=np.array([1, 1, 1, 0, 0, 0, 0, 1]),
    selected=np.array([1, 0, 1, 1, 0, 0, 0, 1]),
    score=np.array([0.9, 0.4, 0.8, 0.7, 0.2, 0.1, 0.3, 0.6]),
    subjects=np.arange(8),
)


@pytest.mark.parametrize(
    ("name", "weight", "value"),
    [
        ("selection rate", [1] * 8, 0.5),
        ("true positive rate", [1] * 8, 0.75),
        ("false positive rate", [1] * 8, 0.25),
        ("mean score", [1] * 8, 0.5),
        ("calibration", [1] * 8, 0.0),
        ("selection rate", [1, 1, 0, 0, 0, 0, 0, 0], 0.5),
        ("true positive rate", [0.5, 1, 0, 0, 0, 0, 0, 0.5], 0.5),
    ],
)
def test_group_figures(name, weight, value):
    assert METRICS[name].estimate(ROWS, np.array(weight, dtype=float)) == pytest.approx(value)


def test_wilson_interval_of_a_textbook_case():
    low, high = interval(0.1, 0.3, 10, is_rate=True, level=0.95)
    assert (round(low, 4), round(high, 4)) == (0.0179, 0.4042)


def test_newcombe_interval_of_his_own_example():
    """Newcombe 1998, table II (a): 56/70 against 48/80, method 10."""
    metric = METRICS["selection rate"]
    low, high = gap(metric, (56 / 70, 48 / 80), (0.4, 0.49), (70, 80), 0.95)
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


TABLE = [  # group, other, outcome, picked: how many such rows
    ("a", "x", 1, 1, 30), ("a", "x", 1, 0, 10), ("a", "x", 0, 1, 5), ("a", "x", 0, 0, 55),
    ("a", "y", 1, 1, 12), ("a", "y", 1, 0, 8), ("a", "y", 0, 1, 4), ("a", "y", 0, 0, 16),
    ("b", "x", 1, 1, 9), ("b", "x", 1, 0, 21), ("b", "x", 0, 1, 10), ("b", "x", 0, 0, 60),
    ("b", "y", 1, 1, 11), ("b", "y", 1, 0, 19), ("b", "y", 0, 1, 2), ("b", "y", 0, 0, 28),
]  # fmt: skip
BY_HAND = {  # selection, true positive, false positive rate
    "group=a": (51 / 140, 42 / 60, 9 / 80),
    "group=b": (32 / 160, 20 / 60, 12 / 100),
    "other=x": (54 / 200, 39 / 70, 15 / 130),
    "group=b & other=y": (13 / 60, 11 / 30, 2 / 30),
}
RATES = ("selection rate", "true positive rate", "false positive rate")


def fixed_table():
    rows = [row[:4] for row in TABLE for _ in range(row[4])]
    frame = pd.DataFrame(rows, columns=["group", "other", "y", "picked"])
    frame["account_id"] = [f"a{i}" for i in range(len(frame))]
    segments = frame.melt(id_vars="account_id", value_vars=["group", "other"], var_name="attribute")
    p = np.where(frame["picked"] == 1, 0.7, 0.3)
    checks = parity(
        frame["y"].to_numpy(float), p, 0.5, segment_rows(frame["account_id"], segments), min_size=10
    )
    return frame, {(c["segment"], c["metric"]): c for c in checks}


def test_figures_of_a_fixed_table_are_those_worked_out_by_hand():
    _, found = fixed_table()
    for segment, rates in BY_HAND.items():
        for metric, rate in zip(RATES, rates, strict=True):
            assert found[segment, metric]["estimate"] == pytest.approx(rate)
    check = found["group=b", "true positive rate"]
    assert check["difference"] == pytest.approx(20 / 60 - 42 / 60)
    assert check["ratio"] == pytest.approx(20 / 42)
    assert (check["n"], check["verdict"]) == (60, "alert")
    assert found["group=b", "selection rate"]["ratio"] == pytest.approx((32 / 160) / (51 / 140))


def test_figures_of_a_fixed_table_are_fairlearns():
    from fairlearn import metrics

    frame, found = fixed_table()
    measured = {"selection rate": metrics.selection_rate, "true positive rate": metrics.true_positive_rate}
    measured["false positive rate"] = metrics.false_positive_rate
    for by in (["group"], ["other"], ["group", "other"]):
        theirs = metrics.MetricFrame(
            metrics=measured, y_true=frame["y"], y_pred=frame["picked"], sensitive_features=frame[by]
        )
        for values, rates in theirs.by_group.iterrows():
            values = values if isinstance(values, tuple) else (values,)
            segment = " & ".join(f"{a}={v}" for a, v in zip(by, values, strict=True))
            for metric in RATES:
                assert found[segment, metric]["estimate"] == pytest.approx(rates[metric])
        if by == ["group"]:
            answer = found["group=b", "selection rate"]
            ratio = metrics.demographic_parity_ratio(
                frame["y"], frame["picked"], sensitive_features=frame["group"]
            )
            assert answer["ratio"] == pytest.approx(ratio)
            assert -answer["difference"] == pytest.approx(theirs.difference()["selection rate"])


def people(n: int, gap_in_rate: float, seed: int, share_b: float = 0.4):
    """Deals of two segments; b's winners are picked less often by `gap_in_rate`."""
    rng = np.random.default_rng(seed)
    is_b = rng.random(n) < share_b
    y = (rng.random(n) < 0.5).astype(float)
    picked = rng.random(n) < np.where(y == 1, 0.8, 0.2) - np.where(is_b & (y == 1), gap_in_rate, 0)
    p = np.where(picked, 0.7, 0.3)
    account = pd.Series([f"a{i}" for i in range(n)])
    segments = pd.DataFrame(
        {"account_id": account, "attribute": "owned_by", "value": np.where(is_b, "b", "a")}
    )
    return y, p, segment_rows(account, segments)


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_gap_alerts(seed):
    y, p, segments = people(1500, 0.35, seed)
    checks = parity(y, p, 0.5, segments)
    assert verdict_of(checks) == "alert"
    worst = next(c for c in checks if c["primary"] and c["verdict"] == "alert")
    assert worst["segment"] == "owned_by=b"


@pytest.mark.slow
def test_the_interval_covers_the_truth_as_often_as_promised():
    inside = []
    for seed in range(80):
        y, p, segments = people(500, 0.2, seed)
        check = next(c for c in parity(y, p, 0.5, segments) if c["primary"] and c["segment"] == "owned_by=b")
        inside.append(check["difference_low"] <= -0.2 <= check["difference_high"])
    assert np.mean(inside) >= 0.9 - 2 * np.sqrt(0.09 / 80)


@pytest.mark.slow
def test_no_gap_is_ok_and_rarely_alerts():
    verdicts = [
        verdict_of(parity(*people(1500, 0.0, s)[:2], 0.5, people(1500, 0.0, s)[2])) for s in range(30)
    ]
    assert verdicts.count("alert") <= 2
    assert verdicts.count("ok") >= 25


def test_small_groups_are_unknown_and_hidden():
    y, p, segments = people(300, 0.5, 0, share_b=0.05)
    checks = [c for c in parity(y, p, 0.5, segments, min_size=30) if c["primary"]]
    assert {c["verdict"] for c in checks} == {"unknown"}
    assert all(c["estimate"] is None and c["n"] is None for c in checks)


def test_snapshots_of_one_contract_count_once():
    y, p, segments = people(60, 0.4, 3)
    seven = pd.concat([segments.assign(row=segments["row"] + 60 * i) for i in range(7)])
    once = parity(y, p, 0.5, segments, min_size=10)
    often = parity(np.tile(y, 7), np.tile(p, 7), 0.5, seven, subjects=np.tile(np.arange(60), 7), min_size=10)
    assert [c["n"] for c in once] == [c["n"] for c in often]
    assert [c["verdict"] for c in once] == [c["verdict"] for c in often]


def test_two_way_segments_find_what_each_alone_hides():
    rng = np.random.default_rng(7)
    n = 4000
    first, second = rng.random(n) < 0.5, rng.random(n) < 0.5
    y = np.ones(n)
    p = np.where(rng.random(n) < np.where(first == second, 0.85, 0.45), 0.9, 0.1)
    account = pd.Series([f"a{i}" for i in range(n)])
    segments = pd.concat(
        [
            pd.DataFrame({"account_id": account, "attribute": "one", "value": np.where(first, "x", "y")}),
            pd.DataFrame({"account_id": account, "attribute": "two", "value": np.where(second, "x", "y")}),
        ]
    )
    alerts = {
        c["segment"] for c in parity(y, p, 0.5, segment_rows(account, segments)) if c["verdict"] == "alert"
    }
    assert {"one=x & two=y", "one=y & two=x"} <= alerts
    assert not {"one=x", "one=y", "two=x", "two=y"} & alerts


def test_what_rests_on_shares_of_areas_says_so():
    y, p, segments = people(600, 0.3, 1)
    other = segments.assign(value=segments["value"].map({"a": "b", "b": "a"}), share=0.3)
    mixed = pd.concat([segments.assign(share=0.7), other])
    assert all("a hint" in c["why"] for c in parity(y, p, 0.5, mixed) if c["estimate"] is not None)
    assert not any("a hint" in c["why"] for c in parity(y, p, 0.5, segments))


def test_what_is_kept_of_a_training_is_read_again(tmp_path):
    _, found = fixed_table()
    save_parity(tmp_path, list(found.values()), [{"column": "accounts.postal_code", "auc": None}])
    kept = load_parity(tmp_path)
    assert kept["parity"] == list(found.values())
    assert kept["proxies"][0]["column"] == "accounts.postal_code"
    assert load_parity(tmp_path / "elsewhere") == {"parity": [], "proxies": []}


def test_renewal_selects_those_at_risk():
    y = np.array([0.0] * 40 + [1.0] * 40)
    p = np.array([0.1] * 40 + [0.9] * 40)
    account = pd.Series([f"a{i}" for i in range(80)])
    segments = pd.DataFrame({"account_id": account, "attribute": "s", "value": ["a", "b"] * 40})
    checks = parity(y, p, 0.5, segment_rows(account, segments), kind="renewal", min_size=10)
    found = {c["segment"]: c["estimate"] for c in checks if c["metric"] == "true positive rate"}
    assert found == {"s=a": 1.0, "s=b": 1.0}
