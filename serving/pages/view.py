"""What all pages share: who looks, which pages are theirs, how values are written, and the frame."""

import math
from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import jinja2
import pandas as pd
from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup

from serving.api.problems import ProblemError
from serving.crm_facts import facts_of
from serving.pages import charts
from serving.security.auth import Principal
from serving.state import running_of

SELLERS = ("sales", "admin")
KEEPERS = ("mlops", "admin")
MARKETERS = ("marketing", "admin")
WATCHERS = ("marketing", "mlops", "admin")
PLANNERS = ("sales", "marketing", "admin")
EVERYBODY = ("sales", "marketing", "mlops", "admin")
NAVIGATION = (
    ("Renewals", "/renewals", SELLERS),
    ("Pipeline", "/pipeline", SELLERS),
    ("Tasks", "/tasks", SELLERS),
    ("Forecast", "/forecast", SELLERS),
    ("Effects", "/effects", PLANNERS),
    ("Experiments", "/experiments", EVERYBODY),
    ("Profiles", "/profiles", MARKETERS),
    ("Journey", "/journey", WATCHERS),
    ("KPIs", "/kpis", EVERYBODY),
    ("Voice", "/voice", EVERYBODY),
    ("Churn drivers", "/churn-drivers", EVERYBODY),
    ("Models", "/models", KEEPERS),
    ("Status", "/status", KEEPERS),
    ("API", "/docs", EVERYBODY),
)
"""Name, address and roles of each page; a role sees no link to what is not its own."""

WHOLE_TEAM = ("/experiments", "/kpis", "/voice")
"""Pages that a key with a scope does not get."""

TONES = {
    "at risk": "is-low",
    "watch": "is-mid",
    "safe": "is-high",
    "cold": "is-low",
    "warm": "is-mid",
    "hot": "is-high",
}


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(money=money, percent=percent, day=day, away=away, number=number)
    environment.filters["pairs"] = lambda names: [(name, name) for name in names]
    environment.filters["signed"] = lambda value: f"{'+' if value > 0 else ''}{money(value)}".replace(
        "-", "−"
    )
    environment.filters["sentence"] = sentence
    environment.filters.update(short_day=short_day, lower_first=lower_first, after_colon=after_colon)
    environment.filters.update(hours=hours_words, due=due_words, dict_of=dict)
    environment.globals.update(
        totals_of=lambda rows, name: sum(row[name] for row in rows),
        charts=charts,
        money=money,
        tone=tone,
        url=url,
        band_parts=band_parts,
        failed_gates=failed_gates,
    )
    return environment


