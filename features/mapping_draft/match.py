"""Which table of the contract a foreign file is, and which of its columns each of the contract's is."""

import difflib
import re
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from features.crm.columns_match import bare_name
from features.crm.contract import TABLES, Column, Kind
from features.crm.reading.number_form import band_ends
from features.mapping_draft.foreign_files import ForeignColumn, ForeignFile
from features.mapping_draft.outcome_words import flag, meaning

SURE, LIKELY, UNSURE = "sure", "likely", "unsure"
_NUMERIC = (Kind.NUMBER, Kind.WHOLE, Kind.MONEY, Kind.DURATION)
_NEARLY = 0.86
_LEAST_SCORE = 4.0
_ENOUGH_ROWS = 10
_PREFIXES = {
    "accounts": ("account", "company", "organization", "customer"),
    "contracts": ("contract", "subscription"),
    "opportunities": ("opportunity", "deal"),
    "cases": ("case", "ticket"),
    "invoices": ("invoice",),
}
"""What a table's columns may begin with, which says nothing: `OpportunityValue`."""


@dataclass(frozen=True)
class Match:
    """A column of the contract and the foreign one it is taken from."""

    column: str
    source: ForeignColumn
    confidence: str
    evidence: str


@dataclass
class FileMatch:
    """A foreign file read as a table of the contract."""

    file: ForeignFile
    table: str
    system: str | None
    score: float
    matches: dict[str, Match] = field(default_factory=dict)

    @property
    def unused(self) -> list[ForeignColumn]:
        """Columns that no match uses."""
        used = {match.source.name for match in self.matches.values()}
        return [column for column in self.file.columns if column.name not in used]


@cache
def _data(name: str) -> dict[str, Any]:
    return yaml.safe_load((files("features.mapping_draft") / name).read_text(encoding="utf-8"))


def best_match(file: ForeignFile) -> FileMatch | None:
    """The table that the file is by its headers, its name and its values; None where nothing fits."""
    export = _known(file)
    candidates = (
        [_match(file, *export)] if export else [_match(file, table) for table in _data("column_names.yaml")]
    )
    candidates = [each for each in candidates if export or _is_enough(each)]
    best = max(candidates, key=lambda each: each.score, default=None)
    if best is None or not _holds_versions(file, best):
        return best
    # A file of what records were over time is no second file of the records.
    stages = _match(file, "stage_history")
    return (
        stages
        if best.table == "opportunities" and set(TABLES["stage_history"].required) <= set(stages.matches)
        else None
    )


_VERSIONS = frozenset(["fivetranstart", "dbtvalidfrom", "validfrom", "effectivefrom", "versionstart"])


def _holds_versions(file: ForeignFile, best: FileMatch) -> bool:
    """Whether a file called a history has several rows a record, or says from when each held."""
    if "history" not in bare_name(file.stem) or best.table not in (
        "accounts",
        "contacts",
        "contracts",
        "opportunities",
        "leads",
    ):
        return False
    key = best.matches.get(str(TABLES[best.table].key))
    return bool(_VERSIONS & set(file.by_bare())) or key is None or not _is_unique(key.source, file)


def system_of(names: list[str], stem: str = "") -> tuple[str, str, str] | None:
    """(system, object, contract table) of an export of a well-known system, by its headers; else None.

    Of several that fit, the one with most of its headers there, and whose table the file's name mentions.
    """
    bare, candidates = [bare_name(name) for name in names], []
    for system, objects in _data("known_exports.yaml").items():
        for called, spec in objects.items():
            prefix = spec.get("prefix", "")
            here = {each.removeprefix(prefix) for each in bare if not prefix or each.startswith(prefix)}
            some = len(here & set(spec["some"]))
            if set(spec["needs"]) <= here and some >= 2:
                words = _data("column_names.yaml")[spec["table"]]["files"]
                named = any(word in bare_name(stem) for word in words)
                score = some / len(spec["some"]) + 0.1 * len(spec["needs"]) + named
                candidates.append((score, system, called, spec["table"]))
    if not candidates:
        return None
    _, system, called, table = max(candidates, key=lambda each: each[0])
    return system, called, table


