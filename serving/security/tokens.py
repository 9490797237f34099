"""Text that only this installation can have written: sessions and forms' tokens, signed with its secret."""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features.scratch import scratch


def session_secret(home: Path) -> bytes:
    """The secret that signs sessions, made once in `home`, readable by its owner only."""
    path = home / "session.key"
    if not path.exists():
        with scratch(home) as folder:
            descriptor = os.open(folder / path.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(32))
                file.flush()
                os.fsync(descriptor)
            with contextlib.suppress(FileExistsError):
                os.link(folder / path.name, path)  # the first of several processes wins, all read the same
    return path.read_bytes()


def sign(claims: Mapping[str, Any], secret: bytes, purpose: str = "session") -> str:
    """`claims` as text that cannot be changed without `secret` (HMAC-SHA256), good for one purpose."""
    body = base64.urlsafe_b64encode(json.dumps(dict(claims), separators=(",", ":")).encode()).rstrip(b"=")
    return f"{body.decode()}.{mac_of(body, secret, purpose)}"


def unsign(text: str, secret: bytes, purpose: str = "session") -> dict[str, Any] | None:
    """What `sign` signed; None where the signature does not match."""
    body, _, mac = text.partition(".")
    if not hmac.compare_digest(mac.encode(), mac_of(body.encode(), secret, purpose).encode()):
        return None
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


def mac_of(body: bytes, secret: bytes, purpose: str) -> str:
    """A MAC that is good for one purpose: a form's token is no session."""
    return hmac.new(secret, purpose.encode() + b"\0" + body, hashlib.sha256).hexdigest()
