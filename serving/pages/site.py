"""All pages: their routes joined, where each role starts, and how errors look to a browser."""

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from serving.pages import (
    account_page,
    api_docs_page,
    bulk_actions,
    churn_drivers_page,
    effects_page,
    experiments_page,
    forecast_page,
    glossary,
    identity_page,
    journey_page,
    kpis_page,
    models_page,
    pipeline_page,
    profiles_page,
    reach_page,
    renewals_page,
    sign_in_page,
    status_page,
    survey_page,
    tasks_page,
    touchpoints_page,
    voice_page,
)
from serving.pages.view import Anybody, error_page

__all__ = ["error_page", "router"]

START = {"sales": "/renewals", "marketing": "/profiles", "mlops": "/models", "admin": "/renewals"}

PARTS = (
    sign_in_page,
    renewals_page,
    account_page,
    pipeline_page,
    tasks_page,
    bulk_actions,
    forecast_page,
    effects_page,
    experiments_page,
    profiles_page,
    reach_page,
    journey_page,
    kpis_page,
    churn_drivers_page,
    models_page,
    status_page,
    identity_page,
    touchpoints_page,
    api_docs_page,
    voice_page,
    survey_page,
    glossary,
)

router = APIRouter(include_in_schema=False)
for part in PARTS:
    router.include_router(part.router)


@router.get("/")
async def start(request: Request, principal: Anybody) -> Response:
    """Send everybody to the page they come for."""
    return RedirectResponse(START[principal.role], 303)
