"""The tasks page: what is to be done, who does it, by when; taken up and closed here, with time taken."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import func, select
from starlette.concurrency import run_in_threadpool

from features.crm.load import current_crm
from monitoring.playbooks import playbooks_of
from monitoring.store import Store
from monitoring.store.database import now
from monitoring.store.tables import scores
from monitoring.task_outcomes import outcomes_of
from serving.api.list_filters import managers
from serving.api.problems import ProblemError
from serving.api.tasks_api import MOST_CLOSED, moved, visible_tasks
from serving.crm_facts import facts_of, team_of
from serving.pages.sign_in_page import checked_form
from serving.pages.view import Seller, render, url
from serving.pages.worklist import filters_of
from serving.security.auth import Principal
from serving.state import Running, running_of

FILTERS = ("state", "owner", "team", "playbook", "q")
STATES = {"open": "Not closed", "late": "Late", "started": "Taken up", "closed": "Closed"}
MOST_SHOWN = 200

router = APIRouter()


@router.get("/tasks")
async def tasks(request: Request, principal: Seller) -> Response:
    """Tasks within the visitor's scope, those due first on top."""
    return await run_in_threadpool(_page, request, principal)


def _page(request: Request, principal: Principal) -> Response:
    running = running_of(request)
    filters = filters_of(request, FILTERS)
    filters["state"] = filters.get("state") if filters.get("state") in STATES else "open"
    every = _named(running, visible_tasks(running, principal, MOST_CLOSED))
    inside = [row for row in every if _fits(row, filters, running)]
    listed = [row for row in inside if _in_state(row, filters["state"])]
    became = outcomes_of(running.store, current_crm(running.settings), inside)
    return render(
        request,
        "tasks.html",
        rows=listed[:MOST_SHOWN],
        listed=len(listed),
        figures=running.store.tasks.figures(inside),
        became=became,
        renewals=sum(end.kind == "renewal" for end in became.values()),
        renewed=sum(end.outcome for end in became.values() if end.kind == "renewal"),
        any_at_all=bool(every),
        wanted=filters,
        states=list(STATES.items()),
        owners=_options(every, "owner", "owner_name"),
        books=_options(every, "playbook", "playbook"),
        managers=managers(running.settings, principal),
        back=url("/tasks", filters),
        noted=request.query_params.get("noted"),
        now=now(),
    )


def _named(running: Running, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tasks with the names of customer and owner, how many steps their playbook has, and the money."""
    books = {book.name: len(book.steps) for book in playbooks_of(running.settings)}
    names, customers = facts_of(running.settings).names, _customers(running.store, rows)
    return [
        {
            **row,
            "customer": customers.get(row["account_id"]) or row["account_id"],
            "owner_name": names.get(row["owner"] or "", row["owner"]),
            "steps": books.get(row["playbook"], 1),
        }
        for row in rows
    ]


def _customers(store: Store, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Account → its name, as the current scores have it."""
    ids = sorted({row["account_id"] for row in rows if row["account_id"]})
    name = func.max(scores.c.details["account_name"].as_string())
    query = select(scores.c.account_id, name).where(scores.c.account_id.in_(ids))
    with store.engine.connect() as connection:
        return dict(connection.execute(query.group_by(scores.c.account_id)).tuples().fetchall())


def _fits(row: dict[str, Any], filters: dict[str, Any], running: Running) -> bool:
    text = filters.get("q", "").casefold()
    words = (row["customer"], row["account_id"], row["title"], row["subject_id"])
    team = team_of(running.settings, filters["team"]) if filters.get("team") else None
    return (
        filters.get("owner", row["owner"]) == row["owner"]
        and filters.get("playbook", row["playbook"]) == row["playbook"]
        and (team is None or row["owner"] in team)
        and (not text or any(text in (word or "").casefold() for word in words))
    )


def _in_state(row: dict[str, Any], state: str) -> bool:
    is_open = row["closed_at"] is None
    if state == "late":
        return bool(is_open and row["is_late"])
    return {"open": is_open, "started": row["state"] == "started", "closed": not is_open}[state]


def _options(rows: list[dict[str, Any]], column: str, shown: str) -> list[tuple[str, str]]:
    pairs = {row[column]: row[shown] for row in rows if row[column]}
    return sorted(pairs.items(), key=lambda pair: str(pair[1]).casefold())


@router.post("/tasks/{task_id}/{step}")
async def move(task_id: str, step: str, request: Request, principal: Seller) -> Response:
    """Take a task up, say what came of it, or drop it."""
    fields = await checked_form(request)
    if step not in ("start", "done", "drop"):
        raise ProblemError(404, f"A task is not to be {step!r}: start, done or drop.")
    result = fields.get("result", "").strip()[:2_000]
    if step != "start" and not result:
        raise ProblemError(422, "Say in a few words what came of it, or why it is dropped.")
    done = await run_in_threadpool(moved, running_of(request), principal, task_id, step, result)
    back = fields.get("back", "")
    back = back if back.partition("?")[0] in ("/tasks", "/renewals", "/pipeline") else "/tasks"
    noted = "next" if done["next"] else done["state"]
    return RedirectResponse(f"{back}{'&' if '?' in back else '?'}noted={noted}", 303)
