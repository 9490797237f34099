"""Small charts as SVG drawn on the server: no script, no inline style, sharp in print, readable aloud.

Charts of effects as SVG: adjusted beside raw rates with their band, and calls until won.

Charts of months: money that is due for renewal, and the rate at which it is kept.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from markupsafe import Markup

from serving.pages.chart_axes import (
    BOTTOM,
    BOX,
    DOT,
    HEIGHT,
    LEFT,
    LINE,
    RIGHT,
    TEXT,
    WIDTH,
    Scale,
    buckets,
    chart,
    curve,
    limits_of,
    lines_over_time,
    odds_over_time,
    path_of,
    rounded,
    scaled,
    share_grid,
)

BAND_WIDTH, BAND_HEIGHT = 520, 270
BAND_LEFT, BAND_RIGHT, BAND_TOP, BAND_BOTTOM = 44, 8, 12, 58
Limits = tuple[float, float]


def band_limits_of(rows: Sequence[Mapping[str, Any]]) -> Limits:
    """Tenths that hold every estimate, interval and raw rate: one scale for charts to compare."""
    names = ("estimate", "low", "high", "raw")
    return rounded([row[name] for row in rows for name in names if row.get(name) is not None])


def effect_bands(rows: Sequence[Mapping[str, Any]], limits: Limits, title: str, axis: str) -> Markup:
    """Adjusted estimates as a line within their band, raw rates as a broken line beside.

    Args:
        rows: `bucket`, `estimate`, `low`, `high`, `raw`, `n`, `is_best`, `is_alike`; None: no estimate.
        limits: of the shares shown.
        title: name of the chart.
        axis: what the buckets are.
    """
    x = [
        BAND_LEFT + (BAND_WIDTH - BAND_LEFT - BAND_RIGHT) * (place + 0.5) / len(rows)
        for place in range(len(rows))
    ]
    placed = list(zip(x, rows, strict=True))
    parts = [_shares(limits)]
    for has_estimate, run in groupby(placed, key=lambda pair: pair[1]["estimate"] is not None):
        spots = list(run)
        if has_estimate:
            parts += _band(spots, limits)
        else:
            parts += [_text("faint", at, BAND_HEIGHT - BAND_BOTTOM - 8, "can’t tell") for at, _ in spots]
    raw = [(at, _y(row["raw"], limits)) for at, row in placed if row["raw"] is not None]
    parts.append(Markup('<polyline class="raw-line" points="{}"/>').format(path_of(raw)))
    for at, row in placed:
        if row["raw"] is not None:
            parts.append(_dot("raw", at, _y(row["raw"], limits), 4, f"raw {_percent(row['raw'])}"))
        if row["estimate"] is not None:
            css = "at best" if row["is_best"] else "at"
            parts.append(_dot(css, at, _y(row["estimate"], limits), 6, _bucket_words(row)))
    for at, row in placed:
        parts.append(
            _text("strong" if row["is_best"] else "", at, BAND_HEIGHT - BAND_BOTTOM + 18, row["bucket"])
        )
        parts.append(_text("faint", at, BAND_HEIGHT - BAND_BOTTOM + 35, f"n {row['n']:,}"))
    parts.append(_text("faint", (BAND_LEFT + BAND_WIDTH) / 2, BAND_HEIGHT - 4, axis))
    return _drawing(parts, title, "; ".join(_bucket_words(row) for row in rows))


def incidence(rows: Sequence[Mapping[str, Any]], title: str) -> Markup:
    """Share of deals won, with its band, and lost, by the number of calls made until then.

    Args:
        rows: `calls`, `won`, `low`, `high`, `lost`, in order.
        title: name of the chart.
    """
    limits = rounded([0.0, *(row[name] for row in rows for name in ("high", "lost"))])
    last = max(row["calls"] for row in rows) or 1
    x = {
        row["calls"]: BAND_LEFT + (BAND_WIDTH - BAND_LEFT - BAND_RIGHT - 6) * row["calls"] / last
        for row in rows
    }

    def line(name: str) -> list[tuple[float, float]]:
        return [(x[row["calls"]], _y(row[name], limits)) for row in rows]

    around = path_of([*line("high"), *reversed(line("low"))])
    band = Markup('<polygon class="area" points="{}"/>').format(around)
    drawn = Markup('<polyline class="{}" points="{}"/>')
    parts = [_shares(limits), band, drawn.format("curve", path_of(line("won")))]
    parts.append(drawn.format("lost-line", path_of(line("lost"))))
    shown = [calls for calls in x if calls % (5 if last > 8 else 1) == 0]
    parts += [_text("", x[calls], BAND_HEIGHT - BAND_BOTTOM + 18, str(calls)) for calls in shown]
    parts.append(_text("faint", (BAND_LEFT + BAND_WIDTH) / 2, BAND_HEIGHT - 22, "calls made"))
    end = rows[-1]
    description = (
        f"after {end['calls']} calls {_percent(end['won'])} were won and {_percent(end['lost'])} lost"
    )
    return _drawing(parts, title, description)


def _band(spots: Sequence[tuple[float, Mapping[str, Any]]], limits: Limits) -> list[Markup]:
    """The band and line of neighbours that all have estimates; one alone gets a narrow band of its own."""
    wide = 9 if len(spots) == 1 else 0
    upper = [(at + step, _y(row["high"], limits)) for at, row in spots for step in {-wide, wide}]
    lower = [(at + step, _y(row["low"], limits)) for at, row in spots for step in {-wide, wide}]
    upper, lower = sorted(upper), sorted(lower)
    line = [(at, _y(row["estimate"], limits)) for at, row in spots]
    return [
        Markup('<polygon class="area" points="{}"/>').format(path_of([*upper, *reversed(lower)])),
        Markup('<polyline class="curve" points="{}"/>').format(path_of(line)),
    ]


def _y(share: float, limits: Limits) -> float:
    first, last = limits
    held = min(max(share, first), last)
    return BAND_TOP + (BAND_HEIGHT - BAND_TOP - BAND_BOTTOM) * (1 - (held - first) / ((last - first) or 1.0))


def _shares(limits: Limits) -> Markup:
    """Lines across at tenths, or at fifths where there are many."""
    first, last = (round(10 * end) for end in limits)
    parts = []
    step = 2 if last - first > 5 else 1
    for tenth in range(first + first % step, last + 1, step):
        y = _y(tenth / 10, limits)
        line = Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>')
        parts.append(line.format(BAND_LEFT, BAND_WIDTH - BAND_RIGHT, y, y))
        label = Markup('<text x="{}" y="{:.1f}" text-anchor="end">{} %</text>')
        parts.append(label.format(BAND_LEFT - 6, y + 4, 10 * tenth))
    return Markup("").join(parts)


def _text(css: str, x: float, y: float, words: str) -> Markup:
    shape = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>')
    return shape.format(css, x, y, words)


def _dot(css: str, x: float, y: float, radius: float, words: str) -> Markup:
    shape = Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title></circle>')
    return shape.format(css, x, y, radius, words)


def _bucket_words(row: Mapping[str, Any]) -> str:
    raw = "" if row["raw"] is None else f", raw {_percent(row['raw'])}"
    if row["estimate"] is None:
        return f"{row['bucket']}: can’t tell{raw}"
    span = f"{_percent(row['low'])} to {_percent(row['high'])}"
    return f"{row['bucket']}: adjusted {_percent(row['estimate'])} ({span}){raw}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _drawing(parts: Sequence[Markup], title: str, description: str) -> Markup:
    shape = Markup('<svg class="chart bands" viewBox="0 0 {} {}" role="img" aria-label="{}: {}">{}</svg>')
    return shape.format(BAND_WIDTH, BAND_HEIGHT, title, description, Markup("").join(parts))


def bars_by_month(rows: Sequence[Mapping[str, Any]], title: str, money: Callable[[float], str]) -> Markup:
    """Money by month: due for renewal as a pale bar, kept and expected inside it, the interval as a whisker.

    Args:
        rows: `label`, `up`, `decided` (kept already), `expected`, `low`, `high` (None in the past), `own`
            (what the owners expect, None where they don't say).
        title: name of the chart.
        money: how an amount is written.
    """
    top = max([row["up"] for row in rows] + [row["own"] or 0.0 for row in rows]) or 1.0
    step = (WIDTH - LEFT - RIGHT) / max(len(rows), 1)
    bar = min(step * 0.62, 48)
    y = scaled(0.0, _ceiling(top))
    parts = [_money_grid(y, _ceiling(top), money)]
    for place, row in enumerate(rows):
        px = LEFT + step * (place + 0.5)
        parts += _month_bar(row, px, bar, y, money)
        parts.append(_month(row["label"], px, place, len(rows)))
    description = "; ".join(f"{row['label']}: {money(row['expected'])} of {money(row['up'])}" for row in rows)
    return chart(parts, title, description)


def _month_bar(
    row: Mapping[str, Any], px: float, bar: float, y: Scale, money: Callable[[float], str]
) -> list[Markup]:
    left, ground = px - bar / 2, y(0.0)
    words = f"{row['label']}: {money(row['expected'])} of {money(row['up'])}"
    parts = [BOX.format("up", left, y(row["up"]), bar, ground - y(row["up"]), words)]
    parts.append(BOX.format("expected", left, y(row["expected"]), bar, ground - y(row["expected"]), words))
    if row["decided"]:
        tooltip = f"{row['label']}: {money(row['decided'])} kept already"
        parts.append(BOX.format("decided", left, y(row["decided"]), bar, ground - y(row["decided"]), tooltip))
    if row["low"] is not None:
        parts.append(LINE.format("whisker dark", px, px, y(row["low"]), y(row["high"])))
    if row["own"] is not None:
        spot = f"{row['label']}: owners expect {money(row['own'])}"
        diamond = Markup('<path class="own" d="M{0:.1f} {1:.1f}l6 6l-6 6l-6-6z"><title>{2}</title></path>')
        parts.append(diamond.format(px, y(row["own"]) - 6, spot))
    return parts


def rates_by_month(rows: Sequence[Mapping[str, Any]], title: str) -> Markup:
    """Gross retention by month with its interval where it is a forecast, net retention beside it.

    Args:
        rows: `label`, `gross`, `net` (None: not known), `gross_low`, `gross_high` (None in the past).
        title: name of the chart.
    """
    names = ("gross", "net", "gross_low", "gross_high")
    first, last = limits_of([row[name] for row in rows for name in names if row[name] is not None])
    y, step = scaled(first, last), (WIDTH - LEFT - RIGHT) / max(len(rows), 1)
    at = [LEFT + step * (place + 0.5) for place in range(len(rows))]
    parts = [share_grid(y, first, last)]
    today = next(
        (px - step / 2 for px, row in zip(at, rows, strict=True) if row["gross_low"] is not None), None
    )
    if today is not None:
        parts.append(LINE.format("now", today, today, 10, HEIGHT - BOTTOM))
    for name, css in (("net", "net"), ("gross", "")):
        known_points = [(px, row) for px, row in zip(at, rows, strict=True) if row[name] is not None]
        spots = [(px, y(row[name])) for px, row in known_points]
        parts.append(Markup('<polyline class="curve {}" points="{}"/>').format(css, path_of(spots)))
        for px, row in known_points:
            if name == "gross" and row["gross_low"] is not None:
                parts.append(LINE.format("whisker", px, px, y(row["gross_low"]), y(row["gross_high"])))
            words = f"{row['label']}: {name} {100 * row[name]:.0f} %"
            parts.append(DOT.format(f"at {css}", px, y(row[name]), 4.5, words))
    for place, (px, row) in enumerate(zip(at, rows, strict=True)):
        parts.append(_month(row["label"], px, place, len(rows)))
    known_rows = [row for row in rows if row["gross"] is not None]
    description = "; ".join(f"{row['label']}: {100 * row['gross']:.0f} per cent gross" for row in known_rows)
    return chart(parts, title, description)


def _month(label: str, px: float, place: int, months: int) -> Markup:
    """A month's name: every second one where there are many, fewer on a phone."""
    css = "minor" if months > 6 and place % (3 if months <= 12 else 6) else ""
    is_shown = months <= 12 or place % 2 == 0
    return TEXT.format(css, px, HEIGHT - 10, "middle", label) if is_shown else Markup("")


def _ceiling(top: float) -> float:
    """The least of 1, 2, 4, 5 or 8 times a power of ten that is not under `top`."""
    power = 10 ** math.floor(math.log10(top))
    return next(n * power for n in (1, 2, 4, 5, 8, 10) if n * power >= top)


def _money_grid(y: Scale, top: float, money: Callable[[float], str]) -> Markup:
    parts = []
    for at in range(5):
        value = top * at / 4
        parts.append(LINE.format("grid", LEFT, WIDTH - RIGHT, y(value), y(value)))
        parts.append(TEXT.format("", LEFT - 8, y(value) + 4, "end", money(value)))
    return Markup("").join(parts)


__all__ = [
    "bars_by_month", "buckets", "curve", "effect_bands", "force_bar", "incidence", "lines_over_time",
    "odds_bar", "odds_over_time", "rates_by_month", "span_bar", "spark", "stack_bar", "weight_bar",
]  # fmt: skip


def odds_bar(probability: float | None, low: float | None, high: float | None) -> Markup:
    """Probability on a track from 0 to 100 %: the interval as a broad bar, the estimate as a dot."""
    if probability is None:
        return Markup("")
    low, high = (probability if limit is None else limit for limit in (low, high))
    description = f"{100 * probability:.0f} per cent, interval {100 * low:.0f} to {100 * high:.0f}"
    return Markup(
        '<svg class="likelihood" height="16" role="img" aria-label="{description}">'
        '<rect class="track" x="0" y="6.5" width="100%" height="3" rx="1.5"/>'
        '<line class="tick" x1="50%" x2="50%" y1="4" y2="12"/>'
        '<rect class="range" x="{x:.2f}%" y="4" width="{width:.2f}%" height="8" rx="4"/>'
        '<circle class="point" cx="{at:.2f}%" cy="8" r="5"/></svg>'
    ).format(description=description, x=100 * low, width=max(100 * (high - low), 0.5), at=100 * probability)


def stack_bar(parts: Sequence[tuple[str, float, str]], of_what: str) -> Markup:
    """One bar cut into parts: (name, value, CSS class)."""
    total = sum(value for _, value, _ in parts)
    if total <= 0:
        return Markup("")
    description = ", ".join(f"{name} {100 * value / total:.0f} per cent" for name, value, _ in parts)
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
        of_what, description, Markup("").join(drawn)
    )


