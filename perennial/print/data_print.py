"""What is said of data on a terminal.

Who is out there, on a terminal.

Plain facts and lists on a terminal.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from perennial.print.text import (
    Result,
    day,
    grid,
    money,
    percent,
    print_figures,
    print_grid,
    short,
    terminal,
)

_MENDED, _COLUMNS, _NAMED = 8, 9, 12
_SCOPES = {"owner_id": "owner", "manager_id": "team of", "region": "region"}


def simulated(result: Result) -> None:
    """What was written, and where the truth is."""
    out = terminal()
    out.print(
        f"A simulated CRM is in [bold]{result['folder']}[/]; what is true of it is in truth.json there."
    )
    out.print(f"Next: perennial train renewal --crm {result['folder']}")


def quality(result: Result) -> None:
    """Rows kept and set aside for each table, then every reason with an example."""
    out = terminal()
    tables = result["tables"]
    lines = [
        (
            name,
            *(f"{table[part]:,}" for part in ("rows", "kept", "quarantined", "left_out")),
            day(table["first"]),
            day(table["last"]),
        )
        for name, table in tables.items()
    ]
    columns = ("table", ">read", ">kept", ">quarantined", ">known later", "from", "to")
    print_figures(out, "Data quality", columns, lines)
    for name, table in tables.items():
        for reason, faults in table["reasons"].items():
            _indented(
                out, f"{name}: {faults['count']} × {_reason(reason, faults['count'], faults['examples'])}"
            )
    for reading in result["readings"]:
        out.print(f"[cyan]read[/] {escape(reading)}")
    for warning in result["warnings"]:
        out.print(f"[yellow]note[/] {escape(warning)}")
    out.print(
        f"{result['rows']:,} rows read, {result['quarantined']:,} put aside; nothing was dropped silently."
    )


def _reason(reason: str, count: int, examples: list[str]) -> str:
    """Why rows were put aside, with the value of one of them in place of the reason's dots or behind it."""
    before, _, after = reason.partition("…")
    example = next(iter(examples), reason)
    if example == reason or count == 1:
        return example
    if example.startswith(before) and example.endswith(after):
        example = example[len(before) : len(example) - len(after)]
    return f"{reason}, e.g. {example}"


def ingested(result: Result) -> None:
    """The quality of what was kept, and what can be done with it."""
    quality(result)
    terminal().print(
        "Next: `perennial check` says what it can answer, `perennial train renewal` learns from it."
    )


def erased(result: Result) -> None:
    """Where a customer was erased from, or that nothing was on record."""
    out = terminal()
    removed = {place: count for place, count in result["removed"].items() if count}
    worked_out = removed.pop("answers worked out", 0)
    if not removed:
        out.print(f"Nothing of {escape(result['account'])} is on record here. Is it the account_id?")
        return
    rows = [(place, f"{count:,}") for place, count in removed.items()]
    out.print(grid(f"Removed: {escape(result['account'])}", ("from", ">rows"), rows))
    out.print(
        "Looked again: nothing is left."
        if not any(result["left"].values())
        else "Something came back: run it again."
    )
    if worked_out:
        out.print("Effects, profiles and the like are recomputed without it.")


def _indented(out: Console, line: str, by: int = 2) -> None:
    """A line that goes on under itself where the terminal is narrow."""
    out.print(Padding(escape(line), (0, 0, 0, by)))


def checked(result: Result) -> None:
    """What the data can answer, what to mend first, how they were understood; then their quality."""
    out = terminal()
    rows = [
        (a["answer"], a["state"], a["found"], "" if a["state"] == "ready" else f"needed: {a['need']}")
        for a in result["answers"]
    ]
    print_grid(out, "Is it usable?", ("answer", "state", "there is", ""), rows)
    for why, answers in _reasons(result["answers"]).items():
        _indented(out, f"{', '.join(answers)}: {why}")
    if result["mend"]:
        out.print("[bold]What to mend first[/]")
    for i, mend in enumerate(result["mend"][:_MENDED], 1):
        gain = [f"opens {', '.join(mend['opens'])}"] if mend["opens"] else []
        gain += [f"helps {', '.join(mend['helps'])}"] if mend["helps"] else []
        _indented(out, f"{i}. {mend['do']} ({'; '.join(gain)})")
    for table in ("contracts", "opportunities"):
        _understood(out, table, result["understood"].get(table) or [])
    quality(result)


