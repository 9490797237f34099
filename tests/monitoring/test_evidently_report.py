import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_drift import COLUMNS, frame

from monitoring.drift import ALPHA, shifts
from monitoring.evidently_report import drift_report, flagged
from monitoring.live_parity import ParityRows, parity_checks
from monitoring.report import drift_checks
from monitoring.windows import windows


@pytest.fixture(scope="module")
def compared():
    current = frame(seed=2).assign(x3=lambda f: f["x3"] + 0.5, x4=np.nan)
    current["industry"] = current["industry"].cat.rename_categories(["b", "c", "a"])
    return windows(frame(seed=1), current, "renewal", 0)


@pytest.fixture(scope="module")
def parities():
    draw = np.random.default_rng(0)
    p = draw.random(400)
    ids = [f"a{i}" for i in range(400)]
    rows = pd.DataFrame({"account_id": ids, "subject_id": ids, "y": (draw.random(400) < p) * 1.0, "p": p})
    group = np.where(np.arange(400) % 3 > 0, "x", "y")
    segments = pd.DataFrame({"account_id": ids, "attribute": "group", "value": group, "share": 1.0})
    return ParityRows("live, with outcome", rows, segments, 0.3, ("true positive rate", "selection rate"))


@pytest.fixture(scope="module")
def report(compared, parities, tmp_path_factory):
    tested = shifts(compared, COLUMNS)
    checks = drift_checks(tested, compared.accounts)
    into = tmp_path_factory.mktemp("reports") / "deep" / "report"
    return tested, drift_report("renewal", compared, tested, ALPHA, checks, [parities], into)


def test_the_share_of_moved_columns_counts_those_of_weight_and_is_beyond_its_limit_only_with_an_alert(
    compared,
):
    moved = [shift for shift in shifts(compared, COLUMNS) if shift.has_moved and shift.aspect == "values"]
    light = [dataclasses.replace(shift, weight=0.0) for shift in moved]
    for tested, verdict in ((moved, "alert"), (light, "ok")):
        whole = drift_checks(tested, 100_000)[0]
        assert whole.verdict == verdict
        assert (whole.value > whole.threshold) == (verdict == "alert")


def test_evidently_computes_what_shifts_says(report):
    tested, paths = report
    found = flagged(paths["json"])
    values = {shift.column: shift.p for shift in tested if shift.aspect == "values"}
    assert set(found) == set(values) == set(COLUMNS) - {"x4"}
    for column, p in values.items():
        assert found[column] == pytest.approx(p, rel=1e-9), column


def test_evidently_flags_the_columns_whose_check_is_an_alert(report):
    tested, paths = report
    tests = json.loads(Path(paths["json"]).read_text())["tests"]
    assert {"column"} <= {key for test in tests for key in test["metric_config"]["params"]}
    failed = {test["metric_config"]["params"]["column"] for test in tests if test["status"] == "FAIL"}
    assert failed == {shift.column for shift in tested if shift.has_moved and shift.aspect == "values"}
    assert failed == {"x3", "industry"}


def test_parity_is_in_the_report_as_a_metric_of_its_own_with_training_s_figures(report, parities):
    metrics = json.loads(Path(report[1]["json"]).read_text())["metrics"]
    (parity,) = [m for m in metrics if m["metric_name"].startswith("ParityBySegment")]
    shown = pd.DataFrame(parity["value"]).reset_index(drop=True)
    direct = pd.DataFrame(
        parity_checks("renewal", parities.rows, parities.segments, parities.threshold, parities.metrics)
    )
    assert shown["segment"].tolist() == direct["segment"].tolist()
    np.testing.assert_allclose(shown["estimate"].astype(float), direct["estimate"].astype(float))
    html = Path(report[1]["html"]).read_text()
    for words in ("Parity by segment: live, with outcome", "group=x", "What moved, and what it carries"):
        assert words in html


def test_nothing_is_sent_anywhere(report):
    assert "iterative_telemetry" not in sys.modules
    assert "evidently.telemetry" not in sys.modules
