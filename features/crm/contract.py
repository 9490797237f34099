"""The CRM data contract as data: every table, its columns, their kinds and what they refer to."""

from dataclasses import dataclass, field
from enum import StrEnum

SUBJECTS = {"renewal": "contracts", "win": "opportunities"}
"""What is predicted → the table whose rows are the subjects."""


class Kind(StrEnum):
    """What a column means, which decides how its text is read and how it is stored.

    Stored as: ID, TEXT, CATEGORY string; NUMBER double; WHOLE int64; MONEY int64 minor units (×100);
    DURATION int64 seconds (read from minutes); FLAG bool; TIME and DATE timestamp[us], naive UTC.
    """

    ID = "id"
    TEXT = "text"
    CATEGORY = "category"
    NUMBER = "number"
    WHOLE = "whole"
    MONEY = "money"
    DURATION = "duration"
    FLAG = "flag"
    TIME = "time"
    DATE = "date"


@dataclass(frozen=True)
class Column:
    """One column of the contract.

    Args:
        name: as the source gives it.
        kind: how it is read.
        required: a row without it goes to quarantine, a table without it is refused.
        refers: the table whose key this column holds.
        stored: its name in the clean table, where the unit changes (`duration_minutes` → `duration_seconds`).
        known_with: the moment from which the value is known, where that is not the row's own (a survey's
            `score` with `answered_at`); before it the value is null.
        aliases: other names by which CRM exports know the very same column.
    """

    name: str
    kind: Kind
    required: bool = False
    refers: str | None = None
    stored: str = ""
    known_with: str | None = None
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.stored:
            object.__setattr__(self, "stored", self.name)


