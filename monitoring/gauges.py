"""What the newest monitoring runs found, for Prometheus: verdicts, every check, and alerts, as gauges."""

from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from monitoring.checks import Verdict, label
from monitoring.store import Store
from monitoring.store.database import now

KINDS = ("renewal", "win")
VALUES = {str(Verdict.OK): 0.0, str(Verdict.ALERT): 1.0, str(Verdict.UNKNOWN): -1.0}
"""What a verdict is as a number: an alerting rule asks for `== 1`."""

MOST_CHECKS = 500
"""Series a kind, alerts first: a column or segment too many must not flood the database of metrics."""


def exposition(store: Store) -> bytes:
    """The gauges in Prometheus' text format; empty kinds have none.

    `perennial_monitor_verdict{kind, model_version, family}`: 0 ok, 1 alert, -1 unknown, for the whole (family
    `all`) and for each family of checks (drift, data quality, performance, parity, …).
    `perennial_monitor_check{kind, check, segment}` likewise, `perennial_monitor_value` the figure found.
    `perennial_monitor_age_seconds`: since the run. `perennial_alerts{state}`, `perennial_alert_hours`.
    """
    registry = CollectorRegistry()

    def gauge(name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"perennial_{name}", about, labels, registry=registry)

    verdict = gauge("monitor_verdict", "0 ok, 1 alert, -1 unknown", "kind", "model_version", "family")
    check = gauge("monitor_check", "0 ok, 1 alert, -1 unknown", "kind", "check", "segment")
    value = gauge("monitor_value", "The figure a check found", "kind", "check", "segment")
    age = gauge("monitor_age_seconds", "Since the newest monitoring run", "kind")
    for kind in KINDS:
        for run in store.runs("monitor", kind, limit=1):
            summary, version = run["summary"], str(run["summary"]["version"])
            age.labels(kind).set((now() - run["finished_at"]).total_seconds())
            verdict.labels(kind, version, "all").set(VALUES[summary["verdict"]])
            for family, worst in _families(summary["checks"]).items():
                verdict.labels(kind, version, family).set(VALUES[worst])
            for row in _most_telling(summary["checks"]):
                check.labels(kind, row["name"], row["segment"]).set(VALUES[row["verdict"]])
                if row["value"] is not None:
                    value.labels(kind, row["name"], row["segment"]).set(row["value"])
    _alerts(store, gauge("alerts", "Alerts there are", "state"), gauge("alert_hours", "Hours", "what"))
    return generate_latest(registry)


def _families(checks: list[dict[str, Any]]) -> dict[str, str]:
    """The worst verdict of each family: too little data on one of its checks is never ok for the whole.

    Figures without a limit (`no verdict`) say nothing of their family.
    """
    verdicts_by_family: dict[str, set[str]] = {}
    for row in checks:
        if label(row["verdict"], row["value"], row["threshold"], row["name"]) == "no verdict":
            continue
        family = row["name"].split(":", 1)[0].split(" (", 1)[0]
        verdicts_by_family.setdefault(family, set()).add(row["verdict"])
    order = [str(verdict) for verdict in (Verdict.ALERT, Verdict.UNKNOWN, Verdict.OK)]
    return {
        family: next(one for one in order if one in verdicts)
        for family, verdicts in verdicts_by_family.items()
    }


def _most_telling(checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(checks, key=lambda row: -VALUES[row["verdict"]])[:MOST_CHECKS]


def _alerts(store: Store, count: Gauge, hours: Gauge) -> None:
    figures = store.alerts.figures()
    for state in ("open", "acknowledged", "closed"):
        count.labels(state).set(figures[state])
    for what in ("median_hours_to_close", "median_hours_to_acknowledge", "oldest_hours"):
        if figures[what] is not None:
            hours.labels(what.replace("_hours", "")).set(figures[what])
