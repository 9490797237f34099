"""Who to target over HTTP: profiles, the fit of any prospect, and the target account list with its files."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import pandas as pd
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool

from features.crm.load import opened
from features.errors import RenewalError
from serving.api.planning import worked_out
from serving.api.problems import ProblemError
from serving.api.routes import ERRORS, allow, answer
from serving.api.shapes import FitAsked, Fitted, Profiles, Targets
from serving.pages.spreadsheet import attachment, plain_sheet
from serving.scoring.answer_tables import flat
from serving.security.auth import Principal, list_for, profiles_for, refuse_scoped
from serving.state import Running, running_of
from training.icp import fit_rows
from training.icp.audiences import PLATFORMS, audience
from training.icp.firmographics import allowed_contacts
from training.icp.fit_score import Fit
from training.icp.grades import at_least
from training.icp.prospect_outcomes import checked_weights
from training.icp.weights import DEFAULT_WORDS, read_weights, reordered, reweighted

MARKETERS = ("marketing", "admin")
COLUMNS = (
    "id", "name", "kind", "grade", "domain", "industry", "country", "employees", "annual_revenue", "owner_id",
    "owner_name", "contacts_allowed", "fit", "profile", "win", "expected_value", "expected_effort_hours",
    "value_per_hour", "listed", "reason_1", "reason_1_direction", "reason_2", "reason_2_direction",
    "reason_3", "reason_3_direction",
)  # fmt: skip
ENDING = Path(description="csv, xlsx or parquet.", pattern="^(csv|xlsx|parquet)$", examples=["csv"])
WEIGHTS = Query(
    description="What counts how much, as `win=1,effort=0.5`; default: " + DEFAULT_WORDS + ".",
    max_length=200,
    examples=["win=1,effort=0.5"],
)
Candidate = Literal["account", "prospect", "lead"]
OF_KIND = Query(description="Only these of the list.", examples=["prospect"])
Grade = Literal["A", "B", "C", "D", "E"]
OF_GRADE = Query(description="Only those of this grade or better.", examples=["B"])
Platform = Literal["hubspot", "linkedin", "google"]
FOR = Query(
    alias="for",
    description="In the columns a platform takes; google: hashed e-mails of contacts that may be contacted.",
    examples=["linkedin"],
)


@dataclass(frozen=True)
class Wanted:
    """Which part of the targeting list, and in what order: weights as written, a kind, the least grade."""

    weights: str | None = None
    kind: str | None = None
    grade: str | None = None


router = APIRouter(responses=ERRORS, dependencies=[Depends(HTTPBearer(auto_error=False))])
Marketer = Annotated[Principal, allow(*MARKETERS)]


@router.post("/v1/icp/fit", response_model=Fitted, tags=["plan"])
async def icp_fit(body: FitAsked, request: Request, principal: Marketer) -> Response:
    """Rate prospects: money won and renewed for each hour of effort, as a share of accounts they exceed."""
    running = running_of(request)
    study = await run_in_threadpool(worked_out, running, "icp")
    rows = await run_in_threadpool(fit_rows, Fit.from_dict(study["fit"]), body.accounts)
    _audit(running, principal, "icp fit", {"rows": len(rows)})
    return answer({"rows": rows})


@router.get("/v1/icp/profiles", response_model=Profiles, tags=["plan"])
async def icp_profiles(
    request: Request, principal: Marketer, weights: Annotated[str | None, WEIGHTS] = None
) -> Response:
    """Kinds of customers that win with little effort and discount and renew without contact, best first."""
    running = running_of(request)
    chosen_weights = weights_of(weights)
    study = await run_in_threadpool(worked_out, running, "icp")
    visible = profiles_for(principal, study["profiles"])
    if chosen_weights is not None:
        visible["profiles"] = reordered(visible["profiles"], chosen_weights)
    return answer({**visible, "personas": study["personas"]})


@router.get("/v1/icp/list", response_model=Targets, tags=["plan"])
async def icp_list(
    request: Request,
    principal: Marketer,
    weights: Annotated[str | None, WEIGHTS] = None,
    kind: Annotated[Candidate | None, OF_KIND] = None,
    grade: Annotated[Grade | None, OF_GRADE] = None,
) -> Response:
    """Leads, prospects and customers, worth most for each hour of effort first; customers after the rest."""
    wanted = Wanted(weights, kind, grade)
    targets = await run_in_threadpool(target_list, running_of(request), principal, wanted)
    _audit(running_of(request), principal, "icp list", {"rows": len(targets["rows"])})
    return answer(targets)


@router.get("/v1/icp/list.{ending}", tags=["plan"], response_class=Response)
async def icp_list_file(
    request: Request,
    principal: Marketer,
    ending: Annotated[str, ENDING],
    weights: Annotated[str | None, WEIGHTS] = None,
    kind: Annotated[Candidate | None, OF_KIND] = None,
    grade: Annotated[Grade | None, OF_GRADE] = None,
    platform: Annotated[Platform | None, FOR] = None,
) -> Response:
    """The targeting list as a file, on demand in the columns of HubSpot, LinkedIn or Google."""
    running, wanted = running_of(request), Wanted(weights, kind, grade)
    return await run_in_threadpool(save_list, running, principal, ending, wanted, platform)


def save_list(
    running: Running, principal: Principal, ending: str, wanted: Wanted, platform: str | None = None
) -> Response:
    """The targeting list as a file to save; that it was taken is noted in the audit.

    Raises:
        ProblemError: as `target_list`; 404 for a platform there is none of, 422 for a file it doesn't take;
            409 where the CRM is not there.
    """
    if platform and ending != "csv":
        raise ProblemError(422, f"{', '.join(PLATFORMS)} take CSV files, not {ending}: ask for list.csv.")
    result = target_list(running, principal, wanted)
    details = {**{name: value for name, value in asdict(wanted).items() if value}, "as": ending}
    if platform:
        rows = _audience(running, platform, result["rows"])["rows"]
        _audit(running, principal, "export", {**details, "rows": len(rows), "for": platform})
        return attachment(pd.DataFrame(rows), f"targets-{platform}", ending)
    sheet = plain_sheet(flat(result["rows"]), COLUMNS)
    _audit(running, principal, "export", {**details, "rows": len(sheet)})
    return attachment(sheet, "targets", ending, currency=result.get("currency"))


def _audience(running: Running, platform: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    if platform not in PLATFORMS:
        raise ProblemError(404, f"The list comes for {', '.join(PLATFORMS)}, not {platform!r}.")
    try:
        with opened(running.settings) as crm:
            return audience(platform, rows, allowed_contacts(crm))
    except RenewalError as error:
        raise ProblemError(409, str(error)) from error


def target_list(running: Running, principal: Principal, wanted: Wanted) -> dict[str, Any]:
    """The targeting list, in another order where weights are given; of one kind or grade where those are.

    Raises:
        ProblemError: 403 for a key with a scope: prospects have no owner yet; 422 for weights that make no
            sense; 409 or 503 as `worked_out`.
    """
    refuse_scoped(principal, "The targeting list spans")
    chosen_weights = weights_of(wanted.weights)
    study = worked_out(running, "icp")
    listed = list_for(principal, study["list"])
    if chosen_weights is not None:
        listed = reweighted(listed, Fit.from_dict(study["fit"]), chosen_weights)
    return {**listed, "rows": at_least(of_kind(listed["rows"], wanted.kind), wanted.grade)}


def of_kind(rows: list[dict[str, Any]], kind: str | None) -> list[dict[str, Any]]:
    """The rows that are accounts, prospects or leads; all where no kind is named."""
    return [row for row in rows if row["kind"] == kind] if kind else rows


def weights_of(text: str | None) -> dict[str, float] | None:
    """Weights as asked for, summing to 1; None where none are. Raises 422 where they make no sense."""
    try:
        return checked_weights(read_weights(text)) if text else None
    except RenewalError as error:
        raise ProblemError(422, str(error)) from error


def _audit(running: Running, principal: Principal, what: str, details: dict[str, Any]) -> None:
    running.store.audit.record(principal.label or principal.key_id, what, "icp", details)
