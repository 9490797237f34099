"""Take the pictures of docs/stories.md, all of one home, by the browser: `python docs/screenshots.py`."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
INTO = ROOT / "docs" / "stories"
STORIES = {
    "sales-renewals": ("/renewals", 1440, 1000),
    "sales-by-rep": ("/renewals/by-rep", 1440, 560),
    "sales-customer": ("/accounts/{account}", 1440, 1100),
    "sales-tasks": ("/tasks", 1440, 620),
    "sales-phone": ("/renewals", 390, 1000),
    "marketing-profiles": ("/profiles", 1440, 1100),
    "marketing-journey": ("/journey", 1440, 900),
    "marketing-kpis": ("/kpis", 1440, 1100),
    "marketing-voice": ("/voice", 1440, 760),
    "ml-models": ("/models", 1440, 1100),
    "ml-touchpoints": ("/touchpoints", 1440, 760),
    "ml-identity": ("/identity", 1440, 760),
    "ml-identity-phone": ("/identity", 390, 1000),
    "ml-status": ("/status", 1440, 600),
}
"""File → page, width and height of the window."""
JUDGED = ("sales-judged", "/tasks?state=closed", 1440, 760)
"""The tasks of an unhappy answer once they are done and the customer has decided."""


def demonstrated(folder: Path) -> Path:
    """The home that `perennial demo` leaves."""
    from features.settings import Settings
    from perennial.demo import demo

    return Path(demo(Settings(home=folder), accounts=1000)["home"])


def another_system(home: Path) -> None:
    """Compare some accounts with what billing would have of them: other names, and half of the domains."""
    from features.crm.load import opened
    from features.identity.customers import match
    from features.settings import Settings

    with opened(Settings(home=home)) as crm:
        rows = crm.frame("accounts").iloc[:400:10].reset_index(drop=True)
        names = [
            name if at % 3 == 2 else f"{name} Inc." if at % 3 else name.replace("Company", "Co.")
            for at, name in enumerate(rows["name"])
        ]
        domains = rows["domain"].where(rows.index % 2 == 0, "")
        ids = [f"cus_{at:04d}" for at in rows.index]
        billing = rows.assign(id=ids, name=names, domain=domains)
        columns = ["id", "name", "domain", "country", "postal_code"]
        billing[columns].to_csv(home / "billing.csv", index=False)
        match(crm, {"billing": home / "billing.csv"}, Settings(home=home))


def a_night(home: Path) -> None:
    """The nightly job, so that its steps can be seen: the data are newer than the models, so it trains."""
    from features.settings import Settings
    from monitoring.store import open_store
    from serving.nightly.job import run_night
    from serving.nightly.steps import Night

    settings = Settings(home=home)
    run_night(Night(settings, open_store(settings), trials=1))


def answers(home: Path) -> None:
    """All that pages work out, with the models that serve since the night."""
    from features.settings import Settings
    from serving.precompute import usual, work_out
    from training.registry import champion

    settings = Settings(home=home)
    models = {kind: champion(kind, settings) for kind in ("renewal", "win")}
    for name in usual(
        {kind: None if model is None else str(model.version) for kind, model in models.items()}
    ):
        work_out(name, settings)


def take(home: Path) -> None:
    """Serve the home and picture each page."""
    import httpx
    from pages_case import ARGUMENTS, CHROMIUM, served
    from playwright.sync_api import sync_playwright

    from features.settings import Settings
    from monitoring.store import open_store

    first = open_store(Settings(home=home)).scores.page("renewal", limit=1).rows[0]
    account = first["account_id"]
    unhappy = {
        "response_id": "S-1",
        "account_id": account,
        "kind": "csat",
        "score": 1,
        "asked_at": "2026-01-01",
    }
    INTO.mkdir(exist_ok=True)
    with served(home) as site, sync_playwright() as playwright:
        event = {"table": "surveys", "rows": [unhappy | {"answered_at": "2026-01-01T09:00:00"}]}
        httpx.post(f"{site}/v1/events", json=event, timeout=60).raise_for_status()

        def picture(name: str, path: str, width: int, height: int) -> None:
            page = browser.new_page(viewport={"width": width, "height": height}, base_url=site)
            page.goto(path)
            page.screenshot(path=INTO / f"{name}.png")
            page.close()

        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        for name, (path, width, height) in STORIES.items():
            picture(name, path.replace("{account}", account), width, height)
        judge(site, account, first["contract_id"])
        picture(*JUDGED)
        browser.close()


def judge(site: str, account: str, contract_id: str) -> None:
    """Work a customer's tasks off over HTTP, and say that it renewed."""
    import httpx

    for result in ("called; the last invoice was wrong", "invoice corrected", "settled; ask again in spring"):
        tasks = httpx.get(f"{site}/v1/tasks", timeout=60).json()["tasks"]
        task = next(each for each in tasks if each["account_id"] == account)
        done = httpx.post(f"{site}/v1/tasks/{task['task_id']}/done", json={"result": result}, timeout=60)
        done.raise_for_status()
    rows = {"rows": [{"contract_id": contract_id, "outcome": "renewed"}]}
    httpx.post(f"{site}/v1/outcomes", json=rows, timeout=60).raise_for_status()


def main() -> None:
    """Take every picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", type=Path, help="one that `perennial demo` left; default: a new one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home = demonstrated(home) if given.home is None else Path(shutil.copytree(given.home, home))
        another_system(home)
        a_night(home)
        answers(home)
        take(home)


if __name__ == "__main__":
    main()
