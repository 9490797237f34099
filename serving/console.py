"""Results as a person reads them in a terminal: one function for each kind of result."""

import math
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Result = dict[str, Any]

BAND_STYLE = {"at risk": "bold red", "watch": "yellow", "safe": "green", "cold": "blue", "warm": "yellow"}
VERDICT_STYLE = {"alert": "bold red", "unknown": "yellow", "ok": "green"}
ROWS_SHOWN = 20


def _out() -> Console:
    # A terminal wraps as wide as it is; a pipe gets whole lines.
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=150)


def percent(value: float | None, digits: int = 0) -> str:
    """A share as a percentage, or a dash where there is none."""
    return "–" if _absent(value) else f"{100 * value:.{digits}f} %"  # type: ignore[operator]


def money(value: float | None) -> str:
    """An amount in whole units, thousands set apart."""
    return "–" if _absent(value) else f"{value:,.0f}"


def number(value: float | None, digits: int = 3) -> str:
    """A figure, or a dash where there is none."""
    return "–" if _absent(value) else f"{value:.{digits}f}"


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _table(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Table:
    """A table; columns whose name starts with `>` are set to the right."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    return table


def simulated(result: Result) -> None:
    """What was written, and where the truth stands."""
    out = _out()
    out.print(
        f"A simulated CRM is in [bold]{result['folder']}[/]; what is true of it is in truth.json there."
    )
    out.print(f"Next: perennial train renewal --crm {result['folder']}")


def quality(result: Result) -> None:
    """Rows kept and set aside for each table, then every reason with an example."""
    out = _out()
    tables = result["tables"]
    out.print(
        _table(
            "Data quality",
            ("table", ">read", ">kept", ">quarantined", ">known later", "from", "to"),
            (
                (
                    name,
                    t["rows"],
                    t["kept"],
                    t["quarantined"],
                    t["left_out"],
                    _day(t["first"]),
                    _day(t["last"]),
                )
                for name, t in tables.items()
            ),
        )
    )
    for name, table in tables.items():
        for reason, found in table["reasons"].items():
            example = f", e.g. {found['examples'][0]}" if found["examples"] else ""
            out.print(f"  {name}: {found['count']} × {reason}{example}", markup=False)
    for warning in result["warnings"]:
        out.print(f"[yellow]note[/] {escape(warning)}")
    out.print(f"{result['rows']} rows read, {result['quarantined']} put aside; nothing was dropped silently.")


def _day(moment: str | None) -> str:
    return (moment or "–")[:10]


def features(result: Result) -> None:
    """The catalogue, one line a feature."""
    rows = ((f["name"], f["touchpoint"], f["unit"], f["collected"], f["words"]) for f in result["features"])
    _out().print(
        _table(
            f"{len(result['features'])} features",
            ("feature", "touchpoint", "unit", "collected", "meaning"),
            rows,
        )
    )


def _figures(name: str, figures: Result | None) -> tuple[str, ...]:
    if figures is None:
        return (name, "–", "–", "–", "–", "–")
    return (
        name,
        *(number(figures.get(key)) for key in ("auc", "log_loss", "brier", "ece")),
        str(figures["n"]),
    )


def trained(result: Result) -> None:
    """What is served, how good it was on later data beside the baselines, and how the gates judged it."""
    out = _out()
    out.print(
        f"[bold]{result['model']}[/] version {result['version']} is [bold]{result['alias']}[/]; "
        f"served: {result['served']}; {result['positives']} of {result['rows']} "
        f"{'renewed' if 'renewal' in result['model'] else 'won'}, {result['snapshots']} snapshots."
    )
    figures = [
        _figures("served, on later data", result["forward"]),
        _figures("served, random", result["random"]),
    ]
    figures += [_figures(name, part) for name, part in result["baselines"].items()]
    out.print(_table("Figures", ("", ">AUC", ">log loss", ">Brier", ">ECE", ">n"), figures))
    out.print(
        _table(
            "Gates",
            ("gate", "passed", "why"),
            (
                (n, {True: "yes", False: "NO"}.get(g["passed"], "unknown"), g["why"])
                for n, g in result["gates"].items()
            ),
        )
    )
    if result["barred"]:
        out.print(_table("Barred columns", ("column", "why"), result["barred"].items()))
    for warning in result.get("warnings", ()):
        out.print(f"[yellow]note[/] {warning}")
    if result.get("card"):
        out.print(f"Card: {result['card']}")


def scored(result: Result) -> None:
    """The list by money at risk (renewals) or expected money (deals), worst or best first."""
    out = _out()
    rows = [row for row in result["rows"] if _absent(row.get("problem"))]
    troubled = [row for row in result["rows"] if not _absent(row.get("problem"))]
    renewal = result["kind"] == "renewal"
    key, ident = ("at_risk", "contract_id") if renewal else ("expected", "opportunity_id")
    rows.sort(key=lambda row: -(row[key] if not _absent(row.get(key)) else -1.0))
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
        ">odds",
        ">90 % interval",
        "band",
        ">amount",
        f">{key.replace('_', ' ')}",
        "because",
    )
    title = "Renewals by money at risk" if renewal else "Deals by expected money"
    out.print(_table(f"{title}: first {len(lines)} of {len(rows)}", columns, lines))
    for row in troubled[:ROWS_SHOWN]:
        out.print(f"[yellow]not scored[/] {row.get(ident)}: {row['problem']}")


def monitored(result: Result) -> None:
    """The verdict, then every check that is not ok, then how many are."""
    out = _out()
    out.print(f"Verdict: [{VERDICT_STYLE[result['verdict']]}]{result['verdict']}[/]")
    telling = [check for check in result["checks"] if check["verdict"] != "ok"]
    fine = len(result["checks"]) - len(telling)
    rows = (
        (
            f"[{VERDICT_STYLE[check['verdict']]}]{check['verdict']}[/]",
            check["name"],
            check.get("segment") or "",
            number(check.get("value")),
            number(check.get("threshold")),
            check["why"],
        )
        for check in sorted(telling, key=lambda check: check["verdict"])[:40]
    )
    if telling:
        out.print(_table("", ("verdict", "check", "segment", ">value", ">limit", "why"), rows))
    out.print(f"{fine} checks are ok.")
    if result.get("html"):
        out.print(f"Report: {result['html']}")


def outcomes(result: Result) -> None:
    """How many outcomes were new, known already, or in conflict."""
    _out().print(", ".join(f"{count} {name}" for name, count in result.items()))


def listed(result: Result) -> None:
    """Any plain list of rows, one column for each key."""
    rows = next((value for value in result.values() if isinstance(value, list)), [])
    if not rows:
        _out().print("Nothing yet.")
        return
    columns = list(rows[0])
    _out().print(_table("", columns, ([row.get(column, "") for column in columns] for row in rows)))


def facts(result: Result) -> None:
    """A result that is a few named facts, those with facts of their own one step in."""
    for line in _fact_lines(result):
        _out().print(line, markup=False)


def _fact_lines(result: Result, indent: str = "") -> Iterable[str]:
    for name, value in result.items():
        told = name.replace("_", " ")
        if isinstance(value, dict) and value:
            yield f"{indent}{told}:"
            yield from _fact_lines(value, indent + "  ")
        elif isinstance(value, list) and any(isinstance(part, dict) for part in value):
            yield f"{indent}{told}: {len(value)} rows; --json tells them"
        elif value not in (None, {}, []):
            yield f"{indent}{told}: {_short(value)}"


def _short(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_short, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def models(result: Result) -> None:
    """The registered versions, newest first, with the gates that each failed."""
    if not result["models"]:
        _out().print("No model yet. Run perennial train renewal.")
        return
    rows = (
        (
            row["model"],
            row["version"],
            row["alias"] or "",
            row["trained_at"][:16].replace("T", " "),
            row["served"] or "",
            ", ".join(name for name, gate in row["gates"].items() if gate["passed"] is False) or "none",
        )
        for row in result["models"]
    )
    columns = ("model", ">version", "alias", "trained", "served", "gates failed")
    _out().print(_table("Models", columns, rows))


def effects(result: Result) -> None:
    """Estimated beside raw rates, the best bucket, and which cannot be told from it."""
    out = _out()
    rows = (
        (
            row.get("group", "all"),
            row["bucket"],
            percent(row["estimate"], 1),
            f"{percent(row['low'], 1)}–{percent(row['high'], 1)}"
            if not _absent(row["low"])
            else "can't tell",
            percent(row["raw"], 1),
            row["n"],
            row["outcome"],
        )
        for row in result["rows"]
    )
    columns = ("group", "bucket", ">estimated", ">95 % interval", ">raw rate", ">n", "outcome")
    out.print(_table("Estimated effect beside the raw rate", columns, rows))
    for group, best in result["best"].items():
        alike = ", ".join(result["indistinguishable"].get(group) or ())
        out.print(
            f"{group}: " + (f"best [bold]{best}[/]; not distinguishable: {alike}" if best else "can't tell")
        )
    for note in result.get("notes", ()):
        out.print(f"[yellow]note[/] {note}")


def profiles(result: Result) -> None:
    """Profiles in words with the lift of each outcome on later data."""
    out = _out()
    if not result["profiles"]:
        out.print("No profile holds up on the later data.")
    for place, profile in enumerate(result["profiles"], start=1):
        out.print(
            f"[bold]{place}. {escape(profile['rule'])}[/] ({profile['accounts']} accounts, "
            f"{percent(profile['share'])}; measured on {profile['n']})"
        )
        for name, part in profile["outcomes"].items():
            interval = f"{number(part['low'], 2)} to {number(part['high'], 2)}"
            values = f"{number(part['value'], 2)} against {number(part['everyone'], 2)}"
            lift = f"lift {number(part['lift'], 2)} ({interval})"
            told = "too few seen" if _absent(part["lift"]) else f"{values}, {lift}"
            out.print(f"   {name}: {told}")
    for note in result.get("notes", ()):
        out.print(f"[yellow]note[/] {escape(note)}")


def demo(result: Result) -> None:
    """The summary at the end of the demonstration."""
    out = _out()
    for part in result["summary"]:
        out.print(part)


def targets(result: Result) -> None:
    """The head of the targeting list, what it would have caught, and whom it leaves out."""
    out = _out()
    rows = result["rows"][:ROWS_SHOWN]
    lines = (
        (
            escape(str(row["id"])),
            escape(str(row.get("name") or "")),
            row["kind"],
            percent(row["fit"]),
            money(row.get("value_per_hour")),
            money(row.get("expected_value")),
            number(row.get("expected_effort_hours"), 1),
            escape(row.get("profile") or "; ".join(r["words"] for r in row["reasons"][:2])),
        )
        for row in rows
    )
    columns = ("id", "name", "kind", ">fit", ">value an hour", ">expected value", ">hours", "profile, or why")
    out.print(_table(f"Targets: first {len(rows)} of {len(result['rows'])}", columns, lines))
    if not _absent(result.get("conversions_caught")):
        out.print(
            f"On {result['later_deals']} later deals the first {percent(result['share_listed'])} of the list "
            f"held {percent(result['conversions_caught'])} of the wins and {percent(result['value_caught'])} "
            f"of their money, and brought {number(result['band_ratio'], 1)} times the money of the last for "
            "each hour."
        )
    for note in result.get("notes", ()):
        out.print(f"[yellow]note[/] {escape(note)}")


def losses(result: Result) -> None:
    """Drivers of losses by money, with the reasons that were stated."""
    out = _out()
    rows = ((r.get("group", "all"), r["words"], r["subjects"], money(r["money"])) for r in result["drivers"])
    out.print(_table("What drives losses", ("group", "driver", ">lost", ">money"), rows))
    stated = ((s["reason"], s["subjects"], money(s["money"])) for s in result["stated"])
    out.print(_table("What was stated", ("reason", ">lost", ">money"), stated))


def retrained(result: Result) -> None:
    """For each model: whether it was time, and what came of it."""
    for row in result["models"]:
        _out().print(f"[bold]{row['kind']}[/]: {row['what']} ({row['why']})")


def journey(result: Result) -> None:
    """Rates by stage and segment, and the stage at which a gap opens."""
    out = _out()
    rows = (
        (r["stage"], r["attribute"], r["segment"], percent(r["rate"], 1), number(r["ratio"], 2), r["n"])
        for r in result["rows"]
    )
    out.print(_table("Journey", ("stage", "attribute", "segment", ">rate", ">ratio to best", ">n"), rows))
    for gap in result["gaps"]:
        out.print(f"[bold]Gap[/] {gap['why']}")
