"""Charts as SVG drawn on the server: no script, no inline style, sharp in print, readable aloud."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup, escape


def odds_bar(probability: float | None, low: float | None, high: float | None) -> Markup:
    """Odds on a track from 0 to 100 %: the interval as a broad bar, the estimate as a dot."""
    if probability is None:
        return Markup("")
    low, high = (probability if limit is None else limit for limit in (low, high))
    told = f"{100 * probability:.0f} per cent, interval {100 * low:.0f} to {100 * high:.0f}"
    return Markup(
        '<svg class="odds" height="16" role="img" aria-label="{told}">'
        '<rect class="track" x="0" y="6.5" width="100%" height="3" rx="1.5"/>'
        '<line class="tick" x1="50%" x2="50%" y1="4" y2="12"/>'
        '<rect class="range" x="{x:.2f}%" y="4" width="{width:.2f}%" height="8" rx="4"/>'
        '<circle class="point" cx="{at:.2f}%" cy="8" r="5"/></svg>'
    ).format(told=told, x=100 * low, width=max(100 * (high - low), 0.5), at=100 * probability)


def stack_bar(parts: Sequence[tuple[str, float, str]], of_what: str) -> Markup:
    """One bar cut into parts: (name, value, CSS class)."""
    total = sum(value for _, value, _ in parts)
    if total <= 0:
        return Markup("")
    told = ", ".join(f"{name} {100 * value / total:.0f} per cent" for name, value, _ in parts)
    drawn, x = [], 0.0
    for _name, value, css in parts:
        width = 100 * value / total
        if width > 0:
            drawn.append(
                Markup('<rect class="{}" x="{:.2f}%" width="{:.2f}%" height="22"/>').format(
                    css, x, max(width - 0.25, 0.2)
                )
            )
        x += width
    return Markup('<svg class="stackbar" role="img" aria-label="{}: {}">{}</svg>').format(
        of_what, told, Markup("").join(drawn)
    )


def span_bar(value: float, low: float, high: float, limits: tuple[float, float], mark: float) -> Markup:
    """A figure with its interval on a track from `limits[0]` to `limits[1]`, and a tick at `mark`."""
    first, width = limits[0], (limits[1] - limits[0]) or 1.0

    def at(figure: float) -> float:
        return 100 * min(max((figure - first) / width, 0.0), 1.0)

    return Markup(
        '<svg class="odds" height="16" role="img" aria-label="{value:.3g}, interval {low:.3g} to {high:.3g}">'
        '<rect class="track" x="0" y="6.5" width="100%" height="3" rx="1.5"/>'
        '<line class="tick" x1="{mark:.2f}%" x2="{mark:.2f}%" y1="2" y2="14"/>'
        '<rect class="range" x="{x:.2f}%" y="4" width="{span:.2f}%" height="8" rx="4"/>'
        '<circle class="point" cx="{point:.2f}%" cy="8" r="5"/></svg>'
    ).format(
        value=value,
        low=low,
        high=high,
        mark=at(mark),
        x=at(low),
        span=max(at(high) - at(low), 0.5),
        point=at(value),
    )


def force_bar(log_odds: float, largest: float) -> Markup:
    """A contribution to the left (lowers the odds) or right (raises them) of a zero line."""
    width = 50 * min(abs(log_odds) / largest, 1) if largest > 0 else 0
    x = 50 - width if log_odds < 0 else 50
    return Markup(
        '<svg aria-hidden="true"><rect class="{}" x="{:.2f}%" y="2" width="{:.2f}%" height="10" rx="2"/>'
        '<line class="zero" x1="50%" x2="50%" y1="0" y2="14"/></svg>'
    ).format("down" if log_odds < 0 else "up", x, width)


WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 230, 46, 28, 10


def odds_over_time(points: Sequence[Mapping[str, Any]]) -> Markup:
    """Odds with their interval at each moment scored.

    Args:
        points: `as_of`, `probability`, `low`, `high`; oldest first, each dated.
    """
    times = [point["as_of"].timestamp() for point in points]
    first, last = times[0], times[-1]
    spread = (last - first) or 1.0

    def x(time: float) -> float:
        return LEFT + (WIDTH - LEFT - 12) * ((time - first) / spread if last > first else 0.5)

    def y(share: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)

    upper = [(x(time), y(point["high"])) for time, point in zip(times, points, strict=True)]
    lower = [(x(time), y(point["low"])) for time, point in zip(times, points, strict=True)]
    curve = [(x(time), y(point["probability"])) for time, point in zip(times, points, strict=True)]
    parts = [_share_grid(y), _time_axis(points, x)]
    parts.append(Markup('<polygon class="area" points="{}"/>').format(_path([*upper, *reversed(lower)])))
    parts.append(Markup('<polyline class="curve" points="{}"/>').format(_path(curve)))
    for (cx, cy), point in zip(curve, points, strict=True):
        shape = Markup('<circle class="at" cx="{:.1f}" cy="{:.1f}" r="4.5"><title>{}</title></circle>')
        parts.append(shape.format(cx, cy, _in_words(point)))
    return _chart(parts, f"Odds over time, from {_day(points[0]['as_of'])} to {_day(points[-1]['as_of'])}")


def reliability(bins: Sequence[Mapping[str, float]]) -> Markup:
    """Predicted against observed rates, with the observed one's interval.

    Args:
        bins: `predicted`, `observed`, optional `low` and `high`; shares.
    """
    side = 300

    def at(share: float) -> float:
        return 40 + (side - 52) * share

    parts = [
        Markup('<line class="ideal" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
            at(0), side - at(0), at(1), side - at(1)
        )
    ]
    for share in (0, 0.5, 1):
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="middle">{:.0f} %</text>').format(
                at(share), side - 12, 100 * share
            )
        )
        parts.append(
            Markup('<text x="32" y="{}" text-anchor="end">{:.0f} %</text>').format(
                side - at(share) + 4, 100 * share
            )
        )
    for each in bins:
        cx, cy = at(each["predicted"]), side - at(each["observed"])
        if "low" in each and not math.isnan(each["low"]):
            limits = side - at(each["low"]), side - at(each["high"])
            parts.append(
                Markup('<line class="axis" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(cx, *limits)
            )
        parts.append(Markup('<circle class="at" cx="{:.1f}" cy="{:.1f}" r="5"/>').format(cx, cy))
    frame = Markup('<svg class="chart" viewBox="0 0 {0} {0}" role="img" aria-label="{1}">{2}</svg>')
    return frame.format(side, "Predicted against observed", Markup("").join(parts))


def _chart(parts: Sequence[Markup], told: str) -> Markup:
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, told, Markup("").join(parts)
    )


def _share_grid(y: Any) -> Markup:
    lines = [
        Markup(
            '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
            '<text x="{}" y="{:.1f}" text-anchor="end">{:.0f} %</text>'
        ).format(LEFT, WIDTH - 12, y(share), y(share), LEFT - 8, y(share) + 4, 100 * share)
        for share in (0, 0.25, 0.5, 0.75, 1)
    ]
    return Markup("").join(lines)


def _time_axis(points: Sequence[Mapping[str, Any]], x: Any) -> Markup:
    """At most six dates, the first and the last among them."""
    last = len(points) - 1
    shown = sorted({round(last * share / 5) for share in range(6)})
    text = Markup('<text x="{:.1f}" y="{}" text-anchor="{}">{}</text>')
    drawn = []
    for at in shown:
        anchor = "middle" if last == 0 or 0 < at < last else "start" if at == 0 else "end"
        drawn.append(
            text.format(x(points[at]["as_of"].timestamp()), HEIGHT - 6, anchor, _day(points[at]["as_of"]))
        )
    return Markup("").join(drawn)


def _in_words(point: Mapping[str, Any]) -> str:
    odds, low, high = (100 * point[name] for name in ("probability", "low", "high"))
    return f"{_day(point['as_of'])}: {odds:.0f} % ({low:.0f}–{high:.0f})"


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{px:.1f},{py:.1f}" for px, py in points)


def _day(moment: datetime) -> str:
    return str(escape(f"{moment.day} {moment:%b %y}"))
