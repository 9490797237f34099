"""The models page: what serves, how good it was, every version, and the alerts that stand."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from serving.held import KINDS
from serving.pages.signing import checked_form
from serving.pages.view import Keeper, render, url
from serving.problems import ProblemError
from training.registry import listing, promote, rollback, show

CARD_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"

router = APIRouter()


@router.get("/models")
async def models(request: Request, principal: Keeper) -> Response:
    """Models, versions, checks and alerts."""
    return await run_in_threadpool(_page, request)


def _page(request: Request) -> Response:
    running = request.app.state.running
    versions = listing(running.settings)
    kinds = []
    for kind in KINDS:
        own = [version for version in versions if version["model"].endswith(kind)]
        held = running.models.get(kind)
        checked = running.store.runs("monitor", kind, limit=1)
        kinds.append(
            {
                "kind": kind,
                "versions": own,
                "held": held,
                "result": show(kind, running.settings, held.version)["result"] if held else {},
                "checked": checked[0] if checked else None,
            }
        )
    alerts = running.store.alerts(state="standing", limit=100)
    return render(
        request, "models.html", kinds=kinds, alerts=alerts, noted=request.query_params.get("noted", "")[:300]
    )


@router.get("/models/{kind}/{version}/card")
async def card(kind: str, version: str, request: Request, principal: Keeper) -> Response:
    """A version's model card, as it was written when it was trained."""
    told = await run_in_threadpool(show, kind, request.app.state.running.settings, version)
    path = Path(told["folder"]) / "card.html"
    if not path.is_file():
        raise ProblemError(404, f"Version {version} of {kind} has no card.")
    return Response(
        path.read_bytes(), media_type="text/html", headers={"content-security-policy": CARD_POLICY}
    )


@router.post("/models/{kind}/promote")
async def make_champion(kind: str, request: Request, principal: Keeper) -> Response:
    """Make a version the champion; the service holds it when the call returns."""
    fields = await checked_form(request)
    running, version = request.app.state.running, fields.get("version", "")
    reason = fields.get("reason", "").strip()
    await run_in_threadpool(promote, kind, version, running.settings, reason=reason)
    return await _moved(running, principal, kind, "promoted", version, reason)


@router.post("/models/{kind}/rollback")
async def former_champion(kind: str, request: Request, principal: Keeper) -> Response:
    """Make the former champion the champion again."""
    fields = await checked_form(request)
    running, reason = request.app.state.running, fields.get("reason", "").strip()
    told = await run_in_threadpool(rollback, kind, running.settings, reason=reason)
    return await _moved(running, principal, kind, "rolled back", told["version"], reason)


async def _moved(running: Any, principal: Any, kind: str, what: str, version: str, reason: str) -> Response:
    await run_in_threadpool(running.models.refresh)
    details = {"version": version, "reason": reason}
    running.store.audit(principal.label or principal.key_id, f"model {what}", kind, details)
    return RedirectResponse(url("/models", noted=f"{kind} version {version} serves now."), 303)


@router.post("/alerts/{alert_id}/{step}")
async def settle(alert_id: str, step: str, request: Request, principal: Keeper) -> Response:
    """Take an alert, or close it."""
    fields = await checked_form(request)
    store, who = request.app.state.running.store, principal.label or principal.key_id
    if step == "acknowledge":
        await run_in_threadpool(store.acknowledge_alert, alert_id, who)
    elif step == "close":
        await run_in_threadpool(store.close_alert, alert_id, who, fields.get("because", "").strip()[:500])
    else:
        raise ProblemError(404, f"An alert can be acknowledged or closed, not {step!r}.")
    return RedirectResponse(url("/models", noted="The alert is noted."), 303)
