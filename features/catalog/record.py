"""What the account, and the owner, did before: contracts and opportunities that came and went."""

from features.catalog.declare import (
    RENEWAL,
    Events,
    Page,
    Test,
    difference,
    flat,
    share,
    smoothed_share,
    total,
)

STARTED = Events("contracts", "start_date")
ENDED = Events("contracts", "end_date")
RENEWED = Events("contracts", "outcome_at", (Test("renewed", flag=True),))
LOST = Events("contracts", "outcome_at", (Test("renewed", flag=False),))
DECIDED = Events("contracts", "outcome_at")
CREATED = Events("opportunities", "created_at")
CLOSED = Events("opportunities", "closed_at").given("is_won")
WON = Events("opportunities", "closed_at", (Test("is_won", flag=True),))
DEAL_LOST = Events("opportunities", "closed_at", (Test("is_won", flag=False),))
EXPANSION_WORDS = frozenset({"expansion", "upsell", "up sell", "cross sell", "add on", "existing business"})

contract, deals, owner = Page("contract"), Page("pipeline"), Page("owner")

_CONTRACTS = flat(
    contract.count("contracts_started", STARTED, "contracts so far", better=1),
    contract.count("contracts_ended", ENDED, "contracts ended so far", shown=False),
    contract.derived(
        "contracts_running", "contracts_started contracts_ended", difference, "contracts running", "count"
    ),
    contract.since_first("tenure_days", STARTED, "days as a customer", better=1),
    contract.count("renewals", RENEWED, "earlier renewals", better=1),
    contract.count("contracts_lost", LOST, "contracts lost before", better=-1),
    contract.derived(
        "contracts_decided", "renewals contracts_lost", total, "contracts decided before", "count"
    ),
    contract.derived(
        "renewal_share",
        "renewals contracts_decided",
        share,
        "share of earlier contracts renewed",
        "share",
        better=1,
    ),
    contract.previous(
        "previous_contract_value",
        STARTED,
        "annual_value",
        "price of the contract before",
        "money",
        kinds=RENEWAL,
        divide=100,
    ),
    contract.since("days_since_renewal", RENEWED, "days since the last renewal"),
    contract.since("days_since_contract_lost", LOST, "days since a contract was lost"),
)

_DEALS = flat(
    deals.count("deals_created_{w}", CREATED, "deals opened {w}", windows=(365, "ever")),
    deals.count("deals_won_{w}", WON, "deals won {w}", windows=(365, "ever"), better=1),
    deals.count("deals_lost_{w}", DEAL_LOST, "deals lost {w}", windows=(365, "ever"), better=-1),
    deals.count("deals_closed", CLOSED, "deals closed", shown=False),
    deals.derived("deals_open", "deals_created_ever deals_closed", difference, "deals open now", "count"),
    deals.derived(
        "win_share", "deals_won_ever deals_closed", share, "share of earlier deals won", "share", better=1
    ),
    deals.since("days_since_deal", CREATED, "days since the last deal was opened"),
    deals.since("days_since_win", WON, "days since the last deal won"),
    deals.since("days_since_deal_lost", DEAL_LOST, "days since the last deal lost"),
    deals.total("won_amount", WON, "amount", "amount won so far", "money", divide=100, better=1),
    deals.mean("won_days_mean", WON, "seconds_to_close", "usual days to win", "days", divide=86_400),
    deals.count(
        "expansions_won_{w}",
        WON.among("kind", EXPANSION_WORDS),
        "expansions won {w}",
        windows=(365,),
        better=1,
    ),
)

_OWNER = flat(
    owner.count(
        "owner_contracts_started", STARTED, "the owner's contracts so far", scope="owner", shown=False,
    ),
    owner.count("owner_contracts_ended", ENDED, "the owner's contracts ended", scope="owner", shown=False),
    owner.derived(
        "owner_contracts_running", "owner_contracts_started owner_contracts_ended", difference,
        "contracts the owner looks after", "count", scope="owner",
    ),
    owner.count("owner_renewals", RENEWED, "contracts renewed with the owner", scope="owner", shown=False),
    owner.count("owner_decided", DECIDED, "contracts decided with the owner", scope="owner"),
    owner.count("all_renewals", RENEWED, "contracts renewed in all", scope="everyone", shown=False),
    owner.count("all_decided", DECIDED, "contracts decided in all", scope="everyone", shown=False),
    owner.derived(
        "owner_renewal_share", "owner_renewals owner_decided all_renewals all_decided", smoothed_share,
        "share the owner renewed, drawn to the average of all", "share", scope="owner", better=1,
    ),
    owner.count("owner_deals_created", CREATED, "the owner's deals so far", scope="owner", shown=False),
    owner.count("owner_deals_closed", CLOSED, "deals closed by the owner", scope="owner"),
    owner.derived(
        "owner_deals_open", "owner_deals_created owner_deals_closed", difference,
        "deals open with the owner", "count", scope="owner",
    ),
    owner.count("owner_deals_won", WON, "deals won by the owner", scope="owner", shown=False),
    owner.count("all_deals_won", WON, "deals won by all", scope="everyone", shown=False),
    owner.count("all_deals_closed", CLOSED, "deals closed by all", scope="everyone", shown=False),
    owner.derived(
        "owner_win_share", "owner_deals_won owner_deals_closed all_deals_won all_deals_closed",
        smoothed_share,
        "share of deals the owner won, drawn to the average of all", "share", scope="owner", better=1,
    ),
)  # fmt: skip

RECORD = flat(_CONTRACTS, _DEALS, _OWNER)
