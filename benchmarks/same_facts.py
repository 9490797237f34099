"""Whether the same fact is the same number everywhere: every page, export, route, command and view is opened.

    python -m benchmarks.same_facts [--accounts 300] [--seed 3]   in a fresh home, trained by the commands
    python -m benchmarks.same_facts --home DIR                    in a home that was trained and scored

`--quick` leaves out what takes minutes to work out: marketing's and planning's answers. What is compared
where, and which places have nothing to compare, says `benchmarks.stated_places`.

The API's rows are the reference. Pages are compared by what they print, so a figure may only differ by the
rounding people are shown; files, commands and views must be equal. Exit status 1 where anything differs, or
where a place that should state something was not opened.
"""

import argparse
import contextlib
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import text
from starlette.testclient import TestClient

from benchmarks.same_accounts import compare_customers
from benchmarks.same_models import compare_looks, compare_models
from benchmarks.same_plans import compare_plans
from benchmarks.stated_places import FACTLESS, not_opened
from benchmarks.statements import Facts, Page, Source, environment
from features.settings import Settings
from monitoring.store import open_store
from perennial.cli import app as commands
from serving.app import create_app
from serving.pages.view import money, percent
from serving.scoring.scored_rows import MONEY
from serving.scoring.subject_details import ID_COLUMNS

MOST_SHOWN = 5
"""Differences printed of one place."""

PATHS = {"renewal": "/renewals", "win": "/pipeline"}
ROUTES = {"renewal": "/v1/renewals", "win": "/v1/opportunities"}
VIEWS = {"renewal": "v_renewals", "win": "v_pipeline"}
LIKELIHOOD = {"renewal": "Likelihood", "win": "Probability"}
AMOUNT = {"renewal": "ARR", "win": "Amount"}
MONEY_SHOWN = {"renewal": "At risk", "win": "Expected"}


def compare(source: Source, facts: Facts) -> None:
    """Everything that states a fact about the scores, the work and the verdicts of one home."""
    for kind in PATHS:
        answer = whole_list(source, ROUTES[kind])
        _rows_elsewhere(source, facts, kind, answer["rows"])
        compare_pages(source, facts, kind, answer)
        _filters(source, facts, kind, answer["rows"])
        _accounts(source, facts, kind, answer["rows"])
    _by_rep(source, facts)
    _forecast(source, facts)
    _tasks_and_alerts(source, facts)
    compare_models(source, facts)
    compare_customers(source, facts)


def whole_list(source: Source, route: str, query: str = "limit=100") -> Any:
    """A list of the API, every page of it, with the totals it states."""
    answer = source.json(f"{route}?{query}")
    while answer["next_cursor"]:
        further = source.json(f"{route}?{query}&cursor={answer['next_cursor']}")
        answer = {**further, "rows": answer["rows"] + further["rows"]}
    return answer


def _rows_elsewhere(source: Source, facts: Facts, kind: str, rows: list[dict[str, Any]]) -> None:
    """The command, the files, the view and the scoring route against the list."""
    key, names = ID_COLUMNS[kind], ("probability", "low", "high", "band", "amount", MONEY[kind])
    listed = {row[key]: row for row in rows}
    places: dict[str, list[dict[str, Any]]] = {
        f"perennial score {kind}": source.command("score", kind)["rows"],
        f"{ROUTES[kind]}/score": source.client.post(
            f"{ROUTES[kind]}/score", json={f"{key}s": list(listed)}
        ).json()["rows"],
        VIEWS[kind]: _view(source.home, VIEWS[kind]),
    }
    for ending in ("csv", "xlsx", "parquet"):
        path = f"{PATHS[kind]}/export.{ending}"
        places[path] = source.file(path).to_dict("records")  # type: ignore[assignment]
    for place, stated in places.items():
        facts.same(f"{kind} rows", place, sorted(listed), sorted(row[key] for row in stated))
        for row in stated:
            for name in names:
                facts.same(f"{name} of {row[key]}", place, listed.get(row[key], {}).get(name), row[name])


def _view(home: Path, name: str) -> list[dict[str, Any]]:
    with open_store(Settings(home=home)).engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(f"SELECT * FROM {name}")).mappings()]