def match_as(file: ForeignFile, table: str) -> FileMatch:
    """The file read as a table that was decided otherwise."""
    return _match(file, table)


def _known(file: ForeignFile) -> tuple[str, str, dict[str, Any]] | None:
    export = system_of([column.name for column in file.columns], file.stem)
    if export is None:
        return None
    system, called, table = export
    return table, f"{system} {called}", _data("known_exports.yaml")[system][called]


def _match(
    file: ForeignFile, table: str, system: str | None = None, spec: dict[str, Any] | None = None
) -> FileMatch:
    names = _data("column_names.yaml")[table]
    by_bare = file.by_bare((spec or {}).get("prefix", ""))
    result = FileMatch(file, table, system, 0.0)
    for word in names["files"]:
        if word in bare_name(file.stem):
            result.score += 3.0
            break
    for prefix in _PREFIXES.get(table, ()):
        for bare, foreign in [*by_bare.items()]:
            if bare.startswith(prefix) and bare != prefix:
                by_bare.setdefault(bare.removeprefix(prefix), foreign)
    free = dict(by_bare)
    for column, wanted in {**names["columns"], **_by_own_name(table, names)}.items():
        is_key = column == TABLES[table].key
        listed = [*(spec["ids"] if spec and is_key else []), column.replace("_", ""), *wanted]
        match = _column_match(TABLES[table].by_name[column], listed, free, file, system, is_key)
        if match is None:
            continue
        result.matches[column] = match
        result.score += 1.5 if is_key or TABLES[table].by_name[column].required else 1.0
        if match.confidence == UNSURE:
            result.score -= 0.5
        keeps = is_key and column in ("account_id", "owner_id") and "name" in names["columns"]
        if not keeps:
            free = {bare: each for bare, each in free.items() if each.name != match.source.name}
    _name_beside_id(result)
    _one_term(result)
    return result


def _by_own_name(table: str, names: dict[str, Any]) -> dict[str, list[str]]:
    """The columns that no system calls otherwise: each goes by its own name alone."""
    return {column: [] for column in TABLES[table].by_name if column not in names["columns"]}


def _name_beside_id(result: FileMatch) -> None:
    """A name that is the key itself counts only where no other column is the name."""
    key, name = result.matches.get(str(TABLES[result.table].key)), result.matches.get("name")
    if key and name and key.source.name == name.source.name and key.source.bare in ("id",):
        del result.matches["name"]


def _one_term(result: FileMatch) -> None:
    """The end of the current term goes with that term's start, not with the first one's."""
    end = result.matches.get("end_date")
    if end is None or "current" not in end.source.bare:
        return
    first = result.file.by_bare().get(end.source.bare.replace("end", "start"))
    if first is not None and fits(TABLES[result.table].by_name["start_date"], first):
        result.matches["start_date"] = Match("start_date", first, end.confidence, f"header {first.name!r}")


def _is_enough(file_match: FileMatch) -> bool:
    table = TABLES[file_match.table]
    linked = {"account_id", "opportunity_id"}
    missing = [each for each in table.required if each not in file_match.matches and each not in linked]
    missing = [each for each in missing if not (file_match.table == "activities" and each == "kind")]
    named = any(
        word in bare_name(file_match.file.stem)
        for word in _data("column_names.yaml")[file_match.table]["files"]
    )
    if missing or len(file_match.matches) < 2:
        return False
    if file_match.table in ("contracts", "opportunities") and not _is_subject(file_match):
        return False
    return file_match.score >= _LEAST_SCORE + (0 if named else 1.5)


def _is_subject(file_match: FileMatch) -> bool:
    """A deal or contract has an outcome or a span of time."""
    return bool({"is_won", "closed_at", "renewed", "end_date"} & set(file_match.matches))


