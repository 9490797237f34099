"""The BentoML service: the application mounted in it, and `serve`, which runs it in this process."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator

import bentoml
import uvicorn
from starlette.types import ASGIApp

from features import logs
from features.errors import RenewalError
from features.progress import Say, silent
from features.settings import Settings
from monitoring.store import open_store
from serving.app import Alone, create_app, open_ahead
from serving.connections import Bounded, raise_handles
from serving.security.request_origin import require_key_beyond_loopback

GRACE_SECONDS = 10
DOORS = 16
"""Copies of the listening socket. A turn of uvloop lets in one new caller by each, and under load turns are
long: with one, callers were kept waiting outside for half a minute.
"""
NO_TELEMETRY = {"BENTOML_DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
APP = create_app()


@bentoml.service(
    name="perennial",
    workers=1,
    traffic={"timeout": 5},  # a request's context lives so long: at 60 s, the default, memory grows
    metrics={"enabled": False},  # its series carry raw paths, without end; ours go by route
    logging={"access": {"enabled": False}},
    monitoring={"enabled": False},
    envs=[{"name": name, "value": value} for name, value in NO_TELEMETRY.items()],
)
@bentoml.asgi_app(APP, path="/")
class Perennial:
    """Likelihood to renew and of winning, with reasons: programs' routes and people's pages."""

    def __is_ready__(self) -> bool:
        """Ready once models and store are open."""
        return hasattr(APP.state, "running")


Perennial.add_asgi_middleware(Alone, answers=APP)  # type: ignore[attr-defined]


def application() -> ASGIApp:
    """What `serve` runs: BentoML starts and stops the service; requests go straight to our application.

    What BentoML wraps around each (spans that nobody reads by default, a second clock) takes longer than
    a stored score does. `bentoml serve` has it.
    """
    return Alone(Perennial.to_asgi(is_main=False), answers=APP)  # type: ignore[attr-defined]


def serve(host: str, port: int, settings: Settings, say: Say = silent) -> None:
    """Run the service in this process until SIGTERM or SIGINT; requests being answered are finished first.

    It is what a BentoML worker runs, without the supervisor above it and the tracing around each request.

    Raises:
        RenewalError: the port is taken, the host is not this machine's, others could reach the service
            while no key exists, or a file it answers from is broken.
    """
    os.environ.update(NO_TELEMETRY)
    logs.set_up(settings.log_format)
    store = open_store(settings)
    require_key_beyond_loopback(host, store.access.has_keys())
    store.engine.dispose()
    listening = _listen(host, port)
    APP.state.settings = settings
    open_ahead(APP)
    Bounded.most = raise_handles()
    config = uvicorn.Config(
        application(),
        http=Bounded,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=30,
        backlog=2048,
    )
    shown = f"[{host}]" if ":" in host else host
    say(f"Perennial answers on http://{shown}:{listening.getsockname()[1]} (stop with Ctrl-C)")
    with _quiet_signals():
        uvicorn.Server(config).run(sockets=[listening, *(listening.dup() for _ in range(DOORS - 1))])


def _listen(host: str, port: int) -> socket.socket:
    """A socket bound before anything is loaded, so that a taken port is reported at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(2048)
    except (OSError, OverflowError) as error:
        listening.close()
        raise RenewalError(
            expected=f"a free port {port} on {host}",
            found=getattr(error, "strerror", None) or str(error),
            do="Stop what listens there, or choose another with --port or --host.",
        ) from error
    return listening


@contextlib.contextmanager
def _quiet_signals() -> Iterator[None]:
    """Uvicorn raises once more the signal that stopped it; a stop in good order ends with 0."""
    before = {one: signal.signal(one, lambda *_: None) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
