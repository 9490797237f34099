"""Who is asking: bearer keys, signed sessions, roles, scopes, and loopback where no key exists.

Who may see the table `segments`: ML ops. Others see that parity was checked, not for which groups.
"""

import hashlib
import hmac
import secrets
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request

from features.settings import Settings
from monitoring.qualification import STANDS_FOR_GROUP
from monitoring.store import Store
from serving.api.problems import ProblemError
from serving.crm_facts import team_of
from serving.security.rate_limit import Pace, network
from serving.security.request_origin import is_loopback, refuse_foreign
from serving.security.tokens import mac_of, session_secret, sign, unsign
from training.icp import segment_notes

ALL_ROLES = ("sales", "marketing", "mlops", "admin")
SESSION_COOKIE = "perennial_session"
SESSION_SECONDS = 12 * 3600
_KEY_SECONDS = 2.0
_TRIES, _TRY_SECONDS = 10, 60.0


@dataclass(frozen=True)
class Principal:
    """Somebody who was let in.

    Args:
        key_id: the key's public prefix; `local` on loopback where no key exists.
        role: sales, marketing, mlops or admin.
        label: what the key was called.
        owner_id: sees only this owner's accounts; None: all.
        region: sees only this region; None: all.
        team: sees only these owners' accounts, a manager's team; None: all.
    """

    key_id: str
    role: str
    label: str = ""
    owner_id: str | None = None
    region: str | None = None
    team: frozenset[str] | None = None

    def sees(self, row: Mapping[str, Any]) -> bool:
        """Whether a row with `owner_id` and `region` lies within the scope."""
        owner = row.get("owner_id")
        owner_fits = self.owner_id is None or owner == self.owner_id
        team_fits = self.team is None or owner in self.team
        return owner_fits and team_fits and (self.region is None or row.get("region") == self.region)

    @property
    def is_scoped(self) -> bool:
        """Whether an owner, a team or a region narrows what is seen."""
        return self.owner_id is not None or self.region is not None or self.team is not None


def refuse_scoped(principal: Principal, what: str = "These figures span") -> None:
    """Raise 403 for a key with a scope: what it asks for is of all owners and regions."""
    if principal.is_scoped:
        raise ProblemError(403, f"{what} all owners and regions; this key sees one only.")


LOCAL = Principal("local", "admin", "this machine")


