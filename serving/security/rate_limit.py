"""How many requests a caller may make: so many a minute, all at once if it likes (the generic cell rate)."""

import ipaddress
import math
import time

_SPAN_SECONDS = 60.0
_MOST_CALLERS = 10_000


class Pace:
    """Counts callers by name, a number each: the moment up to which a caller has used its allowance.

    A minute's worth may be spent at once; from then on the allowance comes back evenly (ITU-T I.371, GCRA).
    Each process counts for itself.

    Args:
        per_minute: requests a minute and caller; 0: no limit.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._step = _SPAN_SECONDS / per_minute if per_minute else 0.0
        self._used_up_to: dict[str, float] = {}

    def wait(self, caller: str) -> int:
        """Count a request: 0 where it may pass, else whole seconds to wait; refused ones don't count."""
        if not self._step:
            return 0
        now = time.monotonic()
        used = max(self._used_up_to.get(caller, 0.0), now) + self._step
        if used - now > _SPAN_SECONDS + 1e-6:
            return math.ceil(used - now - _SPAN_SECONDS)
        if len(self._used_up_to) >= _MOST_CALLERS and caller not in self._used_up_to:
            self._forget(now)
        self._used_up_to[caller] = used
        return 0

    def _forget(self, now: float) -> None:
        """Forget callers whose allowance is whole again; where that makes no room, all: never grow."""
        self._used_up_to = {name: used for name, used in self._used_up_to.items() if used > now}
        if len(self._used_up_to) >= _MOST_CALLERS:
            self._used_up_to.clear()


def network(address: str) -> str:
    """Who an address counts as: itself; for IPv6 its /64, as one customer holds that many."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
