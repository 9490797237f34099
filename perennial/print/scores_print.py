"""Scores on a terminal."""

from rich.markup import escape

from perennial.print.text import (
    BAND_STYLE,
    ROWS_SHOWN,
    Result,
    absent,
    in_currency,
    money,
    percent,
    print_grid,
    terminal,
)
from serving.scoring.answer_tables import direction


def scored(result: Result) -> None:
    """The list by money at risk (renewals) or expected money (deals), worst or best first."""
    out = terminal()
    rows = [row for row in result["rows"] if absent(row.get("problem"))]
    troubled = [row for row in result["rows"] if not absent(row.get("problem"))]
    renewal = result["kind"] == "renewal"
    key, ident = ("at_risk", "contract_id") if renewal else ("expected", "opportunity_id")
    rows.sort(key=lambda row: -(row[key] if not absent(row.get(key)) else -1.0))
    lines = [
        (
            row[ident],
            row["account_id"],
            percent(row["probability"]),
            f"{percent(row['low'])}–{percent(row['high'])}",
            f"[{BAND_STYLE.get(row['band'], 'bold green')}]{row['band']}[/]",
            money(row.get("amount")),
            money(row.get(key)),
            *([] if renewal else [_closes(row)]),
            "; ".join(map(_reason, row["reasons"][:3])),
        )
        for row in rows[:ROWS_SHOWN]
    ]
    columns = (
        "!" + ident.removesuffix("_id"),
        "!account",
        ">likely",
        ">!90 %",
        "band",
        f">{in_currency('amount', result)}",
        f">{in_currency(key.replace('_', ' '), result)}",
        *([] if renewal else [">closes by quarter end"]),
        "because",
    )
    title = "Renewals by money at risk" if renewal else "Deals by expected money"
    print_grid(out, f"{title}: first {len(lines)} of {len(rows)}", columns, lines)
    for row in troubled[:ROWS_SHOWN]:
        out.print(f"[yellow]not scored[/] {row.get(ident)}: {row['problem']}")


def _reason(reason: Result) -> str:
    """A reason, and whether it raises or lowers the score."""
    way = {"lowers": "↓ ", "raises": "↑ "}.get(direction(reason) or "", "")
    return way + escape(reason["words"])


def _closes(row: Result) -> str:
    if absent(row.get("by_quarter_end")):
        return "–"
    return f"{percent(row['by_quarter_end'])}, {row['close_date']}"


def demo(result: Result) -> None:
    """The summary at the end of the demonstration."""
    out = terminal()
    for part in result["summary"]:
        out.print(part)
