"""Alerts: what opens one, what closes one, and how it reaches a person.

An alert is opened once for each cause (`dedupe_key`) and stays until somebody closes it or its cause is gone;
seen again meanwhile, it is not sent again. A check that has become unknown is no proof that a cause is gone.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from features.progress import Say, silent
from features.settings import Settings
from monitoring.checks import Check, Verdict
from monitoring.signed_webhook import NotTakenError, is_signed, post_alert
from monitoring.store import Store
from monitoring.store.alert_log import Opened

Send = Callable[[str, str, str], None]
"""Deliver (url, title, body); raises `DeliveryError` if it could not."""

RISK_JUMP = 0.2
"""A probability of renewal that falls by so much from one score to the next."""

LOW_SCORES = {"nps": (10, 4), "csat": (5, 2), "ces": (7, 2)}
"""Survey kind → (end of the scale, highest score that raises an alert)."""

LEASE = timedelta(minutes=10)
MOST_REASONS = 12


class DeliveryError(Exception):
    """An alert could not be handed to its channel; it stays in the ledger and is tried again."""


def settle(store: Store, settings: Settings, kind: str, checks: Sequence[Check]) -> dict[str, Any]:
    """Open an alert for each cause among the checks that alert, and close those whose cause is gone.

    Args:
        store: of the alerts.
        settings: where they are sent.
        kind: `renewal` or `win`.
        checks: of one monitoring run. A family of checks (the part of the name before the colon) closes
            alerts only if this run has any of it and none essential of it is unknown.

    Returns:
        `opened` (id, title), `grown` (id, title, `joined`: what is new under a standing alert), `standing`
        and `closed` (how many).
    """
    causes: dict[str, list[Check]] = {}
    for check in checks:
        if check.verdict is Verdict.ALERT:
            causes.setdefault(check.alert_as, []).append(check)
    opened, grown, standing = [], [], 0
    for cause, alerting in causes.items():
        done = _open_for(store, settings, kind, cause, alerting)
        summary = {"alert_id": done.alert_id, "title": f"{kind} model, {cause}"}
        standing += not done.is_new
        opened += [summary] if done.is_new else []
        grown += [{**summary, "joined": list(done.joined)}] if done.joined else []
    closed = 0
    for family in sorted({_family(check) for check in checks}):
        family_checks = [check for check in checks if _family(check) == family]
        if any(check.verdict is Verdict.UNKNOWN and check.is_essential for check in family_checks):
            continue
        keep = [_key(kind, check.alert_as) for check in family_checks if check.verdict is not Verdict.OK]
        closed += store.alerts.close_gone(f"monitor: {family}", kind, keep, "the cause is gone")
    return {"opened": opened, "grown": grown, "standing": standing, "closed": closed}


def survey_alerts(
    store: Store, settings: Settings, rows: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Open an alert for each account that gave a low survey score; one at a time for an account and kind.

    A further low score joins the open alert; the same answer sent again is not reported a second time.

    Args:
        store: of the alerts.
        settings: where they are sent.
        rows: of the CRM's `surveys`: `account_id`, `kind`, `score`, perhaps `response_id`, `owner_id`,
            `touchpoint`.
    """
    opened = []
    for row in rows:
        survey, score = str(row.get("kind") or "").lower(), row.get("score")
        if survey not in LOW_SCORES or score is None or float(score) > LOW_SCORES[survey][1]:
            continue
        account, limit = str(row["account_id"]), LOW_SCORES[survey][1]
        summary = f"{survey.upper()} {float(score):g}" + (
            f" on {row['touchpoint']}" if row.get("touchpoint") else ""
        )
        opened += _instant(
            store,
            settings,
            key=f"survey:{survey}:{account}",
            rule="low survey score",
            title=f"{account}: {summary}",
            reasons=[f"a score of {limit} or less calls for a call the same day"],
            account_id=account,
            topics=[f"answer {row['response_id']}"] if row.get("response_id") else [],
            value=float(score),
            threshold=float(limit),
            owner=row.get("owner_id"),
        )
    return opened


