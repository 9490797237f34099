"""A further column that says how contracts or deals ended, though the contract's own column is missing."""

from features.crm.columns_match import bare_name
from features.crm.contract import Kind
from features.crm.crm import Crm
from features.crm.values import quoted
from features.mapping_draft.outcome_words import CHURNED, CHURNED_ON, meaning

MOST_WORDS = 60


def outcome_column(crm: Crm, table: str) -> tuple[str, str] | None:
    """(column, what shows it) of contracts or opportunities; None where none has both ends."""
    for name, kind in crm.carried.get(table, {}).items():
        bare = bare_name(name)
        if kind is Kind.FLAG and bare in CHURNED:
            return name, "by its name"
        if kind in (Kind.DATE, Kind.TIME) and CHURNED_ON.search(bare):
            return name, "a date of leaving"
        if kind in (Kind.CATEGORY, Kind.TEXT):
            words = crm.sql(f"SELECT DISTINCT {quoted(name)} AS word FROM {table} LIMIT {MOST_WORDS}")
            ends = {meaning(word): word for word in words["word"].to_pylist() if word}
            if {True, False} <= ends.keys():
                return name, f"{ends[True]!r}, {ends[False]!r}"
    return None
