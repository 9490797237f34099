"""What a list can be narrowed by, and its figures: owners, regions, bands and money, within a scope."""

from datetime import datetime, time
from typing import Any

import pandas as pd
from sqlalchemy import ColumnElement, func, select

from monitoring.store import Store
from monitoring.store.tables import prediction_log, scores

MOST_FOUND = 200


def choices(store: Store, kind: str, scope: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Owners, regions and kinds of deals that occur in a list: (value, name shown), by name.

    Args:
        store: holds the current scores.
        kind: `renewal` or `win`.
        scope: `owner` and `region` the visitor is bound to.
    """
    name = scores.c.details["owner_name"].as_string()
    owners = select(scores.c.owner_id, func.max(name)).where(
        *_within(kind, scope), scores.c.owner_id.is_not(None)
    )
    regions = select(scores.c.region).where(*_within(kind, scope), scores.c.region.is_not(None)).distinct()
    kinds = select(scores.c.details["deal_kind"].as_string()).where(*_within(kind, scope)).distinct()
    with store.engine.connect() as connection:
        owner_rows = connection.execute(owners.group_by(scores.c.owner_id)).fetchall()
        places = connection.execute(regions).scalars().all()
        deals = connection.execute(kinds).scalars().all() if kind == "win" else []
    named = [(owner, shown or owner) for owner, shown in owner_rows]
    return {
        "owners": sorted(named, key=lambda pair: pair[1].casefold()),
        "regions": [(place, place) for place in sorted(places)],
        "deal_kinds": [(each, each.capitalize()) for each in sorted(filter(None, deals))],
    }


def found_by_name(store: Store, kind: str, text: str, scope: dict[str, Any]) -> list[str]:
    """Ids of open subjects whose account's name, account id or own id holds `text`, at most 200."""
    like = f"%{text.strip().replace('!', '!!').replace('%', '!%').replace('_', '!_')}%"
    names = scores.c.details["account_name"].as_string(), scores.c.account_id, scores.c.subject_id
    hit = names[0].ilike(like, escape="!")
    for name in names[1:]:
        hit = hit | name.ilike(like, escape="!")
    query = select(scores.c.subject_id).where(*_within(kind, scope), hit)
    with store.engine.connect() as connection:
        return list(
            connection.execute(query.order_by(scores.c.rank_value.desc()).limit(MOST_FOUND)).scalars()
        )


def band_totals(store: Store, kind: str, wanted: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Rows, `amount`, `at_risk` and `expected` (money) of each band; those without a band under ''."""
    sums = [
        func.coalesce(func.sum(scores.c[name]), 0.0).label(name) for name in ("amount", "at_risk", "expected")
    ]
    query = select(func.coalesce(scores.c.band, "").label("band"), func.count().label("rows"), *sums)
    query = query.where(*_within(kind, wanted)).group_by("band")
    with store.engine.connect() as connection:
        return {row["band"]: dict(row) for row in connection.execute(query).mappings()}


def freshness(store: Store, kind: str) -> dict[str, Any] | None:
    """As of when, by which model version and when the current list was made; None: nothing is scored."""
    newest = select(scores.c.as_of, scores.c.model_version, scores.c.scored_at, scores.c.details)
    query = newest.where(*_within(kind, {})).order_by(scores.c.scored_at.desc()).limit(1)
    with store.engine.connect() as connection:
        row = connection.execute(query).mappings().first()
    return None if row is None else {**row, "alias": (row["details"] or {}).get("alias")}


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


def amounts(store: Store, kind: str, wanted: dict[str, Any]) -> pd.DataFrame:
    """What is open, without reasons: money, probability with limits, the owner's own estimate, and whose it is."""
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
        result = connection.execute(select(*columns).where(*_within(kind, wanted)))
        frame = pd.DataFrame(result.fetchall(), columns=list(result.keys()))
    numbers = ["amount", "probability", "low", "high", "forecast"]
    frame = frame.astype(dict.fromkeys(numbers, float))
    return frame.astype(dict.fromkeys(("as_of", "end_date"), "datetime64[us]"))


def _within(kind: str, wanted: dict[str, Any]) -> list[ColumnElement[bool]]:
    here = [scores.c.kind == kind, scores.c.gone_at.is_(None)]
    for name, column in (("owner", scores.c.owner_id), ("region", scores.c.region), ("band", scores.c.band)):
        if wanted.get(name):
            here.append(column == wanted[name])
    if wanted.get("deal_kind"):
        here.append(scores.c.details["deal_kind"].as_string() == wanted["deal_kind"])
    if wanted.get("before"):
        here.append(scores.c.end_date < datetime.combine(wanted["before"], time.min))
    return here


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
