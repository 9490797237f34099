"""Price and deal: quotes, discounts, stages, close dates."""

from features.declaration import EVER, Events, Page, Test
from features.derived import change_pct, difference, discount_pct

QUOTES = Events("quotes", "quoted_at")
STAGES = Events("stage_history", "changed_at")
WITH_AMOUNT = STAGES.where_also(Test("amount", given=True))
WITH_CLOSE_DATE = STAGES.where_also(Test("expected_close_date", given=True))
PUSHED = STAGES.where_also(Test("slip_days", least=1))
CUT = STAGES.where_also(Test("amount_step", most=-1))
MOVED = STAGES.where_also(Test("is_new_stage", flag=True))

_quotes, _deal = Page("quotes"), Page("pipeline")

_DISCOUNT = (
    *_quotes.over((90, 365), "quotes_{w}", QUOTES, "count", words="quotes {w}", unit="count"),
    *_quotes.over((EVER,), "days_since_quote", QUOTES, "days_since", words="days since the last quote", unit="days"),
    *_quotes.over((EVER,), "last_discount_pct", QUOTES, "last", value="discount_pct", words="discount in the last quote", unit="per cent"),
    *_quotes.over((EVER,), "previous_discount_pct", QUOTES, "previous", value="discount_pct", words="discount in the quote before", unit="per cent", shown=False),
    *_quotes.derived("discount_step_pct", ("last_discount_pct", "previous_discount_pct"), difference, words="change of discount from one quote to the next", unit="points"),
    *_quotes.over((365,), "quoted_list_{w}", QUOTES, "sum", value="list_amount", divide=100, words="list price quoted {w}", unit="money", shown=False),
    *_quotes.over((365,), "quoted_net_{w}", QUOTES, "sum", value="net_amount", divide=100, words="net price quoted {w}", unit="money"),
    *_quotes.derived("discount_pct_365d", ("quoted_net_365d", "quoted_list_365d"), discount_pct, words="average discount quoted in the last 365 days", unit="per cent"),
)  # fmt: skip

_OWN_DISCOUNT = (
    *_quotes.over((EVER,), "quotes_{w}", QUOTES, "count", words="quotes {w}", unit="count", scope="own"),
    *_quotes.over((EVER,), "days_since_quote", QUOTES, "days_since", words="days since the last quote", unit="days", scope="own"),
    *_quotes.over((EVER,), "days_since_first_quote", QUOTES, "days_since_first", words="days since the first quote", unit="days", scope="own"),
    *_quotes.over((EVER,), "last_discount_pct", QUOTES, "last", value="discount_pct", words="discount in the last quote", unit="per cent", scope="own"),
    *_quotes.over((EVER,), "first_discount_pct", QUOTES, "first", value="discount_pct", words="discount in the first quote", unit="per cent", scope="own"),
    *_quotes.derived("discount_change_pct", ("{own}last_discount_pct", "{own}first_discount_pct"), difference, words="discount added since the first quote", unit="points", scope="own"),
    *_quotes.over((EVER,), "quoted_net_last", QUOTES, "last", value="net_amount", divide=100, words="net price in the last quote", unit="money", scope="own"),
)  # fmt: skip

_WIN = ("win",)
_STAGES = (
    *_deal.over((EVER,), "stage", STAGES, "last", value="stage", words="stage", unit="stage", scope="own", kinds=_WIN),
    *_deal.over((EVER,), "stage_age_days", MOVED, "days_since", words="days in this stage", unit="days", scope="own", direction=-1, kinds=_WIN),
    *_deal.over((EVER,), "stage_moves", MOVED, "count", words="changes of stage", unit="count", scope="own", kinds=_WIN),
    *_deal.over((30,), "stage_moves_{w}", MOVED, "count", words="changes of stage {w}", unit="count", scope="own", direction=1, kinds=_WIN),
    *_deal.over((EVER,), "amount_now", WITH_AMOUNT, "last", value="amount", divide=100, words="amount as last noted", unit="money", scope="own", kinds=_WIN),
    *_deal.over((EVER,), "amount_first", WITH_AMOUNT, "first", value="amount", divide=100, words="amount as first noted", unit="money", scope="own", kinds=_WIN, shown=False),
    *_deal.derived("amount_change_pct", ("{own}amount_now", "{own}amount_first"), change_pct, words="change of the amount since first noted", unit="per cent", scope="own", kinds=_WIN),
    *_deal.over((EVER,), "amount_cuts", CUT, "count", words="times the amount was cut", unit="count", scope="own", direction=-1, kinds=_WIN),
    *_deal.over((EVER,), "days_to_expected_close", WITH_CLOSE_DATE, "days_until", value="expected_close_date", words="days to the expected close", unit="days", scope="own", kinds=_WIN),
    *_deal.over((EVER,), "close_date_pushes", PUSHED, "count", words="times the close date was pushed", unit="count", scope="own", direction=-1, kinds=_WIN),
    *_deal.over((EVER,), "close_date_pushed_days", PUSHED, "sum", value="slip_days", words="days the close date was pushed in all", unit="days", scope="own", direction=-1, kinds=_WIN),
)  # fmt: skip

PRICING = (*_DISCOUNT, *_OWN_DISCOUNT, *_STAGES)
