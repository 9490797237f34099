"""Sales contact: calls, meetings, mails and other activities."""

from features.declaration import EVER, RUNUP, TERM, Events, Page, Test
from features.derived import difference, overdue, share, total, trend

CALL_WORDS = frozenset({"call", "calls", "phone", "phone call", "telephone", "outbound call", "inbound call"})
MEETING_WORDS = frozenset(
    {"meeting", "meetings", "visit", "demo", "onsite", "on site", "workshop", "video call", "webconference"}
)
EMAIL_WORDS = frozenset({"email", "emails", "e mail", "mail"})
OUTBOUND_WORDS = frozenset({"outbound", "out", "outgoing"})
INBOUND_WORDS = frozenset({"inbound", "in", "incoming"})
ANSWERED_WORDS = frozenset(
    {
        "answered",
        "connected",
        "reached",
        "completed",
        "held",
        "successful",
        "positive",
        "replied",
        "interested",
    }
)

ACTIVITIES = Events("activities", "occurred_at")
CALLS = ACTIVITIES.where_also(Test("kind", words=CALL_WORDS))
MEETINGS = ACTIVITIES.where_also(Test("kind", words=MEETING_WORDS))
EMAILS = ACTIVITIES.where_also(Test("kind", words=EMAIL_WORDS))
HUMAN = ACTIVITIES.where_also(Test("kind", words=CALL_WORDS | MEETING_WORDS))
INBOUND = ACTIVITIES.where_also(Test("direction", words=INBOUND_WORDS))
OUTBOUND = ACTIVITIES.where_also(Test("direction", words=OUTBOUND_WORDS))
OUTBOUND_HUMAN = HUMAN.where_also(Test("direction", words=OUTBOUND_WORDS))
ANSWERED = ACTIVITIES.where_also(Test("outcome", words=ANSWERED_WORDS))
WITH_OUTCOME = ACTIVITIES.where_also(Test("outcome", given=True))

_page = Page("sales contact")
over, derived = _page.over, _page.derived

_VOLUME = (
    *over((30, 60, 90, 180, 365), "activities_{w}", ACTIVITIES, "count", words="activities {w}", unit="count"),
    *over((7, 30, 90, 180, 365), "calls_{w}", CALLS, "count", words="calls {w}", unit="count", direction=1),
    *over((30, 90, 180, 365), "meetings_{w}", MEETINGS, "count", words="meetings {w}", unit="count", direction=1),
    *over((30, 90, 180, 365), "emails_{w}", EMAILS, "count", words="mails {w}", unit="count"),
    *over((30, 90, 365), "inbound_{w}", INBOUND, "count", words="contacts started by the customer {w}", unit="count"),
    *over((90, 365), "outbound_{w}", OUTBOUND, "count", words="contacts started by us {w}", unit="count"),
    *over(
        (90, 365), "talk_minutes_{w}", HUMAN, "sum", value="duration_seconds", divide=60,
        words="minutes of calls and meetings {w}", unit="minutes", direction=1,
    ),
    *over(
        (365,), "talk_minutes_mean_{w}", HUMAN, "mean", value="duration_seconds", divide=60,
        words="usual length of a call or meeting {w}", unit="minutes",
    ),
)  # fmt: skip

_SILENCE = (
    *over((EVER,), "days_since_activity", ACTIVITIES, "days_since", words="days since the last activity", unit="days"),
    *over((EVER,), "days_since_call", CALLS, "days_since", words="days since the last call", unit="days", direction=-1),
    *over((EVER,), "days_since_meeting", MEETINGS, "days_since", words="days since the last meeting", unit="days", direction=-1),
    *over((EVER,), "days_since_email", EMAILS, "days_since", words="days since the last mail", unit="days"),
    *over((EVER,), "days_since_human", HUMAN, "days_since", words="days since the last call or meeting", unit="days", direction=-1),
    *over((EVER,), "days_since_inbound", INBOUND, "days_since", words="days since the customer last got in touch", unit="days"),
    *over((EVER,), "days_since_outbound_human", OUTBOUND_HUMAN, "days_since", words="days since we last called or met", unit="days", direction=-1),
    *over((365,), "human_gap_days_{w}", HUMAN, "gap_days", words="usual days between calls or meetings {w}", unit="days"),
    *derived("human_overdue", ("days_since_human", "human_gap_days_365d"), overdue, words="silence, in usual gaps between calls or meetings", unit="gaps", direction=-1),
)  # fmt: skip

