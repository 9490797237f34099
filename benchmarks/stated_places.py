"""Every page, export, route, command and view of the program, and what of each is compared with the others.

`COMPARED` says what is compared there, `FACTLESS` why a place has nothing to compare. A place is a method and
a path as the router has it, or a command's words. tests/perennial/test_stated_places.py holds that each place
is in one of the two, and `benchmarks.same_facts` that each of `COMPARED` was opened.
"""

import importlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

LISTED = "probability, interval, band, amount, money of each row; order"
TOTALS = "counts, totals and tiles, whole and by filter"

COMPARED = {
    "GET /readyz": "versions that serve",
    "GET /metrics": "verdict of each model",
    "POST /v1/renewals/score": LISTED,
    "POST /v1/opportunities/score": LISTED,
    "GET /v1/renewals": TOTALS,
    "GET /v1/opportunities": TOTALS,
    "POST /v1/what_if": "probability now",
    "GET /v1/icp/profiles": "every figure of each profile",
    "GET /v1/icp/list": "every figure of each target",
    "GET /v1/icp/list.{ending}": "targets, their order and fit",
    "GET /v1/forecast": "money due and expected, against the list's rows",
    "GET /v1/experiments": "outcomes, effects and verdict",
    "GET /v1/kpis": "every figure of each KPI",
    "GET /v1/icp/reach": "every figure of each segment",
    "GET /v1/tasks": "open tasks",
    "GET /renewals": f"{LISTED}; {TOTALS}; day of best contact",
    "GET /renewals/by-rep": "totals of all reps, and of each",
    "GET /renewals/export.{ending}": LISTED,
    "GET /accounts/{account_id:path}": "probability; window, gain and worth of contact",
    "GET /what-if/{contract_id:path}": "probability now and changed",
    "GET /pipeline": f"{LISTED}; {TOTALS}",
    "GET /pipeline/export.{ending}": LISTED,
    "GET /tasks": "open tasks",
    "GET /forecast": "money due, expected and committed, retention, categories",
    "GET /forecast/export.{ending}": "months",
    "GET /effects": "worth and contracts of the plan; each choice's rates",
    "GET /effects/plan.{ending}": "window, days, gain and worth of each contract",
    "GET /experiments": "outcomes, effects and verdict",
    "GET /profiles": "lift and figures of each profile; grades; share caught; targets",
    "GET /profiles/targets.{ending}": "targets, their order and fit",
    "GET /reach": "segments missed; shares of each",
    "GET /journey": "rates of each stage and segment; gaps",
    "GET /kpis": "each KPI's last quarter; touchpoints that move it",
    "GET /churn-drivers": "money lost; drivers",
    "GET /models": "verdicts, checks, figures, versions, waivers, data quality, who was right",
    "GET /models/{kind}/report": "verdict, value and limit of each check; columns flagged",
    "GET /models/{kind}/{version}/card": "figures of the model; waivers",
    "GET /identity": "pairs to decide",
    "GET /touchpoints": "data points and what is missing",
    "GET /status": "pairs to decide",
    "GET /voice": "each KPI; tasks of each playbook",
    "perennial check": "rows and rows in quarantine",
    "perennial score": LISTED,
    "perennial features touchpoints": "data points and what is missing",
    "perennial effects timing": "each choice's rates",
    "perennial effects calls": "each choice's rates",
    "perennial effects discount": "each choice's rates",
    "perennial effects plan": "window, days, gain and worth of each contract",
    "perennial effects value": "worth and contracts of the plan",
    "perennial effects experiment": "contracts to draw",
    "perennial experiment list": "outcomes, effects and verdict",
    "perennial experiment status": "outcomes, effects and verdict",
    "perennial icp profiles": "every figure of each profile",
    "perennial icp personas": "every figure of each card",
    "perennial icp list": "every figure of each target",
    "perennial icp reach": "every figure of each segment",
    "perennial identity list": "pairs to decide",
    "perennial voice kpis": "each KPI",
    "perennial tasks list": "open tasks",
    "perennial tasks judge": "tasks of each playbook",
    "perennial models list": "versions, figures and aliases",
    "perennial models show": "figures and waivers",
    "perennial models compare": "figures",
    "perennial churn-drivers": "money lost; drivers",
    "perennial monitor": "verdict, value and limit of each check; waivers",
    "perennial judged": "who was right",
    "perennial journey": "rates of each stage and segment; gaps",
    "perennial kpis": "every figure of each KPI",
    "perennial alerts list": "contracts and deals with an alert",
    "perennial parity": "what fairness means; figures of each segment on test data",
    "v_renewals": LISTED,
    "v_pipeline": LISTED,
}

