"""Studies of the past that pages show and that take long: what calls do for a win, what is lost and why."""

from typing import Any

import pandas as pd

from features.crm import Crm
from features.engine import feature_rows
from features.errors import RenewalError
from features.settings import Settings
from training.losses import DAYS, drivers_by_group, groups_of, last_snapshots, money_of, stated_reasons
from training.registry import champion

LOST_BY = ("all", "industry", "region", "owner")
_MOST_DRIVERS = 5


def calls_to_win(crm: Crm, settings: Settings) -> dict[str, Any]:
    """The estimate for all deals: `rows` by bucket, `best`, `alike` (all that may be it), `notes`."""
    from training.effects import calls

    told = calls(crm, settings)
    rows = [row for row in told["rows"] if row.get("group", "all") == "all"]
    best, alike = told["best"].get("all"), told["indistinguishable"].get("all") or []
    return {"rows": rows, "best": best, "alike": alike, "notes": told["notes"]}


def lost_and_why(crm: Crm, settings: Settings) -> dict[str, Any]:
    """For renewals and deals what was lost in the last year, by industry, region and owner.

    Returns:
        Kind → `why` (none could be told), or `period`, `model_version` and `by`: `all`, `industry`, `region`,
        `owner` → groups, most money first: `group`, `subjects`, `money`, `share` (of what was decided),
        `drivers` (what told against them most) and `stated` (the reasons people wrote).
    """
    return {kind: _lost(kind, crm, settings) for kind in ("renewal", "win")}


def _lost(kind: str, crm: Crm, settings: Settings) -> dict[str, Any]:
    loaded = champion(kind, settings)
    if loaded is None:
        return {"why": f"There is no {kind} model yet. Run `perennial train {kind}`."}
    try:
        decided = last_snapshots(crm, kind, DAYS)
    except RenewalError as error:
        return {"why": str(error)}
    lost = decided[decided["label"] == 0]
    if lost.empty:
        return {"why": f"Nothing was lost in the last {DAYS} days, as far as the data tell."}
    X = feature_rows(crm, lost, kind, settings).frame
    by = {}
    for name in LOST_BY:
        try:
            group = groups_of(crm, decided, None if name == "all" else name)
        except RenewalError:  # the CRM has no such column
            continue
        drivers = drivers_by_group(loaded.model, X, lost, group.loc[lost.index], settings.threads)
        stated = stated_reasons(crm, kind, lost, group.loc[lost.index])
        by[name] = _groups(decided, group, drivers, stated)
    seen = decided["as_of"].dropna()
    period = {"from": str(seen.min().date()), "to": str(seen.max().date())} if len(seen) else None
    return {"period": period, "model_version": str(loaded.version), "by": by, "names": _names(crm)}


def _groups(
    decided: pd.DataFrame, group: pd.Series, drivers: list[dict[str, Any]], stated: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    told = []
    for name in {row["group"] for row in drivers}:
        inside = decided[(group == name).to_numpy()]
        gone = inside[inside["label"] == 0]
        told.append(
            {
                "group": name,
                "subjects": len(gone),
                "of": len(inside),
                "money": float(money_of(gone).sum()),
                "share": len(gone) / len(inside),
                "drivers": [row for row in drivers if row["group"] == name][:_MOST_DRIVERS],
                "stated": [row for row in stated if row["group"] == name][:_MOST_DRIVERS],
            }
        )
    return sorted(told, key=lambda row: (-row["money"], row["group"]))


def _names(crm: Crm) -> dict[str, str]:
    """Owner → name, where the CRM has it."""
    if not crm.has("owners", "owner_id", "name"):
        return {}
    owners = crm.frame("owners", ["owner_id", "name"]).dropna()
    return dict(zip(owners["owner_id"].astype(str), owners["name"].astype(str), strict=True))