def compare_pages(source: Source, facts: Facts, kind: str, answer: Any) -> None:
    """Each page of the list: the figures of every row, as people read them, and the tiles."""
    at: str | None = PATHS[kind]
    listed = {row[ID_COLUMNS[kind]]: row for row in answer["rows"]}
    ids_shown: list[str] = []
    while at:
        html = source.html(at)
        page = Page(html)
        _tiles(facts, kind, page, answer["rows"], PATHS[kind])
        for shown in (row for row in page.rows if "id" in row):
            row, place = listed[shown["id"]], PATHS[kind]
            ids_shown.append(shown["id"])
            likelihood = shown.get(LIKELIHOOD[kind], "")
            stated = likelihood.startswith(f"{percent(row['probability'])} ")
            facts.same(f"likelihood of {shown['id']} ({likelihood})", place, True, stated)
            facts.same(f"amount of {shown['id']}", place, money(row["amount"]), shown.get(AMOUNT[kind]))
            facts.same(
                f"money of {shown['id']}", place, money(row[MONEY[kind]]), shown.get(MONEY_SHOWN[kind])
            )
        following = re.search(r'<a class="button" href="([^"]+)" rel="next"', html)
        at = following[1].replace("&amp;", "&") if following else None
    facts.same(f"{kind} order", PATHS[kind], list(listed), ids_shown)


def _tiles(facts: Facts, kind: str, page: Page, rows: list[dict[str, Any]], place: str) -> None:
    """The headline and the tiles against the rows they are about."""
    tiles = {label.partition(",")[0]: value for label, value in page.tiles.items()}
    due, value = ("Renewals due", "At risk") if kind == "renewal" else ("Open", "Expected")
    facts.same(f"{due} ({place})", place, money(_sum(rows, "amount")), tiles.get(due))
    facts.same(f"{value} ({place})", place, money(_sum(rows, MONEY[kind])), tiles.get(value))
    count = re.search(r"([\d,]+) (?:running contract|open deal)", page.text)
    facts.same(f"{kind} count ({place})", place, f"{len(rows):,}", count[1] if count else None)


def _sum(rows: list[dict[str, Any]], name: str) -> float:
    return float(sum(row[name] or 0.0 for row in rows))


def _filters(source: Source, facts: Facts, kind: str, rows: list[dict[str, Any]]) -> None:
    """Each owner, region and band: the page's tiles, the API's totals and the rows of the whole list."""
    for name, column in (("owner", "owner_id"), ("region", "region"), ("band", "band")):
        for value in sorted({row[column] for row in rows if row[column]}):
            inside = [row for row in rows if row[column] == value]
            place = f"{PATHS[kind]}?{name}="
            query = str(source.client.build_request("GET", "/", params={name: value}).url.query, "ascii")
            _tiles(facts, kind, source.page(f"{PATHS[kind]}?{query}"), inside, place)
            answer = source.json(f"{ROUTES[kind]}?{query}&limit=1")
            facts.same(f"{name} {value}", f"{ROUTES[kind]}?{name}=", len(inside), answer["total"])
            for total in ("amount", MONEY[kind]):
                facts.same(
                    f"{total} of {name} {value}", f"{ROUTES[kind]}?{name}=", _sum(inside, total),
                    answer["totals"][total],
                )  # fmt: skip


def _accounts(source: Source, facts: Facts, kind: str, rows: list[dict[str, Any]]) -> None:
    """Each customer's page says of its contract or deal what the list says."""
    for row in rows[:10]:
        shown = source.page(f"/accounts/{row['account_id']}").text
        heading = "Contract" if kind == "renewal" else "Deal"
        about = shown.partition(f"{heading} {row[ID_COLUMNS[kind]]}")[2]
        likelihood = re.search(r"([<>]?\d+ %) +\S+ % – \S+ %", about)
        facts.same(
            f"likelihood of {row[ID_COLUMNS[kind]]}", "/accounts/…", percent(row["probability"]),
            likelihood[1] if likelihood else None,
        )  # fmt: skip


def _by_rep(source: Source, facts: Facts) -> None:
    totals = source.json("/v1/renewals?limit=1")["totals"]
    last = source.page("/renewals/by-rep").rows[-1]
    place = "/renewals/by-rep"
    facts.same("contracts of all reps", place, f"{totals['rows']:,}", last.get("Contracts"))
    facts.same("ARR of all reps", place, money(totals["amount"]), last.get("Renewals due"))
    facts.same("at risk of all reps", place, money(totals["at_risk"]), last.get("At risk"))
    danger = totals["bands"].get("at risk", {}).get("rows", 0)
    facts.same("in band at risk", place, f"{danger:,}", last.get("In band “at risk”"))
    by_owner: dict[str, list[dict[str, Any]]] = {}
    for row in whole_list(source, "/v1/renewals")["rows"]:
        by_owner.setdefault(row["owner_name"] or row["owner_id"] or "Nobody", []).append(row)
    shown = {row[""]: row for row in source.page(place).rows if row.get("")}
    for owner, rows in by_owner.items():
        stated = shown.get(owner, {})
        facts.same(f"contracts of {owner}", place, f"{len(rows):,}", stated.get("Contracts"))
        facts.same(f"at risk of {owner}", place, money(_sum(rows, "at_risk")), stated.get("At risk"))


