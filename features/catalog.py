"""Every feature of Perennial, declared once; and which of them a given CRM can answer."""

from collections.abc import Mapping
from dataclasses import dataclass

from features.catalogue.contact import CONTACT
from features.catalogue.pricing import PRICING
from features.catalogue.record import RECORD
from features.declaration import RUNUP, TERM, Derived, Feature, Info
from features.event_columns import COMPUTED, OPTIONAL

CATALOG: tuple[Feature | Derived, ...] = (*CONTACT, *PRICING, *RECORD)
"""Every declared feature of events; columns of the CRM come on top (`features.columns`)."""

SUBJECT_INFOS: dict[str, tuple[Info, ...]] = {
    "renewal": (
        Info("days_to_end", "days to the contract's end", "days", "contract", "contracts.end_date"),
        Info("term_days", "length of the term", "days", "contract", "contracts.start_date"),
        Info("end_month", "calendar month of the end", "month", "contract", "contracts.end_date"),
    ),
    "win": (Info("days_open", "days since the deal was created", "days", "pipeline", "opportunities.created_at"),),
}  # fmt: skip
"""What a snapshot says about itself."""

_TERM_COLUMNS = {
    "renewal": {TERM: "contracts.start_date", RUNUP: "contracts.end_date"},
    "win": {TERM: "opportunities.created_at", RUNUP: None},
}
Schema = Mapping[str, tuple[str, ...]]


def reads(feature: Feature, kind: str) -> frozenset[str]:
    """The stored columns (`table.column`) a feature is calculated from, beside those it can do without."""
    events = feature.events
    names = {events.at, f"{feature.scope}_id", *(test.column for test in events.where)}
    if feature.value:
        names.add(feature.value)
    needed: set[str] = set()
    for name in names:
        computed = COMPUTED.get((events.table, name))
        needed.update(computed.needs if computed else (f"{events.table}.{name}",))
    if feature.window in (TERM, RUNUP):
        column = _TERM_COLUMNS[kind][feature.window]
        needed.add(column or "nothing.at_all")
    return frozenset(needed)


def optional_reads(feature: Feature) -> frozenset[str]:
    """Columns a feature also uses where the CRM has them."""
    names = (feature.events.at, *(test.column for test in feature.events.where), feature.value or "")
    extra = {column for name in names for column in OPTIONAL.get((feature.events.table, name), ())}
    if feature.events.table == "activities":
        extra.add("activities.recorded_at")
    return frozenset(extra)


@dataclass(frozen=True)
class Plan:
    """The features of one model that a CRM's columns can answer, in the catalogue's order, and what to read."""

    kind: str
    features: tuple[Feature, ...]
    derived: tuple[Derived, ...]
    columns: frozenset[str]


def plan(schema: Schema, kind: str) -> Plan:
    """What can be answered: a feature whose table or column is missing is left out, and what derives from it too.

    Args:
        schema: table → its columns.
        kind: `renewal` or `win`.
    """
    have = {f"{table}.{column}" for table, columns in schema.items() for column in columns}
    features, derived = [], []
    names = {info.name for info in SUBJECT_INFOS[kind]}
    columns: set[str] = set()
    for declared in CATALOG:
        if kind not in declared.kinds:
            continue
        if isinstance(declared, Derived):
            if names.issuperset(declared.needs):
                derived.append(declared)
                names.add(declared.name)
        elif reads(declared, kind) <= have:
            features.append(declared)
            names.add(declared.name)
            columns |= reads(declared, kind) | (optional_reads(declared) & have)
    return Plan(kind, tuple(features), tuple(derived), frozenset(columns))
