"""Ids that nearly match between tables meet by the rule that fits; merged records follow their master.

Ids are kept as written in the table whose key they are. Matches made only by a rule are reported with the
rule; an id that could mean several is reported and left as written.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from features.crm.columns_match import bare_name
from features.crm.contract import TABLES
from features.crm.id_forms import BY_NAME, ROUNDED, RULES, Meeting, meet, meet_by_name, visible
from features.crm.known_until import value_of
from features.crm.quality import Quality
from features.crm.redraft import rewrite
from features.crm.validate import Draft
from features.crm.values import WORDY, literal

MERGED = "merged_into"
_NAMING = {"accounts": ("contracts", "opportunities", "leads"), "owners": ("contracts", "opportunities")}
"""Where rows are made from what refers to them, the tables whose spelling of the ids counts first."""
_OWN_KIND = {"accounts": ("parent_account_id",), "owners": ("manager_id",)}
"""Columns that refer to another row of their own table."""
_EXAMPLES = 3
_LONGEST_EXACT = 15
"""Digits that a spreadsheet keeps of a number; the rest it makes zero."""


@dataclass
class _Target:
    """A table that ids refer to: its keys in SQL, and the columns that hold them."""

    table: str
    keys: str
    spelled_by: str
    columns: list[tuple[str, str, str]] = field(default_factory=list)
    """(table, stored column, SQL condition or empty)."""


def settle_ids(
    connection: duckdb.DuckDBPyConnection,
    drafts: Mapping[str, Draft],
    folder: str,
    quality: Quality,
    same: Sequence[Sequence[str]] = (),
) -> None:
    """Rewrite ids of the drafts so that what is one record bears one id.

    Args:
        connection: with the drafted views.
        drafts: by table.
        folder: for the drafts that are rewritten.
        quality: records which columns were joined by which rule, what stays unclear, and what was merged.
        same: groups of records that are one customer, each written `system:id` (`features.identity.links`).
    """
    changed: dict[str, dict[str, tuple[str, dict[str, str]]]] = defaultdict(dict)
    merged: dict[str, dict[str, str]] = {}
    for target in _targets(drafts):
        near = _meet(connection, target, _names(target, drafts), quality)
        if target.table in drafts and MERGED in drafts[target.table].stored:
            merged[target.table] = _masters(connection, target.table, near, quality)
        if target.table == "accounts" and same:
            merged["accounts"] = _with_same(connection, target, same, merged.get("accounts", {}), quality)
        masters = merged.get(target.table, {})
        for table, column, condition in target.columns:
            if column == MERGED:
                continue
            moves = near.get((table, column), {})
            moves = {old: masters.get(new, new) for old, new in moves.items()} | masters
            if moves:
                changed[table][column] = (condition, moves)
    _warn_of_rounded(connection, drafts, quality)
    for table in drafts:
        gone = merged.get(table, {})
        if changed[table] or gone:
            _rewrite(connection, drafts[table], changed[table], gone, folder, quality)
        if MERGED in drafts[table].stored:
            drafts[table].readings = [r for r in drafts[table].readings if r.column.name != MERGED]


def _targets(drafts: Mapping[str, Draft]) -> list[_Target]:
    targets = []
    for name, table in TABLES.items():
        columns = [
            (drafted.table.name, column.stored, "")
            for drafted in drafts.values()
            for column in drafted.columns
            if column.refers == name
        ]
        own_columns = (*_OWN_KIND.get(name, ()), MERGED)
        columns += [
            (name, each, "") for each in own_columns if name in drafts and each in drafts[name].stored
        ]
        if "history" in drafts and columns and name in drafts:
            columns.append(("history", "id", f"__table = {literal(name)}"))
        if table.key is None or not columns:
            continue
        if name in drafts and any(column.name == table.key for column in drafts[name].columns):
            targets.append(_Target(name, _ids_in(name, table.key), name, columns))
        elif name in _NAMING:
            naming = next((each for each in _NAMING[name] if (each, table.key, "") in columns), None)
            if naming:
                columns.remove((naming, table.key, ""))
                targets.append(_Target(name, _ids_in(naming, table.key), naming, columns))
    return [target for target in targets if target.columns]


def _ids_in(table: str, column: str, condition: str = "") -> str:
    value = value_of(column)
    where = f"{value} IS NOT NULL" + (f" AND {condition}" if condition else "")
    return f"SELECT DISTINCT {value} AS id FROM draft_{table} WHERE {where}"


def _names(target: _Target, drafts: Mapping[str, Draft]) -> str:
    """SQL of the keys with their names, as the table or rows that refer to it give them; or nothing."""
    key, one = TABLES[target.table].key or "", target.table[:-1]
    selects = []
    for table, drafted in drafts.items():
        called = ("name",) if table == target.table else (one, f"{one}name")
        for each in drafted.columns:
            if key in drafted.stored and bare_name(each.name) in called and each.kind in WORDY:
                name = value_of(each.stored)
                where = f"{value_of(key)} IS NOT NULL AND {name} IS NOT NULL"
                selects.append(f"SELECT DISTINCT {value_of(key)}, {name} FROM draft_{table} WHERE {where}")
    return " UNION ".join(selects) if target.table in _NAMING else ""


def _meet(
    connection: duckdb.DuckDBPyConnection, target: _Target, names: str, quality: Quality
) -> dict[tuple[str, str], dict[str, str]]:
    """(table, column) → id as written → the key it means; `names` is SQL of keys with their names."""
    parts = [
        f"SELECT {i} AS i, id FROM ({_ids_in(*column)}) ANTI JOIN ({target.keys}) USING (id)"
        for i, column in enumerate(target.columns)
    ]
    strays: dict[int, list[str]] = defaultdict(list)
    for i, id in connection.execute(" UNION ALL ".join(parts)).fetchall():
        strays[i].append(id)
    if not strays:
        return {}
    keys = [id for (id,) in connection.execute(target.keys).fetchall()]
    moves = {}
    for i, ids in sorted(strays.items()):
        table, column, condition = target.columns[i]
        exact = connection.execute(
            f"SELECT id FROM ({_ids_in(table, column, condition)}) SEMI JOIN ({target.keys}) USING (id)"
        ).fetchall()
        meeting = meet(keys, ids, [id for (id,) in exact])
        nameless = [id for id in ids if id not in meeting.key_of and id not in meeting.unclear]
        if names and nameless and column != "id":
            by_name = meet_by_name(connection.execute(names).fetchall(), nameless)
            for met, added in zip(vars(meeting).values(), vars(by_name).values(), strict=True):
                met.update(added)
        moves[table, column] = meeting.key_of
        _tell(table, column, target, meeting, quality)
    return moves


def _tell(table: str, column: str, target: _Target, meeting: Meeting, quality: Quality) -> None:
    whose = f"those of {target.spelled_by}"
    counts = Counter(meeting.rule_of.values())
    for rule in (*(rule.words for rule in RULES), BY_NAME):
        if counts[rule]:
            alike = [id for id, words in sorted(meeting.rule_of.items()) if words == rule][:_EXAMPLES]
            examples = ", ".join(f"{visible(id)!r} is {meeting.key_of[id]!r}" for id in alike)
            quality.warn(
                f"{table}.{column}: {counts[rule]:,} ids are not {whose} as written, and meet them"
                f" when {rule} ({examples}); joined so"
            )
    for rule, ids in _by_rule(meeting).items():
        id = ids[0]
        rivals = " and ".join(map(repr, meeting.unclear[id][1][:_EXAMPLES]))
        quality.warn(
            f"{table}.{column}: {len(ids):,} ids would meet {whose} if {rule}, but not one to one"
            f" ({id!r} beside {rivals}); left as written"
        )


def _by_rule(meeting: Meeting) -> dict[str, list[str]]:
    by_rule: dict[str, list[str]] = defaultdict(list)
    for id, (words, _) in sorted(meeting.unclear.items()):
        by_rule[words].append(id)
    return by_rule


def _masters(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    near: dict[tuple[str, str], dict[str, str]],
    quality: Quality,
) -> dict[str, str]:
    """Merged record → the one that stands for it in the end; chains are followed, circles reported."""
    key, forms = value_of(TABLES[table].key or ""), near.get((table, MERGED), {})
    rows = connection.execute(
        f"SELECT {key}, {value_of(MERGED)} FROM draft_{table} ANTI JOIN bad_{table} USING (__row)"
        f" WHERE {value_of(MERGED)} IS NOT NULL AND {value_of(MERGED)} <> {key}"
    ).fetchall()
    ids = {id for (id,) in connection.execute(_ids_in(table, TABLES[table].key or "")).fetchall()}
    into = {old: forms.get(new, new) for old, new in rows}
    into = {old: new for old, new in into.items() if new in ids and new != old}
    absent = len(rows) - len(into)
    if absent:
        quality.warn(f"{table}: {absent:,} rows were merged into one that is not in the table; they are kept")
    masters, circles = {}, 0
    for old in into:
        passed, new = {old}, into[old]
        while new in into and new not in passed:
            passed.add(new)
            new = into[new]
        if new in passed:
            circles += 1
        else:
            masters[old] = new
    if circles:
        quality.warn(f"{table}: {circles:,} rows are merged into each other in a circle; they are kept")
    if masters:
        old, new = next(iter(masters.items()))
        quality.warn(
            f"{table}: {len(masters):,} merged records follow their master ({old!r} is {new!r} now):"
            " what refers to them counts for it"
        )
    return masters


def _with_same(
    connection: duckdb.DuckDBPyConnection,
    target: _Target,
    same: Sequence[Sequence[str]],
    masters: dict[str, str],
    quality: Quality,
) -> dict[str, str]:
    """`masters`, and every further record of one customer → its account: the first of them that there is.

    Another system's record is meant by `system:id`, and by its id alone where that is no account's and no
    other system's.
    """
    ids = {id for (id,) in connection.execute(target.keys).fetchall()}
    bare = Counter(record.partition(":")[2] for group in same for record in group)
    moves: dict[str, str] = {}
    for group in same:
        keys = sorted({record.removeprefix("crm:") for record in group if record.startswith("crm:")} & ids)
        keys = [id for id in keys if id not in masters] or keys
        for record in group if keys else ():
            id = record.partition(":")[2]
            names = [id] if record.startswith("crm:") else [record, *([id] if bare[id] == 1 else [])]
            is_account = record.startswith("crm:")
            moves |= {name: keys[0] for name in names if is_account or name not in ids}
    moves = {old: masters.get(new, new) for old, new in moves.items()}
    moves = {old: new for old, new in moves.items() if old != new}
    duplicates = len(ids.intersection(moves))
    if moves:
        quality.warn(
            f"accounts: {duplicates:,} accounts and the records of other systems follow the account they are"
            " (perennial identity list --all)"
        )
    return {old: moves.get(new, new) for old, new in masters.items()} | moves


def _rewrite(
    connection: duckdb.DuckDBPyConnection,
    drafted: Draft,
    columns: dict[str, tuple[str, dict[str, str]]],
    gone: dict[str, str],
    folder: str,
    quality: Quality,
) -> None:
    name, joins, values, where = drafted.table.name, [], {}, ""
    for i, (column, (condition, moves)) in enumerate(columns.items()):
        table = f"moved_{name}_{i}"
        _register(connection, table, moves)
        on = f"{table}.old = {value_of(column)}" + (f" AND {condition}" if condition else "")
        joins.append(f"LEFT JOIN {table} ON {on}")
        values[column] = f"coalesce({table}.new, {value_of(column)})"
    if gone:
        _register(connection, f"merged_{name}", gone)
        where = f"{value_of(drafted.table.key or '')} NOT IN (SELECT old FROM merged_{name})"
    removed = rewrite(connection, drafted, values, folder, joins, where)
    quality.of(name).merged += removed


def _register(connection: duckdb.DuckDBPyConnection, name: str, moves: dict[str, str]) -> None:
    pairs = pa.table({"old": pa.array(moves, pa.string()), "new": pa.array(moves.values(), pa.string())})
    connection.register("pairs", pairs)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM pairs")
    connection.unregister("pairs")


def _warn_of_rounded(
    connection: duckdb.DuckDBPyConnection, drafts: Mapping[str, Draft], quality: Quality
) -> None:
    """Ids that a spreadsheet took for numbers: they are kept as written, but may stand for several."""
    for name, drafted in drafts.items():
        for column in drafted.columns:
            if column.kind != "id":
                continue
            value = value_of(column.stored)
            ((suspect,),) = connection.execute(
                f"SELECT count(*) FILTER (length({value}) > {_LONGEST_EXACT} OR contains({value}, '+'))"
                f" FROM draft_{name}"
            ).fetchall()
            if not suspect:
                continue
            rounded = rf"regexp_full_match({value}, '\d{{{_LONGEST_EXACT}}}0{{1,}}')"
            ((lossy, example, long, zeros, zero_example),) = connection.execute(
                f"SELECT count(DISTINCT {value}) FILTER (regexp_full_match({value},"
                f" {literal(ROUNDED.pattern)})),"
                f" min({value}) FILTER (regexp_full_match({value}, {literal(ROUNDED.pattern)})),"
                f" count(DISTINCT {value}) FILTER (length({value}) > {_LONGEST_EXACT}),"
                f" count(DISTINCT {value}) FILTER ({rounded}), min({value}) FILTER ({rounded})"
                f" FROM draft_{name}"
            ).fetchall()
            if lossy:
                quality.warn(
                    f"{name}.{column.name}: {lossy:,} ids were made numbers by a spreadsheet ({example!r}):"
                    " their last digits are gone, and several may have become one. They are kept as written;"
                    " export the column as text"
                )
            if zeros > 1 and zeros == long:
                quality.warn(
                    f"{name}.{column.name}: all {zeros:,} ids of over {_LONGEST_EXACT} digits end in 0"
                    f" ({zero_example!r}): a spreadsheet rounds numbers so. Export the column as text"
                )
