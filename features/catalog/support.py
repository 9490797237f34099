"""Support and satisfaction: cases and surveys."""

from features.catalog.declare import Events, Page, Test, difference, flat, mean_age_days, share, trend

OPENED = Events("cases", "opened_at")
CLOSED = Events("cases", "closed_at")
ESCALATED = OPENED.having(Test("escalated", flag=True))
ESCALATED_CLOSED = CLOSED.having(Test("escalated", flag=True))
URGENT_WORDS = frozenset(
    {"urgent", "critical", "high", "highest", "p1", "1", "p0", "sev1", "severe", "blocker"}
)
URGENT = OPENED.among("priority", URGENT_WORDS)

ASKED = Events("surveys", "asked_at")
ANSWERED = Events("surveys", "answered_at")
SURVEY_WORDS = {
    "nps": frozenset({"nps", "net promoter score", "relationship nps", "transactional nps"}),
    "csat": frozenset({"csat", "customer satisfaction", "satisfaction"}),
    "ces": frozenset({"ces", "customer effort score", "effort"}),
}

cases, surveys = Page("support"), Page("survey")

CASES = flat(
    cases.count("cases_{w}", OPENED, "cases opened {w}", windows=(30, 90, 180, 365), better=-1),
    cases.derived(
        "case_trend_90d", "cases_90d cases_180d", trend, "cases, last 90 days against 90 before", "-1 to 1",
    ),
    cases.since("days_since_case", OPENED, "days since the last case was opened"),
    cases.count("cases_ever", OPENED, "cases so far", shown=False),
    cases.count("cases_closed_ever", CLOSED, "cases closed so far", shown=False),
    cases.derived(
        "cases_open", "cases_ever cases_closed_ever", difference, "cases open now", "count", better=-1,
    ),
    cases.total("opened_seconds", OPENED, "opened_second", "opening moments", "s", shown=False),
    cases.total(
        "closed_opened_seconds", CLOSED, "opened_second", "opening moments, closed", "s", shown=False,
    ),
    cases.derived(
        "case_open_days_mean", "opened_seconds closed_opened_seconds cases_open as_of_seconds", mean_age_days,
        "mean days the open cases have waited", "days", better=-1,
    ),
    cases.count("escalated_{w}", ESCALATED, "escalated cases {w}", windows=(90, 365), better=-1),
    cases.count("escalated_ever", ESCALATED, "escalated cases so far", shown=False),
    cases.count("escalated_closed_ever", ESCALATED_CLOSED, "escalated cases closed", shown=False),
    cases.derived(
        "escalated_open", "escalated_ever escalated_closed_ever", difference, "escalated cases open now",
        "count",
        better=-1,
    ),
    cases.derived(
        "escalated_share_365d", "escalated_365d cases_365d", share, "share of cases escalated", "share",
    ),
    cases.count("urgent_cases_{w}", URGENT, "urgent cases {w}", windows=(90, 365), better=-1),
    cases.mean(
        "case_hours_{w}", CLOSED, "seconds_open", "mean hours to close a case {w}", "hours",
        windows=(90, 365), divide=3_600, better=-1,
    ),
    cases.last("case_csat_last", CLOSED, "csat", "satisfaction with the last case rated", "score", better=1),
    cases.mean(
        "case_csat_{w}", CLOSED, "csat_milli", "mean satisfaction with cases {w}", "score",
        windows=(365,), divide=1_000, better=1,
    ),
)  # fmt: skip


def _survey(kind: str, better: int) -> tuple:
    name = kind.upper()
    invitations, answered = (
        ASKED.among("kind", SURVEY_WORDS[kind]),
        ANSWERED.among("kind", SURVEY_WORDS[kind]),
    )
    return flat(
        surveys.last(f"{kind}_last", answered, "score", f"last {name} score", "score", better=better),
        surveys.previous(f"{kind}_previous", answered, "score", f"{name} score before", "score", shown=False),
        surveys.derived(
            f"{kind}_step", f"{kind}_last {kind}_previous", difference,
            f"change from one {name} score to the next",
            "points", better=better,
        ),
        surveys.mean(
            f"{kind}_{{w}}", answered, "score_milli", f"mean {name} score {{w}}", "score",
            windows=(365,), divide=1_000, better=better,
        ),
        surveys.since(f"days_since_{kind}", answered, f"days since {name} was last answered"),
        surveys.count(f"{kind}_asked", invitations, f"times {name} was asked", shown=False),
        surveys.count(f"{kind}_answered", answered, f"times {name} was answered", shown=False),
        surveys.derived(
            f"{kind}_silent", f"{kind}_asked {kind}_answered", difference,
            f"{name} surveys left unanswered", "count",
            better=-1,
        ),
    )  # fmt: skip


SURVEYS = flat(
    surveys.count("surveys_asked_{w}", ASKED, "surveys sent {w}", windows=(365, "ever")),
    surveys.count("surveys_answered_{w}", ANSWERED, "surveys answered {w}", windows=(365, "ever"), better=1),
    surveys.derived(
        "survey_answer_share", "surveys_answered_ever surveys_asked_ever", share, "share of surveys answered",
        "share", better=1,
    ),
    surveys.mean(
        "survey_answer_hours", ANSWERED, "seconds_to_answer", "mean hours to answer a survey", "hours",
        divide=3_600
    ),
    _survey("nps", 1),
    _survey("csat", 1),
    _survey("ces", 0),
    surveys.count(
        "detractor_{w}", ANSWERED.among("kind", SURVEY_WORDS["nps"]).having(Test("score", most=6)),
        "NPS answers of 6 or less {w}", windows=(365,), better=-1,
    ),
)  # fmt: skip

SUPPORT = flat(CASES, SURVEYS)
