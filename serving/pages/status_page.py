"""The status page: what the nightly job did last, step by step, and the jobs before it."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from features.identity.links import OPEN, read_links
from serving.nightly.job_log import is_running, last_jobs
from serving.pages.view import Keeper, render
from serving.state import running_of

router = APIRouter()


@router.get("/status")
async def status(request: Request, principal: Keeper) -> Response:
    """The last nightly jobs."""
    return await run_in_threadpool(_page, request)


def _page(request: Request) -> Response:
    running = running_of(request)
    jobs = [_shown(job) for job in last_jobs(running.store)]
    is_under_way = is_running(running.settings)
    if jobs and jobs[0]["status"] == "under way" and not is_under_way:
        jobs[0]["status"] = "cut short"
    links = read_links(running.settings.home)
    return render(
        request,
        "status.html",
        jobs=jobs,
        newest=jobs[0] if jobs else None,
        running=is_under_way,
        to_decide=int((links["decision"] == OPEN).sum()),
        has_links=not links.empty,
    )


def _shown(job: dict[str, Any]) -> dict[str, Any]:
    """A job as the page lists it: `at`, `status`, `steps`, `seconds`."""
    steps = job["summary"]["steps"]
    seconds = sum(step["seconds"] for step in steps)
    return {"at": job["finished_at"], "status": job["summary"]["status"], "steps": steps, "seconds": seconds}
