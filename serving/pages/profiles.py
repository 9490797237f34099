"""The profiles page: which kinds of customers are worth the effort, and the targeting list."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from serving.pages.view import Marketer, render
from serving.planning import save_list
from serving.problems import ProblemError

PAGE_ROWS = 50
OUTCOMES = {
    "win": "Wins",
    "effort": "Hours of effort",
    "discount": "Discount",
    "renews by itself": "Renews by itself",
}
LESS_IS_BETTER = ("effort", "discount")

router = APIRouter()


@router.get("/profiles")
async def profiles(request: Request, principal: Marketer) -> Response:
    """Profiles with their lifts, and the first of the list."""
    return await run_in_threadpool(_page, request, principal)


def _page(request: Request, principal: Any) -> Response:
    told = request.app.state.running.worked_out.ask("icp")
    if told.value is None:
        return render(request, "profiles.html", found=None, why=told.why, comes=told.comes)
    found, listed = told.value["profiles"], told.value["list"]
    return render(
        request,
        "profiles.html",
        found=found,
        outcomes=OUTCOMES,
        less_is_better=LESS_IS_BETTER,
        limits=_limits(found["profiles"]),
        listed=None if principal.is_scoped else listed,
        rows=listed["rows"][:PAGE_ROWS],
        export=lambda ending: f"/profiles/targets.{ending}",
    )


def _limits(told: list[dict[str, Any]]) -> tuple[float, float]:
    """From nought to the highest upper limit of any lift, and at least to 1.5: one scale for all bars."""
    highs = [
        outcome["high"]
        for profile in told
        for outcome in profile["outcomes"].values()
        if outcome["high"] is not None
    ]
    return 0.0, min(max([1.5, *highs]), 5.0)


@router.get("/profiles/targets.{ending}")
async def targets(ending: str, request: Request, principal: Marketer) -> Response:
    """The targeting list as a file."""
    if ending not in ("csv", "xlsx"):
        raise ProblemError(404, f"The list comes as csv or xlsx, not {ending!r}.")
    return await run_in_threadpool(save_list, request.app.state.running, principal, ending)
