"""Take the pictures of docs/stories.md by the tests' browser: `python docs/screenshots.py [--home DIR]`."""

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
    "marketing-voice": ("/voice", 1440, 760),
    "ml-models": ("/models", 1440, 1100),
    "ml-status": ("/status", 1440, 600),
}
"""File → page, width and height of the window."""
JUDGED = ("sales-judged", "/tasks?state=closed", 1440, 760)
"""The tasks of an unhappy answer once they are done and the customer has decided."""


def prepared(folder: Path) -> Path:
    """The home that `perennial demo` leaves, with all that pages work out."""
    from features.settings import Settings
    from perennial.demo import demo
    from serving.precompute import usual, work_out

    home = Path(demo(Settings(home=folder), accounts=1000)["home"])
    for name in usual({"renewal": "1", "win": "1"}):
        work_out(name, Settings(home=home))
    return home


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
    parser.add_argument("--home", type=Path, help="scored and worked out; default: one made anew")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        take(prepared(home) if given.home is None else Path(shutil.copytree(given.home, home)))


if __name__ == "__main__":
    main()
