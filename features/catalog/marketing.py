"""Marketing: leads and campaign touches."""

from features.catalog.declare import Events, Page, flat, share

LEADS = Events("leads", "created_at")
SENT = Events("touches", "sent_at")
ENGAGED = {
    "opened": Events("touches", "opened_at"),
    "clicked": Events("touches", "clicked_at"),
    "responded": Events("touches", "responded_at"),
}

leads, campaigns = Page("leads"), Page("campaigns")


def _engaged(what: str) -> tuple:
    return flat(
        campaigns.count(
            f"touches_{what}_{{w}}", ENGAGED[what], f"campaign mails {what} {{w}}", windows=(365,), better=1,
        ),
        campaigns.derived(
            f"touches_{what}_share", f"touches_{what}_365d touches_365d", share,
            f"share of campaign mails {what}, last 365 days", "share", better=1,
        ),
    )  # fmt: skip


MARKETING = flat(
    leads.count("leads_{w}", LEADS, "leads {w}", windows=(365, "ever")),
    leads.count("leads_qualified", Events("leads", "qualified_at"), "leads qualified so far", better=1),
    leads.count(
        "leads_disqualified", Events("leads", "disqualified_at"), "leads disqualified so far", better=-1,
    ),
    leads.since("days_since_lead", LEADS, "days since the last lead"),
    leads.last("last_lead_source", LEADS, "source", "source of the last lead", "source"),
    leads.mean(
        "qualified_after_hours", Events("leads", "qualified_at"), "seconds_to_qualify",
        "mean hours from lead to qualified", "hours", divide=3_600,
    ),
    campaigns.count("touches_{w}", SENT, "campaign mails and events {w}", windows=(90, 365)),
    campaigns.distinct(
        "campaigns_{w}", SENT, "campaign_id", "campaigns that reached the account {w}", "count",
        windows=(365,),
    ),
    campaigns.since("days_since_touch", SENT, "days since the last campaign touch"),
    campaigns.since(
        "days_since_response", ENGAGED["responded"], "days since the customer answered a campaign", better=-1,
    ),
    campaigns.last("last_touch_channel", SENT, "channel", "channel of the last campaign touch", "channel"),
    _engaged("opened"),
    _engaged("clicked"),
    _engaged("responded"),
)  # fmt: skip
