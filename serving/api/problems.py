"""Every error a program meets over HTTP: RFC 9457 problem details, with what to do in them."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from sqlalchemy.exc import DataError, InterfaceError, OperationalError, TimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from features.errors import RenewalError

log = logging.getLogger("perennial.serving")
_MOST_FAULTS = 100
_RETRY_SECONDS = 5
_AWAY = "The store cannot be reached or written now. Send it again later: what was stored counts once."

TITLES = {
    400: "The request could not be read",
    401: "A key is needed",
    403: "Not yours to see",
    404: "Not found",
    405: "This address does not do that",
    409: "Not now",
    413: "Too much in one request",
    415: "Unknown kind of body",
    422: "The request does not fit",
    429: "Too many requests",
    500: "Our mistake",
    503: "Too busy, or not ready",
    504: "It took too long",
}


class ProblemError(Exception):
    """An error with its HTTP status; `extra` becomes members of the answer (RFC 9457, section 3.2)."""

    def __init__(
        self, status: int, detail: str, *, headers: dict[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.extra = status, detail, headers or {}, extra


def problem_body(status: int, detail: str, **extra: Any) -> bytes:
    """The JSON of a problem: `type`, `title`, `status`, `detail` and what else helps."""
    return to_json(
        {
            "type": "about:blank",
            "title": TITLES.get(status, "Error"),
            "status": status,
            "detail": detail,
            **extra,
        }
    )


def problem_response(
    status: int, detail: str, headers: dict[str, str] | None = None, **extra: Any
) -> Response:
    """A problem as an answer of media type application/problem+json."""
    return Response(
        problem_body(status, detail, **extra),
        status_code=status,
        headers=headers,
        media_type="application/problem+json",
    )


ErrorPage = Callable[[Request, int, str, str], Response | None]


Said = Callable[..., Response]


def install(app: FastAPI, page: ErrorPage) -> Callable[[Request, Exception], Response]:
    """Let every error of `app` leave as a problem, or as a page where `page` makes one (for a browser).

    Returns:
        The answer to an error nobody expected; the middleware around `app` sends it.
    """

    def say(request: Request, status: int, detail: str, **more: Any) -> Response:
        headers = more.pop("headers", None)
        drawn = page(request, status, TITLES.get(status, "Error"), detail)
        if drawn is None:
            return problem_response(status, detail, headers, **more)
        drawn.headers.update(headers or {})
        return drawn

    def ours(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return say(request, 500, "Something failed here; the log of the service says what.")

    for error, handler in _handlers(say).items():
        app.add_exception_handler(error, handler)
    return ours


def _handlers(say: Said) -> dict[type[Exception], Any]:
    async def problem(request: Request, error: ProblemError) -> Response:
        return say(request, error.status, error.detail, headers=error.headers, **error.extra)

    async def http(request: Request, error: HTTPException) -> Response:
        return say(request, error.status_code, str(error.detail), headers=dict(error.headers or {}))

    async def misfit(request: Request, error: RequestValidationError) -> Response:
        faults = [{"at": _place(fault["loc"]), "says": fault["msg"]} for fault in error.errors()]
        unreadable = any(fault["type"] == "json_invalid" for fault in error.errors())
        first = f"{faults[0]['at']}: {faults[0]['says']}" if faults else "see the documentation at /docs"
        return say(request, 400 if unreadable else 422, first, errors=faults[:_MOST_FAULTS])

    async def users_mistake(request: Request, error: RenewalError) -> Response:
        return say(request, 422, str(error), expected=error.expected, found=error.found, do=error.do)

    async def unwritable(request: Request, error: Exception) -> Response:
        return say(request, 422, "A text holds characters that are none (a NUL, or half a surrogate pair).")

    async def unavailable(request: Request, error: Exception) -> Response:
        log.error("%s %s: the store is away", request.method, request.url.path, exc_info=error)
        return say(request, 503, _AWAY, headers={"Retry-After": str(_RETRY_SECONDS)})

    return {
        ProblemError: problem,
        HTTPException: http,
        RequestValidationError: misfit,
        RenewalError: users_mistake,
        UnicodeEncodeError: unwritable,
        DataError: unwritable,
        **dict.fromkeys((OperationalError, InterfaceError, TimeoutError), unavailable),
    }


def _place(steps: Sequence[Any]) -> str:
    """Where in a request a fault is; a name that is no text is shown with question marks."""
    return "/".join(map(str, steps)).encode("utf-8", "replace").decode()
