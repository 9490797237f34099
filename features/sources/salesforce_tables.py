"""Salesforce's objects as tables of the contract, and the objects that are read for it."""

from collections.abc import Mapping

from features.sources.object_tables import Rows

_BIN: Mapping[str, str] = {"IsDeleted": "{IsDeleted}"}
"""A deleted row is passed on as such: the reader leaves it out, and counts it."""
_DEAL = (
    "CASE WHEN %s IN (SELECT {Opportunity.Id} FROM {@Opportunity} WHERE {Opportunity.IsDeleted} = 'false')"
    " THEN %s END"
)
_CONTRACT = (
    "CASE WHEN %s IN (SELECT {Contract.Id} FROM {@Contract} WHERE {Contract.IsDeleted} = 'false') THEN %s END"
)
_PERSON = (
    "CASE WHEN {WhoId} IN (SELECT {Contact.Id} FROM {@Contact} WHERE {Contact.IsDeleted} = 'false'"
    " AND {Contact.AccountId} IS NOT NULL) THEN {WhoId} END"
)
_SOLD = (
    "(SELECT sum(TRY_CAST({Opportunity.Amount} AS DOUBLE)) FROM {@Opportunity}"
    " WHERE {Opportunity.ContractId} = {Id} AND {Opportunity.IsWon} = 'true'"
    " AND {Opportunity.IsDeleted} = 'false')"
)


def _deal(field: str) -> str:
    return _DEAL % (field, field)


def _contract(field: str) -> str:
    return _CONTRACT % (field, field)