@dataclass(frozen=True)
class Table:
    """One table of the contract.

    Args:
        name: also the file's stem.
        columns: in the order of the contract.
        key: the unique id, or None where rows have none.
        time: the column that says when a row first became known, or None.
        carries: further columns are carried and may become features.
        span: (start, end): a row whose end lies on an earlier day than its start is wrong.
        seconds: later moments of the same row; each is known only from its own time.
        read_with: columns that say how a row is to be read, and are not kept: the currency of its amounts,
            the
            record that it was merged into.
    """

    name: str
    columns: tuple[Column, ...]
    key: str | None = None
    time: str | None = None
    carries: bool = False
    span: tuple[str, str] | None = None
    seconds: tuple[str, ...] = ()
    read_with: tuple[Column, ...] = ()
    by_name: dict[str, Column] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {column.name: column for column in self.columns})

    @property
    def understood(self) -> dict[str, Column]:
        """Every column that a source may have: those that are kept and those that rows are read with."""
        return self.by_name | {column.name: column for column in self.read_with}

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the columns that a source must have."""
        return tuple(column.name for column in self.columns if column.required)


def _id(name: str, refers: str | None = None, required: bool = False) -> Column:
    return Column(name, Kind.ID, required=required, refers=refers)


def _key(name: str, required: bool = True) -> Column:
    return Column(name, Kind.ID, required=required)


def _account(required: bool = True) -> Column:
    return _id("account_id", "accounts", required)


def _text(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, Kind.TEXT) for name in names)


def _category(*names: str, required: bool = False) -> tuple[Column, ...]:
    return tuple(Column(name, Kind.CATEGORY, required=required) for name in names)


def _money(*names: str, required: bool = False) -> tuple[Column, ...]:
    return tuple(Column(name, Kind.MONEY, required=required) for name in names)


def _time(*names: str, required: bool = False) -> tuple[Column, ...]:
    return tuple(Column(name, Kind.TIME, required=required) for name in names)


def _date(*names: str, required: bool = False) -> tuple[Column, ...]:
    return tuple(Column(name, Kind.DATE, required=required) for name in names)


def _known_with(moment: str, name: str, kind: Kind) -> Column:
    return Column(name, kind, known_with=moment)


_CURRENCY = Column(
    "currency",
    Kind.CATEGORY,
    aliases=(
        "CurrencyIsoCode",
        "Currency Code",
        "Currency ISO Code",
        "ISO Currency Code",
        "deal_currency_code",
    ),
)


_MERGED_INTO = Column("merged_into", Kind.ID, aliases=("MasterRecordId", "Master Record ID", "master_id"))
_OWNER = _id("owner_id", "owners")
_CONTACT = _id("contact_id", "contacts")
_CONTRACT = _id("contract_id", "contracts")
_OPPORTUNITY = _id("opportunity_id", "opportunities")

_DECLARED = (
    Table(
        "accounts",
        (
            _key("account_id"),
            *_time("created_at"),
            *_text("name", "domain"),
            *_category("industry", "country", "region", "postal_code"),
            Column("employees", Kind.WHOLE),
            *_money("annual_revenue"),
            _OWNER,
            _id("parent_account_id"),
        ),
        key="account_id",
        time="created_at",
        carries=True,
        read_with=(_CURRENCY, _MERGED_INTO),
    ),
    Table(
        "owners",
        (_key("owner_id"), *_text("name"), *_category("region"), _id("manager_id")),
        key="owner_id",
    ),
    Table(
        "contacts",
        (
            _key("contact_id"),
            _account(),
            *_text("email"),
            *_category("seniority"),
            *_time("created_at"),
            Column("opted_out", Kind.FLAG),
        ),
        key="contact_id",
        time="created_at",
        read_with=(_MERGED_INTO,),
    ),
    Table(
        "contracts",
        (
            _key("contract_id", required=False),
            _account(required=False),
            *_date("start_date", "end_date"),
            *_category("product"),
            *_money("annual_value", "list_value"),
            Column("auto_renew", Kind.FLAG),
            _known_with("decided_at", "renewed", Kind.FLAG),
            *_time("decided_at"),
            _known_with("decided_at", "lost_reason", Kind.CATEGORY),
            _OWNER,
            Column("forecast", Kind.NUMBER),
        ),
        key="contract_id",
        time="start_date",
        carries=True,
        span=("start_date", "end_date"),
        seconds=("decided_at",),
        read_with=(_CURRENCY,),
    ),
    Table(
        "opportunities",
        (
            _key("opportunity_id", required=False),
            *_time("created_at"),
            _account(required=False),
            *_category("kind"),
            *_time("closed_at"),
            _known_with("closed_at", "is_won", Kind.FLAG),
            *_money("amount"),
            *_category("lead_source"),
            _known_with("closed_at", "lost_reason", Kind.CATEGORY),
            _OWNER,
            _CONTRACT,
            Column("forecast", Kind.NUMBER),
        ),
        key="opportunity_id",
        time="created_at",
        carries=True,
        span=("created_at", "closed_at"),
        seconds=("closed_at",),
        read_with=(_CURRENCY, _MERGED_INTO),
    ),
    Table(
        "stage_history",
        (
            _id("opportunity_id", "opportunities", required=True),
            *_time("changed_at", required=True),
            *_category("stage", required=True),
            *_money("amount"),
            *_date("expected_close_date"),
        ),
        time="changed_at",
        read_with=(_CURRENCY,),
    ),
    Table(
        "activities",
        (
            _key("activity_id"),
            _account(),
            *_time("occurred_at", required=True),
            *_category("kind", required=True),
            *_time("recorded_at"),
            _OPPORTUNITY,
            _CONTRACT,
            _CONTACT,
            _OWNER,
            *_category("direction"),
            Column("duration_minutes", Kind.DURATION, stored="duration_seconds"),
            *_category("outcome"),
        ),
        key="activity_id",
        time="occurred_at",
    ),
    Table(
        "quotes",
        (
            _key("quote_id"),
            *_time("quoted_at", required=True),
            *_money("list_amount", "net_amount", required=True),
            _account(required=False),
            _OPPORTUNITY,
            _CONTRACT,
        ),
        key="quote_id",
        time="quoted_at",
        read_with=(_CURRENCY,),
    ),
    Table(
        "leads",
        (
            _key("lead_id"),
            *_time("created_at", required=True),
            _account(required=False),
            *_category("source"),
            *_time("qualified_at", "disqualified_at"),
            _known_with("disqualified_at", "disqualified_reason", Kind.CATEGORY),
            _OPPORTUNITY,
        ),
        key="lead_id",
        time="created_at",
        carries=True,
        seconds=("qualified_at", "disqualified_at"),
        read_with=(_MERGED_INTO,),
    ),
    Table(
        "touches",
        (
            _key("touch_id"),
            *_time("sent_at", required=True),
            _account(required=False),
            _id("lead_id", "leads"),
            _id("campaign_id", "campaigns"),
            *_category("channel"),
            *_time("opened_at", "clicked_at", "responded_at"),
        ),
        key="touch_id",
        time="sent_at",
        seconds=("opened_at", "clicked_at", "responded_at"),
    ),
    Table(
        "campaigns",
        (_key("campaign_id"), *_category("channel"), *_time("started_at"), *_money("cost")),
        key="campaign_id",
        time="started_at",
        read_with=(_CURRENCY,),
    ),
    Table(
        "surveys",
        (
            _key("response_id"),
            _account(),
            *_category("kind", required=True),
            *_time("asked_at", "answered_at"),
            _known_with("answered_at", "score", Kind.NUMBER),
            _CONTACT,
            *_category("touchpoint"),
        ),
        key="response_id",
        time="asked_at",
        span=("asked_at", "answered_at"),
        seconds=("answered_at",),
    ),
    Table(
        "cases",
        (
            _key("case_id"),
            _account(),
            *_time("opened_at", required=True),
            *_time("closed_at"),
            *_category("priority"),
            Column("escalated", Kind.FLAG),
            _known_with("closed_at", "csat", Kind.NUMBER),
        ),
        key="case_id",
        time="opened_at",
        span=("opened_at", "closed_at"),
        seconds=("closed_at",),
    ),
    Table(
        "usage",
        (
            _account(),
            *_time("used_on", required=True),
            *_category("metric", required=True),
            Column("value", Kind.NUMBER, required=True, stored="value_milli"),
        ),
        time="used_on",
    ),
    Table(
        "invoices",
        (
            _key("invoice_id"),
            _account(),
            *_time("issued_at", required=True),
            *_date("due_at", required=True),
            *_money("amount", required=True),
            *_time("paid_at"),
        ),
        key="invoice_id",
        time="issued_at",
        seconds=("paid_at",),
        read_with=(_CURRENCY,),
    ),
    Table(
        "history",
        (
            *_category("table", required=True),
            _key("id"),
            *_time("changed_at", required=True),
            *_category("column", required=True),
            *_text("value"),
        ),
        time="changed_at",
    ),
    Table(
        "currencies",
        (
            Column("code", Kind.CATEGORY, required=True, aliases=("currency", "IsoCode", "currency_code")),
            Column("rate", Kind.NUMBER, required=True),
            *_date("from"),
        ),
    ),
    Table(
        "segments",
        (
            _account(),
            *_category("attribute", "value", required=True),
            Column("share", Kind.NUMBER),
            *_category("source"),
        ),
    ),
    Table(
        "population",
        (
            *_category("attribute", "value", required=True),
            Column("people", Kind.NUMBER, required=True),
            *_category("area"),
        ),
    ),
)

TABLES: dict[str, Table] = {table.name: table for table in _DECLARED}
"""Every table of the contract, by name."""


def plain_name(name: str) -> str:
    """A column's name as the contract would spell it."""
    return "_".join(name.strip().lower().replace("-", " ").split())
