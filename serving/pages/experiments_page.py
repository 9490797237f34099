"""The experiments page: advice against usual practice, the result, how sure, and what may bias it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool

from serving.api.experiments_api import seen_by
from serving.pages.chart_axes import HEIGHT, LEFT, LINE, RIGHT, TEXT, WIDTH, chart, path_of, scaled
from serving.pages.view import Anybody, render
from serving.security.auth import Principal
from serving.state import running_of

router = APIRouter()
WIDEST = 0.5
"""Beyond so many points either way an interval says next to nothing: the picture ends there."""


@router.get("/experiments")
async def experiments(request: Request, principal: Anybody) -> Response:
    """All experiments, open ones first."""
    return await run_in_threadpool(_page, request, principal)


def _page(request: Request, principal: Principal) -> Response:
    listed = seen_by(running_of(request), principal)["experiments"]
    listed = sorted(listed, key=lambda one: one["state"] != "open")
    return render(request, "experiments.html", experiments=listed, over_time=effect_over_time)


def effect_over_time(history: Sequence[Mapping[str, Any]]) -> Markup:
    """The effect of the draw with the interval that holds at all looks together, day by day.

    Args:
        history: `day` (ISO), `estimate`, `low`, `high`, oldest first.
    """
    days = [datetime.fromisoformat(point["day"]).timestamp() for point in history]
    span = (days[-1] - days[0]) or 1.0
    at = [LEFT + (WIDTH - LEFT - RIGHT) * (day - days[0]) / span for day in days]
    y = scaled(-WIDEST, WIDEST)

    def line(name: str) -> list[tuple[float, float]]:
        return [(px, y(point[name])) for px, point in zip(at, history, strict=True)]

    shares = (-0.5, -0.25, 0.0, 0.25, 0.5)
    parts = [LINE.format("grid", LEFT, WIDTH - RIGHT, y(share), y(share)) for share in shares]
    parts += [TEXT.format("", LEFT - 6, y(share) + 4, "end", f"{100 * share:+.0f}") for share in shares]
    around = path_of([*line("high"), *reversed(line("low"))])
    parts.append(Markup('<polygon class="area" points="{}"/>').format(around))
    parts.append(Markup('<polyline class="curve" points="{}"/>').format(path_of(line("estimate"))))
    parts.append(TEXT.format("faint minor", LEFT, HEIGHT, "start", history[0]["day"]))
    parts.append(TEXT.format("faint minor", WIDTH - RIGHT, HEIGHT, "end", history[-1]["day"]))
    last = history[-1]
    description = (
        f"{last['day']}: {100 * last['estimate']:+.1f} points ({100 * last['low']:+.1f} to "
        f"{100 * last['high']:+.1f})"
    )
    return chart(parts, "Effect of being drawn for the advice, in points, at each look", description)
