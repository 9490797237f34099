"""The models page: what serves, how good it was, every version, and the alerts that stand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool

from features.crm.load import opened
from features.errors import RenewalError
from monitoring.checks import label, waiver_words
from monitoring.store import Store
from serving.api.list_filters import of_account
from serving.api.problems import ProblemError
from serving.live.model_cache import KINDS
from serving.pages.sign_in_page import checked_form
from serving.pages.view import Keeper, render, url
from serving.security.auth import Principal
from serving.state import Running, running_of
from training.registry import compare, listing, promote, rollback, show

_URGENCY = ("alert", "unknown", "ok")
MOST_LOOKS = 60
WATCHED = {
    "drift: features": "Columns of weight that moved",
    "drift: scores": "Scores moved",
    "performance: calibration": "Observed less expected rate",
}
"""Checks whose figure is worth following from look to look."""

REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)
CARD_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"

router = APIRouter()


@router.get("/models")
async def models(request: Request, principal: Keeper) -> Response:
    """Models, versions, checks and alerts."""
    return await run_in_threadpool(_page, request, principal)


def _page(request: Request, principal: Principal) -> Response:
    running = running_of(request)
    standing = running.store.alerts.read(state="standing", limit=100)
    right, versions = running.worked_out.ask("right"), listing(running.settings)
    return render(
        request,
        "models.html",
        kinds=[_kind(running, kind, versions) for kind in KINDS],
        alerts=[alert for alert in standing if _is_theirs(running.store, alert, principal)],
        quality=_quality(running),
        override_counts={kind: len(running.store.judgements.overrides(kind)) for kind in KINDS},
        right=right.value,
        right_why=right.why,
        right_comes=right.comes,
        noted=request.query_params.get("noted", "")[:300],
    )


def _kind(running: Running, kind: str, versions: list[dict[str, Any]]) -> dict[str, Any]:
    """What is shown of one model: figures, versions, monitoring runs, and the former champion."""
    held = running.models.get(kind)
    looks = running.store.runs("monitor", kind, limit=MOST_LOOKS)
    last = (looks[0]["summary"] or {}) if looks else {}
    shown = show(kind, running.settings, held.version) if held else {}
    return {
        "kind": kind,
        "versions": [version for version in versions if version["model"].endswith(kind)],
        "held": held,
        "shown": shown,
        "result": shown.get("result", {}),
        "against": _against_former(running, kind, shown),
        "checked": looks[0] if looks else None,
        "has_report": bool(last.get("reports")),
        "families": families(last.get("checks", [])),
        "trends": trends(looks),
        "waived": shown.get("waived", []),
    }


def _against_former(running: Running, kind: str, shown: dict[str, Any]) -> dict[str, Any] | None:
    """The champion beside the one before it, each on its own later data; None where either has none."""
    before = shown.get("previous_champion")
    if not before or str(before) == str(shown["version"]):
        return None
    comparison = compare(kind, before, shown["version"], running.settings)
    shared = {
        name: row
        for name, row in comparison["metrics"].items()
        if name.startswith("forward") and not name.endswith(".n") and row["change"] is not None
    }
    return {**comparison, "metrics": shared} if shared else None


def _quality(running: Running) -> dict[str, Any] | None:
    """Data quality of the ingested CRM; None without one."""
    try:
        with opened(running.settings) as crm:
            return crm.quality.as_dict()
    except RenewalError:  # models may have been trained straight on a folder
        return None


def families(checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Checks by what they look at (the words before the colon), those with alerts first."""
    checks_by_family: dict[str, list[dict[str, Any]]] = {}
    for check in checks:
        words = label(check["verdict"], check.get("value"), check.get("threshold"), check["name"])
        check = {**check, "label": words}
        checks_by_family.setdefault(check["name"].partition(":")[0].partition(" (")[0], []).append(check)
    result = [
        {"name": name, "checks": sorted(rows, key=lambda row: _URGENCY.index(row["verdict"]))}
        | {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in _URGENCY}
        for name, rows in checks_by_family.items()
    ]
    return sorted(result, key=lambda family: -family["alert"])


