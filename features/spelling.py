"""Which column of a source is meant by a column of the contract: spelled the same, or nearly so."""

import difflib
from collections.abc import Iterable

from features.tables import Table, plain_name


def matched(table: Table, names: Iterable[str]) -> dict[str, str]:
    """Contract column → the source's, in the order of the contract.

    An exact name goes before one in other case or with other separators (`Contract ID`), and that before one
    run together (`ContractId`); of equally near ones the first.
    """
    spelled = list(names)
    plain = {plain_name(name): name for name in reversed(spelled)}
    bare = {_bare(name): name for name in reversed(spelled)}
    ways = {
        name: name if name in spelled else plain.get(name, bare.get(_bare(name))) for name in table.by_name
    }
    return {name: found for name, found in ways.items() if found is not None}


def run_together(columns: dict[str, str]) -> list[str]:
    """The source's columns that were matched only with their separators left out."""
    return [found for name, found in columns.items() if plain_name(found) != name]


def nearest(wanted: str, names: Iterable[str]) -> str | None:
    """The column that is most likely meant by a contract column that none is spelled like."""
    bare = {_bare(name): name for name in names}
    near = difflib.get_close_matches(_bare(wanted), bare, n=1, cutoff=0.7)
    return bare[near[0]] if near else None


def _bare(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
