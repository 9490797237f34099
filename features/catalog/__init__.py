"""Every feature of Perennial, declared once; and which of them a given CRM can answer."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import cached_property

from features.arrays import COMPUTED, OPTIONAL
from features.catalog.contact import CONTACT, KNOWN_KINDS, other_kind
from features.catalog.declare import ACROSS, RUNUP, SCOPE_COLUMN, TERM, Declared, Derived, Feature, Info
from features.catalog.marketing import MARKETING
from features.catalog.money import MONEY
from features.catalog.pricing import OF_COLUMNS, PRICING
from features.catalog.record import RECORD
from features.catalog.support import SUPPORT
from features.catalog.usage import USAGE, metric

CATALOG: tuple[Declared, ...] = (*CONTACT, *PRICING, *RECORD, *SUPPORT, *MONEY, *USAGE, *MARKETING)
"""Every declared feature of events; columns of the CRM come on top (`features.columns`), and features of
the measures of
use and the kinds of activity that a CRM has of its own (`own_features`)."""  # fmt: skip
DECLARED: tuple[Declared, ...] = (*CATALOG, *OF_COLUMNS)
"""All of it."""

SUBJECT_INFOS: dict[str, tuple[Info, ...]] = {
    "renewal": (
        Info(
            "days_to_end", "days to the contract's end", "days", "contract", "contracts.end_date",
            group="days_to_end",
        ),
        Info(
            "term_days", "length of the term", "days", "contract", "contracts.start_date", group="term_days",
        ),
        Info(
            "end_month", "calendar month of the end", "month", "contract", "contracts.end_date",
            group="end_month",
        ),
    ),
    "win": (
        Info(
            "days_open", "days since the deal was created", "days", "pipeline", "opportunities.created_at",
            group="days_open",
        ),
    ),
}  # fmt: skip
"""What a snapshot says about itself."""
ITSELF = {
    "renewal": ("days_to_end", "term_days", "end_month", "as_of_seconds"),
    "win": ("days_open", "as_of_seconds"),
}

OWN_LEVELS = {"usage.metric": 6, "activities.kind": 4}
"""Columns whose commonest values get features of their own, and how many do."""

_WINDOW_COLUMNS = {
    "renewal": {TERM: "contracts.start_date", RUNUP: "contracts.end_date"},
    "win": {TERM: "opportunities.created_at"},
}
Schema = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Plan:
    """The features of one model that a CRM can answer, in the catalogue's order, and the columns they read.

    `across` are those that span accounts, answered before the others as of the previous midnight.
    """

    kind: str
    features: tuple[Feature, ...]
    derived: tuple[Derived, ...]
    across: tuple[Feature, ...]
    across_derived: tuple[Derived, ...]
    columns: frozenset[str]
    across_columns: frozenset[str]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What rows of the plan give out, in order; what the subjects can't say of themselves is left out
        of them."""
        itself = (info.name for info in SUBJECT_INFOS[self.kind])
        return (*itself, *(declared.name for declared in self.shown))

    @property
    def across_names(self) -> tuple[str, ...]:
        """Names of what spans accounts, shown or not."""
        return (*(one.name for one in self.across), *(one.name for one in self.across_derived))

    @property
    def shown(self) -> tuple[Declared, ...]:
        """All features that are given out."""
        parts = (self.features, self.derived, self.across, self.across_derived)
        return tuple(one for part in parts for one in part if not isinstance(one, Feature) or one.shown)


def infos(kind: str | None = None) -> tuple[Info, ...]:
    """What every declared feature is, in the catalogue's order: what `perennial features list` and the
    docs print."""
    kinds = (kind,) if kind else tuple(SUBJECT_INFOS)
    info_by_name = {info.name: info for one in kinds for info in SUBJECT_INFOS[one]}
    for declared in DECLARED:
        shown = not isinstance(declared, Feature) or declared.shown
        if shown and set(kinds) & set(declared.kinds):
            info_by_name[declared.name] = declared.info
    return tuple(info_by_name.values())


def of_columns(kind: str, names: Container[str]) -> tuple[Derived, ...]:
    """What a model that has these features and columns can derive from columns."""
    derivations = (one for one in OF_COLUMNS if isinstance(one, Derived) and kind in one.kinds)
    return tuple(one for one in derivations if all(need in names for need in one.needs))


def own_features(levels: Mapping[str, tuple[str, ...]]) -> tuple[Declared, ...]:
    """Features of a CRM's own measures of use and kinds of activity (as `Coded.plain` writes them)."""
    declarations: list[Declared] = []
    for name in levels.get("usage.metric", ()):
        declarations += metric(name)
    for name in levels.get("activities.kind", ()):
        declarations += other_kind(name)
    return tuple(declarations)


def known_levels(column: str) -> frozenset[str]:
    """Values that the catalogue already covers."""
    return KNOWN_KINDS if column == "activities.kind" else frozenset()


def plan(schema: Schema, kind: str, levels: Mapping[str, tuple[str, ...]] | None = None) -> Plan:
    """What can be answered: a feature whose table or column is missing is left out, and what derives from
    it too.

    Args:
        schema: table → its columns.
        kind: `renewal` or `win`.
        levels: the commonest values of `OWN_LEVELS` columns.
    """
    have = {f"{table}.{column}" for table, columns in schema.items() for column in columns}
    names = set(ITSELF[kind])
    columns: dict[bool, set[str]] = {False: set(), True: set()}
    features: dict[bool, list[Feature]] = {False: [], True: []}
    derived: dict[bool, list[Derived]] = {False: [], True: []}
    for declared in (*CATALOG, *own_features(levels or {})):
        if kind not in declared.kinds or declared.name in names:
            continue
        spans = declared.scope in ACROSS
        if isinstance(declared, Derived):
            if names.issuperset(declared.needs):
                derived[spans].append(declared)
                names.add(declared.name)
        elif reads(declared, kind) <= have:
            features[spans].append(declared)
            names.add(declared.name)
            columns[spans] |= reads(declared, kind) | (_optional(declared) & have)
    return Plan(
        kind,
        tuple(features[False]),
        tuple(derived[False]),
        tuple(features[True]),
        tuple(derived[True]),
        frozenset(columns[False]),
        frozenset(columns[True]),
    )


def reads(feature: Feature, kind: str) -> frozenset[str]:
    """The stored columns (`table.column`) a feature is calculated from, beside those it can do without."""
    table = feature.events.table
    needed: set[str] = set()
    for name in _names(feature):
        computed = COMPUTED.get((table, name))
        needed.update(computed.needs if computed else (f"{table}.{name}",))
    if feature.window in (TERM, RUNUP):
        needed.add(_WINDOW_COLUMNS[kind].get(feature.window, "no such window"))
    if feature.scope == "owner":
        needed.add("contracts.owner_id" if kind == "renewal" else "opportunities.owner_id")
    if feature.scope == "industry":
        needed.add("accounts.industry")
    return frozenset(needed)


def _names(feature: Feature) -> set[str]:
    names = {feature.events.at, *(test.column for test in feature.events.where)}
    if feature.scope in SCOPE_COLUMN:
        names.add(SCOPE_COLUMN[feature.scope])
    return names | ({feature.value} if feature.value else set())


def _optional(feature: Feature) -> frozenset[str]:
    """Columns a feature also uses where the CRM has them."""
    table = feature.events.table
    extra = {column for name in _names(feature) for column in OPTIONAL.get((table, name), ())}
    return frozenset(extra | ({"activities.recorded_at"} if table == "activities" else set()))