class Doorkeeper:
    """Checks keys and sessions against the store; what it found stands for two seconds at most.

    Args:
        store: holds the keys' hashes.
        settings: the home holds the secret that signs sessions; how many requests a minute a caller may make.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store, self.settings = store, settings
        self.secret = session_secret(settings.home)
        self.keyed = Pace(settings.requests_per_minute)
        self.strangers = Pace(settings.requests_per_minute_without_key)
        self._known: dict[str, tuple[float, Any]] = {}
        self._wrong: dict[str, deque[float]] = {}

    def admit(self, request: Request) -> Principal:
        """The principal behind a request: bearer key, else session cookie, else loopback without any key.

        Raises:
            ProblemError: 401 without a valid key or session, 403 from elsewhere while no key exists, and for
                what a page of another site sends, 429 for more requests than the caller may make.
        """
        principal = self._found(request)
        if principal is None:
            self.pace_address(request)
            message = (
                "This key is not valid, or was revoked." if "authorization" in request.headers else _NO_KEY
            )
            raise ProblemError(401, message, headers={"WWW-Authenticate": 'Bearer realm="perennial"'})
        if principal is not LOCAL:
            _let_pass(self.keyed.wait(principal.key_id))
        return principal

    def _found(self, request: Request) -> Principal | None:
        header = request.headers.get("authorization")
        if header is not None:
            scheme, _, token = header.partition(" ")
            return self.by_key(token.strip()) if scheme.lower() == "bearer" else None
        cookie = session_cookie(request)
        session = self.session(cookie) if cookie else None
        if session is not None:
            refuse_foreign(request)
            return session[0]
        if self.has_keys():
            return None
        if not is_loopback(request):
            self.pace_address(request)
            raise ProblemError(403, _LOOPBACK_ONLY)
        refuse_foreign(request, by_origin=True)
        return LOCAL

    def pace_address(self, request: Request) -> None:
        """Count a request of somebody unknown against its address.

        Raises:
            ProblemError: 429 where that address has made too many.
        """
        _let_pass(self.strangers.wait(network(request.client.host if request.client else "")))

    def by_key(self, plaintext: str) -> Principal | None:
        """The principal of a key; None: unknown or revoked."""
        digest = hashlib.sha256(plaintext.encode()).hexdigest()
        key = self._remembered(f"key {digest}", lambda: self.store.access.verify_key(plaintext))
        if key is None:
            return None
        return self._principal(vars(key))

    def has_keys(self) -> bool:
        """Whether a key was ever created; from then on nobody is let in without."""
        return self._remembered("any", self.store.access.has_keys)

    def sign_in(self, plaintext: str) -> str | None:
        """A session cookie for a key; None where the key is not valid."""
        principal = self.by_key(plaintext)
        if principal is None:
            return None
        claims = {
            "key": principal.key_id,
            "until": int(time.time()) + SESSION_SECONDS,
            "id": secrets.token_hex(16),
        }
        self.store.audit.record(principal.label or principal.key_id, "signed in", principal.key_id)
        return sign(claims, self.secret)

    def sign_out(self, cookie: str, principal: Principal) -> None:
        """End a session: its cookie opens nothing from now on, whoever holds a copy."""
        self.store.audit.record(principal.label or principal.key_id, "signed out", principal.key_id)
        claims = unsign(cookie, self.secret)
        if claims is not None:
            self.store.access.end_session(
                _named(claims), datetime.fromtimestamp(claims["until"], UTC).replace(tzinfo=None)
            )
            self._known.pop("ended", None)

    def session(self, cookie: str) -> tuple[Principal, str] | None:
        """The principal and the id of a session; None where it has ended or its key was revoked."""
        claims = unsign(cookie, self.secret)
        if claims is None or claims.get("until", 0) < time.time():
            return None
        if _named(claims) in self._remembered("ended", self.store.access.ended_sessions):
            return None
        for key in self._remembered("keys", self.store.access.keys):
            if key["prefix"] == claims["key"] and key["revoked_at"] is None:
                return self._principal(key), claims["id"]
        return None

    def _principal(self, key: Mapping[str, Any]) -> Principal:
        """Who a key belongs to; a manager's team is as the CRM has it now."""
        manager = key["manager_id"]
        team = None if manager is None else team_of(self.settings, manager)
        return Principal(key["prefix"], key["role"], key["label"] or "", key["owner_id"], key["region"], team)

    def csrf_token(self, request: Request) -> str:
        """What a form of this visitor must carry; another on each page: a compressed page gives none away."""
        salt = secrets.token_hex(8)
        return f"{salt}.{self._csrf(request, salt)}"

    def is_own_form(self, request: Request, token: str) -> bool:
        """Whether a form was drawn for this visitor: its CSRF token is theirs."""
        salt, _, mac = token.partition(".")
        return hmac.compare_digest(mac.encode(), self._csrf(request, salt).encode())

    def _csrf(self, request: Request, salt: str) -> str:
        """Bound to the session; on loopback without keys, to this installation."""
        cookie = session_cookie(request)
        session = self.session(cookie) if cookie else None
        return mac_of(f"{session[1] if session else 'loopback'} {salt}".encode(), self.secret, "form")

    def may_try(self, caller: str) -> bool:
        """Whether an address may try a key: not after ten wrong ones within a minute."""
        since = time.monotonic() - _TRY_SECONDS
        self._wrong = {name: tries for name, tries in self._wrong.items() if tries[-1] > since}
        tries = self._wrong.get(caller, ())
        return sum(tried > since for tried in tries) < _TRIES

    def note_wrong_key(self, caller: str) -> None:
        """Remember that an address tried a key that is not valid."""
        tries = self._wrong.setdefault(caller, deque(maxlen=_TRIES))
        tries.append(time.monotonic())
        if not self.may_try(caller):
            self.store.audit.record(caller, "locked out", None, {"wrong_keys": len(tries)})

    def _remembered(self, name: str, ask: Any) -> Any:
        asked_at, answer = self._known.get(name, (-_KEY_SECONDS, None))
        if time.monotonic() - asked_at > _KEY_SECONDS:
            if len(self._known) > 10_000:  # somebody is guessing keys: forget rather than grow
                self._known.clear()
            answer = ask()
            self._known[name] = (time.monotonic(), answer)
        return answer


