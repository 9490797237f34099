"""The tables of Dynamics 365 (Sales, Customer Service) as tables of the contract.

Columns are named as Dataverse's own tools name them: `industrycodename` is the label of the choice
`industrycode`, `customeridtype` the table that the lookup `customerid` points to.
"""

from collections.abc import Mapping

from features.crm.values import literal
from features.sources.object_tables import Rows

DELETED = "isdeleted"
_GONE: Mapping[str, str] = {"IsDeleted": f"{{{DELETED}}}"}
_OWNER = ("CASE WHEN {owneridtype} = 'systemuser' THEN {ownerid} END", "{ownerid}")
_CURRENCY = (
    "(SELECT any_value({transactioncurrency.isocurrencycode}) FROM {@transactioncurrency}"
    " WHERE {transactioncurrency.transactioncurrencyid} = {transactioncurrencyid})"
)
_THROUGH_CONTACT = (
    "(SELECT any_value({contact.parentcustomerid}) FROM {@contact} WHERE {contact.contactid} = %s"
    " AND {contact.parentcustomeridtype} = 'account')"
)
_ACCOUNT_OF: Mapping[str, str] = {
    "account": "%s",
    "opportunity": "(SELECT any_value(coalesce({opportunity.parentaccountid}, CASE WHEN"
    " {opportunity.customeridtype} = 'account' THEN {opportunity.customerid} END)) FROM {@opportunity}"
    " WHERE {opportunity.opportunityid} = %s)",
    "contact": _THROUGH_CONTACT,
    "incident": "(SELECT any_value({incident.customerid}) FROM {@incident} WHERE {incident.incidentid} = %s"
    " AND {incident.customeridtype} = 'account')",
    "contract": "(SELECT any_value({contract.customerid}) FROM {@contract} WHERE {contract.contractid} = %s"
    " AND {contract.customeridtype} = 'account')",
}


def _account_by(field: str, *tables: str) -> tuple[str, ...]:
    """The account behind a reference to several tables; with fewer of them where one may not be read."""
    return tuple(
        f"CASE {{{field}type}} "
        + " ".join(
            f"WHEN {literal(each)} THEN {_ACCOUNT_OF[each] % f'{{{field}}}'}" for each in tables[:upto]
        )
        + " END"
        for upto in range(len(tables), 0, -1)
    )


def _living(table: str, key: str, reference: str) -> str:
    """The reference, if it is to a row of that table that is there."""
    return (
        f"CASE WHEN {reference} IN (SELECT {{{table}.{key}}} FROM {{@{table}}}"
        f" WHERE {{{table}.{DELETED}}} = 'false') THEN {reference} END"
    )


def _not_null(ways: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"({each} IS NOT NULL OR {{{DELETED}}} = 'true')" for each in ways)


_CUSTOMER = _account_by("customerid", "account", "contact")


def _activity(object: str, kind: str, occurred_at: str | tuple[str, ...], where: str, **columns: str) -> Rows:
    account = _account_by("regardingobjectid", "account", "opportunity", "contact", "incident", "contract")
    return Rows(
        "activities",
        object,
        {
            "activity_id": "{activityid}",
            "account_id": account,
            "occurred_at": occurred_at,
            "recorded_at": "{createdon}",
            "kind": literal(kind),
            "opportunity_id": _living("opportunity", "opportunityid", "{regardingobjectid}"),
            "contract_id": _living("contract", "contractid", "{regardingobjectid}"),
            "contact_id": _living("contact", "contactid", "{regardingobjectid}"),
            "owner_id": _OWNER,
            "duration_minutes": "TRY_CAST({actualdurationminutes} AS DOUBLE)",
            **columns,
            **_GONE,
        },
        where=(f"({where} OR {{{DELETED}}} = 'true')", _not_null(account)),
        needs=("{statecode}",),
    )


_DIRECTION = "CASE {directioncode} WHEN 'true' THEN 'outbound' WHEN 'false' THEN 'inbound' END"
_DONE = "{statecode} = '1'"

