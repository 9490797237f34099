"""Tasks over HTTP: what is to be done about alerts, taken up, done, and judged."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from features.crm.load import current_crm
from monitoring.closing_the_loop import finish_task
from monitoring.task_outcomes import outcomes_of
from serving.api.problems import ProblemError
from serving.api.routes import ERRORS, Seller, answer
from serving.api.shapes import Body
from serving.scoring.subject_details import ID_COLUMNS
from serving.security.auth import Principal
from serving.state import Running, running_of

MOST_OPEN, MOST_CLOSED = 20_000, 1_000

router = APIRouter(responses=ERRORS, dependencies=[Depends(HTTPBearer(auto_error=False))])


class TaskShown(BaseModel):
    """One step of a playbook that an alert led to."""

    task_id: str
    alert_id: str
    account_id: str | None = Field(examples=["A-1042"])
    playbook: str = Field(examples=["unhappy answer"])
    step: int = Field(description="From 0.", examples=[0])
    title: str = Field(examples=["Call the customer, listen, thank them for the answer"])
    owner: str | None = Field(examples=["O-7"])
    state: str = Field(description="`open`, `started`, `done` or `dropped`.", examples=["open"])
    due_at: str = Field(examples=["2026-01-02T10:00:00"])
    is_late: bool
    escalations: int
    result: str | None
    outcome: Literal["renewed", "not renewed", "won", "lost"] | None = Field(
        description="How the customer's contract or the deal was decided after the playbook began.",
        examples=["renewed"],
    )
    decided_at: str | None = Field(examples=["2026-02-01T00:00:00"])


class TasksShown(BaseModel):
    """Tasks, those due first at the top."""

    tasks: list[TaskShown]


class TaskStep(Body):
    """What came of it."""

    result: str = Field("", max_length=2_000, examples=["called; the invoice is corrected"])


class TaskMoved(BaseModel):
    """The task, and the step that follows."""

    task_id: str
    state: str
    next: str | None = Field(description="The id of the next step of the playbook.")


@router.get("/v1/tasks", response_model=TasksShown, tags=["plan"])
async def tasks(
    request: Request,
    principal: Seller,
    state: Annotated[Literal["open", "closed"], Query(description="Not closed, or closed lately.")] = "open",
) -> Response:
    """Tasks within the caller's scope: open ones, or those closed last with what became of the customer."""
    shown = await run_in_threadpool(seen_tasks, running_of(request), principal, state == "closed")
    return answer({"tasks": shown})


@router.post("/v1/tasks/{task_id}/{step}", response_model=TaskMoved, tags=["plan"])
async def move_task(
    body: TaskStep,
    request: Request,
    principal: Seller,
    task_id: str,
    step: Annotated[Literal["start", "done", "drop"], Path(description="start, done or drop.")],
) -> Response:
    """Take a task up, say what came of it, or drop it; the next step opens by itself."""
    running = running_of(request)
    return answer(await run_in_threadpool(moved, running, principal, task_id, step, body.result))


def seen_tasks(running: Running, principal: Principal, is_closed: bool) -> list[dict[str, Any]]:
    """Tasks about accounts that the visitor may see, open ones or those closed last."""
    rows = visible_tasks(running, principal, MOST_CLOSED if is_closed else 0)
    rows = [row for row in rows if (row["closed_at"] is not None) == is_closed]
    became = outcomes_of(running.store, current_crm(running.settings), rows)
    shown = []
    for row in rows:
        end = became.get(row["alert_id"])
        moments = {"due_at": row["due_at"].isoformat(), "outcome": end and end.words}
        moments["decided_at"] = end and end.decided_at.isoformat()
        shown.append({**{name: row[name] for name in TaskShown.model_fields if name in row}, **moments})
    return shown


def visible_tasks(running: Running, principal: Principal, closed: int = 0) -> list[dict[str, Any]]:
    """Tasks of the store that the visitor may see, due first on top; the last `closed` closed ones too.

    A task about a contract or deal is its owner's; one about a customer as a whole is the account's owner's.
    """
    tasks = running.store.tasks
    rows = tasks.read(is_open=True, limit=MOST_OPEN) + (
        tasks.read(is_open=False, limit=closed) if closed else []
    )
    return [row for row in rows if _is_visible(running, row, principal)]


def _is_visible(running: Running, row: dict[str, Any], principal: Principal) -> bool:
    if not principal.is_scoped:
        return True
    key = ID_COLUMNS.get(row["kind"] or "", "")
    about = {"account_id": row["account_id"]}
    if key and row["subject_id"]:
        about[key] = row["subject_id"]
    return running.live.arrivals.sees(about, principal)


def moved(running: Running, principal: Principal, task_id: str, step: str, result: str) -> dict[str, Any]:
    """A task one step on.

    Raises:
        ProblemError: 404 where there is no such open task among those the visitor may see.
    """
    row = running.store.tasks.find(task_id)
    if row is None or row["closed_at"] is not None or not _is_visible(running, row, principal):
        raise ProblemError(404, f"There is no open task {task_id!r}.")
    who = principal.label or principal.key_id
    if step == "start":
        running.store.tasks.start(task_id, who)
        return {"task_id": task_id, "state": "started", "next": None}
    dropped = step == "drop"
    following = finish_task(running.store, running.settings, task_id, who, result, is_dropped=dropped)
    running.store.audit.record(who, f"task {step}", task_id, {"playbook": row["playbook"]})
    return {"task_id": task_id, "state": "dropped" if dropped else "done", "next": following}
