"""The draft of a mapping: each table's SELECT, each line with its confidence and what shows it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import duckdb

from features.crm.columns_match import bare_name
from features.crm.contract import TABLES
from features.crm.row_versions import CONNECTOR, DELETED, MARKS
from features.crm.values import literal, quoted
from features.mapping_draft.chosen_files import chosen_files
from features.mapping_draft.expressions import (
    activity_kind,
    column_of,
    decided_only,
    forecast,
    kind_of,
    outcome,
    plain,
)
from features.mapping_draft.foreign_files import TAKEN_AS_IS, ForeignColumn, ForeignFile
from features.mapping_draft.joins import (
    Join,
    Stages,
    account_join,
    pairs_join,
    shared,
    stages_of,
    winners,
)
from features.mapping_draft.match import LIKELY, SURE, UNSURE, FileMatch

Relation = Callable[[ForeignFile], str]
_OUTCOME_NAMES = """
isclosed iswon isclosedwon isdealclosed hsisclosed hsisclosedwon stagename stage dealstage status
statecode statuscode salesstage stepname forecastcategory forecastcategoryname forecasttype
expectedrevenue probability dealstatus ageindays agetier lastactivity lastnotableactivity
"""
_TELLS_THE_OUTCOME = frozenset(_OUTCOME_NAMES.split())
"""Columns that are written when a deal closes: carried, they would give the outcome away."""
_CURRENCIES = (
    "dealcurrency",
    "currencyofvalue",
    "transactioncurrencyid",
    "dealcurrencyofvalue",
    "dealcurrencycode",
    "bidcurrency",
    "valuecurrency",
)
_MONTHLY = ("mrr", "mrramount", "monthlyrecurringrevenue", "monthlyvalue", "monthlyprice", "monthlyfee")
"""What columns are called, to the end of their names, that hold a twelfth of a contract's annual value."""
_LEADS_SOMEWHERE = 0.05
"""A link of which fewer values than this are ids of the other table is taken for a chance."""


@dataclass
class Line:
    """One column of a drafted table."""

    column: str
    expression: str
    sources: tuple[tuple[str, str], ...]
    confidence: str
    evidence: str
    reads: ForeignFile | None = None

    def sql(self, relation: Relation) -> str:
        """The expression, with the name of the other file that it reads."""
        return self.expression.replace("{file}", relation(self.reads)) if self.reads else self.expression


@dataclass
class Part:
    """One SELECT: a file read as a table, with the files joined to it."""

    file_match: FileMatch
    lines: list[Line]
    carried: list[ForeignColumn] = field(default_factory=list)
    marks: dict[str, ForeignColumn] = field(default_factory=dict)
    joins: list[Join] = field(default_factory=list)
    where: str = ""

    @property
    def unmapped(self) -> list[str]:
        """Columns of the file that stay out."""
        used = {column for line in self.lines for _, column in line.sources}
        used |= {column.name for column in (*self.carried, *self.marks.values())}
        return [column.name for column in self.file_match.file.columns if column.name not in used]

    def sql(self, relation: Relation, notes: bool) -> str:
        """The SELECT, with a note behind each line or without."""
        rows = [(f"{line.sql(relation)} AS {quoted_if(line.column)}", line) for line in self.lines]
        width = max(len(text) for text, _ in rows)
        listed = []
        for i, (text, line) in enumerate(rows):
            comma = "," if i < len(rows) - 1 or self.carried or self.marks else ""
            note = f"  -- {line.confidence}: {line.evidence}" if notes else ""
            listed.append(f"{text + comma:<{min(width, 60) + 1}}{note}".rstrip())
        further = [f"{column_of(column)} AS {quoted_if(name)}" for name, column in self.marks.items()]
        further += [column_of(column) for column in self.carried]
        if further:
            listed.append(", ".join(further))
        joins = [join.clause.replace("{file}", relation(join.files[0])) for join in self.joins]
        tail = [f"FROM {relation(self.file_match.file)} AS t", *joins]
        if self.where:
            tail.append(f"WHERE {self.where}")
        body = "\n       ".join(listed)
        return "\n".join([f"SELECT {body}", *tail])


@dataclass
class MappingDraft:
    """Everything that is drafted from a folder, and what is not."""

    tables: dict[str, list[Part]]
    unmapped_files: list[str]
    questions: list[str]

    def sql(self, table: str, relation: Relation, notes: bool = False) -> str:
        """A table's SELECT; several files' rows under each other."""
        return "\nUNION ALL BY NAME\n".join(part.sql(relation, notes) for part in self.tables[table])


