"""What a list can be narrowed by, within a scope, and what else its rows show."""

from datetime import datetime
from typing import Any, cast

import pandas as pd
from sqlalchemy import ColumnElement, and_, case, func, select

from features.settings import Settings
from monitoring.store import Store
from monitoring.store.list_filter import Wanted, conditions, has_alert, has_task
from monitoring.store.tables import prediction_log, scores
from serving.api.problems import ProblemError
from serving.crm_facts import facts_of, team_of
from serving.security.auth import Principal


def narrow(principal: Principal, filters: dict[str, Any], settings: Settings) -> Wanted:
    """The filters asked for within the principal's scope.

    Args:
        principal: who asks.
        filters: as `Wanted`; `team` names a manager. Empty ones narrow nothing.
        settings: of the CRM that records who reports to which manager.

    Raises:
        ProblemError: 403 where others' rows are asked for.
    """
    narrowed = {name: value for name, value in filters.items() if value}
    for name, scope_value in (("owner", principal.owner_id), ("region", principal.region)):
        if scope_value is None:
            continue
        if narrowed.get(name, scope_value) != scope_value:
            raise ProblemError(403, f"This key sees {name} {scope_value!r} only.")
        narrowed[name] = scope_value
    manager = narrowed.pop("team", None)
    owners = principal.team if manager is None else team_of(settings, manager)
    if principal.team is not None:
        wanted_owners = {narrowed["owner"]} if "owner" in narrowed else owners or set()
        if not principal.team.issuperset(wanted_owners):
            raise ProblemError(403, "This key sees the customers of its own team only.")
    if owners is not None:
        narrowed["owners"] = owners
    return cast(Wanted, narrowed)


def managers(settings: Settings, principal: Principal) -> list[tuple[str, str]]:
    """The managers whose whole team a visitor may see: (id, name), by name; several reports make a team."""
    facts = facts_of(settings)
    rows = [
        (manager, facts.names.get(manager, manager))
        for manager, team in facts.teams.items()
        if principal.owner_id is None and (principal.team is None or team <= principal.team)
    ]
    return sorted(rows, key=lambda pair: pair[1].casefold())


def choices(store: Store, kind: str, scope: Wanted) -> dict[str, list[tuple[str, str]]]:
    """Owners, regions and kinds of deals that occur in a list: (value, name shown), by name.

    Args:
        store: holds the current scores.
        kind: `renewal` or `win`.
        scope: `owner` and `region` the visitor is bound to.
    """
    details = scores.c.details
    by = [scores.c.owner_id, scores.c.region]
    by += [details["deal_kind"].as_string().label("deal_kind")] if kind == "win" else []
    name = func.max(details["owner_name"].as_string()).label("owner_name")
    query = select(*by, name).where(*conditions(kind, scope)).group_by(*by)
    with store.engine.connect() as connection:
        rows = connection.execute(query).mappings().all()
    named = sorted(rows, key=lambda row: row["owner_name"] or "")
    names = {row["owner_id"]: row["owner_name"] or row["owner_id"] for row in named if row["owner_id"]}
    regions, deals = ({row[column] for row in rows if row.get(column)} for column in ("region", "deal_kind"))
    return {
        "owners": sorted(names.items(), key=lambda pair: pair[1].casefold()),
        "regions": [(place, place) for place in sorted(regions)],
        "deal_kinds": [(each, each.capitalize()) for each in sorted(deals)],
    }


def by_owner(store: Store, kind: str, wanted: Wanted) -> list[dict[str, Any]]:
    """A list added up by owner, most money first; the rows add up to the list's totals.

    Returns:
        `owner_id` (None: nobody's), `owner_name`, `rows`, `amount`, `at_risk`, `expected`, and how many rows
        are in the band `at risk`, have an alert (`alerts`), an open task (`tasks`), a late one (`late`).
    """
    in_danger = and_(scores.c.band == "at risk", scores.c.held_out.is_not(True))
    sums = counted(in_danger=in_danger, alerts=has_alert(), tasks=has_task(), late=has_task(is_late=True))
    name = func.max(scores.c.details["owner_name"].as_string()).label("owner_name")
    rows = store.scores.summed(kind, (scores.c.owner_id,), name, *sums, **wanted)
    money = "at_risk" if kind == "renewal" else "expected"
    return sorted(rows, key=lambda row: (-row[money], row["owner_id"] or ""))


