"""Where a request comes from: this very machine, a proxy on it, a page of another site."""

import ipaddress
from functools import lru_cache

from starlette.requests import Request

from features.errors import RenewalError
from serving.api.problems import ProblemError

_LOCAL_NAMES = frozenset({"localhost"})
_PROXY_HEADERS = (
    "forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip",
    "x-client-ip", "x-cluster-client-ip", "true-client-ip", "cf-connecting-ip",
)  # fmt: skip
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def refuse_foreign(request: Request, *, by_origin: bool = False) -> None:
    """Refuse what a page of another site makes a visitor's browser send (Fetch Metadata, W3C).

    Following a link from elsewhere is fine. Browsers say where a request comes from, programs don't.

    Args:
        request: what was sent.
        by_origin: judge a request that changes something by its Origin too, where that is all there is; a
            proxy may have changed the Host it would have to equal.

    Raises:
        ProblemError: 403.
    """
    site, headers = request.headers.get("sec-fetch-site"), request.headers
    is_reading = request.method in _READING
    is_link = is_reading and headers.get("sec-fetch-mode") == "navigate"
    foreign = site in ("cross-site", "same-site") and not is_link
    if site is None and by_origin and not is_reading and "origin" in headers:
        foreign = headers["origin"].partition("://")[2] != headers.get("host")
    if foreign:
        raise ProblemError(403, "This was sent by a page of another site.")


def is_loopback(request: Request) -> bool:
    """Whether a request came from this very machine, not through a proxy and not by a rebound name.

    A proxy on this machine would make the whole world look local, and a web page that resolves its own name
    to 127.0.0.1 would come from the browser's loopback address: headers show both. HTTP/1.0 is what
    nginx speaks to a server behind it unless configured otherwise; hardly anything else still does.
    """
    if request.scope.get("http_version") == "1.0" or any(name in request.headers for name in _PROXY_HEADERS):
        return False
    client = request.client.host if request.client else ""
    host = request.url.hostname or ""
    return _is_loopback_address(client) and (host in _LOCAL_NAMES or _is_loopback_address(host))


@lru_cache(maxsize=1_000)
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