ROWS = (
    Rows(
        "accounts",
        "Account",
        {
            "account_id": "{Id}",
            "created_at": "{CreatedDate}",
            "name": "{Name}",
            "domain": "{Website}",
            "industry": "{Industry}",
            "country": ("{BillingCountry}", "{ShippingCountry}"),
            "region": ("{BillingState}", "{ShippingState}"),
            "postal_code": ("{BillingPostalCode}", "{ShippingPostalCode}"),
            "employees": "{NumberOfEmployees}",
            "annual_revenue": "{AnnualRevenue}",
            "owner_id": "{OwnerId}",
            "parent_account_id": "{ParentId}",
            "currency": "{CurrencyIsoCode}",
            "merged_into": "{MasterRecordId}",
            "type": "{Type}",
            "account_source": "{AccountSource}",
            "rating": "{Rating}",
            "ownership": "{Ownership}",
            **_BIN,
        },
        carries=True,
    ),
    Rows(
        "owners",
        "User",
        {
            "owner_id": "{Id}",
            "name": "{Name}",
            "region": ("{State}", "{Country}"),
            "manager_id": "{ManagerId}",
        },
    ),
    Rows(
        "contacts",
        "Contact",
        {
            "contact_id": "{Id}",
            "account_id": "{AccountId}",
            "email": "{Email}",
            "seniority": "{Title}",
            "created_at": "{CreatedDate}",
            "opted_out": "{HasOptedOutOfEmail}",
            "merged_into": "{MasterRecordId}",
            **_BIN,
        },
        where=("{AccountId} IS NOT NULL",),
    ),
    # A draft is no contract yet. It has no value: what was sold with it, for a year of its term.
    Rows(
        "contracts",
        "Contract",
        {
            "contract_id": "{Id}",
            "account_id": "{AccountId}",
            "start_date": "{StartDate}",
            "end_date": (
                "{EndDate}",
                "CAST(CAST({StartDate} AS DATE) + to_months(CAST({ContractTerm} AS INTEGER)) AS DATE)",
            ),
            "annual_value": (
                f"{_SOLD} * 12 / greatest(coalesce(TRY_CAST({{ContractTerm}} AS DOUBLE), 12), 12)",
                _SOLD,
            ),
            "owner_id": "{OwnerId}",
            "currency": "{CurrencyIsoCode}",
            **_BIN,
        },
        where=("({StatusCode} IS DISTINCT FROM 'Draft' OR {IsDeleted} = 'true')",),
        carries=True,
    ),
    # The close date is a plan as long as the deal is open; the probability then is what its stage stands for.
    Rows(
        "opportunities",
        "Opportunity",
        {
            "opportunity_id": "{Id}",
            "created_at": "{CreatedDate}",
            "account_id": "{AccountId}",
            "kind": "{Type}",
            "closed_at": "CASE WHEN {IsClosed} = 'true' THEN {CloseDate} END",
            "is_won": "CASE WHEN {IsClosed} = 'true' THEN {IsWon} END",
            "amount": "{Amount}",
            "lead_source": "{LeadSource}",
            "owner_id": "{OwnerId}",
            "contract_id": _contract("{ContractId}"),
            "forecast": "CASE WHEN {IsClosed} = 'false' THEN TRY_CAST({Probability} AS DOUBLE) / 100 END",
            "currency": "{CurrencyIsoCode}",
            **_BIN,
        },
        carries=True,
    ),
    Rows(
        "stage_history",
        "OpportunityHistory",
        {
            "opportunity_id": _deal("{OpportunityId}"),
            "changed_at": "{CreatedDate}",
            "stage": "{StageName}",
            "amount": "{Amount}",
            "expected_close_date": "{CloseDate}",
            "currency": "{CurrencyIsoCode}",
            **_BIN,
        },
        where=(f"{_deal('{OpportunityId}')} IS NOT NULL",),
    ),
    # Tasks that are done, and events: what was planned and not done is no contact.
    Rows(
        "activities",
        "Task",
        {
            "activity_id": "{Id}",
            "account_id": "{AccountId}",
            "occurred_at": ("coalesce({CompletedDateTime}, {ActivityDate})", "{ActivityDate}"),
            "recorded_at": "{CreatedDate}",
            "kind": (
                "CASE WHEN {TaskSubtype} IN ('Call', 'Email') THEN lower({TaskSubtype})"
                " ELSE lower(coalesce({Type}, 'task')) END",
                "CASE WHEN {TaskSubtype} IN ('Call', 'Email') THEN lower({TaskSubtype}) ELSE 'task' END",
                "lower(coalesce({Type}, 'task'))",
            ),
            "opportunity_id": _deal("{WhatId}"),
            "contract_id": _contract("{WhatId}"),
            "contact_id": _PERSON,
            "owner_id": "{OwnerId}",
            "direction": "lower({CallType})",
            "duration_minutes": "TRY_CAST({CallDurationInSeconds} AS DOUBLE) / 60",
            "outcome": "{CallDisposition}",
            **_BIN,
        },
        where=(
            "({IsClosed} = 'true' OR {IsDeleted} = 'true')",
            "{AccountId} IS NOT NULL",
            "coalesce({CompletedDateTime}, {ActivityDate}) IS NOT NULL",
            "{IsRecurrence} IS DISTINCT FROM 'true'",
        ),
        needs=("{IsClosed}",),
    ),
    Rows(
        "activities",
        "Event",
        {
            "activity_id": "{Id}",
            "account_id": "{AccountId}",
            "occurred_at": ("coalesce({StartDateTime}, {ActivityDate})", "{StartDateTime}", "{ActivityDate}"),
            "recorded_at": "{CreatedDate}",
            "kind": ("lower(coalesce({Type}, 'meeting'))", "'meeting'"),
            "opportunity_id": _deal("{WhatId}"),
            "contract_id": _contract("{WhatId}"),
            "contact_id": _PERSON,
            "owner_id": "{OwnerId}",
            "duration_minutes": "TRY_CAST({DurationInMinutes} AS DOUBLE)",
            **_BIN,
        },
        where=(
            "{AccountId} IS NOT NULL",
            "{IsChild} IS DISTINCT FROM 'true'",
            "{IsRecurrence} IS DISTINCT FROM 'true'",
        ),
    ),
    Rows(
        "quotes",
        "Quote",
        {
            "quote_id": "{Id}",
            "quoted_at": "{CreatedDate}",
            "list_amount": "{Subtotal}",
            "net_amount": "{TotalPrice}",
            "account_id": "{AccountId}",
            "opportunity_id": _deal("{OpportunityId}"),
            "contract_id": _contract("{ContractId}"),
            "currency": "{CurrencyIsoCode}",
            **_BIN,
        },
    ),
    Rows(
        "leads",
        "Lead",
        {
            "lead_id": "{Id}",
            "created_at": "{CreatedDate}",
            "account_id": "{ConvertedAccountId}",
            "source": "{LeadSource}",
            "qualified_at": "CASE WHEN {IsConverted} = 'true' THEN {ConvertedDate} END",
            "opportunity_id": _deal("{ConvertedOpportunityId}"),
            "merged_into": "{MasterRecordId}",
            "industry": "{Industry}",
            "country": "{Country}",
            "employees": "{NumberOfEmployees}",
            **_BIN,
        },
        carries=True,
    ),
    Rows(
        "campaigns",
        "Campaign",
        {
            "campaign_id": "{Id}",
            "channel": "lower({Type})",
            "started_at": "{StartDate}",
            "cost": "{ActualCost}",
            "currency": "{CurrencyIsoCode}",
            **_BIN,
        },
    ),
    Rows(
        "touches",
        "CampaignMember",
        {
            "touch_id": "{Id}",
            "sent_at": "{CreatedDate}",
            "account_id": "(SELECT any_value({Contact.AccountId}) FROM {@Contact}"
            " WHERE {Contact.Id} = {ContactId} AND {Contact.IsDeleted} = 'false')",
            "lead_id": "CASE WHEN {LeadId} IN (SELECT {Lead.Id} FROM {@Lead}"
            " WHERE {Lead.IsDeleted} = 'false') THEN {LeadId} END",
            "campaign_id": "CASE WHEN {CampaignId} IN (SELECT {Campaign.Id} FROM {@Campaign}"
            " WHERE {Campaign.IsDeleted} = 'false') THEN {CampaignId} END",
            "channel": "(SELECT any_value(lower({Campaign.Type})) FROM {@Campaign}"
            " WHERE {Campaign.Id} = {CampaignId})",
            "responded_at": "{FirstRespondedDate}",
            **_BIN,
        },
    ),
    Rows(
        "cases",
        "Case",
        {
            "case_id": "{Id}",
            "account_id": "{AccountId}",
            "opened_at": "{CreatedDate}",
            "closed_at": "{ClosedDate}",
            "priority": "lower({Priority})",
            "escalated": "{IsEscalated}",
            **_BIN,
        },
        where=("{AccountId} IS NOT NULL",),
    ),
    # A rate says how much of a currency one unit of the home currency buys.
    Rows(
        "currencies",
        "DatedConversionRate",
        {
            "code": "{IsoCode}",
            "rate": "1 / TRY_CAST({ConversionRate} AS DOUBLE)",
            "from": "{StartDate}",
        },
        where=("TRY_CAST({ConversionRate} AS DOUBLE) > 0",),
    ),
)

