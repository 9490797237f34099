"""The page of identity: pairs of records that may be one customer, side by side, for a person to decide."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from features.identity.links import (
    DIFFERENT,
    MODEL,
    OPEN,
    SAME,
    SHOWN,
    decide,
    read_linked_records,
    read_links,
    reopen,
)
from serving.api.problems import ProblemError
from serving.pages.sign_in_page import checked_form
from serving.pages.view import Keeper, render, url
from serving.security.auth import Principal
from serving.state import Running, running_of

TABS = {"open": "To decide", "same": "One customer", "different": "Two customers"}
DECISIONS = {"open": OPEN, "same": SAME, "different": DIFFERENT}
BACK = "undo"
MOST_SHOWN = 50

router = APIRouter()


@router.get("/identity")
async def identity(request: Request, principal: Keeper) -> Response:
    """Pairs to decide, the likeliest first, and those that are decided."""
    return await run_in_threadpool(_page, request, principal)


def _page(request: Request, principal: Principal) -> Response:
    _refuse_scoped(principal)
    query = request.query_params
    tab = query.get("show", "open")
    tab = tab if tab in TABS else "open"
    text = query.get("q", "").strip()[:200]
    home = running_of(request).settings.home
    links = read_links(home)
    listed = links[links["decision"] == DECISIONS[tab]].sort_values("probability", ascending=False)
    rows = [row for row in listed.to_dict("records") if _fits(row, text)]
    records = read_linked_records(home)
    return render(
        request,
        "identity.html",
        pairs=[_pair(row, records) for row in rows[:MOST_SHOWN]],
        listed=len(rows),
        counts={name: int((links["decision"] == decision).sum()) for name, decision in DECISIONS.items()},
        tabs=TABS,
        tab=tab,
        text=text,
        decided={name: query.get(name, "") for name in ("left", "right", "decision")},
    )


def _fits(row: Mapping[Any, Any], text: str) -> bool:
    words = (row["left"], row["right"], row["left_name"], row["right_name"])
    return not text or any(text.casefold() in str(word).casefold() for word in words)


def _pair(row: Mapping[Any, Any], records: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """A pair as the page shows it: each thing that either record says, of both, and whether they agree."""
    ends = [
        {"record": row[side], **dict.fromkeys(SHOWN, ""), "name": row[f"{side}_name"]}
        | dict(records.get(row[side], {}))
        for side in ("left", "right")
    ]
    left, right = ends
    lines = [
        {"what": name, "left": left[name], "right": right[name], "agree": _agree(left[name], right[name])}
        for name in SHOWN
        if left[name] or right[name]
    ]
    sure = row["probability"]
    return {
        "left": left["record"],
        "right": right["record"],
        "lines": lines,
        "probability": None if sure != sure else float(sure),
        "by": None if row["by"] == MODEL else row["by"],
    }


def _agree(left: str, right: str) -> bool | None:
    """Whether both say the same; None where one says nothing."""
    return left.casefold() == right.casefold() if left and right else None


@router.post("/identity")
async def settle(request: Request, principal: Keeper) -> Response:
    """Say that two records are one customer or two, or take a decision back."""
    fields = await checked_form(request)
    _refuse_scoped(principal)
    await run_in_threadpool(_decided, running_of(request), principal, fields)
    tab = fields.get("show") if fields.get("show") in TABS else "open"
    shown = {name: fields.get(name, "") for name in ("left", "right", "decision")}
    return RedirectResponse(url("/identity", {**shown, "show": tab, "q": fields.get("q", "")[:200]}), 303)


def _decided(running: Running, principal: Principal, fields: Mapping[str, str]) -> None:
    """Keep a decision on a pair there is, with who decided.

    Raises:
        ProblemError: 404 where there is no such pair, 422 for another decision.
    """
    left, right, decision = (fields.get(name, "") for name in ("left", "right", "decision"))
    links = read_links(running.settings.home)
    if not ((links["left"] == left) & (links["right"] == right)).any():
        raise ProblemError(404, f"There is no pair of {left!r} and {right!r}.")
    who = principal.label or principal.key_id
    if decision == BACK:
        reopen(running.settings.home, left, right)
    elif decision in (SAME, DIFFERENT):
        decide(running.settings.home, [(left, right, decision)], who)
    else:
        raise ProblemError(422, f"A pair is {SAME} or {DIFFERENT}, not {decision!r}.")
    running.store.audit.record(who, f"identity {decision}", f"{left} {right}", {})


def _refuse_scoped(principal: Principal) -> None:
    if principal.is_scoped:
        raise ProblemError(403, "Records of all systems stand here; this key sees one part only.")
