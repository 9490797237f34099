"""The touchpoint catalogue: each touchpoint's data points, how they are collected, what and who uses them.

Nothing is declared here: data points are what the features and KPIs read, parameters stand in the contract,
fields of other systems in their sources, people in the pages' navigation.
"""

import importlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, get_args

from features.catalog import DECLARED, SUBJECT_INFOS, reads
from features.catalog.declare import Feature
from features.crm.contract import SUBJECTS, TABLES, Column
from features.crm.crm import Crm
from features.crm.values import quoted
from features.sources import systems
from features.sources.object_tables import Rows, fields_of
from features.sources.product_events import GIVES, READERS
from monitoring.customer_kpis import KPIS
from monitoring.journey_map import MAP
from serving.api.shapes import EventsSent
from serving.pages.view import NAVIGATION

PAGES = {"renewal": ("Renewals",), "win": ("Pipeline",)}
"""Model → the pages that show its scores and their reasons."""
KPI_PAGES = ("KPIs", "Journey")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class DataPoint:
    """One column that something is known from, at one touchpoint.

    Args:
        touchpoint: where the customer is met.
        data_point: `table.column` of the contract.
        parameter: what the column holds (`features.crm.contract.Kind`).
        required: whether a row needs it.
        collected: where and how, each way in words.
        renewal: features of the renewal model that read it.
        win: those of the win model.
        kpis: customer KPIs that are counted from it.
        journey: its places on the journey map, as `stage: touchpoint`.
        pages: that show what comes of it.
        roles: who has these pages.
    """

    touchpoint: str
    data_point: str
    parameter: str
    required: bool
    collected: tuple[str, ...]
    renewal: tuple[str, ...]
    win: tuple[str, ...]
    kpis: tuple[str, ...]
    journey: tuple[str, ...]
    pages: tuple[str, ...]
    roles: tuple[str, ...]


@cache
def touchpoint_catalog() -> tuple[DataPoint, ...]:
    """Every data point that a feature or a KPI reads, by touchpoint in the order of the features."""
    features = _features_by_point()
    kpis = _named_by((kpi.name, kpi.needs) for kpi in KPIS)
    journey = _named_by((f"{place.stage}: {place.touchpoint}", place.takes) for place in MAP)
    touchpoint_of_table: dict[str, str] = {}
    for touchpoint, point in features:
        touchpoint_of_table.setdefault(point.partition(".")[0], touchpoint)
    points = dict.fromkeys(features)
    read = {point for _, point in features}
    for point in sorted((set(kpis) | set(journey)) - read):
        table = point.partition(".")[0]
        points[touchpoint_of_table.get(table, table), point] = None
    order = list(dict.fromkeys(touchpoint for touchpoint, _ in points))
    return tuple(
        _data_point(touchpoint, point, features.get((touchpoint, point), {}), kpis, journey)
        for touchpoint, point in sorted(points, key=lambda pair: order.index(pair[0]))
    )


def touchpoints(crm: Crm | None) -> list[dict[str, Any]]:
    """The catalogue as rows; with a CRM also `filled` (share of its rows that give it) and what is missing.

    Args:
        crm: None: what is declared alone.
    """
    rows = [asdict(point) for point in touchpoint_catalog()]
    if crm is None:
        return rows
    filled = _filled(crm)
    for row in rows:
        table = row["data_point"].partition(".")[0]
        row["filled"] = filled.get(row["data_point"])
        row["missing"] = _missing(row, crm.has(table), row["filled"])
    return rows


def _features_by_point() -> dict[tuple[str, str], dict[str, list[str]]]:
    """(touchpoint, data point) → model → the features that read it, through whatever they derive from."""
    read_by: dict[tuple[str, str], dict[str, list[str]]] = {}
    for kind in SUBJECTS:
        stored: dict[str, frozenset[str]] = {
            info.name: frozenset({info.collected}) for info in SUBJECT_INFOS[kind]
        }
        for info in SUBJECT_INFOS[kind]:
            _note(read_by, info.touchpoint, stored[info.name], kind, info.name)
        for declared in DECLARED:
            if kind not in declared.kinds:
                continue
            if isinstance(declared, Feature):
                stored[declared.name] = reads(declared, kind)
            else:
                parts = (stored.get(need, _column(need)) for need in declared.needs)
                stored[declared.name] = frozenset().union(*parts)
            if not isinstance(declared, Feature) or declared.shown:
                _note(read_by, declared.info.touchpoint, stored[declared.name], kind, declared.name)
    return read_by


