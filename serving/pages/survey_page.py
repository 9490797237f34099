"""The page a customer sees who follows the link of a request: one question, one click."""

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from monitoring.survey_rules import SCALES
from serving.api.problems import ProblemError
from serving.api.survey_answers import asked_by, taken
from serving.pages.sign_in_page import form_of
from serving.pages.view import render
from serving.state import running_of

QUESTIONS = {
    "nps": "How likely are you to recommend us?",
    "csat": "How satisfied were you?",
    "ces": "How easy was it?",
}
ENDS = {
    "nps": ("not at all", "very likely"),
    "csat": ("not at all", "very"),
    "ces": ("very hard", "very easy"),
}

router = APIRouter()


@router.get("/surveys/{token}")
async def survey(token: str, request: Request) -> Response:
    """The question."""
    running = running_of(request)
    running.door.pace_address(request)
    survey_request = await run_in_threadpool(asked_by, running, token)
    low, high = SCALES[survey_request["kind"]]
    return render(
        request,
        "survey.html",
        question=QUESTIONS[survey_request["kind"]],
        ends=ENDS[survey_request["kind"]],
        scores=range(low, high + 1),
        touchpoint=survey_request["touchpoint"],
        given=survey_request["score"],
    )


@router.post("/surveys/{token}")
async def answered(token: str, request: Request) -> Response:
    """Take the click; the signed link is what lets it in, so the form needs no token of a session."""
    running = running_of(request)
    running.door.pace_address(request)
    fields = await form_of(request)
    try:
        score = float(fields.get("score", ""))
    except ValueError as error:
        raise ProblemError(422, "A score is expected.") from error
    answer = await run_in_threadpool(taken, running, token, score)
    return render(request, "survey.html", given=answer["score"])
