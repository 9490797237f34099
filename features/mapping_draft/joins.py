"""A row's account that is not in its own file: found by name, through a contract or deal, or by pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from features.crm.columns_match import bare_name
from features.crm.contract import TABLES
from features.crm.values import quoted
from features.mapping_draft.foreign_files import ForeignColumn, ForeignFile
from features.mapping_draft.match import FileMatch

SHARED = 0.5
"""From this share of values that are ids of the other file on, a column refers to it."""
_ID_NAMES = {
    "accounts": ("accountid", "companyid", "organizationid", "customerid", "orgid", "clientid"),
    "opportunities": ("opportunityid", "dealid", "potentialid"),
    "contracts": ("contractid", "subscriptionid"),
}


@dataclass(frozen=True)
class Join:
    """A further relation in a SELECT.

    Args:
        clause: `LEFT JOIN …`, with `{file}` for each file's relation.
        expression: what it gives.
        files: the files it reads, in the order they are named.
        sources: (file stem, column) that the value comes from.
        evidence: what shows it.
        share: of the values that lead somewhere.
    """

    clause: str
    expression: str
    files: tuple[ForeignFile, ...]
    sources: tuple[tuple[str, str], ...]
    evidence: str
    share: float = 1.0


def shared(
    connection: duckdb.DuckDBPyConnection, one: ForeignFile, column: str, other: ForeignFile, key: str
) -> float:
    """The share of the column's different values that the other file's column holds."""
    ((n, held),) = connection.execute(
        f"SELECT count(*), count(*) FILTER (v IN (SELECT CAST({quoted(key)} AS VARCHAR) FROM"
        f" {other.relation}))"
        f" FROM (SELECT DISTINCT CAST({quoted(column)} AS VARCHAR) AS v FROM {one.relation}"
        f" WHERE {quoted(column)} IS NOT NULL)"
    ).fetchall()
    return held / n if n else 0.0


def account_join(
    connection: duckdb.DuckDBPyConnection,
    file_match: FileMatch,
    mapped: Sequence[FileMatch],
    spare: Sequence[ForeignFile],
    alias: str,
) -> Join | None:
    """How a table's rows get their account, where the id is no column of theirs."""
    accounts = next((each for each in mapped if each.table == "accounts"), None)
    match = file_match.matches.get("account_id")
    if accounts is not None and file_match.table != "accounts":
        by_name = _by_name(connection, file_match, accounts, match.source if match else None, alias)
        if by_name is not None:
            return by_name
    if match is not None:
        return None
    if accounts is not None and file_match.table != "accounts":
        by_value = _by_value(connection, file_match, accounts, alias)
        if by_value is not None:
            return by_value
    by_pairs = pairs_join(connection, file_match, "accounts", spare, alias)
    return by_pairs or _through(connection, file_match, mapped, alias)


_MANY = 5
"""Different values from which on names that two files share are no chance."""


def _by_value(
    connection: duckdb.DuckDBPyConnection, file_match: FileMatch, accounts: FileMatch, alias: str
) -> Join | None:
    """The column whose values are the accounts' names, whatever it is called."""
    joins = [
        (join.share, join)
        for column in file_match.unused
        if column.distinct >= _MANY and column.numbers < SHARED and not column.day_forms
        if (join := _by_name(connection, file_match, accounts, column, alias)) is not None
    ]
    return max(joins, key=lambda each: each[0], default=(0.0, None))[1]


def _by_name(
    connection: duckdb.DuckDBPyConnection,
    file_match: FileMatch,
    accounts: FileMatch,
    column: ForeignColumn | None,
    alias: str,
) -> Join | None:
    """The accounts' names are where their ids should be."""
    key, name = accounts.matches.get("account_id"), accounts.matches.get("name")
    if column is None or key is None or name is None or key.source.name == name.source.name:
        return None
    by_id = shared(connection, file_match.file, column.name, accounts.file, key.source.name)
    by_name = shared(connection, file_match.file, column.name, accounts.file, name.source.name)
    if by_name <= by_id or by_name < SHARED:
        return None
    clause = (
        f"LEFT JOIN (SELECT {quoted(name.source.name)} AS name, min({quoted(key.source.name)}) AS id"
        f" FROM {{file}} GROUP BY ALL) {alias} ON {alias}.name = t.{quoted(column.name)}"
    )
    evidence = f"{by_name:.0%} of its values are names in {accounts.file.path.name!r}"
    sources = ((file_match.file.stem, column.name),)
    expression = f"coalesce({alias}.id, t.{quoted(column.name)})"
    return Join(clause, expression, (accounts.file,), sources, evidence, by_name)


