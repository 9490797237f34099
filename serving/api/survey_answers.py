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
from serving.state import Running, running_of

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
    running = running_of(request)
    running.door.pace_address(request)
    return answer(await run_in_threadpool(taken, running, body.token, body.score))


def asked_by(running: Running, token: str) -> dict[str, Any]:
    """The request a token was made for.

    Raises:
        ProblemError: 401 where the link is not one of ours, or the request is gone.
    """
    request_id = request_of(token, running.settings)
    row = running.store.surveys.request(request_id) if request_id else None
    if row is None:
        raise gone()
    return dict(row)


def gone() -> ProblemError:
    """A link that was never ours, or whose request has been erased."""
    return ProblemError(401, "This link is not valid (any more).", headers={"WWW-Authenticate": "Survey"})


def taken(running: Running, token: str, score: float) -> dict[str, Any]:
    """Store an answer and rescore the customer; sent twice, it is stored once, as it was sent first.

    Returns:
        `thanks` (True), `score` (the one that stays).

    Raises:
        ProblemError: 401 as `asked_by`, 422 for a score outside the scale.
    """
    survey_request = asked_by(running, token)
    low, high = SCALES[survey_request["kind"]]
    if not low <= score <= high:
        raise ProblemError(422, f"A score from {low} to {high} is expected.")
    first_answer = running.store.surveys.answer(survey_request["request_id"], score)
    if first_answer is None:
        raise gone()
    row = {
        "response_id": f"asked-{first_answer['request_id']}",
        "account_id": first_answer["account_id"],
        "contact_id": first_answer["contact_id"],
        "kind": first_answer["kind"],
        "touchpoint": first_answer["touchpoint"],
        "asked_at": first_answer["asked_at"].isoformat(),
        "answered_at": first_answer["answered_at"].isoformat(),
        "score": first_answer["score"],
    }
    stored = running.live.arrivals.take("surveys", [row], CUSTOMER)
    if stored["alerts"]:
        running.deliveries.wake()
    return {"thanks": True, "score": first_answer["score"]}
