"""Profiles and the targeting list on a terminal."""

from rich.markup import escape

from monitoring.checks import label
from perennial.print.text import (
    ROWS_SHOWN,
    Result,
    absent,
    grid,
    in_currency,
    money,
    number,
    percent,
    print_figures,
    print_grid,
    terminal,
)


def profiles(result: Result) -> None:
    """Profiles in words with the lift of each outcome on later data."""
    out = terminal()
    if not result["profiles"]:
        out.print("No profile holds up on the later data.")
    for place, profile in enumerate(result["profiles"], start=1):
        out.print(
            f"[bold]{place}. {escape(profile['rule'])}[/] ({profile['accounts']} accounts, "
            f"{percent(profile['share'])}; measured on {profile['n']})"
        )
        for name, part in profile["outcomes"].items():
            interval = f"{number(part['low'], 2)} to {number(part['high'], 2)}"
            here, everybody = (_outcome(name, part[whose]) for whose in ("value", "everyone"))
            values = f"{here}, everybody {everybody}"
            lift = f"lift {number(part['lift'], 2)} ({interval}, 95 %)"
            text = "too few seen" if absent(part["lift"]) else f"{values}, {lift}"
            out.print(f"   {name}: {text}")
    for note in result.get("notes", ()):
        out.print(f"[yellow]note[/] {escape(note)}")


def _outcome(name: str, value: float | None) -> str:
    """A figure of an outcome: hours of effort, else per cent."""
    return f"{number(value, 1)} h" if name == "effort" and not absent(value) else percent(value)


CARD = (
    ("who", "who they are"),
    ("buys", "what they buy"),
    ("channels", "what answers them"),
    ("when", "when (UTC)"),
    ("support", "the support they need"),
    ("values", "what they value in surveys"),
)


def personas(result: Result) -> None:
    """A card a profile: figures of its accounts beside everybody's."""
    out = terminal()
    if not result["personas"]:
        out.print("No profile holds up on the later data, so there is nobody to draw a card of.")
    for place, one in enumerate(result["personas"], start=1):
        out.print(
            f"[bold]{place}. {escape(one['rule'])}[/] ({one['accounts']} accounts, {percent(one['share'])})"
        )
        for name, words in CARD:
            figures = "; ".join(f"{f['words']} {f['inside']} (everyone {f['everyone']})" for f in one[name])
            nothing = "like everyone" if one["compared"][name] else "too little is known"
            out.print(f"   {words}: {escape(figures) or nothing}")
    for note in result.get("notes", ()):
        out.print(f"[yellow]note[/] {escape(note)}")


def targets(result: Result) -> None:
    """The head of the targeting list, what its grades have meant, and who it leaves out."""
    if "platform" in result:
        _audience(result)
        return
    out = terminal()
    rows = result["rows"][:ROWS_SHOWN]
    lines = (
        (
            escape(str(row.get("name") or row["id"])),
            "customer" if row["kind"] == "account" else row["kind"],
            row["grade"],
            escape(str(row.get("owner_name") or row.get("owner_id") or "–")),
            "–" if absent(row.get("contacts_allowed")) else row["contacts_allowed"],
            money(row.get("expected_value")),
            number(row.get("expected_effort_hours"), 1),
            escape(", ".join(str(row[name]) for name in ("industry", "country") if row.get(name))),
            escape(row.get("profile") or "; ".join(r["words"] for r in row["reasons"][:2])),
        )
        for row in rows
    )
    columns = (
        "who", "kind", "grade", "owner", ">contacts", f">{in_currency('expected value', result)}", ">hours",
        "industry, country",
        "profile, or why",
    )  # fmt: skip
    print_grid(out, f"Targets: first {len(rows)} of {len(result['rows'])}", columns, lines)
    _grades(result)
    for note in result.get("notes", ()):
        out.print(f"[yellow]note[/] {escape(note)}")


