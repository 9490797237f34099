"""The shapes of the HTTP interface, with an example each; the documentation at /docs is made of them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from features.errors import RenewalError

MAX_IDS = 10_000
MAX_RECORDS = 20_000

Moment = Annotated[
    datetime, WithJsonSchema({"type": "string", "description": "ISO 8601, UTC, without a zone."})
]
Id = Annotated[str, Field(min_length=1, max_length=200)]


class Body(BaseModel):
    """A request: an unknown member is an error, not silence."""

    model_config = ConfigDict(extra="forbid")


class RenewalsAsked(Body):
    """Contracts to score."""

    contract_ids: list[Id] = Field(min_length=1, max_length=MAX_IDS, examples=[["C-1042", "C-1077"]])
    as_of: datetime | None = Field(
        None,
        description="Score as things stood then (UTC where no zone is given). Default: the latest data.",
        examples=["2026-03-01T00:00:00"],
    )


class OpportunitiesAsked(Body):
    """Opportunities to score."""

    opportunity_ids: list[Id] = Field(min_length=1, max_length=MAX_IDS, examples=[["O-311"]])
    as_of: datetime | None = Field(None, description="As in renewals.", examples=["2026-03-01T00:00:00"])


class RecordsAsked(Body):
    """The caller's own rows, scored without being stored."""

    model: Literal["renewal", "win"] = Field(examples=["renewal"])
    crm: dict[str, list[dict[str, Any]]] = Field(
        description="Table name → rows, in the columns of the CRM data contract.",
        examples=[
            {
                "accounts": [{"account_id": "A-1", "industry": "software", "region": "north"}],
                "contracts": [
                    {
                        "contract_id": "C-1",
                        "account_id": "A-1",
                        "start_date": "2026-01-01",
                        "end_date": "2026-12-31",
                        "annual_value": 12000,
                    }
                ],
                "activities": [
                    {
                        "activity_id": "E-1",
                        "account_id": "A-1",
                        "kind": "call",
                        "occurred_at": "2026-09-01T10:00:00",
                    }
                ],
            }
        ],
    )
    as_of: datetime | None = Field(
        None,
        description="Score as things stood then. Default: the midnight after the last event.",
        examples=["2026-10-01T00:00:00"],
    )


class EventsSent(Body):
    """Rows of one table as they happen; a row sent twice changes nothing."""

    table: Literal[
        "activities", "quotes", "touches", "surveys", "cases", "usage", "invoices", "stage_history", "leads"
    ] = Field(examples=["activities"])
    rows: list[dict[str, Any]] = Field(
        min_length=1,
        max_length=1_000,
        examples=[
            [
                {
                    "activity_id": "E-90210",
                    "account_id": "A-1",
                    "kind": "call",
                    "direction": "outbound",
                    "occurred_at": "2026-10-01T10:00:00",
                    "duration_minutes": 12,
                }
            ]
        ],
    )


class Changes(Body):
    """What would be done otherwise; only actions can be changed."""

    contact_days_before: int | None = Field(
        None, ge=0, le=180, description="First contact so many days before the end.", examples=[45]
    )
    calls_30d: int | None = Field(None, ge=0, le=60, description="Calls in the last 30 days.", examples=[3])
    discount_pct: float | None = Field(
        None, ge=0, le=90, description="Discount quoted, in per cent.", examples=[10]
    )

    @model_validator(mode="before")
    @classmethod
    def _names_actions(cls, given: Any) -> Any:
        others = sorted(set(given) - set(cls.model_fields)) if isinstance(given, dict) else []
        if others:
            raise RenewalError(
                expected=f"changes of actions: {', '.join(cls.model_fields)}",
                found=repr(others[0]),
                do="Only what you can do differently can be changed.",
            )
        return given

    @model_validator(mode="after")
    def _holds_one(self) -> "Changes":
        if not self.given():
            raise RenewalError(
                expected=f"at least one change of {', '.join(type(self).model_fields)}",
                found="none",
                do="Say what you would do.",
            )
        return self

    def given(self) -> dict[str, float]:
        """The changes asked for."""
        return self.model_dump(exclude_none=True)


