"""Changes of scores as signed webhooks: each change once and in order, under an id that never changes.

A message stands in the journal, on disk, before it is posted, and is noted as taken after: killed in between,
the next run posts the very same message again, and its receiver recognises it by the `webhook-id`.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import httpx

from features.errors import RenewalError
from features.moments import utc_now
from features.progress import Say, checkpoint, silent
from features.scratch import turn
from features.settings import Settings
from features.sources import web_api
from features.sources.connection_file import secret_of
from monitoring.signed_webhook import NAME, NotTakenError, is_signed, post_message
from monitoring.store import Store
from serving.write_back.present_values import KINDS, open_scores, score_values
from serving.write_back.written_log import FOLDER, Values, Written, WrittenLog

WEBHOOK = "webhook"
"""What the webhooks for scores are called beside connections."""
_WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds before a message that was not taken is tried again."""
_REFUSED_IN_A_ROW = 5
"""So many messages refused one after the other, and the receiver is left alone until the next run."""
_FAILED_SHOWN = 20


def score_hooks(settings: Settings) -> list[str]:
    """The addresses that changed scores go to.

    Raises:
        RenewalError: one is no `hooks://…`.
    """
    urls = settings.score_urls.replace(",", " ").split()
    for url in urls:
        if not is_signed(url):
            raise RenewalError(
                expected="addresses like hooks://acme.example/scores in PERENNIAL_SCORE_URLS",
                found=f"one that begins with {url.partition('://')[0][:20]!r}",
                do="Correct it; hooks:// is posted to over https.",
            )
    return urls


def deliver_scores(
    url: str, store: Store, settings: Settings, *, dry_run: bool = False, say: Say = silent
) -> dict[str, Any]:
    """Post every score that is another than the one delivered last, as PERENNIAL_SCORE_CHANGES counts it.

    What is not taken stays due. A score that is gone, or whose customer is held out by now, is sent without
    values.

    Returns:
        As `write_back`; `object` is the contract table.

    Raises:
        RenewalError: there is no secret to sign with.
    """
    secret_of(NAME)
    name = f"scores-{hashlib.sha256(url.encode()).hexdigest()[:12]}"
    log, objects = WrittenLog(name, settings.home), []
    with turn(settings.home / FOLDER / f".{name}.lock"), httpx.Client() as client:
        sender = _Sender(url, log, client)
        for table in KINDS:
            present = {row["subject_id"]: _data(table, row) for row in open_scores(KINDS[table], store)}
            left = [record for record in _delivered(log, table).values() if not record.is_done]
            if not dry_run:
                sender.post(left)
            delivered = _delivered(log, table)
            due = list(_changes(url, table, delivered, present, settings.score_changes))
            say(f"{table}: {len(left) + len(due):,} changed scores to post")
            if not dry_run:
                sender.post(due)
            waiting = {record.id for record in [*left, *due]}
            failed = [id for of, id in sender.failed if of == table]
            unchanged = len(set(delivered) - waiting)
            counts = {"changed": len(waiting) - len(failed), "unchanged": unchanged, "failed": len(failed)}
            objects.append({"object": table, **counts})
        if sender.taken:
            log.rewrite(log.read())
    failures = [{"object": of, "id": id, "why": why} for (of, id), why in sender.failed.items()]
    return {
        "connection": url.partition("?")[0],
        "dry_run": dry_run,
        "objects": objects,
        "failures": failures[:_FAILED_SHOWN],
    }


def _delivered(log: WrittenLog, table: str) -> dict[str, Written]:
    return {id: record for (of, id), record in log.read().items() if of == table}


def _data(table: str, row: Mapping[str, Any]) -> Values:
    """What a message says of a score."""
    values, scored_at = score_values(row), row.get("scored_at")
    return {
        "kind": KINDS[table],
        "subject_id": row["subject_id"],
        "account_id": row.get("account_id"),
        "likelihood": values["likelihood"],
        "band": values["band"],
        "reasons": [reason["words"] for reason in row.get("reasons") or []],
        "model_version": row.get("model_version"),
        "scored_at": _written(scored_at) if isinstance(scored_at, datetime) else scored_at,
    }


def _written(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _changes(
    url: str, table: str, delivered: Mapping[str, Written], present: Mapping[str, Values], changes: str
) -> Iterator[Written]:
    """A message for each change since the one that was taken last; none while one is still to be taken."""
    compared = ("band",) if changes == "band" else ("likelihood", "band")
    for id in dict.fromkeys([*delivered, *present]):
        record = delivered.get(id)
        if record is not None and not record.is_done:
            continue
        last = record.values["data"] if record else dict.fromkeys(compared)
        data = present.get(id) or {**last, "likelihood": None, "band": None, "reasons": []}
        if all(data[name] == last[name] for name in compared):
            continue
        before = {name: last[name] for name in ("likelihood", "band")} if record else None
        message = {**data, "before": before}
        message_id = _message_id(url, table, id, record.values["id"] if record else None, message)
        yield Written(table, id, {"id": message_id, "at": _written(utc_now()), "data": message})


def _message_id(url: str, table: str, id: str, after: str | None, data: Values) -> str:
    """The same for the same change after the same message."""
    text = json.dumps([url, table, id, after, data], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class _Sender:
    """Posts messages in order until the receiver takes no more.

    Args:
        url: where to.
        log: notes each message before it is posted and after it was taken.
        client: whose connection is used.
    """

    def __init__(self, url: str, log: WrittenLog, client: httpx.Client) -> None:
        self.url, self.log, self.client = url, log, client
        self.failed: dict[tuple[str, str], str] = {}
        self.taken, self._refused, self._why = 0, 0, ""

    def post(self, records: list[Written]) -> None:
        """Post these; `failed` has those that were not taken."""
        for record in records:
            if self._refused >= _REFUSED_IN_A_ROW:
                self.failed[record.object, record.id] = f"not tried: {self._why}"
                continue
            checkpoint()
            self.log.append([record])
            fault = self._fault(record)
            if fault is None:
                self.log.confirm([record])
                self.taken, self._refused = self.taken + 1, 0
                continue
            self._why = self.failed[record.object, record.id] = str(fault)
            self._refused = _REFUSED_IN_A_ROW if fault.is_passing else self._refused + 1

    def _fault(self, record: Written) -> NotTakenError | None:
        """Post one message, and again while its receiver may take it yet; None: it was taken."""
        data = record.values["data"]
        kind = "score.removed" if data["likelihood"] is None else "score.changed"
        content = {"type": kind, "timestamp": record.values["at"], "data": data}
        for wait in (*_WAITS, None):
            try:
                post_message(self.url, record.values["id"], content, self.client)
            except NotTakenError as error:
                if wait is None or not error.is_passing:
                    return error
                web_api.pause(wait)
            else:
                break
        return None
