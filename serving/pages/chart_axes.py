"""Charts with axes as SVG drawn on the server. Each has a title, a description and, beside it, a table."""

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup

WIDTH, HEIGHT = 720, 240
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 30
Scale = Callable[[float], float]


LINE = Markup('<line class="{}" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>')
TEXT = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
DOT = Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title></circle>')
BOX = Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>')


def chart(parts: Sequence[Markup], title: str, description: str, height: int = HEIGHT) -> Markup:
    """Parts as one picture with a name and a description that are read aloud."""
    drawn = Markup("").join(parts)
    name = f"c{zlib.crc32(f'{title}{description}{drawn}'.encode()):08x}"
    return Markup(
        '<svg class="chart" viewBox="0 0 {0} {1}" role="img" aria-labelledby="{2}t {2}d">'
        '<title id="{2}t">{3}</title><desc id="{2}d">{4}</desc>{5}</svg>'
    ).format(WIDTH, height, name, title, description, drawn)


def odds_over_time(points: Sequence[Mapping[str, Any]]) -> Markup:
    """Probabilities with their intervals at each moment scored.

    Args:
        points: `as_of`, `probability`, `low`, `high`; oldest first, each dated.
    """
    x, y = _times([point["as_of"] for point in points]), scaled(0.0, 1.0)
    at = [x(point["as_of"].timestamp()) for point in points]
    upper = [(px, y(point["high"])) for px, point in zip(at, points, strict=True)]
    lower = [(px, y(point["low"])) for px, point in zip(at, points, strict=True)]
    middle = [(px, y(point["probability"])) for px, point in zip(at, points, strict=True)]
    parts = [share_grid(y, 0.0, 1.0), _time_axis([point["as_of"] for point in points], x)]
    parts.append(Markup('<polygon class="area" points="{}"/>').format(path_of([*upper, *reversed(lower)])))
    parts.append(Markup('<polyline class="curve" points="{}"/>').format(path_of(middle)))
    parts += [
        DOT.format("at", px, py, 4.5, f"{_day(point['as_of'])}: {_odds(point, 'probability')}")
        for (px, py), point in zip(middle, points, strict=True)
    ]
    first, last = points[0], points[-1]
    description = "; ".join(
        f"{_day(point['as_of'])}: {_odds(point, 'probability')}" for point in (first, last)
    )
    return chart(parts, "Probability over time with their 90 % interval", description)


def buckets(rows: Sequence[Mapping[str, Any]], title: str, axis: str) -> Markup:
    """Estimates by treatment level with their intervals, the raw rate beside each.

    Args:
        rows: `bucket`, `estimate`, `low`, `high`, `raw` (None: can't tell).
        title: name of the chart.
        axis: what the buckets are.
    """
    known_values = [
        value for row in rows for value in (row["low"], row["high"], row["raw"]) if value is not None
    ]
    first, last = limits_of(known_values)
    y, step = scaled(first, last), (WIDTH - LEFT - RIGHT) / max(len(rows), 1)
    parts = [share_grid(y, first, last)]
    for place, row in enumerate(rows):
        px = LEFT + step * (place + 0.5)
        parts.append(TEXT.format("", px, HEIGHT - 14, "middle", row["bucket"]))
        if row["raw"] is not None:
            parts.append(DOT.format("raw", px + 12, y(row["raw"]), 4, f"raw rate {100 * row['raw']:.0f} %"))
        if row["estimate"] is None:
            parts.append(TEXT.format("faint minor", px, y(first) - 8, "middle", "can’t tell"))
            continue
        parts.append(LINE.format("whisker", px, px, y(row["low"]), y(row["high"])))
        shape = "at best" if row.get("is_best") else "at" if row.get("is_open", True) else "at past"
        words = f"{row['bucket']}: {_odds(row, 'estimate')}"
        parts.append(DOT.format(shape, px, y(row["estimate"]), 5.5, words))
    parts.append(TEXT.format("faint minor", (LEFT + WIDTH) / 2, HEIGHT, "middle", axis))
    description = "; ".join(
        f"{row['bucket']}: {'can’t tell' if row['estimate'] is None else _odds(row, 'estimate')}"
        for row in rows
    )
    return chart(parts, title, f"{description}.")


