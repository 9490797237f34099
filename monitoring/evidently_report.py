"""The Evidently report: drift of columns and scores, every check, and parity by segment as custom metrics.

Evidently runs the tests of `monitoring.drift`, registered with it, and flags the columns of which a check is
an alert: the page, the terminal and this report show one decision. It sends no telemetry: only its own web
service does.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.core.metric_types import DataframeCalculation, DataframeMetric, DataframeValue
from evidently.core.report import Context
from evidently.legacy.calculations.stattests.registry import StatTest, register_stattest
from evidently.legacy.core import ColumnType
from evidently.legacy.renderers.html_widgets import table_data
from evidently.metrics import DuplicatedRowCount, RowCount, ValueDrift

from monitoring.checks import Check, Verdict, drift_name, label
from monitoring.drift import Shift, category_shift, is_category, number_shift
from monitoring.live_parity import ParityRows, nightly_parity
from monitoring.windows import Windows

MOST_COLUMNS = 40
"""Columns drawn in the HTML, those that moved and the heaviest; all are in its table and in the JSON."""


class ParityBySegment(DataframeMetric):
    """Evidently metric: `training.fairness.parity` over the additional dataset called `title`."""

    title: str
    kind: str
    threshold: float
    metrics: list[str]


class ParityBySegmentCalculation(DataframeCalculation[ParityBySegment]):
    """Computes the rows of `ParityBySegment` and draws them."""

    def calculate(
        self, context: Context, current_data: Dataset, reference_data: Dataset | None
    ) -> DataframeValue:
        """The parity checks of the rows, one a group and metric."""
        rows = context.additional_data[self.metric.title].as_dataframe()
        segments = context.additional_data[f"{self.metric.title}: segments"].as_dataframe()
        table = ParityRows(
            self.metric.title, rows, segments, self.metric.threshold, tuple(self.metric.metrics)
        )
        frame = pd.DataFrame(nightly_parity(self.metric.kind, table))
        result = self.result(frame)
        result.widget = [_table(self.display_name(), frame)]
        return result

    def display_name(self) -> str:
        """The heading in the report."""
        return f"Parity by segment: {self.metric.title}"


class ChecksTable(DataframeMetric):
    """Evidently metric: all checks of a monitoring run, from the additional dataset `checks`."""


class ChecksTableCalculation(DataframeCalculation[ChecksTable]):
    """Shows the checks."""

    def calculate(
        self, context: Context, current_data: Dataset, reference_data: Dataset | None
    ) -> DataframeValue:
        """The checks as they are."""
        frame = context.additional_data["checks"].as_dataframe()
        result = self.result(frame)
        result.widget = [_table(self.display_name(), frame)]
        return result

    def display_name(self) -> str:
        """The heading in the report."""
        return "Checks"


class ShiftTable(DataframeMetric):
    """Evidently metric: every column tested, from the additional dataset `shifts`."""


class ShiftTableCalculation(DataframeCalculation[ShiftTable]):
    """Shows what moved and how much it matters."""

    def calculate(
        self, context: Context, current_data: Dataset, reference_data: Dataset | None
    ) -> DataframeValue:
        """The tests as they are."""
        frame = context.additional_data["shifts"].as_dataframe()
        result = self.result(frame)
        result.widget = [_table(self.display_name(), frame)]
        return result

    def display_name(self) -> str:
        """The heading in the report."""
        return "What moved, and what it carries of the score"


def drift_report(
    kind: str,
    compared: Windows,
    tested: Sequence[Shift],
    alpha: float,
    checks: Sequence[Check],
    parities: Sequence[ParityRows],
    into: Path,
) -> dict[str, str]:
    """Write `into`.html and `into`.json.

    Args:
        kind: `renewal` or `win`.
        compared: the windows the shifts were found in.
        tested: the tests of all columns, `probability` among them.
        alpha: the level they were tested at together.
        checks: all checks of the run.
        parities: rows whose parity by segment is shown.
        into: the file's path without its ending.

    Returns:
        The paths, as `html` and `json`.
    """
    columns = _drawn(compared, tested)
    alerts = {check.name for check in checks if check.verdict is Verdict.ALERT}
    drawn = [_value_drift(shift, _cut(tested, alpha), compared, alerts) for shift in columns]
    more: dict[str, Dataset] = {
        "checks": _loose(_check_frame(checks)),
        "shifts": _loose(_shift_frame(tested)),
    }
    for part in parities:
        more[part.title], more[f"{part.title}: segments"] = _loose(part.rows), _loose(part.segments)
    metrics = [
        ChecksTable(),
        *[
            ParityBySegment(title=part.title, kind=kind, threshold=part.threshold, metrics=list(part.metrics))
            for part in parities
        ],
        ShiftTable(),
        RowCount(tests=[]),  # by default a test that there are as many rows as in the reference
        DuplicatedRowCount(tests=[]),
        *drawn,
    ]
    names = [shift.column for shift in columns]
    report = Report(metrics, include_tests=True)
    snapshot = report.run(_dataset(compared.current, names), _dataset(compared.reference, names), more)
    into.parent.mkdir(parents=True, exist_ok=True)
    paths = {ending: f"{into}.{ending}" for ending in ("html", "json")}
    snapshot.save_html(paths["html"])
    Path(paths["json"]).write_text(snapshot.json(), encoding="utf-8")
    return paths


def flagged(path: str | Path) -> dict[str, float]:
    """Column → p-value of the value drifts in a report's JSON: what Evidently itself computed."""
    import json

    metrics = json.loads(Path(path).read_text(encoding="utf-8"))["metrics"]
    return {m["config"]["column"]: m["value"] for m in metrics if m["metric_name"].startswith("ValueDrift(")}


