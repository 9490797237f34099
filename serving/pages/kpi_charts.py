"""KPIs by quarter as small charts: a line within its interval, and figures in the KPI's unit."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from serving.pages.chart_axes import DOT, LEFT, LINE, RIGHT, TEXT, chart, path_of

HEIGHT, TOP, BOTTOM = 170, 10, 28
WIDTH = 720
MOST_LABELS = 6


def figure_words(value: float | None, unit: str, *, signed: bool = False) -> str:
    """A figure as read: a share in per cent (a difference in points), hours, points, or on its scale."""
    if value is None:
        return "–"
    scaled = 100 * value if unit == "share" else value
    digits = 0 if unit in ("points", "hours") else 1 if unit == "share" else 2
    sign = "+" if signed and round(scaled, digits) > 0 else ""
    words = f"{sign}{scaled:,.{digits}f}".replace("-", "−")
    if unit == "share":
        return f"{words} points" if signed else f"{words} %"
    return f"{words} h" if unit == "hours" else words


def over_time(rows: Sequence[Mapping[str, Any]], kpi: Mapping[str, Any]) -> Markup:
    """A KPI by quarter: value and 90 % interval.

    Args:
        rows: `quarter`, `value`, `low`, `high`, in order; none of them missing.
        kpi: its `kpi` and `unit`.
    """
    unit = kpi["unit"]
    low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
    step = _step((high - low) or abs(high) or 1.0)
    first, last = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    last = last if last > first else first + step
    wide = (WIDTH - LEFT - RIGHT) / len(rows)
    at = [LEFT + wide * (place + 0.5) for place in range(len(rows))]

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - first) / (last - first))

    parts = []
    for place in range(round((last - first) / step) + 1):
        value = first + place * step
        parts.append(LINE.format("grid", LEFT, WIDTH - RIGHT, y(value), y(value)))
        parts.append(TEXT.format("", LEFT - 8, y(value) + 4, "end", _tick(value, unit, step)))
    upper = [(px, y(row["high"])) for px, row in zip(at, rows, strict=True)]
    lower = [(px, y(row["low"])) for px, row in zip(at, rows, strict=True)]
    parts.append(Markup('<polygon class="area" points="{}"/>').format(path_of([*upper, *reversed(lower)])))
    spots = [(px, y(row["value"])) for px, row in zip(at, rows, strict=True)]
    parts.append(Markup('<polyline class="curve" points="{}"/>').format(path_of(spots)))
    every = math.ceil(len(rows) / MOST_LABELS)
    for place, ((px, py), row) in enumerate(zip(spots, rows, strict=True)):
        words = f"{row['quarter']}: {figure_words(row['value'], unit)}"
        parts.append(DOT.format("at", px, py, 4, words))
        if place % every == (len(rows) - 1) % every:
            parts.append(TEXT.format("", px, HEIGHT - 8, "middle", row["quarter"]))
    ends = (rows[0], rows[-1])
    description = "; ".join(f"{row['quarter']}: {figure_words(row['value'], unit)}" for row in ends)
    return chart(parts, f"{kpi['kpi']} by quarter", description, HEIGHT)


def _step(span: float) -> float:
    """A round step that cuts a span into two to five."""
    size = 10 ** math.floor(math.log10(span / 3))
    return next(size * each for each in (1, 2, 5, 10) if 5 * size * each >= span)


def _tick(value: float, unit: str, step: float) -> str:
    scaled, step = (100 * value, 100 * step) if unit == "share" else (value, step)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    text = f"{scaled + 0.0:,.{digits}f}".replace("-", "−")
    return f"{text} %" if unit == "share" else text
