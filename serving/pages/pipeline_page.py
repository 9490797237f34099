"""The pipeline page: open deals by expected money, the model's probability beside the owner's, calls."""

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fastapi import APIRouter, Request
from fastapi.responses import Response

from features.catalog.contact import CALL_WORDS, INBOUND_WORDS
from features.crm.crm import Crm
from features.crm.load import opened
from features.errors import RenewalError
from serving.pages.view import Seller
from serving.pages.worklist import WorkList
from serving.state import Running
from training.effects.contacts import plain
from training.effects.deal_questions import calls_within

PIPELINE = WorkList(
    kind="win",
    path="/pipeline",
    money="expected",
    bands=("hot", "warm", "cold"),
    orders={
        "expected": "Expected money",
        "amount": "Amount",
        "probability": "Lowest probability",
        "account": "Name",
        "owner": "Owner",
    },
    filters=("deal_kind",),
)

router = APIRouter()


@router.get("/pipeline")
async def pipeline(request: Request, principal: Seller) -> Response:
    """The list, filtered and paged."""
    return await PIPELINE.page(request, principal, _calls)


@router.get("/pipeline/export.{ending}")
async def export(ending: str, request: Request, principal: Seller) -> Response:
    """The filtered list as a file."""
    return await PIPELINE.export(request, principal, ending)


def _calls(running: Running, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What calls do for a win, as far as that can be estimated, and the calls each of these deals has had."""
    result = running.worked_out.ask("calls")
    counts = _calls_made(running, rows)
    return {"calls": result.value, "calls_why": result.why, "calls_come": result.comes, "made": counts}


def _calls_made(running: Running, rows: list[dict[str, Any]]) -> dict[str, int]:
    """Deal → our calls in its first 30 days, counted as the estimate counts them; empty: not recorded."""
    try:
        with opened(running.settings) as crm:
            calls = _calls_of(crm, sorted({row["account_id"] for row in rows})) if rows else None
    except RenewalError:  # scored straight from a folder: there are probabilities to show, but no activities
        calls = None
    if calls is None:
        return {}
    begun = [row for row in rows if row.get("created_at")]
    created = pd.to_datetime(pd.Series([row["created_at"] for row in begun]))
    ids = [row["subject_id"] for row in begun]
    deals = pd.DataFrame({"opportunity_id": ids, "created": created.to_numpy("datetime64[us]").astype(int)})
    return dict(zip(ids, calls_within(deals, calls, "opportunity_id").tolist(), strict=True))


def _calls_of(crm: Crm, accounts: list[str]) -> pd.DataFrame | None:
    """These accounts' outbound calls, read from the account-sorted file; None: calls name no deal."""
    wanted = ("opportunity_id", "kind", "occurred_at", "direction")
    if not crm.has("activities", *wanted[:3]):
        return None
    columns = [name for name in wanted if crm.has("activities", name)]
    where = pc.field("account_id").isin(pa.array(accounts))
    activities = pq.read_table(crm.path("activities"), columns=columns, filters=where).to_pandas()
    is_call = plain(activities["kind"]).isin(CALL_WORDS)
    if "direction" in activities:
        is_call &= ~plain(activities["direction"]).isin(INBOUND_WORDS)
    return activities[is_call.to_numpy(bool)]
