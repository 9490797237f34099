"""Who is asking: bearer keys, signed sessions, roles, scopes, and loopback where no key exists."""

import base64
import hashlib
import hmac
import ipaddress
import json
import os
import secrets
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request

from features.errors import RenewalError
from monitoring.store import Store
from serving.problems import ProblemError

ALL_ROLES = ("sales", "marketing", "mlops", "admin")
SESSION_COOKIE = "perennial_session"
SESSION_SECONDS = 12 * 3600
_KEY_SECONDS = 2.0
_TRIES, _TRY_SECONDS = 10, 60.0
_LOCAL_NAMES = frozenset({"localhost"})
_PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


@dataclass(frozen=True)
class Principal:
    """Somebody who was let in.

    Args:
        key_id: the key's public prefix; `local` on loopback where no key exists.
        role: sales, marketing, mlops or admin.
        label: what the key was called.
        owner_id: sees only this owner's accounts; None: all.
        region: sees only this region; None: all.
    """

    key_id: str
    role: str
    label: str = ""
    owner_id: str | None = None
    region: str | None = None

    def sees(self, row: Mapping[str, Any]) -> bool:
        """Whether a row with `owner_id` and `region` lies within the scope."""
        owner_fits = self.owner_id is None or row.get("owner_id") == self.owner_id
        return owner_fits and (self.region is None or row.get("region") == self.region)

    @property
    def is_scoped(self) -> bool:
        """Whether an owner or a region narrows what is seen."""
        return self.owner_id is not None or self.region is not None


LOCAL = Principal("local", "admin", "this machine")


class Doorkeeper:
    """Checks keys and sessions against the store; what it found stands for two seconds at most.

    Args:
        store: holds the keys' hashes.
        home: holds the secret that signs sessions.
    """

    def __init__(self, store: Store, home: Path) -> None:
        self.store = store
        self.secret = session_secret(home)
        self._known: dict[str, tuple[float, Any]] = {}
        self._wrong: dict[str, deque[float]] = {}

    def admit(self, request: Request) -> Principal:
        """The principal behind a request: bearer key, else session cookie, else loopback without any key.

        Raises:
            ProblemError: 401 without a valid key or session, 403 from elsewhere while no key exists.
        """
        header = request.headers.get("authorization")
        if header is not None:
            scheme, _, token = header.partition(" ")
            principal = self.by_key(token.strip()) if scheme.lower() == "bearer" else None
            if principal is None:
                raise _locked("This key is not valid, or was revoked.")
            return principal
        cookie = request.cookies.get(SESSION_COOKIE)
        session = self.session(cookie) if cookie else None
        if session is not None:
            return session[0]
        if self.has_keys():
            raise _locked("Send a key: Authorization: Bearer …, or sign in at /sign-in.")
        if not is_loopback(request):
            raise ProblemError(
                403, "No key exists yet, so only this machine is answered. See `perennial keys create`."
            )
        return LOCAL

    def by_key(self, plaintext: str) -> Principal | None:
        """The principal of a key; None: unknown or revoked."""
        digest = hashlib.sha256(plaintext.encode()).hexdigest()
        found = self._remembered(f"key {digest}", lambda: self.store.verify_key(plaintext))
        if found is None:
            return None
        return Principal(found.prefix, found.role, found.label or "", found.owner_id, found.region)

    def has_keys(self) -> bool:
        """Whether a key was ever created; from then on nobody is let in without."""
        return self._remembered("any", self.store.has_keys)

    def sign_in(self, plaintext: str) -> str | None:
        """A session cookie for a key; None where the key is not valid."""
        principal = self.by_key(plaintext)
        if principal is None:
            return None
        told = {
            "key": principal.key_id,
            "until": int(time.time()) + SESSION_SECONDS,
            "csrf": secrets.token_hex(16),
        }
        return sign(told, self.secret)

    def session(self, cookie: str) -> tuple[Principal, str] | None:
        """The principal and the CSRF token of a session; None where it has run out or its key was revoked."""
        told = unsign(cookie, self.secret)
        if told is None or told.get("until", 0) < time.time():
            return None
        for key in self._remembered("keys", self.store.keys):
            if key["prefix"] == told["key"] and key["revoked_at"] is None:
                label = key["label"] or ""
                return Principal(key["prefix"], key["role"], label, key["owner_id"], key["region"]), told[
                    "csrf"
                ]
        return None

    def csrf_token(self, request: Request) -> str:
        """What a form of this visitor must carry; on loopback without keys it belongs to this process."""
        cookie = request.cookies.get(SESSION_COOKIE)
        session = self.session(cookie) if cookie else None
        if session is not None:
            return session[1]
        return hmac.new(self.secret, b"loopback", hashlib.sha256).hexdigest()

    def is_own_form(self, request: Request, token: str) -> bool:
        """Whether a form was drawn for this visitor: its CSRF token is theirs."""
        return hmac.compare_digest(token.encode(), self.csrf_token(request).encode())

    def may_try(self, caller: str) -> bool:
        """Whether an address may try a key: not after ten wrong ones within a minute."""
        since = time.monotonic() - _TRY_SECONDS
        self._wrong = {name: tries for name, tries in self._wrong.items() if tries[-1] > since}
        tries = self._wrong.get(caller, ())
        return sum(tried > since for tried in tries) < _TRIES

    def note_wrong_key(self, caller: str) -> None:
        """Remember that an address tried a key that is not valid."""
        self._wrong.setdefault(caller, deque(maxlen=_TRIES)).append(time.monotonic())

    def _remembered(self, name: str, ask: Any) -> Any:
        asked_at, answer = self._known.get(name, (-_KEY_SECONDS, None))
        if time.monotonic() - asked_at > _KEY_SECONDS:
            if len(self._known) > 10_000:  # somebody is guessing keys: forget rather than grow
                self._known.clear()
            answer = ask()
            self._known[name] = (time.monotonic(), answer)
        return answer