def _grades(result: Result) -> None:
    """What a grade has meant on later deals, and what the first of the list would have caught."""
    if result.get("grades"):
        rows = (
            (
                row["grade"],
                f"{row['deals']:,}",
                percent(row["win_rate"])
                if row["win_rate"] is None
                else f"{percent(row['win_rate'])} ({percent(row['low'])} to {percent(row['high'])})",
                percent(row["share_of_wins"]),
                percent(row["share_of_money"]),
            )
            for row in result["grades"]
        )
        columns = ("grade", ">later deals", ">win rate (90 %)", ">of the wins", ">of the money")
        terminal().print(grid("What a grade has meant", columns, rows))
    if not absent(result.get("conversions_caught")):
        ratio = result["band_ratio"]
        times = "" if absent(ratio) else f", {number(ratio, 1)} times the money of the last for each hour"
        terminal().print(
            f"On {result['later_deals']} later deals the first {percent(result['share_listed'])} of the list "
            f"held {percent(result['conversions_caught'])} of the wins and {percent(result['value_caught'])} "
            f"of their money{times}."
        )


def _audience(result: Result) -> None:
    out = terminal()
    rows = result["rows"][:ROWS_SHOWN]
    columns = [name for name in (rows[0] if rows else ()) if any(row[name] is not None for row in rows)]
    lines = ([escape(str(row[name] if row[name] is not None else "")) for name in columns] for row in rows)
    title = f"For {result['platform'].capitalize()}: first {len(rows)} of {len(result['rows'])}"
    print_figures(out, title, columns, list(lines))
    for note in result["notes"]:
        out.print(f"[yellow]note[/] {escape(note)}")


def reach(result: Result) -> None:
    """Each segment beside the market by channel, or two rules beside each other."""
    out = terminal()
    if "sets" in result:
        _rules(result)
    else:
        amount = in_currency("cost", result)
        columns = ("segment", "channel", ">market", ">share", ">reached", ">missing", f">{amount}")
        title = "Who is reached (verdict where it is not ok)"
        print_grid(out, title, (*columns, "verdict"), list(map(_reach_line, result["rows"])))
        out.print(
            "share: of those reached; reached: of its accounts; missing: accounts more until its share is "
            "the market's, and what reaching them costs."
        )
        cost = result["contact_cost"]
        if cost is not None:
            ends = "" if cost["low"] is None else f" ({money(cost['low'])} to {money(cost['high'])})"
            each = f"{money(cost['cost_each'])}{ends}"
            out.print(
                f"Reaching an account once by a campaign has cost {each}, over {cost['campaigns']} campaigns."
            )
    for column, why in result["taken_out"].items():
        out.print(f"[yellow]not for rules[/] {escape(column)}: {escape(why)}")
    for note in result["notes"]:
        out.print(f"[yellow]note[/] {escape(note)}")


def _reach_line(row: Result) -> tuple[str, ...]:
    return (
        escape(f"{row['attribute']}: {row['value']}"),
        row["channel"],
        percent(row["market"], 1),
        percent(row["share"], 1),
        percent(row["rate"]),
        number(row["missing"], 0),
        money(row["cost_missing"]),
        _reach_verdict(row),
    )


def _reach_verdict(row: Result) -> str:
    if row["verdict"] == "ok":
        return ""
    words = label(row["verdict"], None, None)
    return f"{words}: {escape(row['why'])}" if row["verdict"] == "alert" else words


def _rules(result: Result) -> None:
    out = terminal()
    out.print(f"[bold]{escape(result['rule'])}[/] → [bold]{escape(result['instead'])}[/]")
    lines = (
        (
            row["set"],
            f"{row['accounts']:,}",
            f"{row['deals']:,}",
            "too few deals"
            if absent(row["win_rate"])
            else f"{percent(row['win_rate'])} ({percent(row['low'])} to {percent(row['high'])})",
            f"{row['unreached']:,}",
            money(row["cost_unreached"]),
        )
        for row in result["sets"]
    )
    heads = (
        "who",
        ">accounts",
        ">deals",
        ">win rate (90 %)",
        ">not reached yet",
        f">{in_currency('cost to reach', result)}",
    )
    print_figures(out, "What the change changes", heads, list(lines))
    segments = (
        (
            escape(f"{row['attribute']}: {row['value']}"),
            percent(row["before"]),
            percent(row["after"]),
            number(row["ratio_after"], 2),
            label(row["verdict"], None, None),
        )
        for row in result["segments"]
    )
    if result["segments"]:
        columns = ("segment", ">qualify before", ">after", ">ratio to the rest", "verdict")
        print_figures(out, "By segment", columns, list(segments))
    unknown = {name: count for name, count in result["not_known"].items() if count}
    for name, count in unknown.items():
        out.print(
            f"[yellow]note[/] {escape(name)} of {count:,} accounts is not known: they do not qualify by it"
        )
