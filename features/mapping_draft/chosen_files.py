"""Which of a folder's files are read, and as which table."""

from collections.abc import Sequence

import duckdb

from features.mapping_draft.expressions import outcome
from features.mapping_draft.foreign_files import ForeignFile
from features.mapping_draft.joins import SHARED, shared, winners
from features.mapping_draft.match import UNSURE, FileMatch, best_match, match_as


def chosen_files(connection: duckdb.DuckDBPyConnection, files: Sequence[ForeignFile]) -> list[FileMatch]:
    """The files that are tables of the contract, each read as the table it is."""
    matches = [match for file in files if (match := best_match(file)) is not None]
    chosen = _choose(connection, matches)
    if not {"contracts", "opportunities"} & {each.table for each in chosen}:
        chosen = _with_outcomes(files, chosen)
    return _with_accounts(connection, files, chosen)


def _choose(connection: duckdb.DuckDBPyConnection, matches: list[FileMatch]) -> list[FileMatch]:
    """One file a table, the best; of activities all that are of different kinds."""
    chosen: dict[str, FileMatch] = {}
    for match in sorted(matches, key=lambda each: (-each.score, -each.file.rows)):
        several = match.table == "activities"
        chosen.setdefault(f"{match.table}/{match.file.stem}" if several else match.table, match)
    deals, leads = chosen.get("opportunities"), chosen.get("leads")
    has_outcome = deals is not None and "is_won" in deals.matches
    if leads is not None and not has_outcome and _closed_elsewhere(connection, leads, matches):
        del chosen["leads"]
        chosen["opportunities"] = match_as(leads.file, "opportunities")
    return list(chosen.values())


def _with_outcomes(files: Sequence[ForeignFile], chosen: list[FileMatch]) -> list[FileMatch]:
    """Where no file is called a deal's or a contract's, one whose rows were won or lost: converted leads."""
    decided = [
        match
        for file in files
        for table in ("opportunities", "contracts")
        if (match := match_as(file, table)) and outcome(match)
    ]
    best = max(decided, key=lambda each: each.score, default=None)
    if best is None:
        return chosen
    return [*(each for each in chosen if each.file.stem != best.file.stem), best]


def _with_accounts(
    connection: duckdb.DuckDBPyConnection, files: Sequence[ForeignFile], chosen: list[FileMatch]
) -> list[FileMatch]:
    """Where no file is called the accounts', the one whose ids deals or contracts name as their account."""
    if any(each.table == "accounts" for each in chosen):
        return chosen
    subjects = [each for each in chosen if each.table in ("contracts", "opportunities")]
    named = [
        (each.file, each.matches["account_id"].source) for each in subjects if "account_id" in each.matches
    ]
    for file in files:
        if any(file.stem == each.file.stem for each in subjects):
            continue
        match = match_as(file, "accounts")
        key = match.matches.get("account_id")
        if key is None or key.confidence == UNSURE or len(match.matches) < 2:
            continue
        if any(
            shared(connection, other, column.name, file, key.source.name) >= SHARED for other, column in named
        ):
            return [*(each for each in chosen if each.file.stem != file.stem), match]
    return chosen


def _closed_elsewhere(
    connection: duckdb.DuckDBPyConnection, lead: FileMatch, matches: list[FileMatch]
) -> bool:
    """Whether a file of closed ones makes these leads deals."""
    others = [each.file for each in matches if each.file.stem != lead.file.stem]
    return winners(connection, lead, others) is not None
