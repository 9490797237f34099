"""Calls to a system's web interface: logins renewed, limits respected, no secret shown.

What passes by itself (a connection that breaks, 408, 425, 429, 5xx, a limit on requests) is tried again after
the server's `Retry-After`, or else after doubling waits with a random part (full jitter, as described in the
AWS Architecture Blog). An answer that ends early counts as none.
"""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from features.errors import RenewalError

ATTEMPTS = 7
LONGEST_WAIT_SECONDS = 60.0
LONGEST_ASKED_SECONDS = 600.0
"""A server that asks for a longer wait is left alone until the next run."""
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses of an answer after which another try may do."""
_LIMIT_CODES = frozenset({"REQUEST_LIMIT_EXCEEDED"})
_TIMEOUT = httpx.Timeout(120.0, connect=20.0)

pause = time.sleep


class RefusedError(RenewalError):
    """The system refused a call, and would again.

    Args:
        status: of the answer.
        code: the system's name for the fault, "" where it gives none.
        message: its words.
        expected: as in RenewalError.
        do: as in RenewalError.
    """

    def __init__(self, status: int, code: str, message: str, *, expected: str, do: str) -> None:
        words = ": ".join(part for part in (code, message) if part)
        super().__init__(expected=expected, found=f"{status} {words}".strip(), do=do)
        self.status, self.code, self.message = status, code, message


class WebApi:
    """A system's web interface behind one login.

    Args:
        called: the connection's name, for messages.
        url: the beginning of all addresses; a call to another host is refused.
        log_in: gets a client and returns a token; called at first and whenever the token has expired.
        watch: shown each answer's headers; may raise RenewalError to stop before a limit is used up.
        headers: sent with every call.
    """

    def __init__(
        self,
        called: str,
        url: str,
        log_in: Callable[[httpx.Client], str],
        *,
        watch: Callable[[httpx.Headers], None] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.called, self.url = called, url
        self._log_in, self._watch = log_in, watch
        self._client = httpx.Client(timeout=_TIMEOUT, headers=headers or {})
        self._token = ""
        self.calls = 0

    def json(self, method: str, address: str, **options: Any) -> Any:
        """The answer's JSON; None where it is empty.

        Raises:
            RefusedError: the system refuses.
            RenewalError: it does not answer, or what comes is no JSON.
        """
        response = self.call(method, address, **options)
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError as error:
            raise RenewalError(
                expected=f"JSON from {self.called}", found=response.text[:80], do="Check the address."
            ) from error

    def call(self, method: str, address: str, to: Path | None = None, **options: Any) -> httpx.Response:
        """One call, tried again while what hinders it passes.

        Args:
            method: of HTTP.
            address: a path below `url`, or a whole address of the same host.
            to: a file for the body, which is then not held in memory.
            options: of `httpx.Client.request`.

        Raises:
            RefusedError: the system refuses.
            RenewalError: it does not answer.
        """
        place = self._placed(address)
        renewed = False
        attempt, hindrance = 0, ""
        while attempt < ATTEMPTS:
            response = None
            try:
                response = self._once(method, place, to, options)
            except httpx.RequestError as error:
                hindrance = type(error).__name__
            if response is not None:
                if response.is_success:
                    return response
                if response.status_code == 401 and not renewed:
                    self._token, renewed = "", True
                    continue
                refusal = self._refusal(response)
                if response.status_code not in PASSING and refusal.code not in _LIMIT_CODES:
                    raise refusal
                hindrance = refusal.found
            pause(self._wait_seconds(attempt, response))
            attempt += 1
        raise RenewalError(
            expected=f"{self.called} to answer",
            found=f"{hindrance} {ATTEMPTS} times",
            do="Run it again later; what came so far is kept and gone on with.",
        )

    def _once(self, method: str, place: str, to: Path | None, options: dict[str, Any]) -> httpx.Response:
        if not self._token:
            self._token = self._log_in(self._client)
        headers = {"Authorization": f"Bearer {self._token}", **options.get("headers", {})}
        given = {**options, "headers": headers}
        self.calls += 1
        with self._client.stream(method, place, **given) as response:
            if to is None or not response.is_success:
                response.read()
            else:
                with to.open("wb") as file:
                    for block in response.iter_bytes():
                        file.write(block)
        if self._watch is not None:
            self._watch(response.headers)
        return response

    def _placed(self, address: str) -> str:
        """The whole address; the token goes to no other host."""
        place = address if "://" in address else f"{self.url}{address}"
        if urlsplit(place)[:2] != urlsplit(self.url)[:2]:
            raise RenewalError(
                expected=f"{self.called} to send on to {urlsplit(self.url).netloc}",
                found=urlsplit(place).netloc,
                do="Correct the connection's address.",
            )
        return place

    def _wait_seconds(self, attempt: int, response: httpx.Response | None) -> float:
        wanted = response.headers.get("Retry-After", "") if response is not None else ""
        if wanted.replace(".", "", 1).isdigit():
            if float(wanted) > LONGEST_ASKED_SECONDS:
                raise RenewalError(
                    expected=f"{self.called} to answer within {LONGEST_ASKED_SECONDS / 60:.0f} minutes",
                    found=f"a limit that ends in {float(wanted) / 60:.0f} minutes",
                    do="Run it again then; what came so far is kept and gone on with.",
                )
            return float(wanted)
        return random.uniform(0.5, 1.0) * min(2.0**attempt, LONGEST_WAIT_SECONDS)

    def _refusal(self, response: httpx.Response) -> RefusedError:
        code, message = fault_of(response)
        do = "Check the rights of its user."
        if response.status_code == 401:
            do = "Check its client, user and secret."
        elif code in _LIMIT_CODES or response.status_code == 429:
            do = "Run it again later; what came so far is kept and gone on with."
        return RefusedError(
            response.status_code,
            code,
            self._without_token(message),
            expected=f"{self.called} to allow {response.request.method} {response.request.url.path}",
            do=do,
        )

    def _without_token(self, text: str) -> str:
        return text.replace(self._token, "…") if self._token else text


def fault_of(response: httpx.Response) -> tuple[str, str]:
    """The code and the words of a refusal, in any of the forms that systems give them."""
    try:
        body = response.json()
    except ValueError:
        return "", ""
    fault = body[0] if isinstance(body, list) and body else body
    if isinstance(fault, dict) and isinstance(fault.get("error"), dict):
        fault = fault["error"]
    if not isinstance(fault, dict):
        return "", ""
    code = fault.get("errorCode") or fault.get("code") or fault.get("category") or fault.get("error") or ""
    message = fault.get("message") or fault.get("error_description") or ""
    return str(code)[:60], " ".join(str(message).split())[:200]


def token_from(client: httpx.Client, url: str, form: dict[str, str], called: str) -> str:
    """A token by OAuth: the form posted, the answer's `access_token`.

    Raises:
        RefusedError: the login is refused; the secret is not in its words.
        httpx.RequestError: no answer.
    """
    response = client.post(url, data=form, headers={"Accept": "application/json"})
    if response.status_code in PASSING:
        raise httpx.ReadError(f"{response.status_code}")
    code, message = fault_of(response)
    token = response.json().get("access_token") if response.is_success else None
    if token:
        return str(token)
    for value in form.values():
        message = message.replace(value, "…") if len(value) > 7 else message
    raise RefusedError(
        response.status_code,
        code,
        message,
        expected=f"{called} to accept the login",
        do="Check its client, user and secret, and that the app may log in this way.",
    )
