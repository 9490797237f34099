"""Every error a program meets over HTTP: RFC 9457 problem details, with what to do in them."""

import logging
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from features.errors import RenewalError

log = logging.getLogger("perennial.serving")

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


def install(app: FastAPI, page: ErrorPage) -> None:
    """Let every error of `app` leave as a problem, or as a page where `page` makes one (for a browser)."""

    def say(request: Request, status: int, detail: str, **more: Any) -> Response:
        drawn = page(request, status, TITLES.get(status, "Error"), detail)
        return drawn or problem_response(status, detail, more.pop("headers", None), **more)

    async def told(request: Request, error: ProblemError) -> Response:
        return say(request, error.status, error.detail, headers=error.headers, **error.extra)

    async def http(request: Request, error: HTTPException) -> Response:
        return say(request, error.status_code, str(error.detail), headers=dict(error.headers or {}))

    async def misfit(request: Request, error: RequestValidationError) -> Response:
        faults = [{"at": "/".join(map(str, fault["loc"])), "says": fault["msg"]} for fault in error.errors()]
        unreadable = any(fault["type"] == "json_invalid" for fault in error.errors())
        first = f"{faults[0]['at']}: {faults[0]['says']}" if faults else "see the documentation at /docs"
        return say(request, 400 if unreadable else 422, first, errors=faults)

    async def users_mistake(request: Request, error: RenewalError) -> Response:
        return say(request, 422, str(error), expected=error.expected, found=error.found, do=error.do)

    async def ours(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return say(request, 500, "Something failed here; the log of the service says what.")

    handlers = {
        ProblemError: told,
        HTTPException: http,
        RequestValidationError: misfit,
        RenewalError: users_mistake,
        Exception: ours,
    }
    for error, handler in handlers.items():
        app.add_exception_handler(error, handler)  # type: ignore[arg-type]
