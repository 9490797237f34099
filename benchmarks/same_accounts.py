"""What pages state of customers beside routes, files and quick commands: forecast, contact, KPIs, reach, …"""

from typing import Any

import pandas as pd

from benchmarks.statements import Facts, Source
from serving.pages.kpi_charts import figure_words
from serving.pages.profiles_page import OUTCOMES
from serving.pages.view import money, number, percent, short_day

MOST_CUSTOMERS = 10
"""Customers' pages that are opened."""


def compare_customers(source: Source, facts: Facts) -> None:
    """All of it; what is still being worked out is left out."""
    _forecast(source, facts)
    _contact(source, facts)
    _what_if(source, facts)
    _experiments(source, facts)
    _identity(source, facts)
    _touchpoints(source, facts)
    _playbooks(source, facts)
    _journey(source, facts)
    if has(source, "/v1/kpis"):
        _kpis(source, facts)
    if has(source, "/v1/icp/reach"):
        _reach(source, facts)
        _profiles(source, facts)


def has(source: Source, route: str) -> bool:
    """Whether the service has worked an answer out."""
    return bool(source.client.get(route).status_code == 200)


def _forecast(source: Source, facts: Facts) -> None:
    """The page's tiles and tables against the route."""
    answer, page = source.json("/v1/forecast"), source.page("/forecast")
    if not answer["months"]:
        return
    whole = answer["months"][-1]
    tiles = {
        "Renewals due": money(whole["up"]),
        "Expected to be kept": money(whole["expected"]),
        "Committed": money(whole["committed"]),
        "Gross retention": percent(whole["gross"]),
        "Net retention": percent(whole["net"]),
    }
    for name, words in tiles.items():
        facts.same(name, "/forecast", words, page.tiles.get(name))
    rows = {row[""]: row for row in page.rows if row.get("")}
    for each in answer["months"]:
        month = each["month"]
        shown = rows.get("All" if month == "all" else pd.Period(month, "M").strftime("%b %y"), {})
        facts.same(f"due in {month}", "/forecast", money(each["up"]), shown.get("Renewals due"))
        facts.same(f"expected in {month}", "/forecast", money(each["expected"]), shown.get("Expected"))
    for each in answer["categories"]:
        shown = rows.get(each["name"].capitalize(), {})
        facts.same(f"{each['name']}, model", "/forecast", money(each["model"]), shown.get("By the model"))
        facts.same(f"{each['name']}", "/forecast", money(each["expected"]), shown.get("With overrides"))


def _contact(source: Source, facts: Facts) -> None:
    """When to make first contact: the plan's file, its page, the list, the customer's page."""
    if source.client.get("/effects/plan.csv").status_code != 200:
        return
    plan = source.file("/effects/plan.csv").astype(object)
    rows: list[dict[str, Any]] = [
        {str(name): None if value != value else value for name, value in row.items()}
        for row in plan.to_dict("records")
    ]
    page = source.page("/effects")
    contacted = sum(row["contacted_on"] is not None for row in rows)
    advised = sum(bool(row["window"]) for row in rows)
    facts.same("contracts contacted", "/effects", f"{contacted:,}", page.tiles.get("Contacted already"))
    facts.same("contracts with advice", "/effects", f"{advised:,}", page.tiles.get("Contracts with advice"))
    listed = {row["id"]: row for row in source.page("/renewals").rows if "id" in row}
    for row in rows:
        if row["contract_id"] in listed:
            shown = listed[row["contract_id"]].get("Best contact", "")
            facts.same(
                f"contact of {row['contract_id']} ({shown})", "/renewals", True, _in_cell(row) in shown
            )
    for row in sorted(rows, key=lambda row: -(row["worth"] or 0.0))[:MOST_CUSTOMERS]:
        text = source.page(f"/accounts/{row['account_id']}").text
        about = text.partition(f"Contract {row['contract_id']} ")[2].partition("Customers like this one")[0]
        worth = "" if row["worth"] is None else f"Worth {money(row['worth'])}"
        place = f"/accounts/{row['account_id']}"
        facts.same(f"worth of contact with {row['contract_id']}", place, True, worth in about)
        facts.same(f"why of contact with {row['contract_id']}", place, True, row["why"][1:] in about)


def _in_cell(row: dict[str, Any]) -> str:
    """When to make contact, as the list says it."""
    if row["contacted_on"]:
        return f"Made {short_day(row['contacted_on'])}"
    if row["window"] and row["act_by"]:
        return f"by {short_day(row['act_by'])}"
    return "Leave alone" if row["window"] else row["why"]