def _forecast(source: Source, facts: Facts) -> None:
    answer = source.json("/v1/forecast")
    rows = [row for row in whole_list(source, "/v1/renewals")["rows"] if row["end_date"]]
    if not answer["months"] or any(row.get("held_out") for row in rows):
        return
    whole = answer["months"][-1]
    saved = source.file("/forecast/export.csv").iloc[-1]
    for name in ("up", "expected", "low", "high"):
        facts.same(f"forecast {name}", "/forecast/export.csv", round(whole[name], 2), float(saved[name]))
    expected = _sum(rows, "amount") - _sum(rows, "at_risk") + whole["decided"]
    facts.same("expected to renew", "/v1/forecast", round(whole["expected"]), round(expected))


def _tasks_and_alerts(source: Source, facts: Facts) -> None:
    command_tasks = source.command("tasks", "list")
    facts.same("open tasks", "/v1/tasks", len(command_tasks["tasks"]), len(source.json("/v1/tasks")["tasks"]))
    tile = source.page("/tasks").tiles.get("Open", "0")
    facts.same("open tasks", "/tasks", f"{len(command_tasks['tasks']):,}", tile)
    standing = [each for each in source.command("alerts", "list")["alerts"] if each["state"] != "closed"]
    for kind, route in ROUTES.items():
        rows = whole_list(source, route)["rows"]
        alerted = [row for row in rows if any(_is_about(each, row, kind) for each in standing)]
        facts.same(f"{kind} with an alert", f"{route}?needs=alert", len(alerted),
                   source.json(f"{route}?needs=alert&limit=1")["total"])  # fmt: skip
        tile = source.page(PATHS[kind]).tiles.get("Need attention")
        facts.same(f"{kind} with an alert", PATHS[kind], f"{len(alerted):,}", tile)


def _is_about(alert: dict[str, Any], row: dict[str, Any], kind: str) -> bool:
    """Whether an alert names a contract or deal, or, naming none, its customer."""
    if alert["subject_id"] is None:
        return alert["account_id"] is not None and bool(alert["account_id"] == row["account_id"])
    return bool(alert["kind"] == kind and alert["subject_id"] == row[ID_COLUMNS[kind]])


def prepare(home: Path, accounts: int, seed: int) -> None:
    """A home with models trained by the commands, scored, monitored, and with alerts and tasks."""
    from features.simulation import simulate

    simulate(home / "files", accounts=accounts, seed=seed)
    with environment(home), contextlib.redirect_stdout(sys.stderr):
        for words in (
            ["ingest", str(home / "files")],
            *(["train", kind, "--trials", "2"] for kind in PATHS),
            *(["score", kind] for kind in PATHS),
            ["monitor"],
            ["tasks", "begin"],
            ["experiment", "start", "timing", "--advice", "61-90", "--gap", "5", "--seed", "1"],
            ["experiment", "status"],
        ):
            commands(words, standalone_mode=False)


def check(home: Path, *, plans: bool = False) -> Facts:
    """All facts of a home compared; nothing of it is changed but that it is scored once more.

    `plans`: also what takes minutes to work out, twice (`benchmarks.same_plans`).
    """
    facts = Facts()
    with TestClient(
        create_app(Settings(home=home)), base_url="http://127.0.0.1", client=("127.0.0.1", 1)
    ) as client:
        source = Source(client, home, facts)
        if plans:
            compare_plans(source, facts)
            compare_looks(source, facts)
        compare(source, facts)
    return facts


def main() -> int:
    """Compare, print what was compared where, and what differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", type=Path)
    parser.add_argument("--accounts", type=int, default=300)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="without what takes minutes to work out")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = given.home or Path(folder)
        if given.home is None:
            prepare(home, given.accounts, given.seed)
        facts = check(home, plans=not given.quick)
    for place, count in facts.compared.items():
        print(f"{count:7,} in {place}")
    shown: Counter[str] = Counter()
    for wrong in facts.wrong:
        shown[wrong.rpartition(" in ")[2]] += 1
        if shown[wrong.rpartition(" in ")[2]] <= MOST_SHOWN:
            print(f"differs: {wrong}")
    forgotten = [] if given.quick else not_opened(facts.compared)
    for place in forgotten:
        print(f"not opened: {place}")
    total = sum(facts.compared.values())
    print(
        f"{total:,} statements in {len(facts.compared)} places, {len(facts.wrong)} differ; "
        f"{len(FACTLESS)} places have nothing to compare"
    )
    return 1 if facts.wrong or forgotten else 0


if __name__ == "__main__":
    sys.exit(main())
