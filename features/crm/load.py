"""A CRM source, cleaned: into a folder, kept as the current one, or for as long as one command runs."""

import errno
import json
import os
import weakref
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.crm.contract import TABLES, Kind
from features.crm.crm import MANIFEST, Crm, read_crm
from features.crm.currencies import convert_money
from features.crm.freshness import days_behind, warnings_of
from features.crm.identifiers import settle_ids
from features.crm.known_until import first_known, last_midnight
from features.crm.product_lines import add_lines_up
from features.crm.quality import Quality, check_rows_left
from features.crm.reading.column_form import add_macros
from features.crm.row_versions import settle_versions
from features.crm.unread import count_unread
from features.crm.validate import (
    Draft,
    begin,
    check_subjects,
    draft,
    gather_ids,
    put_duplicates_aside,
    put_orphans_aside,
)
from features.crm.values import quoted
from features.crm.write import describe, fingerprint, write_derived, write_quarantine, write_table
from features.errors import RenewalError
from features.identity.links import same_customers
from features.moments import moment_of, utc_now
from features.progress import Say, checkpoint, silent
from features.scratch import Scratch, discard, passing, replacing, scratch, sweep_home, turn
from features.settings import Settings
from features.sources import reader_of
from features.sources.folder import read_folder
from features.sources.product_events import FOLDER as EVENTS
from features.sources.product_events import add_events
from features.sources.readers import Raw, connect

Kinds = Mapping[str, Mapping[str, Kind]]
CHANGING = ".current.lock"
"""The file beside the kept CRMs whose lock whoever changes them holds."""
_CURRENT = "current"
_KEPT = 3
_LONGEST_NAME = 128


def load(
    source: str | Path,
    *,
    mapping: Path | None = None,
    until: pd.Timestamp | None = None,
    into: Path,
    durable: bool = False,
    currency: str | None = None,
    home: Path | None = None,
    say: Say = silent,
) -> Crm:
    """Clean a source into the folder `into`, which then holds all of it, or what it held before.

    Args:
        source: a folder, or a database URL.
        mapping: table → SELECT; without it `mapping.yaml` beside the data, if there.
        until: as if today were that moment (naive UTC, or with an offset); without it the next midnight after
            the last moment the data records, but not later than now.
        into: the folder to make or replace.
        durable: make sure that it survives a power cut.
        currency: the home currency that amounts in others are converted to.
        home: where connections to other systems and who is the same customer are kept; without it, where
            `into` stands.
        say: called with each line of progress.

    Raises:
        RenewalError: the source or its mapping is wrong, or not one row of a table can be read.
    """
    until = None if until is None else moment_of(until, "until")
    with scratch(into.parent) as work:
        raw = _read(source, mapping, until, work, home or into.parent, say)
        same = same_customers(home or into.parent)
        crm = _clean(raw, until, work, {}, currency, say, same=same)
        check_rows_left(crm.quality)
        crm.write_manifest()
        return _moved(crm, into, durable)


def ingest(
    source: str | Path,
    settings: Settings,
    mapping: Path | None = None,
    until: pd.Timestamp | None = None,
    say: Say = silent,
) -> Crm:
    """Clean a source, keep it under its fingerprint in the home folder, and make it the current CRM.

    Equal content is kept once; the two kept before stay for readers that have not finished.

    Raises:
        RenewalError: the source or its mapping is wrong.
    """
    crm_home = settings.home / "crm"
    sweep_home(settings.home)
    with scratch(crm_home) as work:
        crm = load(
            source,
            mapping=mapping,
            until=until,
            into=work / "crm",
            durable=True,
            currency=settings.currency,
            home=settings.home,
            say=say,
        )
        with changing(settings):
            place = make_current(crm, settings)
            _prune(crm_home, crm.fingerprint)
    return read_crm(place)


@contextmanager
def opened(
    settings: Settings,
    source: str | Path | None = None,
    mapping: Path | None = None,
    until: pd.Timestamp | None = None,
    say: Say = silent,
) -> Iterator[Crm]:
    """The CRM a command works on: what was ingested, or a source cleaned for as long as the command runs.

    Raises:
        RenewalError: nothing was ingested, or the source or its mapping is wrong.
    """
    if source is None and until is None and mapping is None:
        yield _current(settings)
        return
    sweep_home(settings.home)
    with scratch(settings.home) as work:
        if source is None:
            current = _current(settings)
            source, mapping = current.folder, mapping or _as_source(current, work / "mapping.yaml")
        yield load(
            source,
            mapping=mapping,
            until=until,
            into=work / "crm",
            currency=settings.currency,
            home=settings.home,
            say=say,
        )


_PARTS = {Kind.MONEY: 100.0, Kind.DURATION: 60.0}
"""How many of what is stored make one of what a source gives."""