def _what_if(source: Source, facts: Facts) -> None:
    """The likelihood now and changed: the list, the route, the piece of the page."""
    for row in source.json("/v1/renewals?limit=5")["rows"]:
        body = {"contract_id": row["contract_id"], "changes": {"discount_pct": 10}}
        score = source.client.post("/v1/what_if", json=body).raise_for_status().json()["score"]
        if score.get("difference") is None:
            continue
        place = f"/what-if/{row['contract_id']}"
        facts.same(f"likelihood of {row['contract_id']}", "/v1/what_if", row["probability"], score["now"])
        text = source.page(f"{place}?discount_pct=10").text
        stated = f"{percent(score['now'])} → {percent(score['changed'])}" in text
        facts.same(f"likelihood of {row['contract_id']}, changed", place, True, stated)


def _experiments(source: Source, facts: Facts) -> None:
    """Outcomes, effects and verdict of each experiment."""
    listed = source.json("/v1/experiments")["experiments"]
    printed, text = source.command("experiment", "list")["experiments"], source.page("/experiments").text
    facts.same("experiments", "perennial experiment list", len(listed), len(printed))
    facts.same("experiments", "/v1/experiments", len(printed), len(listed))
    is_open = [one for one in printed if one["state"] == "open"]
    if len(is_open) == 1:
        status = source.command("experiment", "status", is_open[0]["experiment"])
        for name in ("outcomes_known", "needed", "verdict"):
            stated = status.get(name)
            facts.same(f"{name} by status", "perennial experiment status", is_open[0].get(name), stated)
    for one, other in zip(listed, printed, strict=False):
        for name in ("experiment", "state", "advice", "outcomes_known", "needed", "verdict", "why"):
            facts.same(
                f"{name} of {one['experiment']}", "perennial experiment list", one[name], other.get(name)
            )
        facts.same(f"experiment {one['experiment']}", "/experiments", True, one["experiment"] in text)
        if one["verdict"] is not None:
            facts.same(f"verdict of {one['experiment']}", "/experiments", True, one["why"][1:] in text)


def _identity(source: Source, facts: Facts) -> None:
    """Pairs of records that wait for a decision."""
    waiting = len(source.command("identity", "list")["rows"])
    page = source.page("/identity")
    facts.same("pairs to decide", "/identity", True, f"To decide ({waiting:,})" in page.text)
    status = source.page("/status").text
    words = "no pair of records waits" if not waiting else f"{waiting:,} pair"
    facts.same("pairs to decide", "/status", True, words in status or "Identity" not in status)


def _touchpoints(source: Source, facts: Facts) -> None:
    """Data points, and those not on record."""
    rows = source.command("features", "touchpoints")["rows"]
    missing = [row for row in rows if row["missing"]]
    text = source.page("/touchpoints").text
    words = f"All {len(rows)} data points are on record"
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        words = f"Of {len(rows)} data points {len(missing)} {verb} not on record"
    facts.same(f"data points ({words})", "/touchpoints", True, words in text)
    for touchpoint in dict.fromkeys(row["touchpoint"] for row in rows):
        here = [row for row in rows if row["touchpoint"] == touchpoint]
        query = source.client.build_request("GET", "/", params={"touchpoint": touchpoint}).url.query
        shown = {row.get("", ""): row for row in source.page(f"/touchpoints?{query.decode()}").rows}
        for row in here:
            cell = next((each for name, each in shown.items() if name.startswith(row["data_point"])), {})
            words = "missing" if row["missing"] else percent(row["filled"])
            stated = cell.get("On record", "").startswith(words)
            facts.same(f"{row['data_point']} ({words})", "/touchpoints", True, stated)


def _playbooks(source: Source, facts: Facts) -> None:
    rows = {row["playbook"].capitalize(): row for row in source.command("tasks", "judge")["playbooks"]}
    shown = {row["Playbook"]: row for row in source.page("/voice").rows if "Playbook" in row}
    facts.same("playbooks", "perennial tasks judge", sorted(shown), sorted(rows))
    for name, row in rows.items():
        for part, heading in (("begun", "Begun"), ("open", "Steps open"), ("late", "Late")):
            facts.same(f"{part} of {name}", "/voice", number(row[part], 0), shown.get(name, {}).get(heading))