class WhatIfAsked(Body):
    """One contract, and what would be done otherwise."""

    contract_id: Id = Field(examples=["C-1042"])
    changes: Changes


class ScoreSaid(BaseModel):
    """What the model's score would say: which facts kept company in the past, no effect."""

    now: float | None = Field(examples=[0.62])
    changed: float | None = Field(examples=[0.58])
    difference: float | None = Field(examples=[-0.04])
    moved: list[str] = Field([], description="Features of the model that move.", examples=[["calls_30d"]])
    model_version: str | None = Field(None, examples=["3"])
    why: str = Field(examples=["what the score would say had this just been recorded"])


class EffectSaid(BaseModel):
    """What the action is estimated to change, as far as the data show; null where they don't."""

    bucket: str | None = Field(examples=["31-60"])
    group: str | None = Field(None, description="Whose estimate: a group or `all`.", examples=["software"])
    estimate: float | None = Field(description="P(renewed) if treated so.", examples=[0.74])
    low: float | None = Field(examples=[0.69])
    high: float | None = Field(examples=[0.79])
    present: str | None = Field(
        None, description="The plan compared with.", examples=["what is usually done from here"]
    )
    usual: float | None = Field(None, description="P(renewed) under the present plan.", examples=[0.7])
    gain: float | None = Field(None, description="estimate − usual.", examples=[0.04])
    gain_low: float | None = Field(None, description="95 %, for any bucket asked for.", examples=[0.01])
    gain_high: float | None = Field(None, examples=[0.07])
    raw: float | None = Field(description="The raw rate, which misleads.", examples=[0.66])
    n: int | None = Field(examples=[412])
    margin: float | None = Field(
        None, description="How far off if unseen worry did three times what is seen.", examples=[0.05]
    )
    best: str | None = Field(description="The best bucket, if one stands out.", examples=["61-90"])
    alike: list[str] = Field(description="Every bucket that may be the best.", examples=[["31-60", "61-90"]])
    why: str = Field(examples=["estimated over contracts like this one (software), against …"])


class WhatIf(BaseModel):
    """Two figures that are not to be mixed."""

    contract_id: str = Field(examples=["C-1042"])
    changes: Changes
    score: ScoreSaid
    effect: dict[str, EffectSaid] | None = Field(
        description="By change; null while it is being estimated.",
        examples=[{"contact_days_before": {"bucket": "31-60", "estimate": 0.74, "low": 0.69, "high": 0.79}}],
    )
    why: str | None = Field(description="Why there is no effect yet.", examples=[None])


class FitAsked(Body):
    """Prospects to rate; every attribute may be missing."""

    accounts: list[dict[str, Any]] = Field(
        min_length=1,
        max_length=MAX_RECORDS,
        examples=[[{"id": "P-1", "name": "Nord AG", "industry": "software", "employees": 120}]],
    )


class Fitted(BaseModel):
    """Each prospect with its fit, the profile it matches and why, in the order sent."""

    rows: list[dict[str, Any]] = Field(
        examples=[[{"id": "P-1", "name": "Nord AG", "fit": 0.87, "profile": "industry is software"}]]
    )


class Profiles(BaseModel):
    """Profiles that hold up on later data, each with its lifts, and a card of figures each."""

    model_config = ConfigDict(extra="allow")

    profiles: list[dict[str, Any]] = Field(
        examples=[
            [
                {
                    "rule": "industry is software, employees from 49",
                    "accounts": 88,
                    "share": 0.11,
                    "outcomes": {"win": {"value": 0.5, "lift": 2.0, "low": 1.2, "high": 2.9}},
                }
            ]
        ]
    )
    personas: list[dict[str, Any]] = Field(examples=[[{"rule": "industry is software, employees from 49"}]])


class Targets(BaseModel):
    """The targeting list, best first, and what it is worth."""

    model_config = ConfigDict(extra="allow")

    rows: list[dict[str, Any]] = Field(
        examples=[[{"id": "L-9", "kind": "lead", "fit": 0.98, "profile": None, "listed": True}]]
    )