def _reasons(answers: list[Result]) -> dict[str, list[str]]:
    """Each reason once, with the answers it blocks; what the table says already is left out."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for answer in answers:
        for why in answer["why"]:
            if why.removeprefix("there is ").removeprefix("there are ") != answer["found"]:
                reasons[why].append(answer["answer"])
    return reasons


def _understood(out: Console, table: str, rows: list[Result]) -> None:
    """Rows as they were read: as many of their columns as the terminal holds."""
    if not rows:
        return
    cells = {
        name: [short(row[name]) if row[name] is not None else "–" for row in rows]
        for name in rows[0]
        if any(row[name] is not None for row in rows)
    }
    names, width = list(cells)[:_COLUMNS], 0
    for i, name in enumerate(names):
        width += max(map(len, [name, *cells[name]])) + 2
        if i > 1 and width > out.width:
            names = names[:i]
            break
    left = f" ({len(cells) - len(names)} more columns: --json)" if len(names) < len(cells) else ""
    out.print(
        grid(f"{table}, as understood{left}", names, zip(*(cells[name] for name in names), strict=True))
    )


def mapped(result: Result) -> None:
    """The drafted lines, what is asked and what stays unmapped."""
    out = terminal()
    rows = ((f"{x['table']}.{x['column']}", ", ".join(x["from"]), x["confidence"]) for x in result["lines"])
    columns = ("column", "from", "confidence")
    print_figures(out, f"Drafted: {escape(str(result['mapping']))}", columns, list(rows))
    for question in result["questions"]:
        out.print(f"[yellow]asks[/] {escape(question)}")
    for name, columns in result["unmapped_columns"].items():
        _indented(out, f"not mapped in {name}: {_first_few(columns)}")
    if result["unmapped_files"]:
        _indented(out, f"not mapped at all: {_first_few(result['unmapped_files'])}")
    out.print("Read it through, correct it, then run `perennial check` on the folder.")


def _first_few(names: list[str]) -> str:
    """Names in a line; of many the first."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more, which the mapping names" if more > 0 else "")


def features(result: Result) -> None:
    """The catalogue, one line a feature."""
    rows = ((f["name"], f["touchpoint"], f["unit"], f["collected"], f["words"]) for f in result["features"])
    columns = ("feature", "touchpoint", "unit", "collected", "meaning")
    print_grid(terminal(), f"{len(result['features'])} features", columns, rows)


def touchpoints(result: Result) -> None:
    """The touchpoint catalogue, a line a data point; where and how each is collected is in --json."""
    out = terminal()
    rows = result["rows"]
    if not rows:
        out.print("Nothing is missing: every data point that a feature or a KPI reads is on record.")
        return
    title = f"{len(rows)} data points, {sum(bool(row['missing']) for row in rows)} of them missing"
    columns = ("touchpoint", "data point", "parameter", ">renewal", ">win", "KPIs", ">filled", "missing")
    print_grid(out, title, columns, map(_data_point, rows))
    out.print("How each is collected, and who uses it: --json or --out FILE, and docs/touchpoints.md.")


def _data_point(row: Result) -> tuple[Any, ...]:
    names = (row["touchpoint"], row["data_point"], row["parameter"])
    used = (len(row["renewal"]), len(row["win"]), ", ".join(row["kpis"]))
    return (*names, *map(str, used), percent(row["filled"]), row["missing"] or "")


def matched(result: Result) -> None:
    """How many records of which system make how many customers, and what is left to look at."""
    out = terminal()
    systems = ", ".join(f"{n:,} of {name}" for name, n in result["records"].items())
    out.print(f"{systems}: {result['customers']:,} customers.")
    out.print(f"{result['joined']:,} joins by themselves; {result['to_review']:,} pairs to look at.")
    if result["without_account"]:
        out.print(f"{result['without_account']:,} customers of other systems are like no account of the CRM.")
    out.print("Next: perennial identity list --out review.csv, then decide, then ingest again.")


