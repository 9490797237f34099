"""The card's charts: plain SVG drawn here, so that the card is one file that opens anywhere, for ever."""

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 520, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 26, 12, 42


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _svg(body: Sequence[str], label: str, height: int = HEIGHT) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label, quote=True)}">'
        f"{''.join(body)}</svg>"
    )


def _text(x: float, y: float, words: str, css: str = "", anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{css}" text-anchor="{anchor}">{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>'


def _path(points: Sequence[tuple[float, float]], css: str) -> str:
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{drawn}" class="{css}"/>'


def _grid(
    across: str, up: str, ticks: Callable[[float], str] = lambda share: f"{share:.0%}", columns: bool = True
) -> list[str]:
    """A square of shares from 0 to 100 % both ways, with its labels."""
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(_line(_x(0), _y(share), _x(1), _y(share), "grid"))
        parts.append(_text(LEFT - 7, _y(share) + 4, ticks(share), "tick", "end"))
        if columns:
            parts.append(_text(_x(share), HEIGHT - BOTTOM + 17, f"{share:.0%}", "tick"))
    parts.append(_text(_x(0.5), HEIGHT - 5, across, "axis"))
    turned = f'transform="rotate(-90 12 {_y(0.5):.1f})"'
    parts.append(
        f'<text x="12" y="{_y(0.5):.1f}" class="axis" text-anchor="middle" {turned}>{escape(up)}</text>'
    )
    return parts


def reliability_chart(bins: Sequence[dict[str, Any]], what: str) -> str:
    """Said against seen, with 90 % intervals; on the diagonal the probabilities are right."""
    parts = [*_grid("said", f"seen: {what}"), _line(_x(0), _y(0), _x(1), _y(1), "ideal")]
    for row in bins:
        x = _x(row["said"])
        parts.append(_line(x, _y(row["low"]), x, _y(row["high"]), "whisker"))
        parts.append(f'<circle cx="{x:.1f}" cy="{_y(row["seen"]):.1f}" r="4.5" class="point"/>')
    spoken = "; ".join(f"said {row['said']:.0%}, seen {row['seen']:.0%}" for row in bins)
    return _svg(parts, f"Reliability: {spoken}")


def gains_chart(gains: dict[str, Any], what: str) -> str:
    """Of all that is looked for, the share in the first part of the list; the diagonal is a random list."""
    curve = [(_x(x), _y(y)) for x, y in gains["curve"]]
    parts = _grid("first part of the list", f"share of {what}")
    area = [(_x(0), _y(0)), *curve, (_x(1), _y(0))]
    parts.append(f'<polygon points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in area)}" class="area"/>')
    parts.append(_line(_x(0), _y(0), _x(1), _y(1), "ideal"))
    parts.append(_path(curve, "curve"))
    for top in gains["top"]:
        x, y = _x(top["share"]), _y(top["caught"])
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" class="point"/>')
        parts.append(_text(x + 8, y + 14, f"{top['caught']:.0%}", "mark", "start"))
    spoken = "; ".join(f"first {top['share']:.0%}: {top['caught']:.0%}" for top in gains["top"])
    return _svg(parts, f"Share of {what} found in the list: {spoken}")


def lead_chart(rows: Sequence[dict[str, Any]], kind: str) -> str:
    """AUC at each lead time."""
    across = "days before the end" if kind == "renewal" else "days since the deal was created"
    parts = _grid(across, "AUC", lambda share: f"{0.5 + share / 2:.2f}", columns=False)
    ordered = sorted(rows, key=lambda row: -row["lead_days"] if kind == "renewal" else row["lead_days"])
    points = []
    for at, row in enumerate(ordered):
        x = _x((at + 0.5) / len(ordered))
        y = _y(min(max((row["auc"] - 0.5) * 2, 0), 1))
        points.append((x, y))
        parts.append(_text(x, HEIGHT - BOTTOM + 17, f"{row['lead_days']}", "tick"))
        parts.append(_text(x, y - 9, f"{row['auc']:.2f}", "mark"))
    parts.append(_path(points, "curve"))
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" class="point"/>' for x, y in points]
    spoken = "; ".join(f"{row['lead_days']} days: {row['auc']:.2f}" for row in ordered)
    return _svg(parts, f"AUC by lead time: {spoken}")


def bars_chart(rows: Sequence[tuple[str, float]], title: str) -> str:
    """Named bars, the longest first."""
    step, name_width = 26, 250
    most = max((value for _, value in rows), default=1.0) or 1.0
    parts = []
    for at, (name, value) in enumerate(rows):
        y = 6 + at * step
        width = (WIDTH - name_width - 60) * value / most
        parts.append(
            _text(name_width - 10, y + 14, name if len(name) <= 38 else name[:37] + "…", "name", "end")
        )
        parts.append(
            f'<rect x="{name_width}" y="{y}" width="{max(width, 1):.1f}" height="18" rx="3" class="bar"/>'
        )
        parts.append(_text(name_width + width + 6, y + 14, f"{value:.2f}", "tick", "start"))
    spoken = "; ".join(f"{name} {value:.2f}" for name, value in rows)
    return _svg(parts, f"{title}: {spoken}", height=12 + step * max(len(rows), 1))


def search_chart(history: Sequence[dict[str, Any]]) -> str:
    """Each finished trial's log loss on the folds, and the best so far; pruned trials stand on the base."""
    done = [row["log_loss"] for row in history if row["state"] == "complete"]
    least, most = min(done), sorted(done)[int(0.9 * (len(done) - 1))]
    span = max(most - least, 1e-9)

    def place(row: dict[str, Any], loss: float) -> tuple[float, float]:
        return _x((row["number"] + 0.5) / len(history)), _y(0.05 + 0.9 * min((loss - least) / span, 1.05))

    parts = _grid(
        "trial", "log loss", lambda share: f"{least + (share - 0.05) / 0.9 * span:.4f}", columns=False
    )
    best, curve = float("inf"), []
    for row in history:
        if row["state"] != "complete":
            x, y = place(row, least)[0], _y(0)
            parts.append(_line(x, y, x, y - 6, "whisker"))
            continue
        best = min(best, row["log_loss"])
        curve.append(place(row, best))
        x, y = place(row, row["log_loss"])
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" class="point"/>')
    parts.append(_path(curve, "curve"))
    return _svg(parts, f"{len(done)} of {len(history)} trials finished; best log loss {least:.4f}")