def _journey(source: Source, facts: Facts) -> None:
    """Rates of each stage and segment, and the gaps named."""
    answer = source.command("journey")
    page = source.page("/journey")
    rows = [row for row in page.rows if "Of the best" in row]
    if not rows and answer["rows"]:
        return  # not worked out yet
    facts.same("stages and segments", "/journey", len(answer["rows"]), len(rows))
    for row, shown in zip(answer["rows"], rows, strict=False):
        name = f"{row['stage']} of {row['segment']}"
        facts.same(f"{name}, accounts", "/journey", number(row["accounts"], 0), shown["Accounts"])
        if row["rate"] is not None:
            words = percent(row["rate"], 2 if row["stage"] == "reach" else 0)
            facts.same(f"{name} ({words})", "/journey", True, shown["Goes on"].startswith(words))
    for gap in answer["gaps"]:
        facts.same(f"gap of {gap['segment']}", "/journey", True, gap["why"] in page.text)
    shown_gaps = source.html("/journey").count('class="gap"')
    facts.same("gaps", "perennial journey", shown_gaps, len(answer["gaps"]))


def _kpis(source: Source, facts: Facts) -> None:
    """Each KPI's last quarter, and what moves it."""
    answer, page = source.json("/v1/kpis"), source.page("/kpis")
    for kpi in answer["kpis"]:
        figures = [row for row in answer["series"] if row["kpi"] == kpi["kpi"] and row["value"] is not None]
        if figures and kpi["why"] is None:
            last = figures[-1]
            low, high = (figure_words(last[name], kpi["unit"]) for name in ("low", "high"))
            words = f"{figure_words(last['value'], kpi['unit'])} {low} to {high}, {last['quarter']}, n "
            facts.same(f"last {kpi['kpi']} ({words})", "/kpis", True, words in page.text)
    everybody = [row for row in answer["movers"] if row["dimension"] == "all"]
    moved = [row for row in everybody if row["verdict"] != "can't tell"]
    shown = [row for row in page.rows if "Plain difference" in row]
    facts.same("touchpoints that move a KPI", "/kpis", len(everybody), len(shown))
    for row, line in zip(moved, shown, strict=False):
        words = figure_words(row["estimate"], row["unit"], signed=True)
        stated = line["Difference"].startswith(words)
        facts.same(f"{row['touchpoint']} on {row['kpi']} ({words})", "/kpis", True, stated)


def _reach(source: Source, facts: Facts) -> None:
    """Segments by channel, and those clearly missed."""
    answer, page = source.json("/v1/icp/reach"), source.page("/reach")
    shown = [row for row in page.rows if "Of reached" in row]
    facts.same("segments by channel", "/reach", len(answer["rows"]), len(shown))
    by_channel = sorted(answer["rows"], key=lambda row: list(answer["channels"]).index(row["channel"]))
    for row, line in zip(by_channel, shown, strict=False):
        name = f"{row['attribute'].replace('_', ' ')}: {row['value']}"
        facts.same(f"segment {name} in {row['channel']}", "/reach", name, line[""])
        words = "too little data" if row["verdict"] == "unknown" else row["verdict"]
        stated = line["Verdict"].startswith(words)
        facts.same(f"verdict of {name} in {row['channel']} ({words})", "/reach", True, stated)
        rate = line["Of its accounts"]
        facts.same(f"reached of {name} in {row['channel']}", "/reach", percent(row["rate"]), rate)


def _profiles(source: Source, facts: Facts) -> None:
    """Lift and figures of each profile; the list's rows and what it catches."""
    answer, page = source.json("/v1/icp/profiles"), source.page("/profiles")
    shown = [row for row in page.rows if {"Here", "Everybody", "Lift"} <= set(row)]
    outcomes = [
        (profile["rule"], name, profile["outcomes"][name])
        for profile in answer["profiles"]
        for name in OUTCOMES
        if profile["outcomes"].get(name)
    ]
    facts.same("outcomes of profiles", "/profiles", len(outcomes), len(shown))
    for (rule, name, each), line in zip(outcomes, shown, strict=False):
        lift = "–" if each["lift"] is None else f"×{number(each['lift'], 2)}"
        facts.same(f"lift in {name} of {rule}", "/profiles", lift, line["Lift"])
        facts.same(f"number in {name} of {rule}", "/profiles", number(each["n"], 0), line["Seen"])
    targets = source.json("/v1/icp/list")
    rows = [row for row in page.rows if "Contacts allowed" in row]
    for row, line in zip(targets["rows"], rows, strict=False):
        facts.same(f"money of {row['id']}", "/profiles", money(row["expected_value"]), line["Expected"])
        facts.same(
            f"grade of {row['id']}", "/profiles", f"{row['grade']} {percent(row['fit'])}", line["Grade"]
        )
    if targets.get("value_caught") is not None:
        words = f"{percent(targets['value_caught'])} of the money"
        facts.same(f"money caught ({words})", "/profiles", True, words in page.text)
    facts.same("targets", "/profiles", True, f" of {len(targets['rows']):,}" in page.text)