def draft_mapping(connection: duckdb.DuckDBPyConnection, files: Sequence[ForeignFile]) -> MappingDraft:
    """Judge the files together.

    Args:
        connection: any DuckDB.
        files: with their text as Parquet.
    """
    chosen = chosen_files(connection, files)
    used = {each.file.stem for each in chosen}
    spare = [file for file in files if file.stem not in used]
    tables: dict[str, list[Part]] = {}
    for match in sorted(chosen, key=lambda each: list(TABLES).index(each.table)):
        part = _part(connection, match, chosen, spare)
        if part is not None:
            tables.setdefault(match.table, []).append(part)
    read = {file.stem for parts in tables.values() for part in parts for file in _files(part)}
    questions = [
        f"{table}.{line.column}: {line.evidence}"
        for table, parts in tables.items()
        for part in parts
        for line in part.lines
        if line.confidence == UNSURE
    ]
    return MappingDraft(tables, [file.path.name for file in files if file.stem not in read], questions)


def _files(part: Part) -> list[ForeignFile]:
    return [part.file_match.file, *(file for join in part.joins for file in join.files)]


def _part(
    connection: duckdb.DuckDBPyConnection,
    file_match: FileMatch,
    chosen: list[FileMatch],
    spare: list[ForeignFile],
) -> Part | None:
    part = Part(file_match, [])
    won = outcome(file_match) if file_match.table in ("opportunities", "contracts") else None
    closing = (
        winners(connection, file_match, spare)
        if file_match.table == "opportunities" and won is None
        else None
    )
    stages = None
    if file_match.table == "opportunities" and won is None and closing is None:
        stages = stages_of(connection, file_match, spare)
        won = _by_stage(file_match, stages) if stages else None
    join = account_join(connection, file_match, chosen, spare, "a")
    if join is not None:
        part.joins.append(join)
    for column in TABLES[file_match.table].by_name:
        line = _line(file_match, column, won[0] if won else None, join)
        if line is not None and (line := _linked(connection, file_match, column, line, chosen)) is not None:
            part.lines.append(line)
    if stages is not None and won is not None:
        _add_stages(part, stages, won)
    elif won is not None:
        names = ("is_won", "renewed", "decided_at")
        match = next(file_match.matches[name] for name in names if name in file_match.matches)
        column = "is_won" if file_match.table == "opportunities" else "renewed"
        _put(part, Line(column, won[0], ((file_match.file.stem, match.source.name),), won[1], won[2]))
    if closing is not None:
        _add_winners(part, *closing)
    if file_match.table == "activities":
        _complete_activity(connection, part, chosen, spare)
    given = {line.column for line in part.lines}
    if not set(TABLES[file_match.table].required) <= given:
        return None
    part.marks = _marks(file_match)
    if TABLES[file_match.table].carries:
        part.carried = [column for column in file_match.unused if _may_be_carried(column, file_match)]
    account = next((line for line in part.lines if line.column == "account_id"), None)
    if account and TABLES[file_match.table].by_name["account_id"].required and file_match.table != "accounts":
        part.where = f"{account.expression} IS NOT NULL"
    return part


def _put(part: Part, line: Line) -> None:
    part.lines = [each for each in part.lines if each.column != line.column]
    order = list(TABLES[part.file_match.table].by_name)
    part.lines.append(line)
    part.lines.sort(key=lambda each: order.index(each.column))


def _line(file_match: FileMatch, column: str, won: str | None, join: Join | None) -> Line | None:
    match = file_match.matches.get(column)
    if column == "account_id" and join is not None:
        return Line(column, join.expression, join.sources, LIKELY, join.evidence)
    if column == "kind" and file_match.table == "activities":
        expression, confidence, evidence = activity_kind(file_match.file, match)
        sources = ((file_match.file.stem, match.source.name),) if match and "t." in expression else ()
        return Line(column, expression, sources, confidence, evidence)
    if column == "activity_id" and match and file_match.table == "activities":
        prefix = "".join(letter for letter in file_match.file.stem.lower() if letter.isalnum())
        expression = f"{literal(prefix + '-')} || CAST({column_of(match.source)} AS VARCHAR)"
        return Line(
            column, expression, ((file_match.file.stem, match.source.name),), match.confidence, match.evidence
        )
    if match is None or column in ("is_won", "renewed"):
        return None
    if column == "forecast":
        expression, confidence, evidence = forecast(match, won)
    elif column == "annual_value" and match.source.bare.endswith(_MONTHLY):
        expression = f"split_part(CAST({column_of(match.source)} AS VARCHAR), '/', 1) || '/month'"
        confidence, evidence = match.confidence, f"{match.evidence}, read as a month's"
    else:
        expression, confidence, evidence = plain(match, kind_of(file_match.table, column))
    if column == "closed_at" and file_match.table == "opportunities":
        expression = decided_only(_closed(file_match, expression), won)
    return Line(column, expression, ((file_match.file.stem, match.source.name),), confidence, evidence)