def risk_alerts(
    store: Store, settings: Settings, kind: str, rows: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Open an alert for each contract or deal whose probability fell by 20 points since the score before.

    Args:
        store: of the alerts.
        settings: where they are sent.
        kind: `renewal` or `win`.
        rows: current scores as `Store.scores` gives them, with `previous_probability`.
    """
    opened = []
    for row in rows:
        before, after = row.get("previous_probability"), row.get("probability")
        if before is None or after is None or before - after < RISK_JUMP or row.get("held_out"):
            continue
        reasons = [reason["words"] for reason in (row.get("reasons") or []) if reason.get("log_odds", 0) < 0]
        opened += _instant(
            store,
            settings,
            key=f"risk:{kind}:{row['subject_id']}",
            rule="jump in risk",
            title=f"{row['subject_id']}: {_GOOD[kind]} fell from {before:.0%} to {after:.0%}",
            reasons=reasons[:3],
            kind=kind,
            subject_id=row["subject_id"],
            account_id=row.get("account_id"),
            topics=[f"as of {row['as_of']}"] if row.get("as_of") else [],
            value=after,
            threshold=before - RISK_JUMP,
            owner=row.get("owner_id"),
        )
    return opened


def model_alert(
    store: Store, settings: Settings, kind: str, version: str, *, rule: str, reasons: Sequence[str]
) -> list[dict[str, Any]]:
    """Open an alert about a model; `rule`: `champion changed` or `gate failed`."""
    title = f"{kind} model {version}: {rule}"
    return _instant(
        store,
        settings,
        key=f"model:{kind}:{rule}:{version}",
        rule=rule,
        title=title,
        reasons=reasons,
        kind=kind,
    )


def champion_alert(store: Store, settings: Settings, kind: str, version: str) -> list[dict[str, Any]]:
    """Open an alert if another version is champion than when this was last asked; the first is no news."""
    noted = store.runs("champion", kind, limit=1)
    before = noted[0]["summary"]["version"] if noted else version
    opened = []
    if before != version:
        reasons = [f"version {version} serves in place of version {before}"]
        opened = model_alert(store, settings, kind, version, rule="champion changed", reasons=reasons)
    # Noted last: killed in between, the alert is open and is found again.
    store.record_run(f"champion-{kind}", "champion", kind, {"version": version})
    return opened


def channels(settings: Settings) -> dict[str, str]:
    """Channel id → address (of Apprise, or a signed webhook) in the settings.

    Addresses hold secrets, so the ledger knows them by hash.
    """
    urls = settings.alert_urls.replace(",", " ").split()
    return {f"{url.split(':', 1)[0]}-{hashlib.sha256(url.encode()).hexdigest()[:12]}": url for url in urls}


def send_due(
    store: Store,
    settings: Settings,
    *,
    send: Send | None = None,
    lease: timedelta = LEASE,
    say: Say = silent,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, int]:
    """Send what waits in the ledger.

    Each send is claimed, delivered, then marked. Killed between delivery and mark, it is delivered again
    after the lease; the message carries the alert's id so that the receiver can drop repeats. Where `stop`
    says so, the rest stays in the ledger.

    Returns:
        `sent` and `failed`; what failed is tried again after the lease, five times in all.
    """
    urls = channels(settings)
    deliver = send or by_apprise
    counts = {"sent": 0, "failed": 0}
    while not stop() and (due := store.alerts.claim_send(lease=lease)) is not None:
        error = None
        try:
            if due["channel"] not in urls:
                raise DeliveryError("the channel is no longer among PERENNIAL_ALERT_URLS")
            if send is None and is_signed(urls[due["channel"]]):
                post_alert(urls[due["channel"]], due)
            else:
                deliver(urls[due["channel"]], _title(due), _body(due))
        except (DeliveryError, NotTakenError) as failure:
            error = str(failure)
            say(f"alert {due['alert_id']} was not sent: {error}")
        store.alerts.mark_send(due["alert_id"], due["channel"], error, round=due["round"])
        counts["failed" if error else "sent"] += 1
    return counts


def by_apprise(url: str, title: str, body: str) -> None:
    """Deliver by Apprise (Slack, Teams, mail, webhook and others).

    Raises:
        DeliveryError: the URL is none, or the receiver did not take the message.
    """
    from apprise import Apprise

    post = Apprise()
    if not post.add(url):
        raise DeliveryError("not an Apprise URL")
    if not post.notify(title=title, body=body):
        raise DeliveryError("the receiver did not take it")


_GOOD = {"renewal": "likelihood to renew", "win": "win probability"}


def _instant(store: Store, settings: Settings, *, key: str, title: str, **more: Any) -> list[dict[str, Any]]:
    topics = more.get("topics", ())
    if topics and store.alerts.was_sent(key, topics):
        return []
    done = store.alerts.open(key, title=title, channels=list(channels(settings)), **more)
    has_news = done.is_new or done.joined
    return [{"alert_id": done.alert_id, "rule": more["rule"], "title": title}] if has_news else []


def _open_for(store: Store, settings: Settings, kind: str, cause: str, checks: Sequence[Check]) -> Opened:
    worst = checks[0]
    return store.alerts.open(
        _key(kind, cause),
        rule=f"monitor: {_family(worst)}",
        title=f"{kind} model, {cause}",
        reasons=[_reason(check) for check in checks[:MOST_REASONS]],
        kind=kind,
        segment=worst.segment or None,
        value=worst.value,
        threshold=worst.threshold,
        channels=list(channels(settings)),
        topics=[_topic(check) for check in checks],
    )


def _topic(check: Check) -> str:
    return f"{check.name} {check.segment}".strip()


def _reason(check: Check) -> str:
    where = f" ({check.segment})" if check.segment else ""
    return f"{check.name}{where}: {check.why}"


def _family(check: Check) -> str:
    return check.name.split(":", 1)[0]


def _key(kind: str, cause: str) -> str:
    return f"monitor:{kind}:{cause}"


def _title(alert: Mapping[str, Any]) -> str:
    return f"[Perennial] {'more on: ' if alert['round'] else ''}{alert['title']}"


def _body(alert: Mapping[str, Any]) -> str:
    topics = alert["topics"] or {}
    joined = [
        topic
        for topic, round_number in topics.items()
        if round_number and round_number == max(topics.values())
    ]
    more = [f"new under this alert: {', '.join(joined)}"] if alert["round"] and joined else []
    lines = [
        *more,
        *alert["reasons"],
        f"opened {alert['opened_at']:%Y-%m-%d %H:%M} UTC, alert {alert['alert_id']}",
    ]
    if alert["attempts"] > 1:
        lines.append(f"attempt {alert['attempts']}; it may have reached you before")
    return "\n".join(lines)
