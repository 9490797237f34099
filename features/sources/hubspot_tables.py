"""HubSpot's objects as tables of the contract, and the property history that is read with them."""

from collections.abc import Mapping

from features.crm.values import literal, quoted
from features.sources.object_tables import Rows

CHANGED = "updated_at"
ASSOCIATED: Mapping[str, Mapping[str, str]] = {
    "contacts": {"companies": "company_id"},
    "deals": {"companies": "company_id"},
    "tickets": {"companies": "company_id"},
    "calls": {"companies": "company_id", "deals": "deal_id", "contacts": "contact_id"},
    "emails": {"companies": "company_id", "deals": "deal_id", "contacts": "contact_id"},
    "meetings": {"companies": "company_id", "deals": "deal_id", "contacts": "contact_id"},
}
"""Object → linked object → the column that holds its id."""
HISTORY: Mapping[str, tuple[str, ...]] = {
    "deals": ("dealstage", "amount", "closedate", "hubspot_owner_id", "dealtype"),
    "companies": ("industry", "numberofemployees", "hubspot_owner_id"),
}
"""Object → the properties whose every value is read."""
_COLUMNS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "deals": ("opportunities", {"amount": "amount", "hubspot_owner_id": "owner_id", "dealtype": "kind"}),
    "companies": (
        "accounts",
        {"industry": "industry", "numberofemployees": "employees", "hubspot_owner_id": "owner_id"},
    ),
}

_DEAL = (
    "CASE WHEN {deal_id} IN (SELECT {deals.id} FROM {@deals} WHERE {deals.archived} = 'false')"
    " THEN {deal_id} END"
)
_PERSON = (
    "CASE WHEN {contact_id} IN (SELECT {contacts.id} FROM {@contacts} WHERE {contacts.archived} = 'false'"
    " AND {contacts.company_id} IS NOT NULL) THEN {contact_id} END"
)
_GONE: Mapping[str, str] = {"IsDeleted": "{archived}"}
_WITH_COMPANY = "{company_id} IS NOT NULL"


def _engagement(object: str, kind: str, columns: Mapping[str, str | tuple[str, ...]]) -> Rows:
    return Rows(
        "activities",
        object,
        {
            "activity_id": "{id}",
            "account_id": "{company_id}",
            "occurred_at": "{hs_timestamp}",
            "recorded_at": "{hs_createdate}",
            "kind": literal(kind),
            "opportunity_id": _DEAL,
            "contact_id": _PERSON,
            "owner_id": "{hubspot_owner_id}",
            **columns,
            **_GONE,
        },
        where=(_WITH_COMPANY, "{hs_timestamp} IS NOT NULL"),
    )


ROWS = (
    Rows(
        "accounts",
        "companies",
        {
            "account_id": "{id}",
            "created_at": "{createdate}",
            "name": "{name}",
            "domain": "{domain}",
            "industry": "{industry}",
            "country": "{country}",
            "region": "{state}",
            "postal_code": "{zip}",
            "employees": "{numberofemployees}",
            "annual_revenue": "{annualrevenue}",
            "owner_id": "{hubspot_owner_id}",
            "parent_account_id": "{hs_parent_company_id}",
            "type": "{type}",
            **_GONE,
        },
        carries=True,
    ),
    Rows(
        "owners",
        "owners",
        {"owner_id": "{id}", "name": "concat_ws(' ', {firstName}, {lastName})"},
    ),
    Rows(
        "contacts",
        "contacts",
        {
            "contact_id": "{id}",
            "account_id": "{company_id}",
            "email": "{email}",
            "seniority": ("coalesce({hs_seniority}, {jobtitle})", "{jobtitle}"),
            "created_at": "{createdate}",
            "opted_out": "{hs_email_optout}",
            **_GONE,
        },
        where=(_WITH_COMPANY,),
    ),
    # The close date is a plan until the deal stands in a closed stage.
    Rows(
        "opportunities",
        "deals",
        {
            "opportunity_id": "{id}",
            "created_at": "{createdate}",
            "account_id": "{company_id}",
            "kind": "{dealtype}",
            "closed_at": "CASE WHEN {hs_is_closed} = 'true' THEN {closedate} END",
            "is_won": "CASE WHEN {hs_is_closed} = 'true' THEN {hs_is_closed_won} END",
            "amount": "{amount}",
            "lead_source": "{hs_analytics_source}",
            "lost_reason": "{closed_lost_reason}",
            "owner_id": "{hubspot_owner_id}",
            "forecast": "CASE WHEN {hs_is_closed} = 'false' THEN {hs_deal_stage_probability} END",
            "currency": "{deal_currency_code}",
            "pipeline": "{pipeline}",
            **_GONE,
        },
        carries=True,
    ),
    _engagement(
        "calls",
        "call",
        {
            "direction": "lower({hs_call_direction})",
            "duration_minutes": "TRY_CAST({hs_call_duration} AS DOUBLE) / 60000",
            "outcome": "{hs_call_disposition}",
        },
    ),
    _engagement("emails", "email", {"direction": "lower({hs_email_direction})"}),
    _engagement(
        "meetings",
        "meeting",
        {
            "occurred_at": ("coalesce({hs_meeting_start_time}, {hs_timestamp})", "{hs_timestamp}"),
            "duration_minutes": "date_diff('minute', TRY_CAST({hs_meeting_start_time} AS TIMESTAMPTZ),"
            " TRY_CAST({hs_meeting_end_time} AS TIMESTAMPTZ))",
            "outcome": "{hs_meeting_outcome}",
        },
    ),
    Rows(
        "cases",
        "tickets",
        {
            "case_id": "{id}",
            "account_id": "{company_id}",
            "opened_at": "{createdate}",
            "closed_at": "{closed_date}",
            "priority": "lower({hs_ticket_priority})",
            **_GONE,
        },
        where=(_WITH_COMPANY,),
    ),
)
OBJECTS = tuple(dict.fromkeys(rows.object for rows in ROWS))


def history_selects(fields: Mapping[str, list[str]]) -> dict[str, str]:
    """The SELECTs of `stage_history` and `history`, out of the properties' every value."""
    selects, parts = {}, []
    for name, (table, columns) in _COLUMNS.items():
        if "history" not in fields.get(name, ()):
            continue
        changes = (
            f'(SELECT id, unnest(from_json(history, \'[{{"property": "VARCHAR", "value": "VARCHAR",'
            f' "at": "VARCHAR"}}]\'), recursive := true) FROM {quoted(name)} WHERE archived = \'false\')'
        )
        called = " ".join(f"WHEN {literal(each)} THEN {literal(column)}" for each, column in columns.items())
        parts.append(
            f'SELECT {literal(table)} AS "table", id, "at" AS changed_at,'
            f' CASE property {called} END AS "column", value'
            f" FROM {changes} WHERE property IN ({', '.join(map(literal, columns))})"
        )
        if name == "deals":
            selects["stage_history"] = (
                'SELECT id AS opportunity_id, "at" AS changed_at, value AS stage'
                f" FROM {changes} WHERE property = 'dealstage' AND value IS NOT NULL"
            )
    return selects | ({"history": "\nUNION ALL\n".join(parts)} if parts else {})