class Reason(BaseModel):
    """One cause of a score: a feature's exact contribution in log-odds, and the same in words."""

    feature: str = Field(examples=["days_since_meeting"])
    words: str = Field(examples=["no meeting in 94 days (usually every 30)"])
    value: float | str | bool | None = Field(examples=[94])
    log_odds: float = Field(examples=[-0.41])
    subject: str = Field("", description="The theme; each has one reason.", examples=["Contact"])
    comparison: str | None = Field(None, examples=["customers like this renew at 64 %"])
    action: str | None = Field(
        None, description="What can be done.", examples=["arrange a call or a meeting"]
    )


class Scored(BaseModel):
    """One scored contract or opportunity; the command line's `--json` holds the same."""

    model_config = ConfigDict(extra="allow")

    contract_id: str | None = Field(None, examples=["C-1042"])
    opportunity_id: str | None = Field(None, examples=[None])
    account_id: str | None = Field(None, examples=["A-88"])
    as_of: Moment | None = Field(None, examples=["2026-03-01T00:00:00"])
    probability: float | None = Field(None, ge=0, le=1, examples=[0.71])
    low: float | None = Field(None, description="Lower end of the 90 % interval.", examples=[0.62])
    high: float | None = Field(None, description="Upper end of the 90 % interval.", examples=[0.79])
    band: str | None = Field(None, examples=["watch"])
    amount: float | None = Field(None, description="Annual value, or the deal's amount.", examples=[24000.0])
    at_risk: float | None = Field(None, description="(1 − probability) × annual value.", examples=[6960.0])
    expected: float | None = Field(None, description="probability × amount; win only.", examples=[None])
    by_quarter_end: float | None = Field(
        None, ge=0, le=1, description="Probability to be won by the end of this quarter; dated deals only."
    )
    by_next_quarter_end: float | None = Field(None, ge=0, le=1, description="The same for the next quarter.")
    close_date: str | None = Field(
        None, description="Day by which half of such deals are won, of those that are.", examples=[None]
    )
    close_date_low: str | None = Field(None, description="Day by which 5 % of these are.", examples=[None])
    close_date_high: str | None = Field(None, description="Day by which 95 % of these are.", examples=[None])
    reasons: list[Reason] = []
    model_version: str | None = Field(None, examples=["3"])
    alias: str | None = Field(None, description="`champion`, or `challenger` where none serves.")
    problem: str | None = Field(None, description="Why this row could not be scored.", examples=[None])


class Answer(BaseModel):
    """Scored rows in the order asked for."""

    model_version: str | None = Field(examples=["3"])
    rows: list[Scored]


class Amounts(BaseModel):
    """What rows of a list add up to; customers held out count by their amount alone."""

    rows: int = Field(examples=[214])
    amount: float = Field(description="ARR due, or the amount of deals.", examples=[4_120_000.0])
    at_risk: float = Field(description="(1 − probability) × annual value.", examples=[611_000.0])
    expected: float = Field(description="Probability × amount, of deals.", examples=[0.0])


class ListTotals(Amounts):
    """Over the whole list as it is filtered, whatever page of it is shown."""

    bands: dict[str, Amounts] = Field(description="By band; '' for what is not scored.")


class Listed(BaseModel):
    """A page of a list; `next_cursor` and `previous_cursor` fetch its neighbours, null: there is none."""

    rows: list[Scored]
    next_cursor: str | None = Field(examples=["eyJ2IjoxMjAwMC4wfQ"])
    previous_cursor: str | None = Field(examples=[None])
    total: int = Field(examples=[214])
    totals: ListTotals


class Taken(BaseModel):
    """What became of sent events."""

    stored: int = Field(examples=[1])
    repeated: int = Field(description="Rows that were stored before.", examples=[0])
    refused: list[dict[str, Any]] = Field(description="Rows that do not fit, each with its reason.")
    lost: list[dict[str, Any]] = Field(
        description="Values of stored rows that could not be read, or that the table has no column for: "
        "stored as missing, each with its row, column, value and reason.",
        examples=[[{"row": 0, "column": "sentiment", "value": "good", "why": "is not a number"}]],
    )
    rows: list[Scored] = Field(description="New scores of the accounts concerned.")
    alerts: list[dict[str, Any]] = Field(description="Alerts raised by these events.")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no contract C-9."])
