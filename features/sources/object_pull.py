"""One object of a system pulled page by page into the home, resumed after a break, each row once.

What came is noted after each page, in one step: a killed pull asks for the next page, not for the first. Once
all pages are in, they are put into the object's table by key, which gives the same however often it is done;
only then does the mark move from which the next pull asks for changes. What changed is in a file beside
the table and replaces its rows as they are read, until it is large enough to be put in: a pull costs what has
changed, not what there is.
"""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from features.crm.values import literal, quoted
from features.errors import RenewalError
from features.moments import utc_now
from features.progress import Say, checkpoint, silent
from features.scratch import replacing
from features.sources.readers import connect

BEGINNINGS = 3
"""How often a pull is begun when its place in the answer is lost."""
FULL_AFTER_DAYS = 14
"""Systems no longer report what was deleted longer ago: after such a gap all is read."""

PUT_IN_FROM = 0.1
"""From this share of a table's rows on, what changed is put into it: a row is rewritten ten times at most."""
_BLOCK_BYTES = 1 << 24


@dataclass(frozen=True)
class Page:
    """What one page brought.

    Args:
        rows: how many.
        following: where the next one is; None: that was the last.
        mark: from where the next pull asks for changes; None: from the latest change among the rows.
    """

    rows: int
    following: str | None
    mark: str | None = None


class CursorLostError(Exception):
    """The place in the answer is no longer there (a job expired, a token too old): the pull begins again."""


class MarkLostError(CursorLostError):
    """Changes since the mark are no longer reported: all is read."""


class Feed(Protocol):
    """An object as its system gives it, all values as text.

    Attributes:
        name: of the object, and of its table.
        key: the column that identifies rows.
        changed: the column of the latest change; "": the object is read in full each time.
        deleted: the column that is `true` where the row is gone; "": no row ever is.
        merged: the column that names the row that took a deleted one's place; "": there is none.
    """

    name: str
    key: str
    changed: str
    deleted: str
    merged: str

    def columns(self) -> list[str]:
        """Ask the system which columns there are by now."""

    def begin(self, since: str | None) -> str:
        """Ask for all rows, or for those that changed since a mark; returns the first page's place."""

    def page(self, cursor: str, part: Path) -> Page:
        """Write one page as Parquet.

        Raises:
            CursorLostError: there is no such place any more.
            MarkLostError: nor is there what it began from.
        """


@dataclass(frozen=True)
class _State:
    """What is noted of an object: the table as it is, and a pull under way."""

    columns: list[str] = field(default_factory=list)
    mark: str | None = None
    pulled_at: str | None = None
    reading: list[str] = field(default_factory=list)
    is_full: bool = False
    cursor: str | None = None
    parts: list[str] = field(default_factory=list)
    next_mark: str | None = None
    is_complete: bool = False

    @property
    def is_under_way(self) -> bool:
        return self.cursor is not None or self.is_complete


@dataclass(frozen=True)
class Pulled:
    """An object after a pull: its table as SQL, its columns, and how many rows the pull brought."""

    name: str
    query: str
    rows: int
    is_full: bool
    columns: list[str]


def pull(feed: Feed, folder: Path, say: Say = silent) -> Pulled:
    """Bring an object's table up to date.

    Args:
        feed: the object.
        folder: of the connection; whoever calls holds it alone.
        say: called with the pages read so far.

    Raises:
        RenewalError: the system refuses or does not answer; what came is kept for the next call.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = _read_state(folder, feed.name)
    resumed = state.is_under_way
    pulled = _finished(feed, folder, state, say)
    if resumed:  # what was cut short may be days old
        again = _finished(feed, folder, _read_state(folder, feed.name), say)
        return replace(again, rows=pulled.rows + again.rows, is_full=pulled.is_full or again.is_full)
    return pulled


def pull_all(feeds: Iterable[Feed], folder: Path, say: Say) -> list[Pulled]:
    """Bring every object's table up to date."""
    pulled = []
    for feed in feeds:
        pulled.append(pull(feed, folder, say))
        checkpoint()
    return pulled


