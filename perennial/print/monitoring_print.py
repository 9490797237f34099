"""What the checks and the journey say, on a terminal.

How segments are treated, on a terminal.
"""

from rich.markup import escape

from monitoring.checks import WAIVED, label, waiver_words
from perennial.print.text import (
    VERDICT_STYLE,
    Result,
    grid,
    money,
    number,
    percent,
    print_figures,
    print_grid,
    terminal,
)
from serving.pages.kpi_charts import figure_words

ESTIMATE = "estimate before outcomes"


def monitored(result: Result) -> None:
    """The verdict, then every check that is not ok, then how many are."""
    out = terminal()
    out.print(f"Verdict: [{VERDICT_STYLE[result['verdict']]}]{label(result['verdict'], None, None)}[/]")
    for one in result.get("waived", ()):
        out.print(
            f"[yellow]{one['kind']} {one['version']}[/] {WAIVED}: {one['gate']}, {waiver_words(one)}",
            markup=True,
        )
    looked_at = [check for check in result["checks"] if not check["name"].startswith((ESTIMATE, WAIVED))]
    judged_checks = [check for check in looked_at if _label(check) != "no verdict"]
    failing = [check for check in judged_checks if check["verdict"] != "ok"]
    fine = len(judged_checks) - len(failing)
    rows = (
        (
            escape(check["name"]),
            f"[{VERDICT_STYLE[check['verdict']]}]{_label(check)}[/]",
            number(check.get("value")),
            number(check.get("threshold")),
            escape(check.get("segment") or ""),
            escape(check["why"]),
        )
        for check in sorted(failing, key=lambda check: check["verdict"])[:40]
    )
    if failing:
        print_grid(out, "", ("check", "verdict", ">value", ">limit", "of", "why"), rows)
    bare = len(looked_at) - len(judged_checks)
    out.print(f"{fine} checks are ok" + (f"; {bare} figures have no limit, so no verdict." if bare else "."))
    for kind in dict.fromkeys(check["kind"] for check in result["checks"]):
        guessed = [c for c in result["checks"] if c["kind"] == kind and c["name"].startswith(ESTIMATE)]
        figures = ", ".join(f"{check['name'].split(': ')[1]} {number(check['value'])}" for check in guessed)
        if guessed:
            out.print(f"Before outcomes ({kind}): {figures}: {guessed[0]['why']}.")
    alert_facts = result["alerts"]
    for alert in alert_facts["opened"]:
        out.print(f"[bold]New alert[/] {alert['alert_id'][:8]} {escape(alert['title'])}")
    for alert in alert_facts["grown"]:
        repeat = f"{alert['title']}: {', '.join(alert['joined'])}"
        out.print(f"[bold]More on[/] {alert['alert_id'][:8]} {escape(repeat)}")
    out.print(f"Alerts: {alert_line(alert_facts['figures'])}.")
    if result.get("html"):
        out.print(f"Report: {result['html']}")


def _label(check: Result) -> str:
    return label(check["verdict"], check.get("value"), check.get("threshold"), check["name"])


def alerts(result: Result) -> None:
    """Open alerts, and how long alerts take."""
    out = terminal()
    columns = ("alert", "state", "opened", "owner", "what")
    rows = (
        (
            row["alert_id"][:8],
            row["state"],
            f"{row['opened_at']:%Y-%m-%d %H:%M}",
            escape(row["owner"] or ""),
            escape(": ".join([row["title"], "; ".join(row["reasons"][:3])][: 1 + bool(row["reasons"])])),
        )
        for row in result["alerts"]
    )
    if result["alerts"]:
        print_grid(out, "Alerts", columns, rows)
    else:
        out.print("No open alert; `perennial monitor` opens them, `--state all` shows closed ones.")
    out.print(alert_line(result["figures"]))


def alert_line(figures: Result) -> str:
    """How many alerts there are and how long they take, in one line."""
    counts = f"{figures['open']} open, {figures['acknowledged']} taken on, {figures['closed']} closed"
    hours = [("to close", "median_hours_to_close"), ("to be taken on", "median_hours_to_acknowledge")]
    delays = [f"{figures[name]:.1f} h {word} (median)" for word, name in hours if figures[name] is not None]
    return "; ".join([counts, *delays])


def compared(result: Result) -> None:
    """Two versions: who was closer to how things ended, then their figures side by side."""
    out = terminal()
    one, other = (f"version {v}" for v in result["versions"])
    outcome = result["on_outcomes"]
    out.print(f"{result['model']}, {one} beside {other}")
    out.print(
        f"On outcomes of what both scored, closer: [bold]{outcome['closer']}[/] ({escape(outcome['why'])})."
    )
    shown = {name: row for name, row in result["metrics"].items() if not name.startswith("baseline.")}
    rows = (
        (name, *(number(row[part], 0 if name.endswith(".n") else 3) for part in ("one", "other", "change")))
        for name, row in shown.items()
    )
    out.print(grid("Figures when trained", ("", f">{one}", f">{other}", ">change"), rows))
    for name, (a, b) in result["params"].items():
        out.print(f"{name}: {escape(str(a))} → {escape(str(b))}")
    if not result["same_data"]:
        out.print("They were trained and judged on different data: only outcomes compare them alike.")