def _linked(
    connection: duckdb.DuckDBPyConnection,
    file_match: FileMatch,
    column: str,
    line: Line,
    chosen: list[FileMatch],
) -> Line | None:
    """A link to another table as far as it leads there; one that leads nowhere is none."""
    refers, match = TABLES[file_match.table].by_name[column].refers, file_match.matches.get(column)
    other = next((each for each in chosen if each.table == refers), None)
    key = other.matches.get(column) if other else None
    if other is None or key is None or match is None or refers == "owners":
        return line
    if line.expression != column_of(match.source):
        return line
    part = shared(connection, file_match.file, match.source.name, other.file, key.source.name)
    evidence = f"{line.evidence}; {part:.0%} of its values are in {other.file.path.name!r}"
    if part < _LEADS_SOMEWHERE and match.source.given:
        line = replace(line, confidence=UNSURE)
        evidence += ": are both files from one export?"
    if refers == "accounts" or part == 1:
        return replace(line, evidence=evidence)
    if part < _LEADS_SOMEWHERE and not file_match.system and match.source.bare != key.source.bare:
        return None
    if TABLES[file_match.table].by_name[column].required:
        return replace(line, evidence=evidence)
    guarded = f"CASE WHEN {line.expression} IN (SELECT {quoted(key.source.name)} FROM {{file}}) THEN"
    expression = f"{guarded} {line.expression} END"
    return replace(line, expression=expression, evidence=evidence, reads=other.file)


def _closed(file_match: FileMatch, expression: str) -> str:
    """Some systems keep two moments: of the won and of the lost."""
    dated = [column for column in file_match.file.columns if set(column.day_forms) & set(TAKEN_AS_IS)]
    candidates = (next((each for each in dated if word in each.bare), None) for word in ("won", "lost"))
    pair = [column for column in candidates if column is not None]
    return f"coalesce({', '.join(column_of(column) for column in pair)})" if len(pair) == 2 else expression


def _add_winners(part: Part, file: ForeignFile, key: ForeignColumn, date: ForeignColumn) -> None:
    """Deals that were won are in a file of their own: the others are lost or open, which no column says."""
    key_match = part.file_match.matches[str(TABLES[part.file_match.table].key)]
    clause = f"LEFT JOIN {{file}} AS w ON w.{quoted(key.name)} = t.{quoted(key_match.source.name)}"
    form = date.day_forms[0]
    at = f"w.{quoted(date.name)}"
    if form not in TAKEN_AS_IS:
        at = f"try_strptime(CAST({at} AS VARCHAR), {literal(form)})"
    evidence = f"{file.path.name!r} holds the won ones; the others count as lost, though some may be open"
    part.joins.append(Join(clause, "", (file,), (), evidence))
    _put(
        part, Line("is_won", f"w.{quoted(key.name)} IS NOT NULL", ((file.stem, key.name),), UNSURE, evidence)
    )
    _put(part, Line("closed_at", at, ((file.stem, date.name),), LIKELY, f"header {date.name!r}"))


def _by_stage(file_match: FileMatch, stages: Stages) -> tuple[str, str, str]:
    """(expression, confidence, evidence) of an outcome that the stage's own table holds."""
    evidence = f"stages that {stages.file.path.name!r} calls closed, and won"
    expression = "CASE WHEN s.is_closed OR s.is_won THEN s.is_won END"
    return expression, LIKELY if stages.named.given else UNSURE, evidence