_SHAPE = (
    *derived("activity_trend_30d", ("activities_30d", "activities_60d"), trend, words="activities of the last 30 days against the 30 before", unit="-1 to 1"),
    *derived("activity_trend_90d", ("activities_90d", "activities_180d"), trend, words="activities of the last 90 days against the 90 before", unit="-1 to 1"),
    *derived("call_trend_90d", ("calls_90d", "calls_180d"), trend, words="calls of the last 90 days against the 90 before", unit="-1 to 1"),
    *derived("meeting_trend_90d", ("meetings_90d", "meetings_180d"), trend, words="meetings of the last 90 days against the 90 before", unit="-1 to 1"),
    *derived("inbound_share_90d", ("inbound_90d", "activities_90d"), share, words="share of contacts the customer started in the last 90 days", unit="share", direction=1),
    *derived("inbound_share_365d", ("inbound_365d", "activities_365d"), share, words="share of contacts the customer started in the last 365 days", unit="share", direction=1),
    *derived("meeting_share_365d", ("meetings_365d", "activities_365d"), share, words="share of activities that were meetings in the last 365 days", unit="share"),
    *over((90, 365), "answered_{w}", ANSWERED, "count", words="contacts answered {w}", unit="count", shown=False),
    *over((90, 365), "outcomes_{w}", WITH_OUTCOME, "count", words="contacts with a noted outcome {w}", unit="count", shown=False),
    *derived("answered_share_90d", ("answered_90d", "outcomes_90d"), share, words="share of contacts answered in the last 90 days", unit="share", direction=1),
    *derived("answered_share_365d", ("answered_365d", "outcomes_365d"), share, words="share of contacts answered in the last 365 days", unit="share", direction=1),
    *over((EVER,), "last_activity_kind", ACTIVITIES, "last", value="kind", words="the last activity was", unit="kind"),
    *over((EVER,), "last_outcome", WITH_OUTCOME, "last", value="outcome", words="the last contact's outcome was", unit="outcome"),
)  # fmt: skip

_BREADTH = (
    *over((90, 365), "contacts_reached_{w}", ACTIVITIES, "distinct", value="contact_id", words="different people reached {w}", unit="people", direction=1),
    *over((365,), "seniorities_reached_{w}", ACTIVITIES, "distinct", value="seniority", words="levels of seniority reached {w}", unit="levels", direction=1),
    *over((365,), "owners_met_{w}", ACTIVITIES, "distinct", value="owner_id", words="different people of ours in contact {w}", unit="people"),
    *over((EVER,), "last_seniority", ACTIVITIES.where_also(Test("seniority", given=True)), "last", value="seniority", words="seniority of the last person reached", unit="level"),
    *over((EVER,), "contacts_known", Events("contacts", "created_at"), "count", words="people known at the account", unit="people", direction=1),
)  # fmt: skip

_TIMING = (
    *over((RUNUP,), "outbound_human_{w}", OUTBOUND_HUMAN, "count", words="calls and meetings we started {w}", unit="count", kinds=("renewal",)),
    *over((RUNUP,), "days_since_first_outbound_{w}", OUTBOUND_HUMAN, "days_since_first", words="days since our first call or meeting {w}", unit="days", kinds=("renewal",)),
    *derived("first_outbound_lead_days", ("days_since_first_outbound_runup", "days_to_end"), total, words="days before the end at which we first called or met", unit="days", kinds=("renewal",)),
    *over((TERM,), "calls_{w}", CALLS, "count", words="calls {w}", unit="count"),
    *over((TERM,), "meetings_{w}", MEETINGS, "count", words="meetings {w}", unit="count"),
    *over((TERM,), "activities_{w}", ACTIVITIES, "count", words="activities {w}", unit="count"),
    *over((TERM,), "inbound_{w}", INBOUND, "count", words="contacts started by the customer {w}", unit="count"),
    *over((TERM,), "days_since_first_human_{w}", HUMAN, "days_since_first", words="days since the first call or meeting {w}", unit="days"),
    *derived("first_human_after_days", ("days_open", "days_since_first_human_term"), difference, words="days from creation to the first call or meeting", unit="days", direction=-1, kinds=("win",)),
)  # fmt: skip

_OWN = (
    *over((30, 90, EVER), "activities_{w}", ACTIVITIES, "count", words="activities {w}", unit="count", scope="own"),
    *over((30, EVER), "calls_{w}", CALLS, "count", words="calls {w}", unit="count", scope="own"),
    *over((30, EVER), "meetings_{w}", MEETINGS, "count", words="meetings {w}", unit="count", scope="own"),
    *over((EVER,), "emails_{w}", EMAILS, "count", words="mails {w}", unit="count", scope="own"),
    *over((EVER,), "inbound_{w}", INBOUND, "count", words="contacts started by the customer {w}", unit="count", scope="own"),
    *over((EVER,), "days_since_activity", ACTIVITIES, "days_since", words="days since the last activity", unit="days", scope="own"),
    *over((EVER,), "days_since_human", HUMAN, "days_since", words="days since the last call or meeting", unit="days", scope="own"),
    *over((EVER,), "gap_days", ACTIVITIES, "gap_days", words="usual days between activities", unit="days", scope="own"),
    *over((EVER,), "contacts_reached_{w}", ACTIVITIES, "distinct", value="contact_id", words="different people reached {w}", unit="people", scope="own"),
    *derived("inbound_share", ("{own}inbound_ever", "{own}activities_ever"), share, words="share of contacts the customer started", unit="share", scope="own"),
)  # fmt: skip

CONTACT = (*_VOLUME, *_SILENCE, *_SHAPE, *_BREADTH, *_TIMING, *_OWN)