def judged(result: Result) -> None:
    """Who was closer to what happened, then calibration by what was done about the scores."""
    out = terminal()
    rows = (
        (
            row["kind"],
            row["who"],
            escape((row["segment"] or "all").replace("=", " ")),
            f"{row['rows']:,}",
            *(number(each) for each in _pair(row["log_loss"], row["who"])),
            "theirs" if row["closer"] == row["who"] else row["closer"],
            _difference(row),
        )
        for row in result["compared"]
    )
    columns = ("kind", "against", "of", ">rows", ">model", ">theirs", "closer", "difference")
    if result["compared"]:
        print_grid(out, "Who was right (log loss: less is better)", columns, rows)
    words = (
        (
            r["kind"],
            escape(r["category"]),
            r["rows"],
            percent(r["came_true"]),
            percent(r["model"]),
            r["known"],
        )
        for r in result["categories"]
    )
    if result["categories"]:
        heads: tuple[str, ...] = ("kind", "forecast", ">rows", ">came true", ">model said", "known")
        out.print(grid("Forecasts in words", heads, words))
    calibration = ((r["kind"], r["rows_of"], r["rows"], percent(r["said"], 1), percent(r["turned_out"], 1),
             "–" if r["low"] is None else f"{r['gap']:+.3f} ({r['low']:+.3f} to {r['high']:+.3f})")
            for r in result["calibration"])  # fmt: skip
    if result["calibration"]:
        heads = ("kind", "of", ">rows", ">scores said", ">turned out well", ">gap")
        print_figures(out, "Calibration, by what was done about the scores", heads, calibration)
    for note in result["notes"]:
        out.print(f"[yellow]note[/] {note}")


def _difference(row: Result) -> str:
    """By how much the model was nearer, or why that is not known."""
    if row["gain"] is None:
        return str(row.get("why") or "")
    return f"difference {row['gain']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f}, 98 %)"


def _pair(figures: Result | None, who: str) -> tuple[float | None, float | None]:
    return (None, None) if figures is None else (figures["model"], figures[who])


def journey(result: Result) -> None:
    """Rates by stage and segment, and the stage at which a gap opens; or the map of touchpoints."""
    out = terminal()
    if "map" in result:
        _map(result)
        return
    rows = (
        (
            r["stage"],
            r["attribute"],
            escape(r["segment"]),
            percent(r["rate"], 1),
            "–" if r["rate"] is None else f"{100 * r['low']:.1f}–{percent(r['high'], 1)}",
            number(r["ratio"], 2),
            "–" if r["n"] is None else f"{r['n']:,}",
        )
        for r in result["rows"]
    )
    columns = ("stage", "attribute", "segment", ">rate", ">90 % interval", ">to best", ">n")
    print_figures(out, "Journey", columns, rows)
    if any(r["rate"] is None for r in result["rows"]):
        out.print("A dash: too few accounts; figures are not shown.")
    _costs(result["costs"])
    first: set[str] = set()
    for gap in result["gaps"]:
        opening = "Gap" if gap["attribute"] in first else "The gap opens here"
        first.add(gap["attribute"])
        out.print(f"[bold]{opening}[/] {escape(gap['why'])}")
    if result["compared"] and not result["gaps"]:
        out.print(f"No gap beyond chance by {', '.join(result['compared'])}.")
    if result["not_compared"]:
        out.print(f"Shown, not tested for gaps: {', '.join(result['not_compared'])}.")


def _costs(costs: list[Result]) -> None:
    """What a win cost in campaigns, by segment."""
    rows = (
        (
            row["attribute"],
            escape(row["segment"]),
            *(money(row[name]) for name in ("cost", "wins", "cost_per_win")),
        )
        for row in costs
    )
    if costs:
        columns = ("attribute", "segment", ">campaign cost", ">accounts won", ">CAC")
        print_figures(terminal(), "Cost of acquisition", columns, rows)


_SHOWN = 20


def options(result: Result) -> None:
    """What was declared, how each segment fares, what gives it away, and the options with their price."""
    out, declared = terminal(), result["declared"]
    out.print(f"Parity: [{VERDICT_STYLE[result['verdict']]}]{label(result['verdict'], None, None)}[/]")
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
            f"[{VERDICT_STYLE[check['verdict']]}]{label(check['verdict'], None, None)}[/]",
            check["why"],
        )
        for check in decisive[:_SHOWN]
    )
    columns = ("segment", ">n", ">here", ">the rest", ">ratio", "verdict", "why")
    print_grid(terminal(), f"The {result['declared']['primary']} by segment", columns, rows)


def _stand_ins(result: Result) -> None:
    rows = (
        (
            escape(row["segment"]),
            escape(row["column"]),
            number(row["auc"], 2),
            "–" if row["low"] is None else f"{row['low']:.2f}–{row['high']:.2f}",
            f"[{VERDICT_STYLE[row['verdict']]}]{label(row['verdict'], None, None)}[/]",
            row["why"],
        )
        for row in result["proxies"][:_SHOWN]
    )
    columns = ("segment", "given away by", ">AUC", ">90 % interval", "verdict", "why")
    print_grid(terminal(), "Proxies", columns, rows)


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
    print_grid(terminal(), "What could be done, judged on rows not learned from", columns, rows)


def _span(row: Result, name: str, digits: int) -> str:
    if row.get(name) is None:
        return "–"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def _map(result: Result) -> None:
    """What happens on each persona's journey, what is measured there, and what is missing."""
    out = terminal()
    for persona in dict.fromkeys(row["persona"] for row in result["map"]):
        rows = [row for row in result["map"] if row["persona"] == persona]
        columns = ("stage", "touchpoint", ">customers", "measured", "missing")
        print_grid(out, f"Journey of {persona}, last 365 days", columns, map(_place, rows))
    for note in result["notes"]:
        out.print(f"[yellow]note[/] {escape(note)}")


def _place(row: Result) -> tuple[str, ...]:
    words = ", ".join(_measured(each) for each in row["measured"] if each["value"] is not None)
    return (row["stage"], row["touchpoint"], percent(row["share"]), words or "–", row["missing"] or "")


def _measured(each: Result) -> str:
    return f"{each['kpi']} {figure_words(each['value'], each['unit'])}"
