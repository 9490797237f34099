"""Messages to a webhook of one's own, signed: `hooks://host/path` among the addresses of alerts or scores.

Follows the Standard Webhooks specification: `webhook-id` (the same however often a message is tried),
`webhook-timestamp` (seconds) and `webhook-signature`: `v1,` and the Base64 HMAC-SHA256 of
`id.timestamp.body`.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import httpx

from features.errors import RenewalError
from features.sources.connection_file import checked_url, secret_of
from features.sources.web_api import PASSING

SCHEMES = {"hooks": "https", "hook": "http"}
"""Scheme of an alert address → what it is posted by; http for this machine alone."""
NAME = "webhook"
"""The secret is PERENNIAL_SECRET_WEBHOOK, or in the file that PERENNIAL_SECRET_WEBHOOK_FILE names."""
_SECONDS = 10.0
_SENT = (
    "alert_id",
    "rule",
    "kind",
    "title",
    "reasons",
    "subject_id",
    "account_id",
    "segment",
    "owner",
    "value",
    "threshold",
    "state",
)


class NotTakenError(Exception):
    """The receiver did not take the message, or it could not be signed.

    Args:
        words: why.
        is_passing: whether it may be taken yet, when it is tried again.
    """

    def __init__(self, words: str, is_passing: bool = False) -> None:
        super().__init__(words)
        self.is_passing = is_passing


def is_signed(url: str) -> bool:
    """Whether an alert address is one of a signed webhook."""
    return url.partition("://")[0] in SCHEMES


def post_alert(url: str, alert: Mapping[str, Any]) -> None:
    """Post one alert of the ledger.

    Args:
        url: `hooks://…`.
        alert: its columns, with `round`: 0, or the number of the repeat.

    Raises:
        NotTakenError: anything but an answer of 200 to 299.
    """
    content = {
        "type": "alert.joined" if alert["round"] else "alert.opened",
        "timestamp": f"{alert['opened_at']:%Y-%m-%dT%H:%M:%SZ}",
        "data": {name: alert.get(name) for name in _SENT},
    }
    with httpx.Client() as client:
        post_message(url, f"{alert['alert_id']}.{alert['round']}", content, client)


def post_message(url: str, message_id: str, content: Mapping[str, Any], client: httpx.Client) -> None:
    """Post one message, signed.

    Args:
        url: `hooks://…`.
        message_id: the same however often it is posted.
        content: `type`, `timestamp` and `data`.
        client: whose connection is used.

    Raises:
        NotTakenError: anything but an answer of 200 to 299.
    """
    scheme, _, rest = url.partition("://")
    body = json.dumps(content, default=str)
    try:
        place = checked_url(f"{SCHEMES[scheme]}://{rest}")
        headers = signed_headers(message_id, int(time.time()), body, secret_of(NAME).get_secret_value())
        answer = client.post(place, content=body.encode(), headers=headers, timeout=_SECONDS)
    except RenewalError as error:
        raise NotTakenError(str(error)) from error
    except httpx.InvalidURL as error:
        raise NotTakenError(type(error).__name__) from error
    except httpx.RequestError as error:
        raise NotTakenError(type(error).__name__, is_passing=True) from error
    if not answer.is_success:
        is_passing = answer.status_code in PASSING
        raise NotTakenError(f"the receiver answered {answer.status_code}", is_passing)


def signed_headers(message_id: str, timestamp: int, body: str, secret: str) -> dict[str, str]:
    """The headers of a message; a secret `whsec_…` is Base64, any other is taken as it is.

    Raises:
        NotTakenError: what follows `whsec_` is no Base64.
    """
    key = secret.encode()
    if secret.startswith("whsec_"):
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error as error:
            raise NotTakenError(f"the secret of {NAME} begins with whsec_, and no Base64 follows") from error
    digest = hmac.new(key, f"{message_id}.{timestamp}.{body}".encode(), hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
