"""The commands for the customers' voice: what they say, and who is asked."""

from typing import Any

from features.settings import Settings
from perennial.command_line import Result, group, prints, reads_crm, say

app = group("What customers say: kpis, requests, send.", no_args_is_help=True)


@app.command("kpis", epilog="Example: perennial voice kpis --out voice.xlsx")
@prints("voice.kpis")
@reads_crm
def voice_kpis(data: Any, settings: Settings) -> Result:
    """NPS, CSAT and CES of those who answer beside everybody asked, by stage, segment, owner, touchpoint."""
    from monitoring.voice_kpis import voice

    return voice(data)


@app.command("requests", epilog="Example: perennial voice requests --json")
@prints("data.requests")
def voice_requests() -> Result:
    """List the survey requests: who is asked, about what, sent or not, answered or not."""
    from monitoring.store import open_store

    shown = (
        "request_id",
        "account_id",
        "contact_id",
        "kind",
        "touchpoint",
        "state",
        "asked_at",
        "answered_at",
    )
    rows = open_store(Settings.from_env()).surveys.requests()
    return {"requests": [{name: row[name] for name in shown} for row in rows]}


@app.command("send", epilog="Example: perennial voice send")
@prints("data.facts")
def voice_send() -> Result:
    """Send the survey requests that wait; a running service does so by itself."""
    from monitoring.store import open_store
    from serving.live.asking import send_requests

    settings = Settings.from_env()
    return dict(send_requests(open_store(settings), settings, say=say))