def counted(**which: ColumnElement[bool]) -> list[Any]:
    """Labelled sums: how many rows of a list meet each condition."""
    return [func.sum(case((each, 1), else_=0)).label(name) for name, each in which.items()]


def freshness(store: Store, kind: str) -> dict[str, Any] | None:
    """As of when, by which model version and when the current list was made; None: nothing is scored."""
    # The newest is found by its id: what is sorted would carry each row's details along.
    newest = select(scores.c.subject_id).where(*conditions(kind, {})).order_by(scores.c.scored_at.desc())
    alias = scores.c.details["alias"].as_string().label("alias")
    query = select(scores.c.as_of, scores.c.model_version, scores.c.scored_at, alias).where(
        scores.c.kind == kind, scores.c.subject_id == newest.limit(1).scalar_subquery()
    )
    with store.engine.connect() as connection:
        row = connection.execute(query).mappings().first()
    return None if row is None else dict(row)


def histories(store: Store, kind: str, ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Subject → its dated probabilities, oldest first: one a moment, the last given; held-out: none."""
    log = prediction_log.c
    shown = (log.subject_id, log.as_of, log.probability, log.low, log.high, log.model_version)
    query = select(*shown).where(
        log.kind == kind, log.subject_id.in_(ids), log.as_of.is_not(None), log.probability.is_not(None),
        log.held_out.is_not(True),
    )  # fmt: skip
    points: dict[str, dict[datetime, dict[str, Any]]] = {}
    with store.engine.connect() as connection:
        for row in connection.execute(query.order_by(log.as_of, log.prediction_id)).mappings():
            points.setdefault(row["subject_id"], {})[row["as_of"]] = dict(row)
    return {subject: list(by_moment.values()) for subject, by_moment in points.items()}


def amounts(store: Store, kind: str, wanted: Wanted, *further: ColumnElement[bool]) -> pd.DataFrame:
    """What is open, without reasons: money, probability with limits, the owner's estimate, whose it is.

    Args:
        store: holds the current scores.
        kind: `renewal` or `win`.
        wanted: what the list is narrowed to.
        further: conditions on `scores` besides.
    """
    details, names = scores.c.details, ("forecast",)
    columns = [
        scores.c[name]
        for name in (
            "subject_id", "account_id", "owner_id", "region", "as_of", "end_date", "amount", "probability",
            "low", "high", "held_out",
        )
    ]  # fmt: skip
    columns += [details[name].as_float().label(name) for name in names]
    columns += [details[name].as_string().label(name) for name in ("owner_name", "deal_kind")]
    with store.engine.connect() as connection:
        result = connection.execute(select(*columns).where(*conditions(kind, wanted), *further))
        frame = pd.DataFrame(result.fetchall(), columns=list(result.keys()))
    numbers = ["amount", "probability", "low", "high", "forecast"]
    frame = frame.astype(dict.fromkeys(numbers, float))
    return frame.astype(dict.fromkeys(("as_of", "end_date"), "datetime64[us]"))


def of_account(store: Store, account_id: str) -> list[dict[str, Any]]:
    """Current scores of an account's open contracts and opportunities."""
    query = select(scores.c.kind, scores.c.subject_id).where(
        scores.c.account_id == account_id, scores.c.gone_at.is_(None)
    )
    with store.engine.connect() as connection:
        result = connection.execute(query.order_by(scores.c.kind, scores.c.end_date)).fetchall()
    rows = []
    for kind in ("renewal", "win"):
        ids = [subject for of, subject in result if of == kind]
        rows += store.scores.page(kind, ids=ids).rows if ids else []
    return rows
