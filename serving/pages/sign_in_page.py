"""Signing in with a key, and out again."""

import re
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from serving.api.problems import ProblemError
from serving.pages.view import Anybody, render
from serving.security.auth import SESSION_SECONDS, cookie_name, session_cookie
from serving.security.rate_limit import network
from serving.security.request_origin import refuse_foreign
from serving.state import running_of

router = APIRouter()


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a posted form (application/x-www-form-urlencoded).

    Raises:
        ProblemError: 415 for another kind of body, 403 without this visitor's CSRF token.
    """
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise ProblemError(415, "A form is expected here.")
    fields = {
        name: values[-1]
        for name, values in parse_qs((await request.body()).decode("utf-8", "replace")).items()
    }
    return fields


async def checked_form(request: Request) -> dict[str, str]:
    """A posted form that carries the visitor's CSRF token.

    Raises:
        ProblemError: 403 where the token is missing or another's.
    """
    fields = await form_of(request)
    if not running_of(request).door.is_own_form(request, fields.get("csrf", "")):
        raise ProblemError(403, "This form is out of date. Go back, reload the page and send it again.")
    return fields


@router.get("/sign-in")
async def ask(request: Request, next: str = "/") -> Response:
    """The form that takes a key."""
    running_of(request).door.pace_address(request)
    return render(request, "sign_in.html", next=_local(next), wrong="")


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Open a session for a key; after ten wrong ones within a minute an address has to wait."""
    refuse_foreign(request)
    fields = await form_of(request)
    caller = network(request.client.host if request.client else "")
    running = running_of(request)
    if not running.door.may_try(caller):
        raise ProblemError(429, "Too many wrong keys. Wait a minute.", headers={"Retry-After": "60"})
    cookie = await run_in_threadpool(running.door.sign_in, fields.get("key", "").strip())
    if cookie is None:
        running.door.note_wrong_key(caller)
        wrong = "This key is not valid, or was revoked."
        return render(request, "sign_in.html", status=401, next=_local(fields.get("next", "/")), wrong=wrong)
    answer = RedirectResponse(_local(fields.get("next", "/")), 303)
    is_https = request.url.scheme == "https"
    answer.set_cookie(
        cookie_name(request), cookie, max_age=SESSION_SECONDS, httponly=True, samesite="lax", secure=is_https
    )
    return answer


@router.post("/sign-out")
async def sign_out(request: Request, principal: Anybody) -> Response:
    """End the session, for every copy of its cookie."""
    await checked_form(request)
    if cookie := session_cookie(request):
        await run_in_threadpool(running_of(request).door.sign_out, cookie, principal)
    answer = RedirectResponse("/sign-in", 303)
    is_https = request.url.scheme == "https"
    answer.delete_cookie(cookie_name(request), httponly=True, samesite="lax", secure=is_https)
    return answer


def _local(address: str) -> str:
    """`address` where it stays on this site, else the start page."""
    return address if _ON_THIS_SITE.fullmatch(address) else "/"


_ON_THIS_SITE = re.compile(r"/([^/\\\x00-\x1f\x7f][^\\\x00-\x1f\x7f]*)?")
"""A path from the root: browsers read // and /\\ as another host, and leave out tabs and line ends."""