def trends(looks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How what is watched went from look to look: a chart for each figure seen at least twice.

    Args:
        looks: runs of `monitor`, newest first.
    """
    result = []
    for name, words in WATCHED.items():
        observations = [
            (look["finished_at"], check["value"], check["threshold"])
            for look in reversed(looks)
            for check in (look["summary"] or {}).get("checks", [])
            if check["name"] == name and not check["segment"] and check["value"] is not None
        ]
        if len(observations) > 1:
            points = [(moment, value) for moment, value, _ in observations]
            result.append({"name": words, "points": points, "css": "", "limit": observations[-1][2]})
    return result


@router.get("/models/{kind}/report")
async def report(kind: str, request: Request, principal: Keeper) -> Response:
    """The drift report of the last look; it may run its own scripts, shut off from this site."""
    store = running_of(request).store
    looks = await run_in_threadpool(store.runs, "monitor", kind, 1)
    path = Path(((looks[0]["summary"] or {}).get("reports") or {}).get("html", "")) if looks else Path()
    if not path.is_file():
        raise ProblemError(404, f"There is no drift report of {kind}. Run `perennial monitor {kind}`.")
    return Response(
        path.read_bytes(), media_type="text/html", headers={"content-security-policy": REPORT_POLICY}
    )


@router.get("/models/{kind}/{version}/card")
async def card(kind: str, version: str, request: Request, principal: Keeper) -> Response:
    """A version's model card, as it was written when it was trained; gates waived since then stand on top."""
    details = await run_in_threadpool(show, kind, running_of(request).settings, version)
    path = Path(details["folder"]) / "card.html"
    if not path.is_file():
        raise ProblemError(404, f"Version {version} of {kind} has no card.")
    page = path.read_text(encoding="utf-8").replace("<body>", f"<body>{_waived_notes(details['waived'])}", 1)
    return Response(page, media_type="text/html", headers={"content-security-policy": CARD_POLICY})


def _waived_notes(waived: list[dict[str, str]]) -> Markup:
    """Gates that somebody waived, as lines of a card."""
    line = Markup(
        '<p style="margin:1rem auto;max-width:1000px;padding:0 1.25rem"><b>Gate waived: {}</b>, {}.</p>'
    )
    return Markup("").join(line.format(one["gate"], waiver_words(one)) for one in waived)


@router.post("/models/{kind}/promote")
async def make_champion(kind: str, request: Request, principal: Keeper) -> Response:
    """Make a version the champion; the service holds it when the call returns."""
    fields = await checked_form(request)
    running, version = running_of(request), fields.get("version", "")
    reason = fields.get("reason", "").strip()
    who = principal.label or principal.key_id
    await run_in_threadpool(promote, kind, version, running.settings, reason=reason, by=who)
    return await _moved(running, principal, kind, "promoted", version, reason)


@router.post("/models/{kind}/rollback")
async def former_champion(kind: str, request: Request, principal: Keeper) -> Response:
    """Make the former champion the champion again."""
    fields = await checked_form(request)
    running, reason = running_of(request), fields.get("reason", "").strip()
    result = await run_in_threadpool(rollback, kind, running.settings, reason=reason)
    return await _moved(running, principal, kind, "rolled back", result["version"], reason)


async def _moved(
    running: Running, principal: Any, kind: str, what: str, version: str, reason: str
) -> Response:
    await run_in_threadpool(running.models.refresh)
    details = {"version": version, "reason": reason}
    running.store.audit.record(principal.label or principal.key_id, f"model {what}", kind, details)
    return RedirectResponse(url("/models", noted=f"{kind} version {version} serves now."), 303)


def _is_theirs(store: Store, alert: Mapping[str, Any], principal: Principal) -> bool:
    """Whether an alert is about no customer, or about one within the scope."""
    if not principal.is_scoped or alert["account_id"] is None:
        return True
    about = of_account(store, alert["account_id"])
    return any(principal.sees(row) and alert["subject_id"] in {None, row["subject_id"]} for row in about)


@router.post("/alerts/{alert_id}/{step}")
async def settle(alert_id: str, step: str, request: Request, principal: Keeper) -> Response:
    """Take an alert, or close it."""
    fields = await checked_form(request)
    store, who = running_of(request).store, principal.label or principal.key_id
    matches = [alert for alert in store.alerts.read() if alert["alert_id"] == alert_id]
    if principal.is_scoped and not (matches and _is_theirs(store, matches[0], principal)):
        raise ProblemError(404, f"There is no alert {alert_id!r}.")
    if step == "acknowledge":
        await run_in_threadpool(store.alerts.acknowledge, alert_id, who)
    elif step == "close":
        await run_in_threadpool(store.alerts.close, alert_id, who, fields.get("because", "").strip()[:500])
    else:
        raise ProblemError(404, f"An alert can be acknowledged or closed, not {step!r}.")
    return RedirectResponse(url("/models", noted="The alert is noted."), 303)