def _finished(feed: Feed, folder: Path, state: _State, say: Say) -> Pulled:
    reason = ""
    for _ in range(BEGINNINGS):
        columns = feed.columns() if not state.is_complete else state.reading
        try:
            if not state.is_under_way or state.reading != columns:
                state = _begun(feed, folder, state, columns)
            state = _all_pages(feed, folder, state, say)
        except CursorLostError as lost:
            reason = str(lost)
            say(f"{feed.name}: {reason}; it is read from its beginning")
            mark = None if isinstance(lost, MarkLostError) else state.mark
            state = replace(state, mark=mark, cursor=None, is_complete=False)
            continue
        return _merged(feed, folder, state)
    raise RenewalError(
        expected=f"{feed.name} to be read to its end",
        found=f"{BEGINNINGS} times that {reason}",
        do="Run it again later; check the rights of its user if it lasts.",
    )


def _begun(feed: Feed, folder: Path, state: _State, columns: list[str]) -> _State:
    """Ask for what has changed, or for all: a column is new, or the last pull too long ago."""
    is_there = (folder / f"{feed.name}.parquet").is_file() and set(columns) <= set(state.columns)
    oldest = utc_now() - pd.Timedelta(days=FULL_AFTER_DAYS)
    is_recent = state.pulled_at is not None and pd.Timestamp(state.pulled_at) > oldest
    since = state.mark if is_there and is_recent else None
    cursor = feed.begin(since)
    shutil.rmtree(_parts_folder(folder, feed.name), ignore_errors=True)
    begun = _State(state.columns, state.mark, state.pulled_at, columns, since is None, cursor)
    return _noted(folder, feed.name, begun)


def _all_pages(feed: Feed, folder: Path, state: _State, say: Say) -> _State:
    parts = _parts_folder(folder, feed.name)
    parts.mkdir(exist_ok=True)
    while state.cursor is not None:
        checkpoint()
        number = len(state.parts) + 1
        with replacing(parts / f"{number:06d}.parquet") as part:
            page = feed.page(state.cursor, part)
            _to_disk(part)
        say(f"{feed.name}: page {number}, {page.rows:,} rows")
        state = replace(
            state,
            parts=[*state.parts, f"{number:06d}.parquet"],
            cursor=page.following,
            next_mark=page.mark or state.next_mark,
            is_complete=page.following is None,
        )
        _noted(folder, feed.name, state)
    return state


def _merged(feed: Feed, folder: Path, state: _State) -> Pulled:
    """Put what came into the table, or beside it; a later page's row replaces an earlier one's."""
    table, changes = folder / f"{feed.name}.parquet", folder / f"{feed.name}.changes.parquet"
    places = [str(_parts_folder(folder, feed.name) / part) for part in state.parts]
    parts = f"read_parquet([{', '.join(map(literal, places))}], union_by_name = true, file_row_number = true"
    parts += ", filename = true)"
    columns, key = state.reading, quoted(feed.key)
    rows = sum(pq.read_metadata(place).num_rows for place in places)
    with connect(table.with_suffix(".spill")) as connection:
        (distinct,) = connection.execute(f"SELECT count(DISTINCT {key}) FROM {parts}").fetchone() or (0,)
        latest = f"SELECT {_without_the_gone(feed, columns)} FROM {parts}"
        if distinct != rows:
            order = "filename DESC, file_row_number DESC"
            latest += f" QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {order}) = 1"
        mark = state.next_mark
        if mark is None and feed.changed:
            newest = f"SELECT max({quoted(feed.changed)}) FROM {parts}"
            (mark,) = connection.execute(newest).fetchone() or (None,)
        if state.is_full:
            _copied(connection, latest, table)
            changes.unlink(missing_ok=True)
        else:
            if changes.exists():
                latest = _replaced(_rows_of(changes, columns), f"SELECT {key} FROM {parts}", feed.key, latest)
            _copied(connection, latest, changes)
            if pq.read_metadata(changes).num_rows > PUT_IN_FROM * pq.read_metadata(table).num_rows:
                _copied(connection, _table_query(feed, folder, columns), table)
                changes.unlink()
    moment = utc_now().isoformat()
    _noted(folder, feed.name, _State(columns, mark or state.mark, moment))
    shutil.rmtree(_parts_folder(folder, feed.name), ignore_errors=True)
    return Pulled(feed.name, _table_query(feed, folder, columns), rows, state.is_full, columns)