def _locked(detail: str) -> ProblemError:
    return ProblemError(401, detail, headers={"WWW-Authenticate": 'Bearer realm="perennial"'})


def is_loopback(request: Request) -> bool:
    """Whether a request came from this very machine, not through a proxy and not by a rebound name.

    A proxy on this machine would make the whole world look local, and a web page that resolves its own name
    to 127.0.0.1 would speak with the browser's loopback address: both are told by their headers.
    """
    if any(name in request.headers for name in _PROXY_HEADERS):
        return False
    client = request.client.host if request.client else ""
    host = request.url.hostname or ""
    return _is_loopback_address(client) and (host in _LOCAL_NAMES or _is_loopback_address(host))


def _is_loopback_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def require_key_beyond_loopback(host: str, has_keys: bool) -> None:
    """Refuse to listen where others can reach while no key exists.

    Raises:
        RenewalError: `host` is not a loopback address and there is no key.
    """
    if has_keys or host == "localhost" or _is_loopback_address(host):
        return
    raise RenewalError(
        expected=f"a key before listening on {host}, where others can reach it",
        found="no key was ever created",
        do="Run `perennial keys create admin`, or serve on 127.0.0.1.",
    )


def session_secret(home: Path) -> bytes:
    """The secret that signs sessions, made once in `home`, readable by its owner only."""
    path = home / "session.key"
    home.mkdir(parents=True, exist_ok=True)
    part = home / f".session.key.{os.getpid()}.{secrets.token_hex(4)}"
    if not path.exists():
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
        try:
            os.link(part, path)  # the first of several processes wins, all read the same
        except FileExistsError:
            pass
        finally:
            part.unlink()
    return path.read_bytes()


def sign(told: Mapping[str, Any], secret: bytes) -> str:
    """`told` as text that cannot be changed without `secret` (HMAC-SHA256)."""
    body = base64.urlsafe_b64encode(json.dumps(dict(told), separators=(",", ":")).encode()).rstrip(b"=")
    return f"{body.decode()}.{_mac(body, secret)}"


def unsign(text: str, secret: bytes) -> dict[str, Any] | None:
    """What `sign` was told; None where the signature does not fit."""
    body, _, mac = text.partition(".")
    if not hmac.compare_digest(mac.encode(), _mac(body.encode(), secret).encode()):
        return None
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def _mac(body: bytes, secret: bytes) -> str:
    return hmac.new(secret, body, hashlib.sha256).hexdigest()