def outcomes(result: Result) -> None:
    """How many outcomes were new, known already, or in conflict."""
    terminal().print(", ".join(f"{count} {name}" for name, count in result.items()))


def census(result: Result) -> None:
    """People by attribute and value over all areas fetched."""
    out = terminal()
    people: dict[tuple[str, str], int] = defaultdict(int)
    of: dict[str, int] = defaultdict(int)
    for row in result["rows"]:
        people[row["attribute"], row["value"]] += row["people"]
        of[row["attribute"]] += row["people"]
    rows = ((a, v, money(n), percent(n / of[a] if of[a] else None, 1)) for (a, v), n in people.items())
    title = f"{result['source']}: {result['areas']:,} areas"
    out.print(grid(title, ("attribute", "value", ">people", ">share"), rows))
    if result["withheld"]:
        out.print(f"[yellow]note[/] {result['withheld']:,} counts are withheld by the Bureau and left out.")
    out.print("Put the rows into the CRM folder as population.csv (--out FILE); then `perennial journey`.")


def joined(result: Result) -> None:
    """How many accounts were found in an area, and what a share is worth."""
    out = terminal()
    without = f" (such as {escape(result['not_found'])})" if result["not_found"] else ""
    out.print(
        f"{result['matched']:,} accounts have an area by {result['column']}, "
        f"{result['unmatched']:,} have none{without}; {len(result['rows']):,} rows of segments."
    )
    out.print(f"[yellow]note[/] {result['caveat']}")
    out.print("Put the rows into the CRM folder as segments.csv (--out FILE); parity and journey read them.")


def key(result: Result) -> None:
    """A new key, and how to use it."""
    facts(result)
    terminal().print("It is shown this once. Sign in with it, or send it as `Authorization: Bearer KEY`.")


def keys(result: Result) -> None:
    """The keys, without their secrets."""
    rows = [
        {
            **{name: row[name] for name in ("prefix", "role", "label")},
            "sees": ", ".join(f"{what} {row[name]}" for name, what in _SCOPES.items() if row[name]) or "all",
            "created": row["created_at"],
            "revoked": row["revoked_at"],
        }
        for row in result["keys"]
    ]
    _listed(rows, "Keys", "No key was created yet: `perennial keys create sales`.")


def requests(result: Result) -> None:
    """Survey requests, and where none is, what makes some."""
    nothing = "Nobody was asked yet: rules in `voice.yaml` of the home ask as a service runs (README)."
    _listed(result["requests"], "Survey requests", nothing)


def pairs(result: Result) -> None:
    """Pairs of records that may be one customer."""
    rows = [
        {**row, "probability": percent(row["probability"], 1), "decision": row["decision"] or "open"}
        for row in result["rows"]
    ]
    nothing = (
        "No pair waits for a decision. Find some with `perennial identity match --records SYSTEM=FILE`; "
        "--all shows what is decided."
    )
    _listed(rows, "Pairs that may be one customer", nothing)


def _listed(rows: list[Result], title: str, nothing: str) -> None:
    """Rows, a column for each key; without any, why and what makes some."""
    if not rows:
        terminal().print(nothing)
        return
    lines = [[_cell(row.get(column)) for column in rows[0]] for row in rows]
    print_figures(terminal(), title, [name.replace("_", " ") for name in rows[0]], lines)


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "–"
    return f"{value:%Y-%m-%d %H:%M}" if hasattr(value, "strftime") else escape(short(value))


def facts(result: Result) -> None:
    """A result that is a few named facts, those with facts of their own one step in."""
    out = terminal()
    for depth, line in _fact_lines(result):
        _indented(out, line, depth)


def _fact_lines(result: Result, depth: int = 0) -> Iterable[tuple[int, str]]:
    """Lines, each with its indentation."""
    for name, value in result.items():
        label = name.replace("_", " ")
        if isinstance(value, dict) and value:
            yield depth, f"{label}:"
            yield from _fact_lines(value, depth + 2)
        elif isinstance(value, list) and any(isinstance(part, dict) for part in value):
            yield depth, f"{label}: {len(value)} rows; --json lists them"
        elif value not in (None, {}, []):
            yield depth, f"{label}: {short(value)}"
