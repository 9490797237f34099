"""Money: invoices and how they are paid."""

from features.catalog.declare import Events, Page, Test, difference, flat, share

ISSUED = Events("invoices", "issued_at")
OVERDUE = Events("invoices", "overdue_at")
SETTLED = Events("invoices", "settled_overdue_at")
PAID = Events("invoices", "paid_at")
PAID_LATE = PAID.having(Test("days_late", least=1))

page = Page("invoices")

MONEY = flat(
    page.count("invoices_{w}", ISSUED, "invoices {w}", windows=(365,)),
    page.total("invoiced_{w}", ISSUED, "amount", "amount invoiced {w}", "money", windows=(365,), divide=100),
    page.since("days_since_invoice", ISSUED, "days since the last invoice"),
    page.count("fell_overdue", OVERDUE, "invoices that fell overdue", shown=False),
    page.count("settled_overdue", SETTLED, "overdue invoices settled", shown=False),
    page.derived(
        "invoices_overdue", "fell_overdue settled_overdue", difference, "invoices overdue now", "count",
        better=-1
    ),
    page.total(
        "overdue_fell", OVERDUE, "amount", "amount that fell overdue", "money", divide=100, shown=False,
    ),
    page.total(
        "overdue_settled", SETTLED, "amount", "overdue amount settled", "money", divide=100, shown=False,
    ),
    page.derived(
        "amount_overdue", "overdue_fell overdue_settled", difference, "amount overdue now", "money", better=-1
    ),
    page.count("paid_{w}", PAID, "invoices paid {w}", windows=(365,), shown=False),
    page.count("paid_late_{w}", PAID_LATE, "invoices paid late {w}", windows=(365,), better=-1),
    page.derived(
        "paid_late_share", "paid_late_365d paid_365d", share, "share of invoices paid late, last 365 days",
        "share",
        better=-1,
    ),
    page.mean(
        "payment_delay_days_{w}", PAID, "days_late", "mean days from due to paid {w}", "days",
        windows=(365, "ever"), better=-1,
    ),
    page.last(
        "last_payment_delay_days", PAID, "days_late", "days from due to paid, last invoice", "days",
        better=-1,
    ),
    page.derived(
        "payment_delay_change", "last_payment_delay_days payment_delay_days_365d", difference,
        "last payment's delay against the usual", "days", better=-1,
    ),
)  # fmt: skip
