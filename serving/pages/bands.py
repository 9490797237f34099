"""Charts of effects as SVG: adjusted beside raw rates with their band, and calls until won."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from markupsafe import Markup

from serving.pages.plots import path_of, rounded

WIDTH, HEIGHT = 520, 270
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 12, 58
Limits = tuple[float, float]


def limits_of(rows: Sequence[Mapping[str, Any]]) -> Limits:
    """Tenths that hold every estimate, interval and raw rate: one scale for charts to compare."""
    names = ("estimate", "low", "high", "raw")
    return rounded([row[name] for row in rows for name in names if row.get(name) is not None])


def effect_bands(rows: Sequence[Mapping[str, Any]], limits: Limits, title: str, axis: str) -> Markup:
    """Adjusted estimates as a line within their band, raw rates as a broken line beside.

    Args:
        rows: `bucket`, `estimate`, `low`, `high`, `raw`, `n`, `is_best`, `is_alike`; None: can't be told.
        limits: of the shares shown.
        title: name of the chart.
        axis: what the buckets are.
    """
    x = [LEFT + (WIDTH - LEFT - RIGHT) * (place + 0.5) / len(rows) for place in range(len(rows))]
    placed = list(zip(x, rows, strict=True))
    parts = [_shares(limits)]
    for is_told, run in groupby(placed, key=lambda pair: pair[1]["estimate"] is not None):
        spots = list(run)
        if is_told:
            parts += _band(spots, limits)
        else:
            parts += [_text("faint", at, HEIGHT - BOTTOM - 8, "can’t tell") for at, _ in spots]
    raw = [(at, _y(row["raw"], limits)) for at, row in placed if row["raw"] is not None]
    parts.append(Markup('<polyline class="raw-line" points="{}"/>').format(path_of(raw)))
    for at, row in placed:
        if row["raw"] is not None:
            parts.append(_dot("raw", at, _y(row["raw"], limits), 4, f"raw {_percent(row['raw'])}"))
        if row["estimate"] is not None:
            css = "at best" if row["is_best"] else "at"
            parts.append(_dot(css, at, _y(row["estimate"], limits), 6, _said(row)))
    for at, row in placed:
        parts.append(_text("strong" if row["is_best"] else "", at, HEIGHT - BOTTOM + 18, row["bucket"]))
        parts.append(_text("faint", at, HEIGHT - BOTTOM + 35, f"n {row['n']:,}"))
    parts.append(_text("faint", (LEFT + WIDTH) / 2, HEIGHT - 4, axis))
    return _drawing(parts, title, "; ".join(_said(row) for row in rows))


def incidence(rows: Sequence[Mapping[str, Any]], title: str) -> Markup:
    """Share of deals won, with its band, and lost, by the number of calls made until then.

    Args:
        rows: `calls`, `won`, `low`, `high`, `lost`, in order.
        title: name of the chart.
    """
    limits = rounded([0.0, *(row[name] for row in rows for name in ("high", "lost"))])
    last = max(row["calls"] for row in rows) or 1
    x = {row["calls"]: LEFT + (WIDTH - LEFT - RIGHT - 6) * row["calls"] / last for row in rows}

    def line(name: str) -> list[tuple[float, float]]:
        return [(x[row["calls"]], _y(row[name], limits)) for row in rows]

    around = path_of([*line("high"), *reversed(line("low"))])
    band = Markup('<polygon class="area" points="{}"/>').format(around)
    drawn = Markup('<polyline class="{}" points="{}"/>')
    parts = [_shares(limits), band, drawn.format("curve", path_of(line("won")))]
    parts.append(drawn.format("lost-line", path_of(line("lost"))))
    shown = [calls for calls in x if calls % (5 if last > 8 else 1) == 0]
    parts += [_text("", x[calls], HEIGHT - BOTTOM + 18, str(calls)) for calls in shown]
    parts.append(_text("faint", (LEFT + WIDTH) / 2, HEIGHT - 22, "calls made"))
    end = rows[-1]
    told = f"after {end['calls']} calls {_percent(end['won'])} were won and {_percent(end['lost'])} lost"
    return _drawing(parts, title, told)


def _band(spots: Sequence[tuple[float, Mapping[str, Any]]], limits: Limits) -> list[Markup]:
    """The band and line of neighbours that are all told; one alone gets a narrow band of its own."""
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
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (held - first) / ((last - first) or 1.0))


def _shares(limits: Limits) -> Markup:
    """Lines across at tenths, or at fifths where there are many."""
    first, last = (round(10 * end) for end in limits)
    parts = []
    step = 2 if last - first > 5 else 1
    for tenth in range(first + first % step, last + 1, step):
        y = _y(tenth / 10, limits)
        line = Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>')
        parts.append(line.format(LEFT, WIDTH - RIGHT, y, y))
        label = Markup('<text x="{}" y="{:.1f}" text-anchor="end">{} %</text>')
        parts.append(label.format(LEFT - 6, y + 4, 10 * tenth))
    return Markup("").join(parts)


def _text(css: str, x: float, y: float, words: str) -> Markup:
    shape = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>')
    return shape.format(css, x, y, words)


def _dot(css: str, x: float, y: float, radius: float, words: str) -> Markup:
    shape = Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title></circle>')
    return shape.format(css, x, y, radius, words)


def _said(row: Mapping[str, Any]) -> str:
    raw = "" if row["raw"] is None else f", raw {_percent(row['raw'])}"
    if row["estimate"] is None:
        return f"{row['bucket']}: can’t tell{raw}"
    span = f"{_percent(row['low'])} to {_percent(row['high'])}"
    return f"{row['bucket']}: adjusted {_percent(row['estimate'])} ({span}){raw}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _drawing(parts: Sequence[Markup], title: str, told: str) -> Markup:
    shape = Markup('<svg class="chart bands" viewBox="0 0 {} {}" role="img" aria-label="{}: {}">{}</svg>')
    return shape.format(WIDTH, HEIGHT, title, told, Markup("").join(parts))