def _column_match(
    column: Column,
    listed: list[str],
    free: dict[str, ForeignColumn],
    file: ForeignFile,
    system: str | None,
    is_key: bool,
) -> Match | None:
    fitting = [
        free[bare]
        for bare in dict.fromkeys(listed)
        if bare in free and fits(column, free[bare]) and (free[bare].given or system)
    ]
    fitting.sort(key=lambda each: not each.given)
    if is_key:
        fitting.sort(key=lambda each: not _is_unique(each, file))
    if column.name in ("is_won", "renewed"):
        fitting.sort(key=lambda each: not _has_both(each))
    if not fitting and column.name in ("is_won", "renewed"):
        fitting = [each for each in free.values() if {True, False} <= {meaning(word) for word in each.words}]
        if fitting:
            words = ", ".join(map(repr, fitting[0].words[:4]))
            return Match(column.name, fitting[0], LIKELY, f"its values are outcomes: {words}")
    if fitting:
        first = fitting[0]
        exact = first.bare == column.name.replace("_", "")
        confidence = SURE if system or exact else LIKELY
        evidence = f"header {first.name!r}" + (f" of {system}" if system else "")
        if is_key and not _is_unique(first, file):
            return Match(column.name, first, UNSURE, f"{evidence}, but its values occur more than once")
        if is_key:
            evidence += f", {first.distinct:,} different values"
        return Match(column.name, first, confidence, evidence)
    if is_key and not system:
        return _only_number(column, free, file)
    if system or column.kind in (Kind.ID, Kind.FLAG):
        return None
    near = [
        (difflib.SequenceMatcher(None, bare, wanted).ratio(), bare)
        for bare in free
        for wanted in listed
        if len(wanted) > 4 and fits(column, free[bare]) and free[bare].given
    ]
    ratio, bare = max(near, default=(0.0, ""))
    if ratio < _NEARLY:
        return None
    return Match(column.name, free[bare], UNSURE, f"header {free[bare].name!r} is spelled nearly so")


_NUMBERS = re.compile("^id$|number$|nummer$|^reference$")
_OTHERS = re.compile("account|customer|client|compan|organi|contact|person|owner|user|phone|parent|lead")


def _only_number(column: Column, free: dict[str, ForeignColumn], file: ForeignFile) -> Match | None:
    """The one id or number that no two rows share and that names nothing else, under a system's own name."""
    names = {each.name: each for each in free.values() if _is_number_name(each.name)}
    alone = [each for each in names.values() if not _OTHERS.search(each.bare) and _is_unique(each, file)]
    if len(alone) != 1 or file.rows < _ENOUGH_ROWS or not fits(column, alone[0]):
        return None
    evidence = f"header {alone[0].name!r}, {alone[0].distinct:,} different values, and no other column's are"
    return Match(column.name, alone[0], LIKELY, evidence)


def _is_number_name(name: str) -> bool:
    """Whether a header ends in the word id or number: `Copper ID`, `recordId`, not `Total paid`."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return bool(words) and bool(_NUMBERS.search(words[-1].lower()))


def _is_unique(column: ForeignColumn, file: ForeignFile) -> bool:
    return column.given > 0 and column.distinct >= 0.98 * file.rows


def _has_both(column: ForeignColumn) -> bool:
    """Whether its values distinguish won from lost (or yes from no)."""
    meanings = {meaning(word) for word in column.words} | {flag(word) for word in column.words}
    return {True, False} <= meanings


def fits(column: Column, source: ForeignColumn) -> bool:
    """Whether the values can be what the column holds."""
    if not source.given:
        return True
    if column.kind in (Kind.TIME, Kind.DATE):
        return bool(source.day_forms)
    is_day = bool(set(source.day_forms) - {"epoch"})  # seconds since 1970 may be numbers and ids as well
    if column.kind in _NUMERIC:
        is_band = bool(source.words) and all(band_ends(word) for word in source.words)
        return (source.numbers >= 0.8 or is_band) and not is_day
    if column.kind is Kind.FLAG:
        return any(flag(word) is not None or meaning(word) is not None for word in source.words)
    return not is_day or column.kind is Kind.TEXT
