"""What the account did before: contracts and opportunities that came and went."""

from features.declaration import EVER, Events, Page, Test
from features.derived import difference, share, total

STARTED = Events("contracts", "start_date")
ENDED = Events("contracts", "end_date")
RENEWED = Events("contracts", "outcome_at", (Test("renewed", flag=True),))
LOST = Events("contracts", "outcome_at", (Test("renewed", flag=False),))
CREATED = Events("opportunities", "created_at")
CLOSED = Events("opportunities", "closed_at", (Test("is_won", given=True),))
WON = Events("opportunities", "closed_at", (Test("is_won", flag=True),))
DEAL_LOST = Events("opportunities", "closed_at", (Test("is_won", flag=False),))
EXPANSION_WORDS = frozenset({"expansion", "upsell", "up sell", "cross sell", "add on", "existing business"})

_contracts, _deals = Page("contract"), Page("pipeline")

_CONTRACTS = (
    *_contracts.over((EVER,), "contracts_started", STARTED, "count", words="contracts so far", unit="count", direction=1),
    *_contracts.over((EVER,), "contracts_ended", ENDED, "count", words="contracts ended so far", unit="count", shown=False),
    *_contracts.derived("contracts_running", ("contracts_started", "contracts_ended"), difference, words="contracts running", unit="count"),
    *_contracts.over((EVER,), "tenure_days", STARTED, "days_since_first", words="days as a customer", unit="days", direction=1),
    *_contracts.over((EVER,), "renewals", RENEWED, "count", words="earlier renewals", unit="count", direction=1),
    *_contracts.over((EVER,), "contracts_lost", LOST, "count", words="contracts lost before", unit="count", direction=-1),
    *_contracts.derived("contracts_decided", ("renewals", "contracts_lost"), total, words="contracts decided before", unit="count"),
    *_contracts.derived("renewal_share", ("renewals", "contracts_decided"), share, words="share of earlier contracts renewed", unit="share", direction=1),
    *_contracts.over((EVER,), "days_since_renewal", RENEWED, "days_since", words="days since the last renewal", unit="days"),
    *_contracts.over((EVER,), "days_since_contract_lost", LOST, "days_since", words="days since a contract was lost", unit="days"),
)  # fmt: skip

_DEALS = (
    *_deals.over((365, EVER), "deals_created_{w}", CREATED, "count", words="deals opened {w}", unit="count"),
    *_deals.over((365, EVER), "deals_won_{w}", WON, "count", words="deals won {w}", unit="count", direction=1),
    *_deals.over((365, EVER), "deals_lost_{w}", DEAL_LOST, "count", words="deals lost {w}", unit="count", direction=-1),
    *_deals.over((EVER,), "deals_closed", CLOSED, "count", words="deals closed", unit="count", shown=False),
    *_deals.derived("deals_open", ("deals_created_ever", "deals_closed"), difference, words="deals open now", unit="count"),
    *_deals.derived("win_share", ("deals_won_ever", "deals_closed"), share, words="share of earlier deals won", unit="share", direction=1),
    *_deals.over((EVER,), "days_since_win", WON, "days_since", words="days since the last deal won", unit="days"),
    *_deals.over((EVER,), "days_since_deal_lost", DEAL_LOST, "days_since", words="days since the last deal lost", unit="days"),
    *_deals.over((EVER,), "won_amount", WON, "sum", value="amount", divide=100, words="amount won so far", unit="money", direction=1),
    *_deals.over((EVER,), "won_days_mean", WON, "mean", value="seconds_to_close", divide=86_400, words="usual days to win", unit="days"),
    *_deals.over((365,), "expansions_won_{w}", WON.where_also(Test("kind", words=EXPANSION_WORDS)), "count", words="expansions won {w}", unit="count", direction=1),
)  # fmt: skip

RECORD = (*_CONTRACTS, *_DEALS)
