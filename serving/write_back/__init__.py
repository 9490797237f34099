"""Scores and advice written back into the systems they came from: what changed only, undone on request."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from features.errors import RenewalError
from features.progress import Say, checkpoint, silent
from features.scratch import turn
from features.settings import Settings
from features.sources.connection_file import Connection, connections
from features.sources.web_api import RefusedError
from monitoring.store import Store
from serving.write_back.present_values import WRITTEN, present_values
from serving.write_back.targets import Target, field_name, target_of
from serving.write_back.written_log import FOLDER, Values, Written, WrittenLog, forget_written

__all__ = ["forget_written", "suggested_fields", "undo", "writable_connections", "write_back"]
_FAILED_SHOWN = 20
T = TypeVar("T")


def writable_connections(settings: Settings, name: str | None = None) -> list[Connection]:
    """The connections that are set up to be written to, or the one of that name.

    Raises:
        RenewalError: the one that is named is not set up for it.
    """
    listed = [each for each in connections(settings.home) if each.write_back and name in (None, each.name)]
    if name is not None and not listed:
        raise RenewalError(
            expected=f"a connection {name} that is set up to be written to",
            found="none",
            do=f"Run `perennial connect {name} --write-back`.",
        )
    return listed


def suggested_fields(connection: Connection) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Table → what is written → field, of the suggested fields that are there; and those that are not.

    Raises:
        RenewalError: no way in, or not one of the fields is there.
    """
    target = target_of(connection)
    chosen: dict[str, dict[str, str]] = {}
    lacking: list[str] = []
    for table, object in target.objects.items():
        try:
            writable = target.writable(object)
        except RefusedError as refused:
            if refused.status not in (403, 404):
                raise
            writable = set()
        for what in WRITTEN[table]:
            name = field_name(target, what)
            fields = [each for each in sorted(writable) if each == name or each.endswith(f"_{name}")]
            if fields:
                chosen.setdefault(table, {})[what] = fields[0]
            else:
                lacking.append(f"{object}.{name}")
    if not chosen:
        raise RenewalError(
            expected=f"fields of {connection.name} that its user may write",
            found=f"none of {', '.join(lacking)}",
            do="Create those you want, and let its user edit them.",
        )
    return chosen, lacking


def write_back(
    connection: Connection, store: Store, settings: Settings, *, dry_run: bool = False, say: Say = silent
) -> dict[str, Any]:
    """Write what changed since it was last written.

    A record that is no longer scored gets its fields emptied. One that the system refuses is named and tried
    again the next time; the others are written.

    Returns:
        `connection`, `dry_run`, `objects` (each `object`, `changed`, `unchanged`, `failed`), and `failures`
        (the first ones: `object`, `id`, `why`).
    """
    target, log = target_of(connection), WrittenLog(connection.name, settings.home)
    result: dict[str, Any] = {
        "connection": connection.name,
        "dry_run": dry_run,
        "objects": [],
        "failures": [],
    }
    with turn(settings.home / FOLDER / f".{connection.name}.lock"):
        written = log.read()
        for table, names in connection.write_back.items():
            object = target.objects[table]
            present = present_values(table, store, settings, set(names))
            wanted = {
                id: {names[what]: value for what, value in each.items()} for id, each in present.items()
            }
            changed, unchanged = _changes(object, wanted, list(names.values()), written)
            say(f"{object}: {len(changed):,} to write, {unchanged:,} as they were written")
            failed = {} if dry_run else _write(target, log, object, changed, written)
            counts = {"changed": len(changed) - len(failed), "unchanged": unchanged, "failed": len(failed)}
            result["objects"].append({"object": object, **counts})
            result["failures"] += [{"object": object, "id": id, "why": why} for id, why in failed.items()]
    result["failures"] = result["failures"][:_FAILED_SHOWN]
    return result