def pairs_join(
    connection: duckdb.DuckDBPyConnection,
    file_match: FileMatch,
    other: str,
    spare: Sequence[ForeignFile],
    alias: str,
) -> Join | None:
    """A file of pairs links a table's rows to accounts or deals; of several the first by id."""
    key = file_match.matches.get(str(TABLES[file_match.table].key))
    if key is None:
        return None
    for file in spare:
        by_bare = file.by_bare()
        account = next((by_bare[each] for each in _ID_NAMES[other] if each in by_bare), None)
        if account is None or len(file.columns) > 6:
            continue
        for column in file.columns:
            if column is account or not column.bare.endswith("id"):
                continue
            same_name = column.bare == key.source.bare and column.bare != "id"
            if (
                same_name
                or _is_named_after(column, file_match.file, file)
                or shared(connection, file, column.name, file_match.file, key.source.name) >= SHARED
            ):
                clause = (
                    f"LEFT JOIN (SELECT {quoted(column.name)} AS own, min({quoted(account.name)}) AS id"
                    f" FROM {{file}} GROUP BY ALL) {alias} ON {alias}.own = t.{quoted(key.source.name)}"
                )
                sources = ((file.stem, account.name),)
                return Join(clause, f"{alias}.id", (file,), sources, f"{file.path.name!r} links the two")
    return None


def _is_named_after(column: ForeignColumn, file: ForeignFile, pairs: ForeignFile) -> bool:
    """Whether `ticket_id` of `ticket_company` is the key of `ticket`."""
    thing = column.bare.removesuffix("id")
    return len(thing) > 3 and thing in bare_name(file.stem) and thing in bare_name(pairs.stem)


@dataclass(frozen=True)
class Stages:
    """A table of stages that says which are closed, and which of those won.

    Args:
        file: the table.
        key: its column that deals name.
        closed: its flag of the closed ones.
        won: its flag of the won ones.
        named: the deals' column that holds the key.
    """

    file: ForeignFile
    key: ForeignColumn
    closed: ForeignColumn
    won: ForeignColumn
    named: ForeignColumn


def stages_of(
    connection: duckdb.DuckDBPyConnection, file_match: FileMatch, spare: Sequence[ForeignFile]
) -> Stages | None:
    """Where deals name a stage by id, the table that says what the stage means."""
    for file in spare:
        by_bare = file.by_bare()
        won = next((by_bare[each] for each in ("closedwon", "iswon", "won") if each in by_bare), None)
        closed = next((by_bare[each] for each in ("isclosed", "closed") if each in by_bare), None)
        keys = [by_bare[each] for each in ("stageid", "id", "apiname", "masterlabel") if each in by_bare]
        if not (won and closed and keys and "stage" in bare_name(file.stem)):
            continue
        for named in file_match.file.columns:
            if "stage" not in named.bare:
                continue
            for key in keys:
                is_meant = named.bare.endswith("stageid") if not named.given else False
                held = 0.0 if is_meant else shared(connection, file_match.file, named.name, file, key.name)
                if is_meant or held >= SHARED:
                    return Stages(file, key, closed, won, named)
    return None


def _through(
    connection: duckdb.DuckDBPyConnection, file_match: FileMatch, mapped: Sequence[FileMatch], alias: str
) -> Join | None:
    """The account of the contract or deal that the row names."""
    for other in mapped:
        if other.table not in ("contracts", "opportunities") or other is file_match:
            continue
        key, account = other.matches.get(str(TABLES[other.table].key)), other.matches.get("account_id")
        if key is None or account is None:
            continue
        for column in file_match.file.columns:
            if column.bare not in (*_ID_NAMES[other.table], key.source.bare) or column.bare == "id":
                continue
            if shared(connection, file_match.file, column.name, other.file, key.source.name) >= SHARED:
                clause = (
                    f"LEFT JOIN (SELECT {quoted(key.source.name)} AS own,"
                    f" min({quoted(account.source.name)}) AS id"
                    f" FROM {{file}} GROUP BY ALL) {alias} ON {alias}.own = t.{quoted(column.name)}"
                )
                sources = ((other.file.stem, account.source.name),)
                evidence = f"through {column.name!r}, the key of {other.file.path.name!r}"
                return Join(clause, f"{alias}.id", (other.file,), sources, evidence)
    return None


def winners(
    connection: duckdb.DuckDBPyConnection, file_match: FileMatch, spare: Sequence[ForeignFile]
) -> tuple[ForeignFile, ForeignColumn, ForeignColumn] | None:
    """(file, its key, its date) where the won ones are in a file of their own, under the same key."""
    key = file_match.matches.get(str(TABLES[file_match.table].key))
    if key is None:
        return None
    for file in spare:
        same = next((column for column in file.columns if column.bare == key.source.bare), None)
        date = next((c for c in file.columns if c.day_forms and ("won" in c.bare or "close" in c.bare)), None)
        if not (same and date and same.distinct >= 0.98 * file.rows and file.rows < file_match.file.rows):
            continue
        if shared(connection, file, same.name, file_match.file, key.source.name) >= 0.9:
            return file, same, date
    return None