STATIC_RATES = Rows(
    "currencies",
    "CurrencyType",
    {"code": "{IsoCode}", "rate": "1 / TRY_CAST({ConversionRate} AS DOUBLE)"},
    where=("TRY_CAST({ConversionRate} AS DOUBLE) > 0",),
)
"""The rates of an organisation without dated ones."""

HISTORIES: Mapping[str, tuple[str, str, str, Mapping[str, str]]] = {
    "AccountHistory": (
        "Account",
        "AccountId",
        "accounts",
        {"Owner": "owner_id", "Industry": "industry", "NumberOfEmployees": "employees"},
    ),
    "ContractHistory": (
        "Contract",
        "ContractId",
        "contracts",
        {"Owner": "owner_id", "StartDate": "start_date", "EndDate": "end_date"},
    ),
    "OpportunityFieldHistory": (
        "Opportunity",
        "OpportunityId",
        "opportunities",
        {"Owner": "owner_id", "Amount": "amount", "Type": "kind", "LeadSource": "lead_source"},
    ),
    "LeadHistory": ("Lead", "LeadId", "leads", {"LeadSource": "source", "Industry": "industry"}),
}
"""Field history → (its object, the field that names the record, contract table, field → column)."""

BY_QUERY = ("DatedConversionRate", "CurrencyType")
"""Small objects that the Bulk API does not have: they are asked for by plain queries, in full."""
