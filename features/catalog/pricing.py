"""Price and deal: quotes, discounts, stages, close dates."""

from features.catalog.declare import (
    RENEWAL,
    WIN,
    Events,
    Page,
    Test,
    change_pct,
    difference,
    discount_pct,
    flat,
)

QUOTES = Events("quotes", "quoted_at")
STAGES = Events("stage_history", "changed_at")
PUSHED = STAGES.having(Test("slip_days", least=1))
CUT = STAGES.having(Test("amount_step", most=-1))
MOVED = STAGES.having(Test("is_new_stage", flag=True))

quotes, deal, contract = Page("quotes"), Page("pipeline"), Page("contract")

_DISCOUNT = flat(
    quotes.count("quotes_{w}", QUOTES, "quotes {w}", windows=(90, 365)),
    quotes.since("days_since_quote", QUOTES, "days since the last quote"),
    quotes.last("last_discount_pct", QUOTES, "discount_pct", "discount in the last quote", "per cent"),
    quotes.previous(
        "previous_discount_pct", QUOTES, "discount_pct", "discount in the quote before", "per cent",
        shown=False
    ),
    quotes.derived(
        "discount_step_pct", "last_discount_pct previous_discount_pct", difference,
        "change of discount from one quote to the next", "points",
    ),
    quotes.total(
        "quoted_list_{w}", QUOTES, "list_amount", "list price quoted {w}", "money",
        windows=(365,), divide=100, shown=False,
    ),
    quotes.total(
        "quoted_net_{w}", QUOTES, "net_amount", "net price quoted {w}", "money", windows=(365,), divide=100
    ),
    quotes.derived(
        "discount_pct_365d", "quoted_net_365d quoted_list_365d", discount_pct,
        "average discount quoted in the last 365 days", "per cent",
    ),
)  # fmt: skip

_OWN_DISCOUNT = flat(
    quotes.count("quotes_ever", QUOTES, "quotes so far", split=True),
    quotes.since("days_since_quote", QUOTES, "days since the last quote", split=True),
    quotes.since_first("days_since_first_quote", QUOTES, "days since the first quote", split=True),
    quotes.last(
        "last_discount_pct", QUOTES, "discount_pct", "discount in the last quote", "per cent", split=True,
    ),
    quotes.first(
        "first_discount_pct", QUOTES, "discount_pct", "discount in the first quote", "per cent", split=True,
    ),
    quotes.derived(
        "discount_change_pct", "~last_discount_pct ~first_discount_pct", difference,
        "discount added since the first quote", "points", split=True,
    ),
    quotes.last(
        "quoted_net", QUOTES, "net_amount", "net price in the last quote", "money", split=True, divide=100,
    ),
)  # fmt: skip

_PEERS = flat(
    quotes.total(
        "peer_list", QUOTES, "list_amount", "list price quoted to the industry in the last 365 days", "money",
        windows=(365,), scope="industry", divide=100, shown=False,
    ),
    quotes.total(
        "peer_net", QUOTES, "net_amount", "net price quoted to the industry in the last 365 days", "money",
        windows=(365,), scope="industry", divide=100, shown=False,
    ),
    quotes.derived(
        "peer_discount_pct", "peer_net peer_list", discount_pct,
        "average discount quoted in the industry in the last 365 days", "per cent", scope="industry",
    ),
    quotes.derived(
        "discount_above_peers", "last_discount_pct peer_discount_pct", difference,
        "discount in the last quote, above the industry's average", "points",
    ),
)  # fmt: skip


_STAGES = flat(
    deal.last("stage", STAGES, "stage", "stage", "stage", split=True, kinds=WIN),
    deal.since("stage_age_days", MOVED, "days in this stage", split=True, kinds=WIN, better=-1),
    deal.count("stage_moves", MOVED, "changes of stage so far", split=True, kinds=WIN),
    deal.count(
        "stage_moves_{w}", MOVED, "changes of stage {w}", split=True, kinds=WIN, windows=(30,), better=1,
    ),
    deal.last(
        "amount_now", STAGES, "amount", "amount as last noted", "money", split=True, kinds=WIN, divide=100,
    ),
    deal.first(
        "amount_first", STAGES, "amount", "amount as first noted", "money",
        split=True, kinds=WIN, divide=100, shown=False,
    ),
    deal.derived(
        "amount_change_pct", "~amount_now ~amount_first", change_pct,
        "change of the amount since first noted", "per cent", split=True, kinds=WIN,
    ),
    deal.count("amount_cuts", CUT, "times the amount was cut", split=True, kinds=WIN, better=-1),
    deal.until(
        "days_to_expected_close", STAGES, "expected_close_date", "days to the expected close", split=True,
        kinds=WIN
    ),
    deal.count(
        "close_date_pushes", PUSHED, "times the close date was pushed", split=True, kinds=WIN, better=-1,
    ),
    deal.total(
        "close_date_pushed_days", PUSHED, "slip_days", "days the close date was pushed in all", "days",
        split=True, kinds=WIN, better=-1,
    ),
)  # fmt: skip

OF_COLUMNS = flat(
    contract.derived(
        "price_discount_pct", "contracts.annual_value contracts.list_value", discount_pct,
        "discount from the list price", "per cent", split=True, kinds=RENEWAL,
    ),
    contract.derived(
        "price_change_pct", "contracts.annual_value previous_contract_value", change_pct,
        "change of the price since the contract before", "per cent", split=True, kinds=RENEWAL,
    ),
)  # fmt: skip
"""Derived from columns of the CRM as they stood, beside features of events."""

PRICING = flat(_DISCOUNT, _OWN_DISCOUNT, _PEERS, _STAGES)