def render(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page in the frame; `here` marks it in the navigation."""
    principal: Principal | None = getattr(request.state, "principal", None)
    running = getattr(request.app.state, "running", None)
    door = getattr(running, "door", None)
    links = [(name, to) for name, to, roles in NAVIGATION if principal and _sees(principal, to, roles)]
    shared = {
        "principal": principal,
        "links": links,
        "csrf": door.csrf_token(request) if door and principal else "",
        "path": request.url.path,
        "currency": facts_of(running.settings).currency if running else "",
    }
    return HTMLResponse(
        _environment().get_template(template).render({**shared, **values}), status_code=status
    )


def chosen(request: Request, name: str, choices: Container[str], default: str) -> str:
    """The query's value of that name where it is one of the choices, else the default."""
    value = request.query_params.get(name, default)
    return value if value in choices else default


def _sees(principal: Principal, to: str, roles: Sequence[str]) -> bool:
    return principal.role in roles and not (principal.is_scoped and to in WHOLE_TEAM)


def visitor(*roles: str) -> Any:
    """A dependency that lets these roles see a page; who is not signed in is sent to do so.

    Raises:
        ProblemError: 403 for another role.
    """

    async def principal(request: Request) -> Principal:
        admitted = running_of(request).door.admit(request)
        request.state.principal = admitted
        if admitted.role not in roles:
            raise ProblemError(
                403, f"This page is for {' and '.join(roles)}; you are signed in as {admitted.role}."
            )
        return admitted

    return Depends(principal)


Seller = Annotated[Principal, visitor(*SELLERS)]
Keeper = Annotated[Principal, visitor(*KEEPERS)]
Marketer = Annotated[Principal, visitor(*MARKETERS)]
Watcher = Annotated[Principal, visitor(*WATCHERS)]
Planner = Annotated[Principal, visitor(*PLANNERS)]
Anybody = Annotated[Principal, visitor(*EVERYBODY)]


def wants_page(request: Request) -> bool:
    """Whether a browser asks for a page: errors then look like one."""
    is_api = request.url.path.startswith(("/v1/", "/openapi", "/metrics", "/livez", "/readyz"))
    return not is_api and "text/html" in request.headers.get("accept", "")


def error_page(request: Request, status: int, title: str, detail: str) -> Response | None:
    """An error as people see it; None for a program, which gets a problem."""
    if not wants_page(request):
        return None
    if status == 401:
        return RedirectResponse(f"/sign-in?next={quote(_here(request), safe='')}", 303)
    return render(request, "error.html", status=status, title=title, detail=detail)


def _here(request: Request) -> str:
    query = f"?{request.url.query}" if request.url.query else ""
    return request.url.path + query if request.method == "GET" else "/"


def tone(band: str | None) -> str:
    """The CSS class of a band: low, middle or high probability."""
    return TONES.get(band or "", "is-none")


def band_parts(bands: Sequence[str], totals: Mapping[str, Any], value: str) -> list[tuple[str, float, str]]:
    """The parts of a bar: each band, its money and its CSS class."""
    return [(band, totals.get(band, {}).get(value, 0.0), tone(band)) for band in bands]


def failed_gates(gates: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The names of the gates a version did not pass."""
    return [name for name, gate in gates.items() if gate.get("passed") is False]


def url(path: str, params: Mapping[str, Any] | None = None, **changes: Any) -> str:
    """`path` with query parameters, those empty left out."""
    given = {name: value for name, value in {**(params or {}), **changes}.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


def missing(value: Any) -> bool:
    """Whether there is nothing to show."""
    return value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def money(value: float | None) -> str:
    """Money as read at a glance: 950, 24,000, 1.24 M."""
    if missing(value):
        return "–"
    assert value is not None
    if abs(value) >= 10_000_000:
        return f"{value / 1e6:,.1f} M"
    return f"{value / 1e6:,.2f} M" if abs(value) >= 1_000_000 else f"{value:,.0f}"


def percent(value: float | None, digits: int = 0) -> str:
    """A share in per cent; never a false certainty of 0 or 100."""
    if missing(value):
        return "–"
    assert value is not None
    if digits == 0 and 0 < value < 0.005:
        return "<1 %"
    if digits == 0 and 0.995 < value < 1:
        return ">99 %"
    return f"{100 * value:.{digits}f} %"


def number(value: float | None, digits: int = 3) -> str:
    """A figure with so many digits after the point."""
    return "–" if missing(value) else f"{value:,.{digits}f}"


def sentence(text: str | None) -> str:
    """Words of another room as a sentence on a page: a capital first, a full stop last."""
    text = (text or "").strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}" if text else ""


def moment(value: Any) -> datetime | None:
    """What the store gave (a moment or its ISO text) as a moment."""
    if missing(value):
        return None
    return value if isinstance(value, datetime) else datetime.fromisoformat(str(value))


def day(value: Any) -> Markup | str:
    """A day in words people of all countries read alike: 3 Mar 2026."""
    then = moment(value)
    if then is None:
        return "–"
    return Markup('<time datetime="{}">{}</time>').format(then.date().isoformat(), f"{then.day} {then:%b %Y}")


def short_day(value: Any) -> str:
    """A day where there is little room: 3 Mar."""
    then = moment(value)
    return "–" if then is None else f"{then.day} {then:%b}"


def lower_first(text: str) -> str:
    """Words inside a sentence: names in capitals stay (ARR)."""
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


def after_colon(title: str) -> str:
    """The title of an alert without the id it begins with, beside whose row it stands."""
    return title.partition(": ")[2] or title


def hours_words(hours: float | None) -> str:
    """A time span as read at a glance: 5 hours, 3 days, under a minute."""
    if hours is None:
        return "–"
    number, unit = (hours, "hour") if hours < 48 else (hours / 24, "day")
    if hours < 0.5 / 60:
        return "under a minute"
    if hours < 1:
        number, unit = 60 * hours, "minute"
    return f"{number:.0f} {unit}{'' if round(number) == 1 else 's'}"


def due_words(due_at: Any, at: datetime) -> str:
    """How long until something is due, or since: due in 5 hours, late by 3 days."""
    then = moment(due_at)
    assert then is not None
    hours = (then - at).total_seconds() / 3600
    return f"due in {hours_words(hours)}" if hours >= 0 else f"late by {hours_words(-hours)}"


def away(value: Any, seen_from: Any) -> str:
    """How far a day is from another: in 43 days, today, 3 days ago."""
    then, origin = moment(value), moment(seen_from)
    if then is None or origin is None:
        return ""
    days = (then.date() - origin.date()).days
    if days == 0:
        return "today"
    plural = "" if abs(days) == 1 else "s"
    return f"in {days} day{plural}" if days > 0 else f"{-days} day{plural} ago"
