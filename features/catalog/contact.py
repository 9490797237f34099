"""Sales contact: calls, meetings, mails and other activities."""

from features.catalog.declare import (
    RENEWAL,
    RUNUP,
    TERM,
    WIN,
    Events,
    Page,
    difference,
    flat,
    overdue,
    share,
    total,
    trend,
)

CALL_WORDS = frozenset({"call", "calls", "phone", "phone call", "telephone", "outbound call", "inbound call"})
MEETING_WORDS = frozenset(
    {"meeting", "meetings", "visit", "demo", "onsite", "on site", "workshop", "video call", "webconference"}
)
EMAIL_WORDS = frozenset({"email", "emails", "e mail", "mail"})
OUTBOUND_WORDS = frozenset({"outbound", "out", "outgoing"})
INBOUND_WORDS = frozenset({"inbound", "in", "incoming"})
UNANSWERED_WORDS = frozenset(
    {
        "no answer", "not answered", "unanswered", "voicemail", "left voicemail", "left message", "busy",
        "bounced",
        "no show", "missed", "failed", "wrong number", "no response", "no reply", "cancelled", "canceled",
    }
)  # fmt: skip

ACTIVITIES = Events("activities", "occurred_at")
CALLS = ACTIVITIES.among("kind", CALL_WORDS)
MEETINGS = ACTIVITIES.among("kind", MEETING_WORDS)
EMAILS = ACTIVITIES.among("kind", EMAIL_WORDS)
HUMAN = ACTIVITIES.among("kind", CALL_WORDS | MEETING_WORDS)
INBOUND = ACTIVITIES.among("direction", INBOUND_WORDS)
OUTBOUND = ACTIVITIES.among("direction", OUTBOUND_WORDS)
OUTBOUND_HUMAN = HUMAN.among("direction", OUTBOUND_WORDS)
WITH_OUTCOME = ACTIVITIES.given("outcome")
UNANSWERED = ACTIVITIES.among("outcome", UNANSWERED_WORDS)

page = Page("sales contact")

_VOLUME = flat(
    page.count("activities_{w}", ACTIVITIES, "activities {w}", windows=(30, 60, 90, 180, 365)),
    page.count("calls_{w}", CALLS, "calls {w}", windows=(7, 30, 90, 180, 365), better=1),
    page.count("meetings_{w}", MEETINGS, "meetings {w}", windows=(30, 90, 180, 365), better=1),
    page.count("emails_{w}", EMAILS, "mails {w}", windows=(30, 90, 180, 365)),
    page.count("inbound_{w}", INBOUND, "contacts started by the customer {w}", windows=(30, 90, 180, 365)),
    page.count("outbound_{w}", OUTBOUND, "contacts started by us {w}", windows=(90, 365)),
    page.total(
        "talk_minutes_{w}", HUMAN, "duration_seconds", "minutes of calls and meetings {w}", "minutes",
        windows=(90, 365), divide=60, better=1,
    ),
    page.mean(
        "talk_minutes_mean_{w}", HUMAN, "duration_seconds", "mean length of a call or meeting {w}", "minutes",
        windows=(365,), divide=60,
    ),
)  # fmt: skip

_SILENCE = flat(
    page.since("days_since_activity", ACTIVITIES, "days since the last activity"),
    page.since("days_since_call", CALLS, "days since the last call", better=-1),
    page.since("days_since_meeting", MEETINGS, "days since the last meeting", better=-1),
    page.since("days_since_email", EMAILS, "days since the last mail"),
    page.since("days_since_human", HUMAN, "days since the last call or meeting", better=-1),
    page.since("days_since_inbound", INBOUND, "days since the customer last got in touch", better=-1),
    page.since("days_since_outbound_human", OUTBOUND_HUMAN, "days since we last called or met", better=-1),
    page.gap("human_gap_days_{w}", HUMAN, "usual days between calls or meetings {w}", windows=(365,)),
    page.gap(
        "inbound_gap_days_{w}", INBOUND, "usual days between the customer's contacts {w}", windows=(365,),
    ),
    page.derived(
        "human_overdue", "days_since_human human_gap_days_365d", overdue,
        "silence, in usual gaps between calls or meetings", "gaps", better=-1,
    ),
    page.derived(
        "inbound_overdue", "days_since_inbound inbound_gap_days_365d", overdue,
        "the customer's silence, in usual gaps between its contacts", "gaps", better=-1,
    ),
)  # fmt: skip


def _trend(name: str, recent: str, both: str, words: str) -> tuple:
    return page.derived(name, f"{recent} {both}", trend, words, "-1 to 1")


def _share(name: str, part: str, whole: str, words: str, better: int = 0) -> tuple:
    return page.derived(name, f"{part} {whole}", share, words, "share", better=better)