def curve(points: Sequence[Mapping[str, Any]], title: str, axis: str, now: float | None = None) -> Markup:
    """Probabilities along a quantity with their interval, as a broken line.

    Args:
        points: `at` (the quantity), `estimate`, `low`, `high`; None where there is no estimate.
        title: name of the chart.
        axis: what the quantity is.
        now: where things stand, marked.
    """
    known_points = [point for point in points if point["estimate"] is not None]
    first, last = limits_of([point[name] for point in known_points for name in ("low", "high")])
    spots = [point["at"] for point in points]
    low, high = min(spots), max(spots)
    y, wide = scaled(first, last), (high - low) or 1.0

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (high - value) / wide

    parts = [share_grid(y, first, last)]
    upper = [(x(point["at"]), y(point["high"])) for point in known_points]
    lower = [(x(point["at"]), y(point["low"])) for point in known_points]
    parts.append(Markup('<polygon class="area" points="{}"/>').format(path_of([*upper, *reversed(lower)])))
    middle = [(x(point["at"]), y(point["estimate"])) for point in known_points]
    parts.append(Markup('<polyline class="curve" points="{}"/>').format(path_of(middle)))
    parts += [
        DOT.format("at", px, py, 4.5, f"{point['at']:g}: {_odds(point, 'estimate')}")
        for (px, py), point in zip(middle, known_points, strict=True)
    ]
    parts += [TEXT.format("", x(spot), HEIGHT - 14, "middle", f"{spot:g}") for spot in spots]
    if now is not None and low <= now <= high:
        parts.append(LINE.format("now", x(now), x(now), TOP, HEIGHT - BOTTOM))
        parts.append(TEXT.format("", x(now) + 4, TOP + 10, "start", "now"))
    parts.append(TEXT.format("faint", (LEFT + WIDTH) / 2, HEIGHT, "middle", axis))
    return chart(
        parts, title, "; ".join(f"{point['at']:g}: {_odds(point, 'estimate')}" for point in known_points)
    )


def lines_over_time(series: Sequence[Mapping[str, Any]], title: str, limit: float | None = None) -> Markup:
    """Shares over time, a broken line each.

    Args:
        series: `name`, `css`, `points` (moment, share); each dated.
        title: name of the chart.
        limit: a line across, such as the threshold of an alert.
    """
    moments = sorted({moment for each in series for moment, _ in each["points"]})
    values = [value for each in series for _, value in each["points"]]
    x, (first, last) = _times(moments), limits_of([*values, 0.0, *([limit] if limit is not None else [])])
    y = scaled(first, last)
    parts = [share_grid(y, first, last), _time_axis(moments, x)]
    if limit is not None:
        parts.append(LINE.format("limit", LEFT, WIDTH - RIGHT, y(limit), y(limit)))
    descriptions = []
    for each in series:
        spots = [(x(moment.timestamp()), y(value)) for moment, value in each["points"]]
        parts.append(Markup('<polyline class="curve {}" points="{}"/>').format(each["css"], path_of(spots)))
        parts += [
            DOT.format(f"at {each['css']}", px, py, 4, f"{each['name']}, {_day(moment)}: {100 * value:.1f} %")
            for (px, py), (moment, value) in zip(spots, each["points"], strict=True)
        ]
        descriptions.append(f"{each['name']}: last {100 * each['points'][-1][1]:.1f} per cent")
    return chart(parts, title, "; ".join(descriptions))


def _times(moments: Sequence[datetime]) -> Scale:
    first, last = moments[0].timestamp(), moments[-1].timestamp()
    spread = last - first

    def x(time: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ((time - first) / spread if spread > 0 else 0.5)

    return x


def scaled(first: float, last: float) -> Scale:
    """From a value to its height in the picture, held between the limits of the axis."""
    wide = (last - first) or 1.0
    return lambda value: TOP + (HEIGHT - TOP - BOTTOM) * (1 - (min(max(value, first), last) - first) / wide)


def rounded(values: Sequence[float]) -> tuple[float, float]:
    """Limits of an axis of shares that hold all values: tenths."""
    if not values:
        return 0.0, 1.0
    first, last = math.floor(10 * min(values)) / 10, math.ceil(10 * max(values)) / 10
    return (first, last) if last > first else (first, first + 0.1)


def limits_of(values: Sequence[float]) -> tuple[float, float]:
    """Limits of an axis of shares that hold all values: multiples of a round step."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    step = _step(high - low)
    first, last = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return (first, last) if last > first else (first, first + step)


def _step(wide: float) -> float:
    """A round step that cuts a range of shares into three to six."""
    steps = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
    return next((step for step in steps if 5 * step >= wide - 1e-9), 10.0)


def share_grid(y: Scale, first: float, last: float) -> Markup:
    """Lines across at round shares, each with its per cent."""
    step = min(_step(last - first), last - first)
    digits = 0 if step >= 0.01 else 1
    parts = []
    for at in range(round((last - first) / step) + 1):
        share = first + at * step
        parts.append(LINE.format("grid", LEFT, WIDTH - RIGHT, y(share), y(share)))
        parts.append(TEXT.format("", LEFT - 8, y(share) + 4, "end", f"{100 * share:.{digits}f} %"))
    return Markup("").join(parts)


def _time_axis(moments: Sequence[datetime], x: Scale) -> Markup:
    """At most six dates, the first and the last among them."""
    last = len(moments) - 1
    drawn = []
    for at in sorted({round(last * share / 5) for share in range(6)}):
        anchor = "middle" if last == 0 or 0 < at < last else "start" if at == 0 else "end"
        drawn.append(TEXT.format("", x(moments[at].timestamp()), HEIGHT - 8, anchor, _day(moments[at])))
    return Markup("").join(drawn)


def _odds(row: Mapping[str, Any], name: str) -> str:
    return f"{100 * row[name]:.0f} % ({100 * row['low']:.0f}–{100 * row['high']:.0f})"


def path_of(points: Sequence[tuple[float, float]]) -> str:
    """Points as an SVG path takes them."""
    return " ".join(f"{px:.1f},{py:.1f}" for px, py in points)


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%b %y}"
