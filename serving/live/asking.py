"""Asking customers: an event that arrives leads to a request, which goes out with a link of its own."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection

from features.progress import Say, silent
from features.settings import Settings
from monitoring.alerts import DeliveryError, Send, by_apprise
from monitoring.store import Store
from monitoring.survey_rules import Rules, Trigger, rules_of
from serving.security.tokens import session_secret, sign, unsign

PURPOSE = "survey"
Contacts = Mapping[str, list[dict[str, Any]]]
"""Account → its contacts: contact_id, email, opted_out."""


def requests_for(
    store: Store,
    connection: Connection,
    rules: Rules,
    table: str,
    rows: Iterable[Mapping[str, Any]],
    contacts: Contacts,
) -> list[str]:
    """Write the requests that rows which arrived lead to, in the transaction they are stored in.

    Returns:
        Why nobody is asked, for each that is not.
    """
    refused = []
    for row in rows:
        for trigger in rules.fired(table, row):
            why = _ask(store, connection, rules, trigger, row, contacts)
            if why is not None:
                refused.append(f"{trigger.name}, {row['account_id']}: {why}")
    return refused


def _ask(
    store: Store,
    connection: Connection,
    rules: Rules,
    trigger: Trigger,
    row: Mapping[str, Any],
    contacts: Contacts,
) -> str | None:
    account = str(row["account_id"])
    people = [*contacts.get(account, ()), *_arrived(store, connection, account)]
    silent_ones = {one["contact_id"] for one in people if one.get("opted_out")}
    named = row.get("contact_id")
    willing = [one for one in people if one["contact_id"] not in silent_ones]
    if named not in (None, ""):
        willing = [one for one in willing if one["contact_id"] == str(named)]
        if not willing:
            return "the contact asked not to be, or is not known"
    elif not willing:
        return "no contact of the account may be asked"
    who = willing[0]
    if any("{email}" in url for url in rules.send) and not who.get("email"):
        return "the contact has no e-mail address"
    event = f"{trigger.name}|{trigger.table}|{_event_id(trigger.table, row)}"
    request = {
        "request_id": hashlib.sha256(event.encode()).hexdigest()[:32],
        "account_id": account,
        "contact_id": who["contact_id"],
        "email": who.get("email"),
        "kind": trigger.survey,
        "touchpoint": trigger.touchpoint,
        "trigger": trigger.name,
    }
    limits = {name: getattr(rules, name) for name in ("contact_days", "account_days", "account_most")}
    return store.ask(connection, request, **limits)


def _event_id(table: str, row: Mapping[str, Any]) -> str:
    """What names the event: the row's own key."""
    from features.crm.contract import TABLES

    key = TABLES[table].key
    return str(row[key]) if key and row.get(key) is not None else str(sorted(row.items()))


def _arrived(store: Store, connection: Connection, account: str) -> list[dict[str, Any]]:
    """Contacts of an account that arrived live: whoever opted out since the CRM was read is asked no more."""
    events = store.events.read("contacts", account_id=account, connection=connection)
    return [event["payload"] for event in events]


def token_of(request_id: str, settings: Settings) -> str:
    """What the link of a request carries: good for that one answer and nothing else."""
    return sign({"request": request_id}, session_secret(settings.home), PURPOSE)


def request_of(token: str, settings: Settings) -> str | None:
    """The request a token was made for; None where it is not one of ours."""
    payload = unsign(token, session_secret(settings.home), PURPOSE)
    return None if payload is None else str(payload.get("request"))


def send_requests(
    store: Store,
    settings: Settings,
    *,
    send: Send | None = None,
    say: Say = silent,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, int]:
    """Send the requests that wait in the ledger, each claimed first and marked after.

    Returns:
        `sent` and `failed`.
    """
    rules, deliver = rules_of(settings), send or by_apprise
    counts = {"sent": 0, "failed": 0}
    while rules.send and not stop() and (due := store.claim_request()) is not None:
        link = f"{rules.address.rstrip('/')}/surveys/{token_of(due['request_id'], settings)}"
        body = rules.text.format(link=link, touchpoint=due["touchpoint"], kind=due["kind"].upper())
        error = None
        try:
            for url in rules.send:
                deliver(url.replace("{email}", due["email"] or ""), rules.subject, body)
        except DeliveryError as failure:
            error = str(failure)
            say(f"survey request {due['request_id']} was not sent: {error}")
        store.mark_request(due["request_id"], error)
        counts["failed" if error else "sent"] += 1
    return counts
