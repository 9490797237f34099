"""Which column of a source is meant by a column of the contract: spelled the same, or nearly so.

What kind a column is that the contract does not know, judged by its values.
"""

import difflib
import re
from collections.abc import Iterable
from functools import cache

import pyarrow as pa

from features.crm.contract import Kind, Table, plain_name
from features.crm.currency_codes import IN_A_HEADER
from features.crm.reading.moment_form import moment_form
from features.crm.reading.number_form import number_form
from features.crm.reading.value_shapes import Look, Shapes
from features.crm.values import is_text

_SIGNS = re.compile(r"[\W_]+")


def matched(table: Table, names: Iterable[str]) -> dict[str, str]:
    """Contract column → the source's, in the order of the contract.

    An exact name goes before one in other case or with other separators (`Contract ID`), and that before one
    run together (`ContractId`), and that before an alias; of equally near ones the first.
    """
    spelled = list(names)
    plain = {plain_name(name): name for name in reversed(spelled)}
    bare = {bare_name(name): name for name in reversed(spelled)}
    for name in filter(IN_A_HEADER.search, spelled):
        bare.setdefault(bare_name(IN_A_HEADER.sub("", name)), name)
    ways = {
        name: name if name in spelled else plain.get(name, bare.get(_bare_of_contract(name)))
        for name in table.understood
    }
    for name, column in table.understood.items():
        if ways[name] is None:
            ways[name] = next(
                (bare[alias] for alias in map(_bare_of_contract, column.aliases) if alias in bare), None
            )
    return {name: source_name for name, source_name in ways.items() if source_name is not None}


def run_together(columns: dict[str, str]) -> list[str]:
    """The source's columns that were matched only with their separators left out."""
    return [source_name for name, source_name in columns.items() if plain_name(source_name) != name]


def nearest(wanted: str, names: Iterable[str]) -> str | None:
    """The column that is most likely meant by a contract column that none is spelled like."""
    bare = {bare_name(name): name for name in names}
    near = difflib.get_close_matches(bare_name(wanted), bare, n=1, cutoff=0.7)
    return bare[near[0]] if near else None


def bare_name(name: str) -> str:
    """A name without its case, separators and other signs."""
    return _SIGNS.sub("", name.lower())


_bare_of_contract = cache(bare_name)
"""Asked of the contract's few hundred names for each line that may be a header."""

_ENOUGH = 0.95
"""From this share of readable values on, a column counts as numbers or moments; the rest reads as missing."""
_FREE_TEXT_LETTERS = 60
_FEW = 30
_FLAGS = """
true false yes no t f y n ja nein oui non si sí sim não nao vrai faux verdadero verdadeiro falso wahr falsch
vero да нет checked unchecked nej nee
"""
FLAGS = frozenset(_FLAGS.split())


def kinds_of(look: Look, columns: dict[str, pa.DataType]) -> dict[str, Kind]:
    """The kind of each column.

    Args:
        look: at the raw rows.
        columns: name → Arrow type.
    """
    return {name: _worded(look, name) if is_text(type) else _typed(type) for name, type in columns.items()}


def _typed(type: pa.DataType) -> Kind:
    if pa.types.is_boolean(type):
        return Kind.FLAG
    if pa.types.is_integer(type):
        return Kind.WHOLE
    if pa.types.is_floating(type) or pa.types.is_decimal(type):
        return Kind.NUMBER
    if pa.types.is_date(type):
        return Kind.DATE
    return Kind.TIME if pa.types.is_timestamp(type) else Kind.TEXT


def _worded(look: Look, name: str) -> Kind:
    shapes = look.shapes(name)
    if not shapes.rows:
        return Kind.CATEGORY
    if shapes.complete:
        if all(shape.text.lower() in FLAGS for shape in shapes.given):
            return Kind.FLAG
        if kind := _measured(shapes):
            return kind
    return _words(look, name)


def _measured(shapes: Shapes) -> Kind | None:
    """Numbers, days or moments, None where the values are neither."""
    numbers, moments = number_form(shapes.given), moment_form(None, "", "", shapes.given)
    enough = _ENOUGH * shapes.rows
    # `12M` is a term of twelve months as often as it is millions: a currency or a fraction decides.
    unit = numbers.multiples and not (numbers.currencies or numbers.points or numbers.commas)
    if moments.rows.get("epoch", 0) == shapes.rows and all(len(shape.text) >= 12 for shape in shapes.given):
        return Kind.TIME
    if numbers.numbers >= enough and not numbers.codes and not unit:
        return Kind.WHOLE if numbers.wholes == shapes.rows else Kind.NUMBER
    if numbers.terms == shapes.rows:
        return Kind.NUMBER
    digits = sum(moments.rows.get(kind, 0) for kind in ("compact", "serial", "epoch"))
    days, clocks = moments.rows.get("days", 0), moments.rows.get("moments", 0)
    if days + clocks >= enough and digits < shapes.rows / 2:
        return Kind.TIME if clocks else Kind.DATE
    return None


def _words(look: Look, name: str) -> Kind:
    row = look.connection.execute(
        f"SELECT sum(n), sum(n * length(v)) / sum(n), count(*) FILTER (v IS NOT NULL) FROM {look.texts(name)}"
    ).fetchone() or (0, 0, 0)
    n, letters, distinct = row
    nearly_all_distinct = n >= _FEW and distinct > 0.9 * n
    return Kind.TEXT if letters > _FREE_TEXT_LETTERS or nearly_all_distinct else Kind.CATEGORY
