"""Events of product and web analytics, in the folder `events` beside the CRM data, as `usage` and `touches`.

`events.yaml` in that folder says whose an event is; nothing is guessed:

    property: company_id     # of events or users
    matches: account_id      # the column of accounts that it equals; `domain`: that of an e-mail or site

or `users: users.csv` (columns user_id, account_id) in place of both. An event that names no account
belongs to its user's account, if that user has only one. Events are counted by day, each metric
an event's name; the rarest are counted together.
"""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import yaml

from features.crm.columns_match import matched
from features.crm.contract import TABLES
from features.crm.values import literal, quoted
from features.errors import RenewalError
from features.sources import ga4_events, mixpanel_events
from features.sources.readers import Raw, connect

FOLDER, SETTING = "events", "events.yaml"
READERS: tuple[ModuleType, ...] = (mixpanel_events, ga4_events)
GIVES = {
    "usage": ("account_id", "used_on", "metric", "value"),
    "touches": ("touch_id", "sent_at", "account_id", "channel", "clicked_at"),
}
"""The columns that events are counted into."""
MOST_METRICS = 50
_ENDINGS = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz", ".parquet")
_DOMAIN = r"regexp_replace(regexp_replace(lower(trim(%s)), '^.*(@|://)', ''), '^www\.|[/:?#].*$', '', 'g')"
_KEYS = ("property", "matches", "users")


@dataclass(frozen=True)
class Matching:
    """How an event names its account: a property that equals a column of accounts, or a list of users."""

    property: str
    matches: str
    users: Path | None


def add_events(folder: Path, staging: Path, raw: Raw) -> None:
    """Count the folder's events into the raw tables `usage` and `touches`, beside what these hold already.

    Args:
        folder: of the events; nothing happens without it.
        staging: for the tables' files.
        raw: with the CRM's tables.

    Raises:
        RenewalError: the setting is missing or wrong, a file is damaged, or no event is of a known account.
    """
    if not folder.is_dir():
        return
    files = _files(folder, raw)
    if not files:
        return
    with connect(staging / "spill") as connection:
        matching = _matching(folder, connection, files)
        try:
            _make_events(connection, files, matching)
        except (duckdb.InvalidInputException, duckdb.IOException) as error:
            raise RenewalError(
                expected=f"the files of {folder.name} to be whole",
                found=str(error).splitlines()[0][:200],
                do="Export them again.",
            ) from error
        _make_accounts(connection, matching, raw)
        _tell_matched(connection, matching, raw)
        _write(connection, "usage", _USAGE, staging, raw)
        _write(connection, "touches", _TOUCHES, staging, raw)