def _add_stages(part: Part, stages: Stages, won: tuple[str, str, str]) -> None:
    flags = ", ".join(
        f"bool_or(lower(CAST({quoted(column.name)} AS VARCHAR)) IN ('true', 't', 'yes', '1')) AS {name}"
        for column, name in ((stages.closed, "is_closed"), (stages.won, "is_won"))
    )
    clause = (
        f"LEFT JOIN (SELECT {quoted(stages.key.name)} AS stage, {flags} FROM {{file}} GROUP BY ALL) AS s"
        f" ON s.stage = t.{quoted(stages.named.name)}"
    )
    sources = ((stages.file.stem, stages.won.name), (stages.file.stem, stages.closed.name))
    part.joins.append(Join(clause, "", (stages.file,), sources, won[2]))
    _put(part, Line("is_won", won[0], sources, won[1], won[2]))


def _complete_activity(
    connection: duckdb.DuckDBPyConnection, part: Part, chosen: list[FileMatch], spare: list[ForeignFile]
) -> None:
    """An activity's deal from a file of pairs, and how long it took from when it began and ended."""
    given, by_bare = {line.column for line in part.lines}, part.file_match.file.by_bare()
    deals = next((each for each in chosen if each.table == "opportunities"), None)
    key = deals.matches.get("opportunity_id") if deals else None
    join = pairs_join(connection, part.file_match, "opportunities", spare, "o") if deals and key else None
    if join and deals and key and "opportunity_id" not in given:
        part.joins.append(join)
        guarded = f"CASE WHEN o.id IN (SELECT {quoted(key.source.name)} FROM {{file}}) THEN o.id END"
        _put(part, Line("opportunity_id", guarded, join.sources, LIKELY, join.evidence, deals.file))
    began = part.file_match.matches.get("occurred_at")
    ended = by_bare.get(began.source.bare.replace("start", "end")) if began else None
    is_span = began is not None and ended is not None and ended.name != began.source.name
    if "duration_minutes" not in given and is_span and began and ended and ended.day_forms == ("iso",):
        first, last = (f"TRY_CAST({column_of(column)} AS TIMESTAMP)" for column in (began.source, ended))
        sources = ((part.file_match.file.stem, began.source.name), (part.file_match.file.stem, ended.name))
        note = f"from {began.source.name!r} to {ended.name!r}"
        _put(part, Line("duration_minutes", f"date_diff('minute', {first}, {last})", sources, LIKELY, note))


def _may_be_carried(column: ForeignColumn, file_match: FileMatch) -> bool:
    """Whether a further column can be a feature: no id, no free text, not empty."""
    if not column.given or column.bare.endswith("id") or column.bare in ("name", "dealname", "potentialname"):
        return False
    if column.name.lower() in TABLES[file_match.table].by_name or column.bare in _TELLS_THE_OUTCOME:
        return False
    if column.name in {mark.name for mark in _marks(file_match).values()} or CONNECTOR.fullmatch(column.name):
        return False
    return column.distinct > 1 and bool(column.words or column.numbers >= 0.8 or column.day_forms)


def _marks(file_match: FileMatch) -> dict[str, ForeignColumn]:
    """Columns that say how rows are to be read (deleted, merged, versions, currency), by new names."""
    table, by_bare = TABLES[file_match.table], file_match.file.by_bare()
    marks: dict[str, ForeignColumn] = {}
    for column in table.read_with:
        names = [
            column.name,
            *column.aliases,
            *(("master",) if column.name == "merged_into" else _CURRENCIES),
        ]
        source = next((by_bare[bare_name(each)] for each in names if bare_name(each) in by_bare), None)
        if source is not None and source.given:
            marks[column.name] = source
    wanted = MARKS if table.key else DELETED
    taken = {mark.name for mark in marks.values()}
    for mark in file_match.unused:
        if mark.bare in wanted and mark.given and mark.name not in taken:
            marks[mark.name if mark.name not in table.by_name else f"{mark.name}_mark"] = mark
    return {name if name.isidentifier() else bare_name(name): mark for name, mark in marks.items()}


def quoted_if(column: str) -> str:
    """A column's name, quoted where SQL has another use for it."""
    return quoted(column) if column in ("from", "table", "column", "value") else column


def of_confidence(draft: MappingDraft) -> dict[str, int]:
    """How many lines are sure, likely and unsure."""
    counts = dict.fromkeys((SURE, LIKELY, UNSURE), 0)
    for parts in draft.tables.values():
        for part in parts:
            for line in part.lines:
                counts[line.confidence] += 1
    return counts