def _column(need: str) -> frozenset[str]:
    """What is derived may need a column of the CRM itself."""
    return frozenset({need} if "." in need else ())


def _note(
    read_by: dict[tuple[str, str], dict[str, list[str]]],
    touchpoint: str,
    columns: Iterable[str],
    kind: str,
    feature: str,
) -> None:
    for column in sorted(columns):
        point = _as_given(column)
        if point is not None:
            read_by.setdefault((touchpoint, point), defaultdict(list))[kind].append(feature)


def _as_given(stored: str) -> str | None:
    """A stored column under the name that sources give it; None: it is made by us."""
    table, _, name = stored.partition(".")
    column = next((each for each in TABLES[table].columns if each.stored == name), None)
    return None if column is None else f"{table}.{column.name}"


def _named_by(declared: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Data point → the features whose wording names it; a table without a column: its required ones."""
    named: dict[str, list[str]] = defaultdict(list)
    for name, words in declared:
        for point in points_in(words):
            named[point].append(name)
    return named


def points_in(words: str) -> list[str]:
    """The data points that words such as "cases with opened_at and closed_at" name."""
    spoken = _WORD.findall(words)
    points = []
    for table in (TABLES[word] for word in dict.fromkeys(spoken) if word in TABLES):
        columns = [name for name in table.by_name if name in spoken] or list(table.required)
        points += [f"{table.name}.{name}" for name in columns]
    return points


def _data_point(
    touchpoint: str,
    point: str,
    features: Mapping[str, list[str]],
    kpis: Mapping[str, list[str]],
    journey: Mapping[str, list[str]],
) -> DataPoint:
    table, _, name = point.partition(".")
    column = TABLES[table].by_name[name]
    pages = [page for kind, names in PAGES.items() if features.get(kind) for page in names]
    pages += KPI_PAGES if point in kpis else ()
    roles = {role for page, _, allowed in NAVIGATION if page in pages for role in allowed}
    return DataPoint(
        touchpoint=touchpoint,
        data_point=point,
        parameter=str(column.kind),
        required=column.required,
        collected=collected(table, column),
        renewal=tuple(features.get("renewal", ())),
        win=tuple(features.get("win", ())),
        kpis=tuple(kpis.get(point, ())),
        journey=tuple(journey.get(point, ())),
        pages=tuple(pages),
        roles=tuple(sorted(roles)),
    )


def collected(table: str, column: Column) -> tuple[str, ...]:
    """Where and how a column comes in: files and databases always, systems and live events where they can."""
    ways = [f"files, databases: {table}.{column.name}"]
    for system in systems():
        fields = [
            field
            for rows in _rows_of(system)
            if rows.table == table
            for field in fields_of(rows, column.name)
        ]
        if fields:
            ways.append(f"{system}: {', '.join(dict.fromkeys(fields))}")
    if column.name in GIVES.get(table, ()):
        ways.append(f"events of {', '.join(reader.NAME for reader in READERS)}")
    if table in _LIVE:
        ways.append("live: POST /v1/events")
    return tuple(ways)


_LIVE = frozenset(get_args(EventsSent.model_fields["table"].annotation))
"""Tables that take rows over HTTP."""


def _rows_of(system: str) -> tuple[Rows, ...]:
    rows: tuple[Rows, ...] = importlib.import_module(f"features.sources.{system}_tables").ROWS
    return rows


def _filled(crm: Crm) -> dict[str, float]:
    """Data point → the share of the CRM's rows that give it."""
    shares: dict[str, float] = {}
    for table in crm.tables:
        columns = [column for column in TABLES[table].columns if crm.has(table, column.stored)]
        counts = ", ".join(f"count({quoted(column.stored)})" for column in columns)
        (row,) = crm.sql(f"SELECT count(*) AS n, {counts} FROM {quoted(table)}").to_pylist()
        n, *given = row.values()
        shares |= {f"{table}.{c.name}": k / max(n, 1) for c, k in zip(columns, given, strict=True)}
    return shares


def _missing(row: Mapping[str, Any], is_table_there: bool, filled: float | None) -> str | None:
    """What the CRM lacks for a data point, and what is left out for it."""
    if filled:
        return None
    lacks = "no value in any row" if filled == 0 else "no such column" if is_table_there else "no such table"
    without = len({*row["renewal"], *row["win"]})
    left_out = [f"{without} feature{'s' * (without != 1)}"] if without else []
    left_out += row["kpis"]
    return f"{lacks}: without {', '.join(left_out)}" if left_out else lacks
