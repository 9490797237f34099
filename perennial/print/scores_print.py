"""Scores on a terminal."""

from perennial.print.text import BAND_STYLE, ROWS_SHOWN, Result, absent, grid, money, percent, terminal


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
            "; ".join(reason["words"] for reason in row["reasons"][:3]),
        )
        for row in rows[:ROWS_SHOWN]
    ]
    columns = (
        ident,
        "account",
        ">probability",
        ">90 % interval",
        "band",
        ">amount",
        f">{key.replace('_', ' ')}",
        "because",
    )
    title = "Renewals by money at risk" if renewal else "Deals by expected money"
    out.print(grid(f"{title}: first {len(lines)} of {len(rows)}", columns, lines))
    for row in troubled[:ROWS_SHOWN]:
        out.print(f"[yellow]not scored[/] {row.get(ident)}: {row['problem']}")


def demo(result: Result) -> None:
    """The summary at the end of the demonstration."""
    out = terminal()
    for part in result["summary"]:
        out.print(part)
