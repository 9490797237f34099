"""The ASGI application: programs' routes, people's pages, and what they share while the service runs."""

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute, Match
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from features.settings import Settings
from monitoring.alerts import champion_alert
from monitoring.store import open_store
from monitoring.store.database import kept_open
from serving.api import (
    columnar,
    experiments_api,
    forecast,
    kpis_api,
    outcomes_api,
    planning,
    problems,
    reach_api,
    routes,
    survey_answers,
    target_accounts,
    tasks_api,
)
from serving.live.deliveries import Deliveries
from serving.live.live_scores import Live
from serving.live.model_cache import HeldModels
from serving.middleware import Front, Metrics
from serving.pages import site
from serving.precompute import WorkedOut, usual
from serving.security.auth import Doorkeeper
from serving.state import Running, running_of

log = logging.getLogger("perennial.serving")
STATIC = Path(__file__).parent / "static"
POLL_SECONDS = 2.0
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; nothing is opened before it starts.

    Args:
        settings: default: those of the environment, read at the start.
    """
    metrics = Metrics()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        chosen = settings or getattr(app.state, "settings", None) or Settings.from_env()
        running: Running | None = getattr(app.state, "opened", None)
        if running is None:
            running = await asyncio.to_thread(_open, chosen, metrics)
        app.state.running, app.state.opened = running, None
        gc.collect()
        gc.freeze()  # models and routes live as long as the process: the collector need not walk them again
        watch = asyncio.create_task(_watch(running))
        try:
            with kept_open(running.store.engine):
                yield
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
            running.worked_out.close()
            await asyncio.to_thread(running.deliveries.close)
            running.store.engine.dispose()

    app = FastAPI(
        title="Perennial",
        description="Likelihood to renew and of winning, with reasons. Errors are RFC 9457 problem details.",
        version="1",
        docs_url=None,  # the stock page loads its scripts from elsewhere; ours is drawn here
        redoc_url=None,
        openapi_url=None,  # served to those with a key, by a route of ours
        redirect_slashes=False,  # such a redirect would repeat whatever Host a request names
        lifespan=lifespan,
    )
    app.state.metrics = metrics
    failed = problems.install(app, site.error_page)
    app.include_router(routes.router)
    app.include_router(columnar.router)
    app.include_router(planning.router)
    app.include_router(target_accounts.router)
    app.include_router(forecast.router)
    app.include_router(experiments_api.router)
    app.include_router(kpis_api.router)
    app.include_router(reach_api.router)
    app.include_router(outcomes_api.router)
    app.include_router(survey_answers.router)
    app.include_router(tasks_api.router)
    app.include_router(site.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_api_route("/{path:path}", _nowhere, include_in_schema=False, methods=METHODS)
    app.add_middleware(GZipMiddleware, minimum_size=2_000, compresslevel=4)
    app.add_middleware(Front, metrics=metrics, failed=failed)
    return app


def open_ahead(app: FastAPI) -> None:
    """Open what an application answers from before it starts: whoever starts it sees what is broken.

    Args:
        app: of `create_app`, with its settings as `state.settings`.

    Raises:
        RenewalError: the store cannot be used, a model is not whole.
    """
    app.state.opened = _open(app.state.settings, app.state.metrics)


class Alone:
    """ASGI middleware by which the application answers every request itself, past BentoML's own routes.

    Those (`/livez`, `/readyz`, `/healthz`, `/schema.json`) report errors in another form than ours, and are
    looked through before each request. BentoML starts the application, stops it and limits time.

    Args:
        app: BentoML's application; starts and stops ours.
        answers: ours.
    """

    def __init__(self, app: ASGIApp, answers: ASGIApp) -> None:
        self.outer, self.answers = app, answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to our application, anything else to BentoML's."""
        await (self.answers if scope["type"] == "http" else self.outer)(scope, receive, send)


async def _nowhere(request: Request) -> Response:
    """The answer where no route fits: 405 where one would, asked in another way; else 404."""
    allowed = sorted(_other_methods(request.app.routes, request.scope))
    if allowed:
        detail = f"Method {request.method} does nothing here; {' and '.join(allowed)} would."
        raise problems.ProblemError(405, detail, headers={"Allow": ", ".join(allowed)})
    running_of(request).door.pace_address(request)
    raise problems.ProblemError(404, f"There is nothing at {request.url.path}.")


def _other_methods(routes: Sequence[BaseRoute], scope: Scope) -> set[str]:
    """The methods by which routes would answer at this address."""
    methods: set[str] = set()
    for route in routes:
        included = getattr(route, "original_router", None)  # how FastAPI holds a router that was included
        if included is not None:
            methods |= _other_methods(included.routes, scope)
        elif route.matches(scope)[0] is Match.PARTIAL:
            methods |= getattr(route, "methods", None) or set()
    return methods


def _open(settings: Settings, metrics: Metrics) -> Running:
    store = open_store(settings)
    models = HeldModels(settings, metrics)
    models.refresh()
    door, live = Doorkeeper(store, settings), Live(settings, store, models)
    running = Running(
        settings, store, door, models, live, metrics, WorkedOut(settings), Deliveries(store, settings)
    )
    running.worked_out.read_ahead(usual(models.versions()))
    _tell_champions(running, {})
    return running


async def _watch(running: Running) -> None:
    """Look for a moved alias every few seconds; what is being answered keeps the model it began with."""
    failing: dict[str, str] = {}
    while True:
        await asyncio.sleep(POLL_SECONDS)
        failing = await asyncio.to_thread(look, running, failing)


def look(running: Running, failing: Mapping[str, str]) -> dict[str, str]:
    """Notice what other processes did: models, scores and data, answers to work out, each for itself.

    What fails (the database is away, a file is broken) stays as it was, is tried again, and is logged once.

    Args:
        running: of this service.
        failing: what failed the last time: part → why.

    Returns:
        What fails now.
    """
    fails = {}
    parts = {
        "models": _look_at_models,
        "scores": lambda running: running.live.score_cache.look(),
        "data": lambda running: running.live.arrivals.look(),
        "answers": _look_at_answers,
    }
    for name, part in parts.items():
        try:
            part(running)
        except Exception as error:
            fails[name] = repr(error)
            if failing.get(name) != fails[name]:
                log.exception("could not look for new %s; those of before serve on", name)
    return fails


def _look_at_models(running: Running) -> None:
    before = running.models.versions()
    running.models.refresh()
    _tell_champions(running, before)


def _look_at_answers(running: Running) -> None:
    names = usual(running.models.versions())
    running.worked_out.read_ahead(names)
    running.worked_out.look(names if running.settings.work_ahead else ())


def _tell_champions(running: Running, before: Mapping[str, str | None]) -> None:
    """Raise an alert where another model serves than before, whoever moved the alias."""
    for kind, version in running.models.versions().items():
        if version is not None and version != before.get(kind):
            champion_alert(running.store, running.settings, kind, version)
            running.deliveries.wake()
