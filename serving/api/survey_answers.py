"""Answers of customers: over HTTP, by the signed link of a request, and at once in scores and alerts."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from monitoring.survey_rules import SCALES
from serving.api.problems import ProblemError
from serving.api.routes import ERRORS, answer
from serving.api.shapes import Body
from serving.live.asking import request_of
from serving.security.auth import Principal

CUSTOMER = Principal("survey", "sales", "a customer")
"""Who an answer is stored as: the signed link says for which account it may be."""

router = APIRouter(responses=ERRORS)


class SurveyAnswer(Body):
    """What a customer answers: the token of the link, and a score."""

    token: str = Field(max_length=500, examples=["eyJyZXF1ZXN0IjoiM2Y…"])
    score: float = Field(description="NPS 0 to 10, CSAT 1 to 5, CES 1 to 7.", examples=[9])


@router.post("/v1/surveys/answer", tags=["events"])
async def survey_answer(body: SurveyAnswer, request: Request) -> Response:
    """Take a customer's answer, by the link it was sent; the first answer stays. No key is asked for."""
    running = request.app.state.running
    running.door.pace_address(request)
    return answer(await run_in_threadpool(taken, running, body.token, body.score))


def asked_by(running: Any, token: str) -> dict[str, Any]:
    """The request a token was made for.

    Raises:
        ProblemError: 401 where the link is not one of ours, or the request is gone.
    """
    request_id = request_of(token, running.settings)
    found = running.store.survey_request(request_id) if request_id else None
    if found is None:
        raise ProblemError(401, "This link is not valid (any more).", headers={"WWW-Authenticate": "Survey"})
    return dict(found)


def taken(running: Any, token: str, score: float) -> dict[str, Any]:
    """Store an answer and score the customer anew; said twice, it is stored once, as it was said first.

    Returns:
        `thanks` (True), `score` (the one that stays).

    Raises:
        ProblemError: 401 as `asked_by`, 422 for a score outside the scale.
    """
    asked = asked_by(running, token)
    low, high = SCALES[asked["kind"]]
    if not low <= score <= high:
        raise ProblemError(422, f"A score from {low} to {high} is expected.")
    kept = running.store.answer_request(asked["request_id"], score)
    row = {
        "response_id": f"asked-{kept['request_id']}",
        "account_id": kept["account_id"],
        "contact_id": kept["contact_id"],
        "kind": kept["kind"],
        "touchpoint": kept["touchpoint"],
        "asked_at": kept["asked_at"].isoformat(),
        "answered_at": kept["answered_at"].isoformat(),
        "score": kept["score"],
    }
    told = running.live.arrivals.take("surveys", [row], CUSTOMER)
    if told["alerts"]:
        running.deliveries.wake()
    return {"thanks": True, "score": kept["score"]}