def _copied(connection: duckdb.DuckDBPyConnection, query: str, place: Path) -> None:
    """Write a query's rows into a file, in one step."""
    with replacing(place) as part:
        connection.execute(f"COPY ({query}) TO {literal(part)} (FORMAT parquet, COMPRESSION zstd)")
        _to_disk(part)


def _rows_of(place: Path, columns: list[str]) -> str:
    return f"SELECT {', '.join(map(quoted, columns))} FROM read_parquet({literal(place)})"


def _replaced(rows: str, keys: str, key: str, by: str) -> str:
    """SQL of rows, those with the keys left out, and then those they are replaced by."""
    return f"SELECT * FROM ({rows}) ANTI JOIN ({keys}) USING ({quoted(key)}) UNION ALL ({by})"


def _table_query(feed: Feed, folder: Path, columns: list[str]) -> str:
    """SQL of an object's rows as they are by now."""
    rows = _rows_of(folder / f"{feed.name}.parquet", columns)
    changes = folder / f"{feed.name}.changes.parquet"
    if not changes.exists():
        return rows
    return _replaced(rows, _rows_of(changes, [feed.key]), feed.key, _rows_of(changes, columns))


def _without_the_gone(feed: Feed, columns: list[str]) -> str:
    """The columns; of a deleted row nothing is kept but its key and its successor."""
    if not feed.deleted or feed.deleted not in columns:
        return ", ".join(map(quoted, columns))
    gone = f"lower({quoted(feed.deleted)}) = 'true'"
    if feed.merged in columns:
        gone += f" AND {quoted(feed.merged)} IS NULL"
    stays = (feed.key, feed.deleted, feed.merged)
    return ", ".join(
        quoted(name)
        if name in stays
        else f"CASE WHEN NOT coalesce({gone}, false) THEN {quoted(name)} END AS {quoted(name)}"
        for name in columns
    )


def _parts_folder(folder: Path, name: str) -> Path:
    return folder / f"{name}.parts"


def _read_state(folder: Path, name: str) -> _State:
    place = folder / f"{name}.json"
    try:
        state = _State(**json.loads(place.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return _State()
    except (ValueError, TypeError) as error:
        raise RenewalError(
            expected=f"{place} to say how far {name} was read",
            found=" ".join(str(error).split())[:100],
            do="Remove it; the object is then read in full.",
        ) from error
    parts = _parts_folder(folder, name)
    if all((parts / part).is_file() for part in state.parts):
        return state
    return replace(state, cursor=None, parts=[], is_complete=False)


def _noted(folder: Path, name: str, state: _State) -> _State:
    with replacing(folder / f"{name}.json") as part:
        part.write_text(json.dumps(asdict(state), indent=1), encoding="utf-8")
        _to_disk(part)
    return state


def _to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def write_rows(part: Path, columns: list[str], rows: Iterable[Mapping[str, Any]]) -> int:
    """Write rows of JSON as text columns; returns how many there were."""
    listed = list(rows)
    arrays = [pa.array([text_of(row.get(name)) for row in listed], pa.string()) for name in columns]
    pq.write_table(pa.table(arrays, names=columns), part)
    return len(listed)


def text_of(value: Any) -> str | None:
    """A value of JSON as text: `true` and `false`, lists and objects as JSON, nothing where it is empty."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def write_csv_rows(csv: Path, part: Path, columns: list[str]) -> int:
    """Write an answer in CSV as text columns; returns its rows, the header apart.

    Raises:
        ValueError: it is no CSV with these columns.
    """
    read = pa_csv.open_csv(
        csv,
        read_options=pa_csv.ReadOptions(block_size=_BLOCK_BYTES),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            column_types={name: pa.string() for name in columns},
            include_columns=columns,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    )
    rows = 0
    with pq.ParquetWriter(part, pa.schema([(name, pa.string()) for name in columns])) as writer:
        for batch in read:
            rows += batch.num_rows
            writer.write_batch(batch.select(columns))
    return rows
