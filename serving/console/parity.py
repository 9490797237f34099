"""How segments are treated, on a terminal."""

from rich.markup import escape

from serving.console.words import VERDICT_STYLE, Result, grid, number, percent, terminal

_SHOWN = 20


def options(result: Result) -> None:
    """What was declared, how each segment fares, what gives it away, and the options with their price."""
    out, declared = terminal(), result["declared"]
    out.print(f"Parity: [{VERDICT_STYLE[result['verdict']]}]{result['verdict']}[/]")
    out.print(
        f"Favourable is {declared['favourable']}; it is called for where {declared['positive']}; "
        f"the {declared['primary']} decides, at a threshold of {declared['threshold']:.3f}."
    )
    _segments(result)
    _stand_ins(result)
    _options(result)
    out.print("Choose one with `perennial train … --mitigate OPTION`, or none; nothing was changed here.")


def _segments(result: Result) -> None:
    decisive = [check for check in result["parity"] if check["primary"]]
    rows = (
        (
            escape(check["segment"]),
            "–" if check["n"] is None else check["n"],
            percent(check["estimate"], 1),
            percent(check["rest"], 1),
            number(check["ratio"], 2),
            f"[{VERDICT_STYLE[check['verdict']]}]{check['verdict']}[/]",
            check["why"],
        )
        for check in decisive[:_SHOWN]
    )
    columns = ("segment", ">n", ">here", ">the rest", ">ratio", "verdict", "why")
    terminal().print(grid(f"The {result['declared']['primary']} by segment", columns, rows))


def _stand_ins(result: Result) -> None:
    rows = (
        (
            escape(row["segment"]),
            escape(row["column"]),
            number(row["auc"], 2),
            "–" if row["low"] is None else f"{row['low']:.2f}–{row['high']:.2f}",
            f"[{VERDICT_STYLE[row['verdict']]}]{row['verdict']}[/]",
            row["why"],
        )
        for row in result["proxies"][:_SHOWN]
    )
    columns = ("segment", "given away by", ">AUC", ">90 % interval", "verdict", "why")
    terminal().print(grid("Proxies", columns, rows))


def _options(result: Result) -> None:
    rows = (
        (
            row["option"],
            number(row.get("log_loss"), 4),
            _span(row, "price", 4),
            number(row.get("gap")),
            number(row.get("ratio"), 2),
            _span(row, "gain", 3),
            row.get("verdict") or "–",
            escape(row.get("problem") or row["what"]),
        )
        for row in result["rows"]
    )
    columns = (
        "option", ">log loss", ">price (90 %)", ">widest gap", ">least ratio", ">narrower by (90 %)",
        "parity", "what is done",
    )  # fmt: skip
    terminal().print(grid("What could be done, judged on rows not learned from", columns, rows))


def _span(row: Result, name: str, digits: int) -> str:
    if row.get(name) is None:
        return "–"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"