def _changes(
    object: str, wanted: Mapping[str, Values], fields: list[str], written: Mapping[tuple[str, str], Written]
) -> tuple[dict[str, Values], int]:
    """Id → values that are not written yet, and how many records are as they should be."""
    gone = {id for of, id in written if of == object} - set(wanted)
    everything = {**wanted, **{id: dict.fromkeys(fields) for id in sorted(gone)}}
    changed, unchanged = {}, 0
    for id, values in everything.items():
        record = written.get((object, id))
        if record is None and all(value is None for value in values.values()):
            continue
        if record is not None and record.is_done and record.values == values:
            unchanged += id in wanted
        else:
            changed[id] = values
    return changed, unchanged


def _write(
    target: Target,
    log: WrittenLog,
    object: str,
    changed: Mapping[str, Values],
    written: Mapping[tuple[str, str], Written],
) -> dict[str, str]:
    """Write in batches: what stood there is noted first, then it is written, then that is noted."""
    failed: dict[str, str] = {}
    for batch in _batches(list(changed), target.batch):
        checkpoint()
        before = {id: written[object, id].before if (object, id) in written else {} for id in batch}
        unread = [id for id in batch if not set(changed[id]) <= set(before[id])]
        fields = list(dict.fromkeys(name for id in unread for name in changed[id]))
        there = target.read(object, unread, fields) if unread else {}
        failed |= {id: "there is no such record" for id in unread if id not in there}
        records = [
            Written(object, id, changed[id], {**there.get(id, {}), **before[id]})
            for id in batch
            if id not in failed
        ]
        log.append(records)
        refused = target.write(object, {record.id: record.values for record in records}) if records else {}
        log.confirm(record for record in records if record.id not in refused)
        failed |= refused
    return failed


def undo(connection: Connection, settings: Settings, *, dry_run: bool = False) -> dict[str, Any]:
    """Put back what stood in every field before Perennial first wrote it; what people changed since stays.

    Returns:
        As `write_back`; `unchanged` counts records that people have changed.
    """
    target, log = target_of(connection), WrittenLog(connection.name, settings.home)
    result: dict[str, Any] = {
        "connection": connection.name,
        "dry_run": dry_run,
        "objects": [],
        "failures": [],
    }
    with turn(settings.home / FOLDER / f".{connection.name}.lock"):
        left = dict(log.read())
        for object in sorted({of for of, _ in left}):
            records = [record for (of, _), record in left.items() if of == object]
            counts = {"changed": 0, "unchanged": 0, "failed": 0}
            for batch in _batches(records, target.batch):
                _put_back(target, object, batch, left, counts, result["failures"], dry_run)
                if not dry_run:
                    log.rewrite(left)
            result["objects"].append({"object": object, **counts})
    result["failures"] = result["failures"][:_FAILED_SHOWN]
    return result


def _put_back(
    target: Target,
    object: str,
    batch: list[Written],
    left: dict[tuple[str, str], Written],
    counts: dict[str, int],
    failures: list[dict[str, str]],
    dry_run: bool,
) -> None:
    fields = list(dict.fromkeys(name for record in batch for name in record.values))
    there = target.read(object, [record.id for record in batch], fields)
    values = {}
    for record in batch:
        now = there.get(record.id, {})
        ours = {
            name: record.before.get(name)
            for name, value in record.values.items()
            if record.id in there and _is_same(now.get(name), value)
        }
        counts["unchanged"] += len(ours) < len(record.values)
        if ours:
            values[record.id] = ours
    refused = {} if dry_run or not values else target.write(object, values)
    counts["changed"] += len(values) - len(refused)
    counts["failed"] += len(refused)
    failures += [{"object": object, "id": id, "why": why} for id, why in refused.items()]
    for record in batch:
        if record.id in refused:
            left[object, record.id] = replace(record, is_done=False)
        else:
            left.pop((object, record.id))


def _is_same(first: Any, second: Any) -> bool:
    """Whether two values are one, however the system writes them (81.5 and "81.50", nothing and "")."""
    if first in (None, "") or second in (None, ""):
        return first in (None, "") and second in (None, "")
    try:
        return float(first) == float(second)
    except (TypeError, ValueError):
        return str(first) == str(second)


def _batches(items: list[T], size: int) -> Iterator[list[T]]:
    yield from (items[start : start + size] for start in range(0, len(items), size))
