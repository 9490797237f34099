"""What commands work on beside scores: alerts, tasks, survey requests, a second model, foreign files."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmarks.killed_homes import Place, ended, forked, need, noted, prepare
from benchmarks.killed_systems import environment
from benchmarks.serving.world import teach
from features.crm.crm import read_crm
from features.crm.load import current_folder
from monitoring.alerts import survey_alerts
from monitoring.closing_the_loop import begin_tasks
from monitoring.store import Store, open_store
from training.registry import promote

ACCOUNTS = 50
TABLES = ("accounts", "activities", "contracts")
HEADERS = {
    "account_id": "Kunden-Nr",
    "name": "Firma",
    "start_date": "Vertragsbeginn",
    "end_date": "Vertragsende",
}
"""How another system calls them."""


def furnished(folder: Path, database: str | None, tables: Sequence[str] = TABLES) -> Place:
    """A small home with what every command needs; one that is there is used again."""
    place = prepare(folder, database, ACCOUNTS, tables)
    if "task" not in place.before and ended(forked(lambda: _furnish(place, folder))):
        raise SystemExit("the home could not be furnished")
    return prepare(folder, database, ACCOUNTS, tables)


def reached(place: Place, addresses: dict[str, str]) -> None:
    """Let the commands of a place and its copies reach the systems at these addresses."""
    place.before.update(addresses=addresses, environment=environment(addresses))
    webhook = addresses["webhook"].replace("http://", "json://")
    rules = {"send": [f"{webhook}/surveys"], "address": "http://127.0.0.1:3000"}
    (place.home / "voice.yaml").write_text(yaml.safe_dump(rules))


def _furnish(place: Place, folder: Path) -> None:
    store = open_store(place.settings)
    crm = read_crm(need(current_folder(place.settings)))
    accounts = crm.frame("accounts", ["account_id", "name", "domain"]).head(30)
    ids = accounts["account_id"].astype(str).tolist()
    _ask_and_alert(place, store, [each for each in ids if each != place.before["account"]])
    few = place.settings.model_copy(update={"min_positives": 10})
    teach("renewal", crm, few, folder / "model", lead=False)
    promote("renewal", "1", few, reason="so that there is one", by="nobody")
    bills = accounts.rename(columns={"account_id": "id"}).assign(id=[f"B{each}" for each in ids])
    bills.to_csv(folder / "billing.csv", index=False)
    pair = [f"crm:{ids[0]}", f"billing:B{ids[1]}"]
    decision = {"left": [pair[0]], "right": [pair[1]], "decision": ["same"]}
    pd.DataFrame(decision).to_csv(folder / "decisions.csv", index=False)
    _foreign(place.source, folder / "foreign")
    task = next(row for row in store.tasks.read(is_open=True))
    alert = next(row for row in store.alerts.read() if row["alert_id"] != task["alert_id"])
    contracts = [row["contract_id"] for row in store.scores.page("renewal", limit=1_000).rows]
    noted(
        folder, pair=pair, task=task["task_id"], alert=alert["alert_id"], contracts=contracts,
        keys=len(store.access.keys()),
    )  # fmt: skip


def _ask_and_alert(place: Place, store: Store, accounts: list[str]) -> None:
    """Two alerts with tasks and one without, and two survey requests that wait."""

    def low(account: str) -> dict[str, Any]:
        return {"account_id": account, "kind": "nps", "score": 1, "response_id": f"R-{account}"}

    survey_alerts(store, place.settings, [low(each) for each in accounts[:2]])
    begin_tasks(store, place.settings)
    survey_alerts(store, place.settings, [low(accounts[2])])
    with store.engine.begin() as connection:
        for account in accounts[3:5]:
            request = {
                "email": None,
                "request_id": f"Q-{account}",
                "account_id": account,
                "contact_id": f"K-{account}",
                "kind": "nps",
                "touchpoint": "renewal",
                "trigger": "renewal",
            }
            store.surveys.ask(connection, request, contact_days=30, account_days=30, account_most=2)


def _foreign(source: Path, into: Path) -> None:
    """The CRM's files with headers of another system."""
    into.mkdir(exist_ok=True)
    for path in source.glob("*.csv"):
        with path.open(newline="") as read, (into / path.name).open("w", newline="") as written:
            rows = csv.reader(read)
            out = csv.writer(written)
            out.writerow([HEADERS.get(name, name) for name in next(rows)])
            out.writerows(rows)