def _files(folder: Path, raw: Raw) -> dict[ModuleType, list[Path]]:
    """Reader → its files."""
    files: dict[ModuleType, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or not path.name.lower().endswith(_ENDINGS) or path.name.startswith("."):
            continue
        first = None if path.name.lower().endswith(".parquet") else _first_line(path)
        reader = next((each for each in READERS if each.recognises(path, first)), None)
        if reader is None:
            names = " or ".join(each.NAME for each in READERS)
            raw.warnings.append(f"{folder.name}/{path.name} holds no events as {names} exports them: ignored")
        else:
            files.setdefault(reader, []).append(path)
    return files


def _first_line(path: Path) -> dict[str, Any] | None:
    try:
        with gzip.open(path, "rt") if path.name.lower().endswith(".gz") else path.open() as file:
            line = json.loads(file.readline())
    except (OSError, ValueError, EOFError):
        return None
    return line if isinstance(line, dict) else None


def _matching(
    folder: Path, connection: duckdb.DuckDBPyConnection, files: dict[ModuleType, list[Path]]
) -> Matching:
    place = folder / SETTING
    try:
        given = yaml.safe_load(place.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        names = [name for reader, paths in files.items() for name in reader.properties(connection, paths)]
        listed = ", ".join(list(dict.fromkeys(names))[:20])
        raise RenewalError(
            expected=f"{place} to say which property names the account (property, matches) or users (users)",
            found=f"no such file; properties of the events are {listed}",
            do="Write it, such as `property: company_id` and `matches: account_id` on two lines.",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        given = " ".join(str(error).split())[:100]
    is_right = isinstance(given, dict) and set(given) in ({"property", "matches"}, {"users"})
    if not is_right or not all(isinstance(value, str) for value in given.values()):
        raise RenewalError(
            expected=f"{place} with `property` and `matches`, or with `users`",
            found=", ".join(map(str, given)) if isinstance(given, dict) else str(given),
            do="Correct it.",
        )
    if "users" not in given:
        return Matching(given["property"], given["matches"], None)
    users = folder / given["users"]
    if not users.is_file():
        raise RenewalError(
            expected=f"{given['users']} beside {SETTING}, with the columns user_id and account_id",
            found="no such file",
            do="Write it, or correct its name.",
        )
    return Matching("user_id", "user_id", users)


def _make_events(
    connection: duckdb.DuckDBPyConnection, files: dict[ModuleType, list[Path]], matching: Matching
) -> None:
    parts = [reader.events(connection, paths, matching.property) for reader, paths in files.items()]
    if matching.users is not None:
        parts = [f"SELECT * REPLACE (user_id AS hint) FROM ({part})" for part in parts]
    connection.execute(
        f"CREATE TABLE events AS SELECT * FROM ({' UNION ALL '.join(parts)})"
        " WHERE moment IS NOT NULL AND event IS NOT NULL AND user_id IS NOT NULL"
    )


def _make_accounts(connection: duckdb.DuckDBPyConnection, matching: Matching, raw: Raw) -> None:
    """Make `whose` (hint, account_id), and `known`: events with their account, null where none is known."""
    wash = _DOMAIN if matching.matches == "domain" else "lower(trim(%s))"
    if matching.users is not None:
        pairs = (
            f"SELECT user_id AS hint, account_id FROM read_csv({literal(matching.users)},"
            " header = true, all_varchar = true)"
        )
        wash = "%s"
    else:
        pairs = _account_column(matching, raw)
    connection.execute(
        f"CREATE TABLE whose AS SELECT {wash % 'hint'} AS hint, min(account_id) AS account_id"
        f" FROM ({pairs}) WHERE hint IS NOT NULL AND {wash % 'hint'} <> ''"
        " GROUP BY 1 HAVING count(DISTINCT account_id) = 1"
    )
    connection.execute(
        "CREATE TABLE known AS"
        " WITH named AS (SELECT e.*, w.account_id FROM events e"
        f" LEFT JOIN whose w ON w.hint = {wash % 'e.hint'}),"
        " users AS (SELECT user_id, min(account_id) AS theirs FROM named GROUP BY 1"
        " HAVING count(DISTINCT account_id) = 1)"
        " SELECT n.* REPLACE (coalesce(n.account_id, CASE WHEN n.hint IS NULL THEN u.theirs END)"
        " AS account_id)"
        " FROM named n LEFT JOIN users u USING (user_id)"
    )


def _account_column(matching: Matching, raw: Raw) -> str:
    """SQL of (hint, account_id), from accounts or the first table that names accounts."""
    for name in ("accounts", "contracts", "opportunities"):
        if name not in raw.tables:
            continue
        path = raw.tables[name]
        columns = [
            row[0] for row in duckdb.execute(f"DESCRIBE FROM read_parquet({literal(path)})").fetchall()
        ]
        source = {each: each for each in columns} | matched(TABLES[name], columns)
        if "account_id" in source and matching.matches in source:
            hint, account = (f"{quoted(source[each])}::VARCHAR" for each in (matching.matches, "account_id"))
            return f"SELECT {hint} AS hint, {account} AS account_id FROM read_parquet({literal(path)})"
        if name == "accounts":
            raise RenewalError(
                expected=f"`matches` in {SETTING} to be a column of accounts ({', '.join(columns[:20])})",
                found=matching.matches,
                do="Correct it.",
            )
    raise RenewalError(
        expected="a table accounts that events can be matched to", found="none", do="Add or map it."
    )


def _tell_matched(connection: duckdb.DuckDBPyConnection, matching: Matching, raw: Raw) -> None:
    whole, of_known = connection.execute("SELECT count(*), count(account_id) FROM known").fetchone() or (0, 0)
    lost = connection.execute(
        "SELECT hint FROM known WHERE account_id IS NULL AND hint IS NOT NULL GROUP BY 1"
        " ORDER BY count(*) DESC, 1 LIMIT 3"
    ).fetchall()
    examples = ", ".join(str(row[0]) for row in lost) or f"no {matching.property} in any of them"
    if not of_known:
        what = f"is in {matching.users.name}" if matching.users else f"equals accounts.{matching.matches}"
        raise RenewalError(
            expected=f"events whose {matching.property} {what}",
            found=f"none of {whole:,} ({examples})",
            do=f"Correct {SETTING}, or take the folder {FOLDER} away.",
        )
    raw.warnings.append(
        f"{FOLDER}: {of_known:,} of {whole:,} events are of known accounts"
        + (f"; not of {examples}" if of_known < whole and lost else "")
    )


_NAMED = (
    "(SELECT event FROM known WHERE account_id IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, event"
    f" LIMIT {MOST_METRICS})"
)
_DAY = "account_id, CAST(moment AS DATE)::VARCHAR AS used_on"
_USAGE = (
    f"SELECT {_DAY}, CASE WHEN event IN {_NAMED} THEN event ELSE 'other events' END AS metric,"
    " count(*)::VARCHAR AS value FROM known WHERE account_id IS NOT NULL GROUP BY ALL"
    f" UNION ALL SELECT {_DAY}, 'active users', count(DISTINCT user_id)::VARCHAR"
    " FROM known WHERE account_id IS NOT NULL GROUP BY ALL"
    f" UNION ALL SELECT {_DAY}, 'sessions', count(DISTINCT (user_id, session))::VARCHAR"
    " FROM known WHERE account_id IS NOT NULL AND session IS NOT NULL GROUP BY ALL"
    f" UNION ALL SELECT {_DAY}, 'engaged minutes', round(sum(engaged_seconds) / 60, 2)::VARCHAR"
    " FROM known WHERE account_id IS NOT NULL AND engaged_seconds IS NOT NULL GROUP BY ALL"
    " ORDER BY ALL"
)
_TOUCHES = (
    "SELECT md5(concat_ws('|', user_id, coalesce(session, CAST(moment AS DATE)::VARCHAR), campaign, source,"
    " medium)) AS touch_id, min(moment)::VARCHAR AS sent_at, account_id,"
    " lower(any_value(coalesce(medium, source))) AS channel, min(moment)::VARCHAR AS clicked_at FROM known"
    " WHERE account_id IS NOT NULL AND campaign IS NOT NULL AND campaign NOT LIKE '(%' GROUP BY 1, account_id"
    " ORDER BY 2, 1"
)
"""A visit that a campaign brought: one a session, or a day where sessions are not recorded."""


def _write(connection: duckdb.DuckDBPyConnection, name: str, select: str, staging: Path, raw: Raw) -> None:
    """Write the rows, after those of the table that is there already."""
    (count,) = connection.execute(f"SELECT count(*) FROM ({select})").fetchone() or (0,)
    if not count:
        return
    target = staging / f"{name}.with_events.parquet"
    if name in raw.tables:
        before = raw.tables[name]
        columns = _contract_columns(name, before)
        select = f"SELECT {columns} FROM read_parquet({literal(before)}) UNION ALL BY NAME ({select})"
    connection.execute(f"COPY ({select}) TO {literal(target)} (FORMAT parquet)")
    raw.tables[name] = target


def _contract_columns(name: str, path: Path) -> str:
    """A table's columns as text, those that the contract knows under its names."""
    columns: Sequence[str] = [
        row[0] for row in duckdb.execute(f"DESCRIBE FROM read_parquet({literal(path)})").fetchall()
    ]
    called = {source: contract for contract, source in matched(TABLES[name], list(columns)).items()}
    return ", ".join(f"{quoted(each)}::VARCHAR AS {quoted(called.get(each, each))}" for each in columns)
