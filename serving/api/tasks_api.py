"""Tasks over HTTP: what is to be done about alerts, taken up, done, and judged."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from monitoring.closing_the_loop import finish_task
from serving.api.problems import ProblemError
from serving.api.routes import ERRORS, Seller, answer
from serving.api.shapes import Body
from serving.scoring.subject_details import ID_COLUMNS
from serving.security.auth import Principal
from serving.state import Running, running_of

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
async def tasks(request: Request, principal: Seller) -> Response:
    """Open tasks within the caller's scope."""
    return answer({"tasks": await run_in_threadpool(seen_tasks, running_of(request), principal)})


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


def seen_tasks(running: Running, principal: Principal) -> list[dict[str, Any]]:
    """Open tasks about accounts that the visitor may see."""
    shown = list(TaskShown.model_fields)
    return [
        {**{name: row[name] for name in shown}, "due_at": row["due_at"].isoformat()}
        for row in visible_tasks(running, principal)
    ]


def visible_tasks(running: Running, principal: Principal, closed: int = 0) -> list[dict[str, Any]]:
    """Tasks of the store that the visitor may see, due first on top; the last `closed` closed ones too.

    A task about a contract or deal is its owner's; one about a customer as a whole is the account's owner's.
    """
    tasks = running.store.tasks
    rows = tasks.read(is_open=True) + (tasks.read(is_open=False, limit=closed) if closed else [])
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
    rows = [row for row in running.store.tasks.read(is_open=True) if row["task_id"] == task_id]
    if not rows or not _is_visible(running, rows[0], principal):
        raise ProblemError(404, f"There is no open task {task_id!r}.")
    who = principal.label or principal.key_id
    if step == "start":
        running.store.tasks.start(task_id, who)
        return {"task_id": task_id, "state": "started", "next": None}
    dropped = step == "drop"
    following = finish_task(running.store, running.settings, task_id, who, result, is_dropped=dropped)
    running.store.audit.record(who, f"task {step}", task_id, {"playbook": rows[0]["playbook"]})
    return {"task_id": task_id, "state": "dropped" if dropped else "done", "next": following}