CHANGES = "changes something, and answers what it changed"
WRITES = "writes files or models that other places are compared on"
FACTLESS = {
    "GET /livez": "that the process lives",
    "GET /openapi.json": "shapes, no figures",
    "GET /docs": "shapes, no figures",
    "GET /": "sends to another page",
    "GET /sign-in": "a form",
    "GET /surveys/{token}": "a form for a customer",
    "GET /glossary": "words",
    "POST /v1/score/records": "scores the caller's own rows: tests/serving/test_live_scores.py",
    "POST /v1/score/features": "scores the caller's own rows: tests/serving/test_columnar.py",
    "POST /v1/icp/fit": "rates the caller's own companies: tests/serving/test_planning.py",
    **dict.fromkeys(
        (
            "POST /v1/events", "POST /v1/outcomes", "POST /v1/surveys/answer",
            "POST /v1/tasks/{task_id}/{step}",
            "POST /sign-in", "POST /sign-out", "POST /renewals/{contract_id}/override",
            "POST /actions/{kind}/{subject_id:path}", "POST /tasks/{task_id}/{step}", "POST /bulk/{kind}",
            "POST /views", "POST /views/{view_id}/drop", "POST /models/{kind}/promote",
            "POST /models/{kind}/rollback", "POST /alerts/{alert_id}/{step}", "POST /identity",
            "POST /surveys/{token}", "perennial erase", "perennial experiment start",
            "perennial experiment end",
            "perennial identity match", "perennial identity decide", "perennial identity undo",
            "perennial voice send", "perennial tasks begin", "perennial tasks start", "perennial tasks done",
            "perennial models promote", "perennial models rollback", "perennial keys create",
            "perennial keys revoke", "perennial outcomes", "perennial alerts ack", "perennial alerts close",
            "perennial connect", "perennial write-back",
        ),
        CHANGES,
    ),
    **dict.fromkeys(
        ("perennial ingest", "perennial train", "perennial retrain", "perennial run", "perennial simulate"),
        WRITES,
    ),
    "perennial demo": "runs the other commands, in a home of its own",
    "perennial map": "drafts a mapping of foreign files",
    "perennial serve": "answers over HTTP",
    "perennial features list": "the catalogue, no figures of customers",
    "perennial population census": "people of areas, from outside",
    "perennial population join": "people of areas, from outside",
    "perennial keys list": "keys, nowhere else shown",
    "perennial voice requests": "requests, nowhere else shown",
    "v_predictions": "every prediction ever made, nowhere else listed",
    "v_alerts": "every alert ever raised, nowhere else listed",
    "v_overrides": "every override ever noted, nowhere else listed",
}  # fmt: skip


def every_place() -> list[str]:
    """Every page, export and route of the router, every command, every view of the store."""
    return [*_http_places(), *_command_places(), *_view_places()]


def _http_places() -> list[str]:
    from serving.app import create_app

    return [
        f"{method} {route.path}"
        for route in _routes(create_app().routes)
        for method in sorted(getattr(route, "methods", None) or ())
        if route.path != "/{path:path}"  # what answers where there is nothing
    ]


def _routes(routes: Iterable[Any]) -> Iterator[Any]:
    for route in routes:
        included = getattr(route, "original_router", None)  # how FastAPI holds a router that was included
        if included is None:
            yield route
        else:
            yield from _routes(included.routes)


def _command_places() -> list[str]:
    from typer.main import get_command

    from perennial.cli import app

    return [f"perennial {words}" for words in _words(get_command(app))]


def _words(group: Any) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from (f"{name} {words}" for words in _words(command))
        else:
            yield name


def _view_places() -> list[str]:
    schema = importlib.import_module("monitoring.store.migrations.versions.0006_the_schema")
    return list(schema.VIEWS)


def place_of(stated: str, places: Iterable[str]) -> str | None:
    """The place a statement came from: `perennial score win` and `/renewals?band=` by their patterns."""
    if not stated.startswith("/"):
        of_command = [name for name in places if stated == name or stated.startswith(f"{name} ")]
        return max(of_command, key=len, default=None)
    path = stated.partition("?")[0]
    fitting = [name for name in places if " /" in name and _pattern(name).fullmatch(path)]
    return min(fitting, key=lambda name: (name.count("{"), not name.startswith("GET")), default=None)


def _pattern(place: str) -> re.Pattern[str]:
    path = re.escape(place.partition(" ")[2])
    any_path = re.sub(r"\\\{\w+:path\\\}", ".+", path)
    return re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", any_path))


def not_opened(stated: Iterable[str]) -> list[str]:
    """Places where facts should be compared that no statement came from."""
    opened = {place_of(each, COMPARED) for each in stated}
    return [place for place in COMPARED if place not in opened]