def span_bar(value: float, low: float, high: float, limits: tuple[float, float], mark: float) -> Markup:
    """A figure with its interval on a track from `limits[0]` to `limits[1]`, and a tick at `mark`."""
    first, width = limits[0], (limits[1] - limits[0]) or 1.0

    def at(figure: float) -> float:
        return 100 * min(max((figure - first) / width, 0.0), 1.0)

    return Markup(
        '<svg class="likelihood" height="16" role="img" '
        'aria-label="{value:.3g}, interval {low:.3g} to {high:.3g}">'
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
    """A contribution to the left (lowers the probability) or right (raises them) of a zero line."""
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
    """A subject's probability over time, the size of a word; from 0 to 100 % like every bar."""
    first, last = points[0], points[-1]
    spread = (last["as_of"] - first["as_of"]).total_seconds() or 1.0
    share = [(point["as_of"] - first["as_of"]).total_seconds() / spread for point in points]
    line = " ".join(
        f"{2 + 60 * at:.1f},{18 - 16 * point['probability']:.1f}"
        for at, point in zip(share, points, strict=True)
    )
    begun, now = (f"{100 * point['probability']:.0f}" for point in (first, last))
    description = f"{len(points)} scores, from {begun} to {now} per cent"
    return Markup(
        '<svg class="spark" viewBox="0 0 64 20" width="64" height="20" role="img" aria-label="{}">'
        '<polyline points="{}"/></svg>'
    ).format(description, line)
