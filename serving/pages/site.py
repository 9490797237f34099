"""All pages: their routes joined, where each role starts, and how errors look to a browser."""

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from serving.pages import (
    account,
    docs,
    effects,
    forecast,
    journey,
    losses,
    models,
    pipeline,
    profiles,
    renewals,
    signing,
    what_if,
)
from serving.pages.view import Anybody, error_page

__all__ = ["error_page", "router"]

START = {"sales": "/renewals", "marketing": "/profiles", "mlops": "/models", "admin": "/renewals"}

PARTS = (
    signing, renewals, account, what_if, pipeline, forecast, effects, profiles, journey, losses, models, docs,
)  # fmt: skip

router = APIRouter(include_in_schema=False)
for part in PARTS:
    router.include_router(part.router)


@router.get("/")
async def start(request: Request, principal: Anybody) -> Response:
    """Send everybody to the page they come for."""
    return RedirectResponse(START[principal.role], 303)