_SHAPE = flat(
    _trend(
        "activity_trend_30d", "activities_30d", "activities_60d", "activities, last 30 days against 30 before"
    ),
    _trend(
        "activity_trend_90d",
        "activities_90d",
        "activities_180d",
        "activities, last 90 days against 90 before",
    ),
    _trend("call_trend_90d", "calls_90d", "calls_180d", "calls, last 90 days against 90 before"),
    _trend("meeting_trend_90d", "meetings_90d", "meetings_180d", "meetings, last 90 days against 90 before"),
    _trend(
        "inbound_trend_90d",
        "inbound_90d",
        "inbound_180d",
        "customer's contacts, last 90 days against 90 before",
    ),
    _share(
        "inbound_share_90d", "inbound_90d", "activities_90d", "share the customer started, last 90 days", 1
    ),
    _share(
        "inbound_share_365d",
        "inbound_365d",
        "activities_365d",
        "share the customer started, last 365 days",
        1,
    ),
    _share(
        "meeting_share_365d", "meetings_365d", "activities_365d", "share that were meetings, last 365 days"
    ),
    page.count("unanswered_{w}", UNANSWERED, "contacts unanswered {w}", windows=(90, 365), better=-1),
    page.count("outcomes_{w}", WITH_OUTCOME, "contacts with an outcome {w}", windows=(90, 365), shown=False),
    _share("unanswered_share_90d", "unanswered_90d", "outcomes_90d", "share unanswered, last 90 days", -1),
    _share(
        "unanswered_share_365d", "unanswered_365d", "outcomes_365d", "share unanswered, last 365 days", -1
    ),
    page.last("last_activity_kind", ACTIVITIES, "kind", "the last activity", "kind"),
    page.last("last_outcome", WITH_OUTCOME, "outcome", "the last contact's outcome", "outcome"),
)

_BREADTH = flat(
    page.distinct(
        "contacts_reached_{w}", ACTIVITIES, "contact_id", "different people reached {w}", "people",
        windows=(90, 365), better=1,
    ),
    page.distinct(
        "seniorities_reached_{w}", ACTIVITIES, "seniority", "levels of seniority reached {w}", "levels",
        windows=(365,), better=1,
    ),
    page.distinct(
        "owners_met_{w}", ACTIVITIES, "owner_id", "people of ours in contact {w}", "people", windows=(365,)
    ),
    page.last("last_seniority", ACTIVITIES, "seniority", "seniority of the last person reached", "level"),
    page.count(
        "contacts_known", Events("contacts", "created_at"), "people known at the account", "people", better=1,
    ),
    page.derived(
        "contacts_reached_share", "contacts_reached_365d contacts_known", share,
        "share of the people known who were reached in the last 365 days", "share", better=1,
    ),
)  # fmt: skip

_TIMING = flat(
    page.count(
        "outbound_human_{w}", OUTBOUND_HUMAN, "calls and meetings we started {w}", windows=(RUNUP,),
        kinds=RENEWAL
    ),
    page.since_first(
        "days_since_first_outbound_{w}", OUTBOUND_HUMAN, "days since our first call or meeting {w}",
        windows=(RUNUP,), kinds=RENEWAL, shown=False,
    ),
    page.derived(
        "first_outbound_lead_days", "days_since_first_outbound_runup days_to_end", total,
        "days before the end at which we first called or met", "days", kinds=RENEWAL,
    ),
    page.count("calls_{w}", CALLS, "calls {w}", windows=(TERM,)),
    page.count("meetings_{w}", MEETINGS, "meetings {w}", windows=(TERM,)),
    page.count("activities_{w}", ACTIVITIES, "activities {w}", windows=(TERM,)),
    page.count("inbound_{w}", INBOUND, "contacts started by the customer {w}", windows=(TERM,)),
    page.since_first(
        "days_since_first_human_{w}", HUMAN, "days since the first call or meeting {w}", windows=(TERM,),
        kinds=WIN
    ),
    page.derived(
        "first_human_after_days", "days_open days_since_first_human_term", difference,
        "days from creation to the first call or meeting", "days", better=-1, kinds=WIN,
    ),
)  # fmt: skip

_OWN = flat(
    page.count("activities_{w}", ACTIVITIES, "activities {w}", windows=(30, 90, "ever"), split=True),
    page.count("calls_{w}", CALLS, "calls {w}", windows=(30, "ever"), split=True, better=1),
    page.count("meetings_{w}", MEETINGS, "meetings {w}", windows=(30, "ever"), split=True, better=1),
    page.count("emails_ever", EMAILS, "mails so far", split=True),
    page.count("inbound_ever", INBOUND, "contacts started by the customer", split=True),
    page.since("days_since_activity", ACTIVITIES, "days since the last activity", split=True),
    page.since("days_since_human", HUMAN, "days since the last call or meeting", split=True, better=-1),
    page.gap("gap_days", ACTIVITIES, "usual days between activities", split=True),
    page.distinct(
        "contacts_reached_ever", ACTIVITIES, "contact_id", "different people reached", "people", split=True,
    ),
    page.derived(
        "inbound_share", "~inbound_ever ~activities_ever", share, "share of contacts the customer started",
        "share",
        split=True,
    ),
)  # fmt: skip

CONTACT = flat(_VOLUME, _SILENCE, _SHAPE, _BREADTH, _TIMING, _OWN)
KNOWN_KINDS = CALL_WORDS | MEETING_WORDS | EMAIL_WORDS


def other_kind(kind: str) -> tuple:
    """Features of a kind of activity that is no call, meeting or mail, as this CRM calls it."""
    events = ACTIVITIES.among("kind", {kind})
    name = "activity_" + kind.replace(" ", "_")
    return flat(
        page.count(name + "_{w}", events, f"activities of kind {kind} {{w}}", windows=(90, 365)),
        page.since("days_since_" + name, events, f"days since the last activity of kind {kind}"),
    )