def _as_source(crm: Crm, file: Path) -> Path:
    """Write the mapping that reads a clean CRM as a source: stored units back into the contract's."""
    selects = {}
    for name in crm.tables:
        changed = [
            (
                column.stored,
                f"{quoted(column.stored)} / {_PARTS.get(column.kind, 1000.0)} AS {quoted(column.name)}",
            )
            for column in TABLES[name].columns
            if column.stored in crm.tables[name] and (column.kind in _PARTS or column.stored != column.name)
        ]
        out = f" EXCLUDE ({', '.join(stored for stored, _ in changed)})" if changed else ""
        selected = ", ".join([f"*{out}", *(read for _, read in changed)])
        selects[name] = f"SELECT {selected} FROM '{name}.parquet'"
    file.write_text(json.dumps(selects), encoding="utf-8")  # JSON is YAML
    return file


def from_rows(
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    until: pd.Timestamp | None = None,
    kinds: Kinds | None = None,
    currency: str | None = None,
) -> Crm:
    """A small CRM from rows as JSON gives them, cleaned like any other; its files go when it is let go.

    Args:
        tables: contract table → rows.
        until: as in `load`.
        kinds: the kinds of carried columns, where a few rows cannot show them (those of the training data).
        currency: as in `load`.

    Raises:
        RenewalError: an unknown table, a missing column, or neither contracts nor opportunities.
    """
    unknown = sorted(set(tables) - set(TABLES))
    if unknown:
        raise RenewalError(
            expected=f"names of tables ({', '.join(TABLES)})",
            found=", ".join(unknown),
            do="Rename them.",
        )
    place = Scratch(passing())
    work = place.path
    try:
        (work / "raw").mkdir()
        raw = Raw(
            {
                name: _rows_file(work / "raw" / f"{name}.parquet", rows)
                for name, rows in tables.items()
                if rows
            }
        )
        end = None if until is None else moment_of(until, "until")
        crm = _clean(raw, end, work, kinds or {}, currency, silent, strict=True)
    except BaseException:
        place.close()
        raise
    weakref.finalize(crm, place.close)
    return crm


