"""What the handlers share while the service runs."""

from dataclasses import dataclass

from starlette.requests import HTTPConnection

from features.settings import Settings
from monitoring.store import Store
from serving.live.deliveries import Deliveries
from serving.live.live_scores import Live
from serving.live.model_cache import HeldModels
from serving.middleware import Metrics
from serving.precompute import WorkedOut
from serving.security.auth import Doorkeeper


@dataclass
class Running:
    """Opened when the service starts, closed when it stops."""

    settings: Settings
    store: Store
    door: Doorkeeper
    models: HeldModels
    live: Live
    metrics: Metrics
    worked_out: WorkedOut
    deliveries: Deliveries


def running_of(request: HTTPConnection) -> Running:
    """What the handlers of the application that a request came to share."""
    running: Running = request.app.state.running
    return running
