"""Use of the product."""

from features.catalog.declare import Events, Page, Test, flat, trend

USED = Events("usage", "used_on")
ACTIVE = USED.having(Test("value_milli", least=1))

page = Page("usage")

USAGE = flat(
    page.since("days_since_usage", ACTIVE, "days since the product was last used", better=-1),
    page.distinct(
        "usage_days_{w}", ACTIVE, "used_on", "days with use {w}", "days", windows=(30, 90), better=1,
    ),
    page.distinct(
        "usage_metrics_{w}", ACTIVE, "metric", "parts of the product used {w}", "count", windows=(90,),
        better=1,
    ),
    page.since_first("days_since_first_usage", ACTIVE, "days since the product was first used"),
)  # fmt: skip


def metric(name: str) -> tuple:
    """Features of one measure of use, as this CRM calls it."""
    events = USED.among("metric", {name})
    short = "usage_" + name.replace(" ", "_")
    return flat(
        page.total(
            short + "_{w}", events, "value_milli", f"total {name} {{w}}", "units",
            windows=(30, 60, 90, 180), divide=1_000, better=1,
        ),
        page.last(
            short + "_last", events, "value_milli", f"{name}, last measured", "units", divide=1_000, better=1,
        ),
        page.mean(
            short + "_mean_{w}", events, "value_milli", f"mean {name} {{w}}", "units", windows=(90, 365),
            divide=1_000
        ),
        page.derived(
            short + "_trend_30d", f"{short}_30d {short}_60d", trend,
            f"{name}, last 30 days against 30 before", "-1 to 1", better=1,
        ),
        page.derived(
            short + "_trend_90d", f"{short}_90d {short}_180d", trend,
            f"{name}, last 90 days against 90 before", "-1 to 1", better=1,
        ),
    )  # fmt: skip
