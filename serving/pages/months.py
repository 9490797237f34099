"""Charts of months: money that is up for renewal, and the rate at which it is kept."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from serving.pages.plots import (
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
    chart,
    limits_of,
    path_of,
    scaled,
    share_grid,
)


def bars_by_month(rows: Sequence[Mapping[str, Any]], title: str, money: Callable[[float], str]) -> Markup:
    """Money by month: up for renewal as a pale bar, kept and expected inside it, the interval as a whisker.

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
    told = "; ".join(f"{row['label']}: {money(row['expected'])} of {money(row['up'])}" for row in rows)
    return chart(parts, title, told)


def _month_bar(
    row: Mapping[str, Any], px: float, bar: float, y: Scale, money: Callable[[float], str]
) -> list[Markup]:
    left, ground = px - bar / 2, y(0.0)
    words = f"{row['label']}: {money(row['expected'])} of {money(row['up'])}"
    parts = [BOX.format("up", left, y(row["up"]), bar, ground - y(row["up"]), words)]
    parts.append(BOX.format("expected", left, y(row["expected"]), bar, ground - y(row["expected"]), words))
    if row["decided"]:
        kept = f"{row['label']}: {money(row['decided'])} kept already"
        parts.append(BOX.format("decided", left, y(row["decided"]), bar, ground - y(row["decided"]), kept))
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
        known = [(px, row) for px, row in zip(at, rows, strict=True) if row[name] is not None]
        spots = [(px, y(row[name])) for px, row in known]
        parts.append(Markup('<polyline class="curve {}" points="{}"/>').format(css, path_of(spots)))
        for px, row in known:
            if name == "gross" and row["gross_low"] is not None:
                parts.append(LINE.format("whisker", px, px, y(row["gross_low"]), y(row["gross_high"])))
            words = f"{row['label']}: {name} {100 * row[name]:.0f} %"
            parts.append(DOT.format(f"at {css}", px, y(row[name]), 4.5, words))
    for place, (px, row) in enumerate(zip(at, rows, strict=True)):
        parts.append(_month(row["label"], px, place, len(rows)))
    known_rows = [row for row in rows if row["gross"] is not None]
    told = "; ".join(f"{row['label']}: {100 * row['gross']:.0f} per cent gross" for row in known_rows)
    return chart(parts, title, told)


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