ROWS = (
    Rows(
        "accounts",
        "account",
        {
            "account_id": "{accountid}",
            "created_at": "{createdon}",
            "name": "{name}",
            "domain": "{websiteurl}",
            "industry": "{industrycodename}",
            "country": "{address1_country}",
            "region": "{address1_stateorprovince}",
            "postal_code": "{address1_postalcode}",
            "employees": "{numberofemployees}",
            "annual_revenue": "{revenue}",
            "owner_id": _OWNER,
            "parent_account_id": "{parentaccountid}",
            "currency": _CURRENCY,
            "merged_into": "{masterid}",
            "type": "{customertypecodename}",
            "ownership": "{ownershipcodename}",
            **_GONE,
        },
        carries=True,
    ),
    Rows(
        "owners",
        "systemuser",
        {
            "owner_id": "{systemuserid}",
            "name": "{fullname}",
            "region": ("{address1_stateorprovince}", "{address1_country}"),
            "manager_id": "{parentsystemuserid}",
            **_GONE,
        },
    ),
    Rows(
        "contacts",
        "contact",
        {
            "contact_id": "{contactid}",
            "account_id": ("CASE WHEN {parentcustomeridtype} = 'account' THEN {parentcustomerid} END",),
            "email": "{emailaddress1}",
            "seniority": "{jobtitle}",
            "created_at": "{createdon}",
            "opted_out": "{donotbulkemail}",
            "merged_into": "{masterid}",
            **_GONE,
        },
        where=(f"({{parentcustomeridtype}} = 'account' OR {{{DELETED}}} = 'true')",),
    ),
    # Service contracts and what took their place; a draft is none. A value is given for a year of the term.
    Rows(
        "contracts",
        "contract",
        {
            "contract_id": "{contractid}",
            "account_id": _CUSTOMER,
            "start_date": "{activeon}",
            "end_date": "{expireson}",
            "annual_value": "TRY_CAST({totalprice} AS DOUBLE) * 365 / greatest(365, 1 + date_diff('day',"
            " CAST({activeon} AS TIMESTAMP), CAST({expireson} AS TIMESTAMP)))",
            "owner_id": _OWNER,
            "currency": _CURRENCY,
            **_GONE,
        },
        where=("{statecode} IS DISTINCT FROM '0'",),
        carries=True,
    ),
    Rows(
        "contracts",
        "entitlement",
        {
            "contract_id": "{entitlementid}",
            "account_id": _CUSTOMER,
            "start_date": "{startdate}",
            "end_date": "{enddate}",
            "owner_id": _OWNER,
            **_GONE,
        },
        where=("{statecode} IS DISTINCT FROM '0'",),
        carries=True,
    ),
    # What is estimated counts until the opportunity is closed.
    Rows(
        "opportunities",
        "opportunity",
        {
            "opportunity_id": "{opportunityid}",
            "created_at": "{createdon}",
            "account_id": (
                f"coalesce({{parentaccountid}}, {_CUSTOMER[0]})",
                f"coalesce({{parentaccountid}}, {_CUSTOMER[1]})",
                *_CUSTOMER,
            ),
            "kind": "{opportunitytypecodename}",
            "closed_at": "CASE WHEN {statecode} IN ('1', '2') THEN {actualclosedate} END",
            "is_won": "CASE {statecode} WHEN '1' THEN 'true' WHEN '2' THEN 'false' END",
            "amount": (
                "coalesce(CASE WHEN {statecode} = '1' THEN {actualvalue} END, {estimatedvalue})",
                "{estimatedvalue}",
            ),
            "lead_source": "(SELECT any_value({lead.leadsourcecodename}) FROM {@lead}"
            " WHERE {lead.leadid} = {originatingleadid})",
            "lost_reason": "CASE WHEN {statecode} = '2' THEN {statuscodename} END",
            "owner_id": _OWNER,
            "forecast": "CASE WHEN {statecode} = '0' THEN TRY_CAST({closeprobability} AS DOUBLE) / 100 END",
            "currency": _CURRENCY,
            **_GONE,
        },
        carries=True,
    ),
    # What was planned and not done is no contact; an appointment is one unless it was cancelled.
    _activity(
        "phonecall",
        "call",
        ("coalesce({actualend}, {scheduledend})", "{actualend}"),
        _DONE,
        direction=_DIRECTION,
    ),
    _activity(
        "email", "email", ("coalesce({senton}, {actualend})", "{actualend}"), _DONE, direction=_DIRECTION
    ),
    _activity(
        "appointment",
        "meeting",
        ("coalesce({actualstart}, {scheduledstart})", "{scheduledstart}"),
        "{statecode} <> '2'",
        duration_minutes="TRY_CAST(coalesce({actualdurationminutes}, {scheduleddurationminutes}) AS DOUBLE)",
    ),
    _activity("task", "task", ("coalesce({actualend}, {scheduledend})", "{actualend}"), _DONE),
    Rows(
        "quotes",
        "quote",
        {
            "quote_id": "{quoteid}",
            "quoted_at": "{createdon}",
            "list_amount": (
                "TRY_CAST({totallineitemamount} AS DOUBLE)"
                " + coalesce(TRY_CAST({totallineitemdiscountamount} AS DOUBLE), 0)",
                "{totallineitemamount}",
            ),
            "net_amount": ("{totalamountlessfreight}", "{totalamount}"),
            "account_id": _CUSTOMER,
            "opportunity_id": _living("opportunity", "opportunityid", "{opportunityid}"),
            "currency": _CURRENCY,
            **_GONE,
        },
    ),
    # A qualified lead has no date of that: the opportunity it became was made then.
    Rows(
        "leads",
        "lead",
        {
            "lead_id": "{leadid}",
            "created_at": "{createdon}",
            "account_id": "{parentaccountid}",
            "source": "{leadsourcecodename}",
            "qualified_at": "(SELECT min({opportunity.createdon}) FROM {@opportunity}"
            " WHERE {opportunity.originatingleadid} = {leadid})",
            "opportunity_id": "(SELECT min({opportunity.opportunityid}) FROM {@opportunity}"
            f" WHERE {{opportunity.originatingleadid}} = {{leadid}} AND {{opportunity.{DELETED}}} = 'false')",
            "merged_into": "{masterid}",
            "industry": "{industrycodename}",
            "country": "{address1_country}",
            "employees": "{numberofemployees}",
            **_GONE,
        },
        carries=True,
    ),
    Rows(
        "campaigns",
        "campaign",
        {
            "campaign_id": "{campaignid}",
            "channel": "lower({typecodename})",
            "started_at": ("coalesce({actualstart}, {proposedstart})", "{proposedstart}"),
            "cost": "{totalactualcost}",
            "currency": _CURRENCY,
            **_GONE,
        },
    ),
    Rows(
        "cases",
        "incident",
        {
            "case_id": "{incidentid}",
            "account_id": _CUSTOMER,
            "opened_at": "{createdon}",
            "closed_at": "CASE WHEN {statecode} = '1' THEN (SELECT max({incidentresolution.actualend}) FROM"
            " {@incidentresolution} WHERE {incidentresolution.incidentid} = {incidentid}) END",
            "priority": "lower({prioritycodename})",
            "escalated": "{isescalated}",
            **_GONE,
        },
        where=(_not_null(_CUSTOMER),),
    ),
    # An exchange rate says how much of a currency one unit of the base currency buys.
    Rows(
        "currencies",
        "transactioncurrency",
        {"code": "{isocurrencycode}", "rate": "1 / TRY_CAST({exchangerate} AS DOUBLE)"},
        where=("TRY_CAST({exchangerate} AS DOUBLE) > 0",),
    ),
)
OBJECTS = tuple(dict.fromkeys([*(rows.object for rows in ROWS), "incidentresolution"]))