def _drawn(compared: Windows, tested: Sequence[Shift]) -> list[Shift]:
    """The columns worth a picture; `tested` comes with what moved first, the heaviest first."""
    values = [shift for shift in tested if shift.aspect == "values" and shift.column in compared.current]
    return values[:MOST_COLUMNS]


def _cut(tested: Sequence[Shift], alpha: float) -> float:
    """The largest p-value that Holm's correction still rejects; 0: none."""
    return max((shift.p for shift in tested if shift.p_holm <= alpha), default=0.0)


def _value_drift(shift: Shift, cut: float, compared: Windows, alerts: set[str]) -> ValueDrift:
    """Evidently's drift metric with our test, flagged where the column's check is an alert."""
    kind = ColumnType.Categorical if is_category(compared.reference[shift.column]) else ColumnType.Numerical
    words = "chi-square" if kind is ColumnType.Categorical else "K-S"
    limit = f"limit {shift.least:.2f}" if np.isfinite(shift.least) else "moves by itself: not judged"
    is_alert = drift_name(shift.column) in alerts
    carried = "; moved, carries too little to alert" if shift.has_moved and not is_alert else ""
    name = f"{words} p-value; moved by {shift.effect:.2f}, {limit}{carried}"
    test = StatTest(name=name, display_name=name, allowed_feature_types=[kind], default_threshold=cut)
    register_stattest(test, partial(_test, is_alert=is_alert))
    return ValueDrift(column=shift.column, method=name, threshold=cut)


def _test(
    reference: pd.Series, current: pd.Series, kind: ColumnType, threshold: float, *, is_alert: bool
) -> tuple[float, bool]:
    measure = category_shift if kind is ColumnType.Categorical else number_shift
    return measure(reference.to_numpy(), current.to_numpy())[1], is_alert


def _dataset(rows: pd.DataFrame, columns: Sequence[str]) -> Dataset:
    texts = [name for name in columns if is_category(rows[name])]
    frame = rows[list(columns)].copy()
    for name in texts:
        frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
    numbers = [name for name in columns if name not in texts]
    return Dataset.from_pandas(
        frame, data_definition=DataDefinition(numerical_columns=numbers, categorical_columns=texts)
    )


def _loose(frame: pd.DataFrame) -> Dataset:
    """A frame handed through to a custom metric."""
    return Dataset.from_pandas(
        frame, data_definition=DataDefinition(numerical_columns=[], categorical_columns=[])
    )


def _check_frame(checks: Sequence[Check]) -> pd.DataFrame:
    """The checks, those that ask for something first."""
    order = [Verdict.ALERT, Verdict.UNKNOWN, Verdict.OK]
    rows = [check.as_dict() for check in sorted(checks, key=lambda c: order.index(c.verdict))]
    for row in rows:
        row["verdict"] = label(row["verdict"], row["value"], row["threshold"], row["name"])
    return pd.DataFrame(rows).rename(columns={"threshold": "limit"})


def _shift_frame(tested: Sequence[Shift]) -> pd.DataFrame:
    return pd.DataFrame([vars(shift) for shift in tested])


def _table(title: str, frame: pd.DataFrame) -> Any:
    shown = frame.map(_shown)
    return table_data(title=title, column_names=list(frame.columns), data=shown.to_numpy().tolist())


def _shown(value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
