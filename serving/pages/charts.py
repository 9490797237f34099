"""Small charts as SVG drawn on the server: no script, no inline style, sharp in print, readable aloud."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from serving.pages.bands import effect_bands, incidence
from serving.pages.months import bars_by_month, rates_by_month
from serving.pages.plots import buckets, curve, lines_over_time, odds_over_time

__all__ = [
    "bars_by_month", "buckets", "curve", "effect_bands", "force_bar", "incidence", "lines_over_time",
    "odds_bar", "odds_over_time", "rates_by_month", "span_bar", "spark", "stack_bar", "weight_bar",
]  # fmt: skip


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


def weight_bar(size: float, largest: float) -> Markup:
    """How heavy one of several things weighs, as a bar from the left; the figure stands in the table."""
    width = 100 * min(abs(size) / largest, 1) if largest > 0 else 0
    return Markup(
        '<svg class="weight" aria-hidden="true">'
        '<rect class="down" x="0" y="3" width="{:.2f}%" height="10" rx="2"/></svg>'
        '<span class="hidden-but-read">{:.2f} in log-odds</span>'
    ).format(width, size)


def spark(points: Sequence[Mapping[str, Any]]) -> Markup:
    """A subject's odds over time, the size of a word; from 0 to 100 % like every bar of odds."""
    first, last = points[0], points[-1]
    spread = (last["as_of"] - first["as_of"]).total_seconds() or 1.0
    share = [(point["as_of"] - first["as_of"]).total_seconds() / spread for point in points]
    line = " ".join(
        f"{2 + 60 * at:.1f},{18 - 16 * point['probability']:.1f}"
        for at, point in zip(share, points, strict=True)
    )
    begun, now = (f"{100 * point['probability']:.0f}" for point in (first, last))
    told = f"{len(points)} scores, from {begun} to {now} per cent"
    return Markup(
        '<svg class="spark" viewBox="0 0 64 20" width="64" height="20" role="img" aria-label="{}">'
        '<polyline points="{}"/></svg>'
    ).format(told, line)