def _rows_file(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    names = list(dict.fromkeys(name for row in rows for name in row))
    _check_names(path.stem, names)
    columns = {name: pa.array([_as_text(row.get(name)) for row in rows], pa.string()) for name in names}
    pq.write_table(pa.table(columns), path)
    return path


def _check_names(table: str, names: Sequence[str]) -> None:
    """Names that a file could not have either.

    Raises:
        RenewalError: no column at all, or a name that is blank, too long, not printable or there twice.
    """
    folded = [name.strip().casefold() for name in names]
    odd = next(
        (
            name
            for name, plain in zip(names, folded, strict=True)
            if not plain or len(name) > _LONGEST_NAME or not name.isprintable() or folded.count(plain) > 1
        ),
        None,
    )
    if odd is not None or not names:
        raise RenewalError(
            expected=f"columns of {table} with printable names of at most {_LONGEST_NAME} letters, each once",
            found="no column at all" if odd is None else repr(odd[:_LONGEST_NAME]),
            do="Name each column once, as in the CRM data contract.",
        )


def _as_text(value: Any) -> str | None:
    if value is None:
        return None
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _read(
    source: str | Path, mapping: Path | None, until: pd.Timestamp | None, work: Path, home: Path, say: Say
) -> Raw:
    staging = work / "raw"
    staging.mkdir()
    if "://" in str(source):
        raw = reader_of(str(source))(str(source), mapping, until, staging, home=home, say=say)
        add_events(home / EVENTS, staging, raw)
        return raw
    try:
        raw = read_folder(Path(source), mapping, staging)
        add_events(Path(source) / EVENTS, staging, raw)
        return raw
    except (OSError, EOFError, zlib.error) as error:  # a packed file cut short, a disk that fails
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise  # it is ours that cannot be written
        raise RenewalError(
            expected=f"files in {source} that can be read to their end",
            found=" ".join(str(error).split()),
            do="Check the permissions, or export it again.",
        ) from error


def _clean(
    raw: Raw,
    until: pd.Timestamp | None,
    work: Path,
    kinds: Kinds,
    home: str | None,
    say: Say,
    *,
    strict: bool = False,
    same: Sequence[Sequence[str]] = (),
) -> Crm:
    folder = work / "clean"
    folder.mkdir()
    (work / "draft").mkdir()
    quality = Quality(warnings=list(raw.warnings))
    with connect(work / "spill") as connection:
        add_macros(connection)
        settle_versions(connection, raw, work / "draft", quality)
        drafts: dict[str, Draft] = {}
        for name in TABLES:
            if name in raw.tables:
                given = dict(kinds.get(name, {}))
                drafts[name] = draft(connection, name, raw.tables[name], quality, given, strict=strict)
        check_subjects(drafts)
        for name, drafted in drafts.items():
            checkpoint()
            say(f"checking {name}")
            begin(connection, drafted, work / "draft")
            count_unread(connection, drafted, str(work / "draft" / f"{name}.parquet"), quality)
        settle_ids(connection, drafts, str(work / "draft"), quality, same)
        convert_money(connection, drafts, home, str(work / "draft"), quality)
        add_lines_up(connection, drafts, str(work / "draft"), quality)
        for drafted in drafts.values():
            put_duplicates_aside(connection, drafted, quality)
        gather_ids(
            connection, drafts, {name: first_known(name, each.stored) for name, each in drafts.items()}
        )
        for name in drafts:
            put_orphans_aside(connection, drafts, name, quality)
        now = utc_now()
        end = last_midnight(connection, {name: each.stored for name, each in drafts.items()}, now)
        by_default = now if end is None else min(now, end)
        limit = by_default if until is None else until
        tables = {}
        for name in drafts:
            checkpoint()
            say(f"writing {name}")
            # A contract's undated outcome is known 45 days past its end, a deal's on the day of the load.
            past = until is not None if name == "contracts" else limit < by_default
            tables[name] = write_table(connection, drafts, name, limit, past, folder, quality)
            write_quarantine(connection, drafts[name], folder, quality)
        write_derived(connection, tables, folder, quality)
        describe(folder, tables, quality)
        for text in warnings_of(days_behind(connection, folder, tables, limit), limit):
            quality.warn(text)
        for name, (count, examples) in raw.rejected.items():
            quality.reject(name, count, examples)
        carried = {name: drafted.carried for name, drafted in drafts.items() if drafted.carried}
        marked = limit if until is not None or by_default is not now else None
        name = fingerprint(connection, folder, tables, carried, marked)
    return Crm(folder, limit.as_unit("us"), tables, carried, name, quality)


def _moved(crm: Crm, place: Path, durable: bool) -> Crm:
    """Move a finished folder to its place, in one step; what was there goes after."""
    if durable:
        _make_durable(crm.folder)
    while True:
        try:
            os.rename(crm.folder, place)
            break
        except OSError:
            if not place.exists():
                raise
            with scratch(place.parent) as old:
                os.rename(place, old / "crm")
    if durable:
        _sync(place.parent)
    return Crm(place, crm.until, crm.tables, crm.carried, crm.fingerprint, crm.quality)


def _point_to(name: str, crm_home: Path) -> None:
    """Make a kept CRM the current one, in one step."""
    with replacing(crm_home / _CURRENT) as pointer:
        pointer.write_text(name + "\n")
        _sync(pointer)


def current_folder(settings: Settings) -> Path | None:
    """Where the ingested CRM is kept; None: nothing was ingested."""
    crm_home = settings.home / "crm"
    pointer = crm_home / _CURRENT
    return crm_home / pointer.read_text(errors="replace").strip() if pointer.is_file() else None


def current_crm(settings: Settings) -> Crm | None:
    """The ingested CRM; None: nothing was ingested."""
    return None if current_folder(settings) is None else _current(settings)


def make_current(crm: Crm, settings: Settings) -> Path:
    """Keep a finished CRM beside the others and make it the current one; returns its place."""
    place = settings.home / "crm" / crm.fingerprint
    if not (place / MANIFEST).is_file():
        _make_durable(crm.folder)
        _placed(crm, place)
    _point_to(crm.fingerprint, place.parent)
    os.utime(place)
    return place


@contextmanager
def changing(settings: Settings) -> Iterator[None]:
    """Hold the kept CRM: whoever ingests or erases decides what is the current one by himself."""
    with turn(settings.home / "crm" / CHANGING):
        yield


def _placed(crm: Crm, place: Path) -> None:
    """Move an ingested folder to its place; equal content that came first stays, it may be in use."""
    try:
        os.rename(crm.folder, place)
    except OSError:
        if not (place / MANIFEST).is_file():
            raise
    _sync(place.parent)


def _make_durable(folder: Path) -> None:
    for path in [*folder.rglob("*.parquet"), folder / MANIFEST, folder]:
        _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _current(settings: Settings) -> Crm:
    crm_home = settings.home / "crm"
    try:
        return read_crm(crm_home / (crm_home / _CURRENT).read_text(errors="replace").strip())
    except FileNotFoundError as error:
        raise RenewalError(
            expected=f"an ingested CRM in {settings.home}",
            found="none",
            do="Run `perennial ingest SOURCE` first, or give --crm DIR.",
        ) from error


def _prune(crm_home: Path, current: str) -> None:
    places = [path for path in crm_home.iterdir() if (path / MANIFEST).is_file() and path.name != current]
    places.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for place in places[_KEPT - 1 :]:
        discard(place)