_NO_KEY = "Send a key: Authorization: Bearer …, or sign in at /sign-in."
_LOOPBACK_ONLY = (
    "No key exists yet, so only this very machine is answered, and not through a proxy. "
    "See `perennial keys create`."
)


def _let_pass(seconds: int) -> None:
    if seconds:
        raise ProblemError(
            429, f"Too many requests. Wait {seconds} s.", headers={"Retry-After": str(seconds)}
        )


def session_cookie(request: Request) -> str | None:
    """The session that a request carries."""
    return request.cookies.get(cookie_name(request))


def cookie_name(request: Request) -> str:
    """The session cookie's name; over HTTPS the prefix keeps other hosts of the domain from setting it."""
    return f"__Host-{SESSION_COOKIE}" if request.scope["scheme"] == "https" else SESSION_COOKIE


def _named(claims: Mapping[str, Any]) -> str:
    """How a session is known once it has ended: who reads the list of them can make no cookie of it."""
    return hashlib.sha256(str(claims.get("id")).encode()).hexdigest()


KEEPERS = ("mlops", "admin")
STANDS_FOR = "One of its conditions stands for an audited group; those who keep the models see which."


def sees_segments(principal: Principal) -> bool:
    """Whether this visitor may see segments by name."""
    return principal.role in KEEPERS


def profiles_for(principal: Principal, study: Mapping[str, Any]) -> dict[str, Any]:
    """Profiles (of `training.icp.profiles`) as a visitor may see them."""
    if sees_segments(principal):
        return dict(study)
    named = {words for profile in study["profiles"] for words in profile["proxies"]}
    shown = [
        {**profile, "proxies": [STANDS_FOR] if profile["proxies"] else []} for profile in study["profiles"]
    ]
    return {**study, "profiles": shown, "notes": [note for note in study["notes"] if note not in named]}


def reach_for(principal: Principal, full: Mapping[str, Any]) -> dict[str, Any]:
    """Who is reached (of `monitoring.market_reach`) as a visitor may see it.

    `audited` counts the guarded groups that are hidden, by verdict.
    """
    if sees_segments(principal):
        return {**full, "audited": {}}
    hidden = [row for row in full["rows"] if row["attribute"] in full["guarded"]]
    taken_out = {**full["taken_out"], **dict.fromkeys(full["standing"], STANDS_FOR_GROUP)}
    return {
        **full,
        "rows": [row for row in full["rows"] if row["attribute"] not in full["guarded"]],
        "audited": dict(Counter(row["verdict"] for row in hidden)),
        "guarded": [],
        "taken_out": taken_out,
    }


def list_for(principal: Principal, targets: Mapping[str, Any]) -> dict[str, Any]:
    """The targeting list (of `training.icp.targets`) as a visitor may see it.

    `audited` counts the groups by verdict. For those who may not see segments `reach` is empty, and of
    `without_proxies` only the figures of the list are left.
    """
    listed = {**targets, "audited": dict(Counter(row["verdict"] for row in targets["reach"]))}
    if sees_segments(principal):
        return listed
    bare, hidden = targets["without_proxies"], segment_notes(targets)
    return {
        **listed,
        "reach": [],
        "without_proxies": bare and {**bare, "taken_out": {}, "reach": []},
        "notes": [note for note in targets["notes"] if note not in hidden],
    }
