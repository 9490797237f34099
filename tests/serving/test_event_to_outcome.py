"""From a customer's answer to the judged outcome: over HTTP, in a browser, for each role, with kills."""

import json
import re
import signal
import threading
import time
from contextlib import contextmanager
from functools import partial

import httpx
import pytest
import uvicorn
from folders import copy_of
from pages_case import NEEDS_CHROMIUM, browser, informed, night, watched_page  # noqa: F401 (fixtures)
from serving_case import STARTER, free_port, until_ready

from features.settings import Settings
from monitoring.store import open_store
from serving.app import create_app
from serving.nightly.steps import STEPS, Night
from serving.precompute import _path as path_of

pytestmark = [pytest.mark.slow, NEEDS_CHROMIUM]
ROLES = ("sales", "marketing", "mlops", "admin")
STEPS_OF_IT = (
    "Call the customer, listen, thank them for the answer",
    "Put right what they named, or say by when",
    "Ask whether it is settled, and note what was learned",
)


def run_service(home, port):
    """The service as a process of its own runs it."""
    app = create_app(Settings(home=home, threads=1, work_ahead=False))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


@contextmanager
def served_apart(home, port):
    """The service in a process of its own, once it is ready."""
    process = STARTER.Process(target=run_service, args=(home, port), daemon=True)
    process.start()
    until_ready(f"http://127.0.0.1:{port}", lambda: process.exitcode is not None)
    yield process
    process.kill()
    process.join()


def killed_when(process, happened, act):
    """Do something to the service, which is killed as soon as the first trace of that is in the store."""

    def kill():
        until = time.monotonic() + 60
        while not happened() and time.monotonic() < until:
            time.sleep(0.001)
        process.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    act()
    killer.join()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert happened()


class Caller:
    """Who asks the service over HTTP with a key; a connection that breaks is what the test is about."""

    def __init__(self, site, key):
        self.site, self.headers = site, {"authorization": f"Bearer {key}"}

    def __call__(self, method, path, body=None):
        try:
            return httpx.request(method, self.site + path, json=body, headers=self.headers, timeout=60)
        except httpx.TransportError:
            return None


def sign_in(page, key):
    """Open the pages with a key."""
    page.goto("/sign-in")
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile(r"/(renewals|profiles|models)"))


@contextmanager
def signed_in(browser, site, key):  # noqa: F811
    with watched_page(browser, site) as page:
        sign_in(page, key)
        yield page


@pytest.fixture
def home(informed, tmp_path):  # noqa: F811
    """A home whose long answers are worked out: no page begins work that is not what this is about."""
    return copy_of(informed, tmp_path / "home")


@pytest.fixture
def store(home):
    path = path_of("voice", Settings(home=home))
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"value": {"rows": [], "notes": ["too few answers"]}}))
    return open_store(Settings(home=home))


def the_alerts(store):
    return [one for one in store.alerts.read() if one["rule"] == "low survey score"]


def the_tasks(store, account):
    rows = [row for row in store.tasks.read() if row["account_id"] == account]
    return sorted(
        (row["step"], row["title"], row["state"], row["owner"]) for row in rows if row["kind"] is None
    )


def close_step(page, step, result):
    """Close a step on the page, as far as the click."""
    row = page.locator("table.tasks tbody tr").filter(has_text=STEPS_OF_IT[step])
    row.get_by_text("Close").click()
    row.get_by_label("What came of it").fill(result)
    row.get_by_role("button", name="Done").click(no_wait_after=True)


def test_from_a_customers_answer_to_the_judged_outcome_for_each_role(home, store, browser):  # noqa: F811
    port = free_port()
    site = f"http://127.0.0.1:{port}"
    keys = {role: store.access.create_key(role, label=f"the {role}")[0] for role in ROLES}
    call = {role: Caller(site, key) for role, key in keys.items()}
    row = store.scores.page("renewal", limit=1).rows[0]
    account, owner = row["account_id"], row["owner_id"]
    answer = {"response_id": "R-1", "account_id": account, "kind": "nps", "score": 1}
    event = {"table": "surveys", "rows": [{**answer, "answered_at": "2026-01-01T09:30:00"}]}

    with served_apart(home, port) as process:
        is_stored = partial(store.events.read, "surveys")
        killed_when(process, is_stored, lambda: call["sales"]("POST", "/v1/events", event))

    with served_apart(home, port) as process, browser.new_page(base_url=site) as page:
        sign_in(page, keys["sales"])
        for _ in range(2):
            again = call["sales"]("POST", "/v1/events", event).json()
            assert (again["stored"], again["repeated"]) == (0, 1)
        assert the_tasks(store, account) == [(0, STEPS_OF_IT[0], "open", owner)]
        nightly = next(step for step in STEPS if step.name == "tasks")
        nightly.work(Night(Settings(home=home), store))
        assert [one["state"] for one in the_alerts(store)] == ["open"]
        assert the_tasks(store, account) == [(0, STEPS_OF_IT[0], "open", owner)]
        page.goto("/tasks")
        listed = page.locator("table.tasks tbody tr").filter(has_text=STEPS_OF_IT[0]).inner_text()
        names = row["account_name"], row["owner_name"]
        assert all(words in listed for words in ("Unhappy answer, step 1 of 3", "due in 24 hours", *names))
        act = partial(close_step, page, 0, "called; the invoice was wrong")
        killed_when(process, lambda: the_tasks(store, account)[0][2] == "done", act)

    with served_apart(home, port):
        for role in ("marketing", "mlops"):
            assert call[role]("POST", "/v1/events", event).status_code == 403
            assert call[role]("GET", "/v1/tasks").status_code == 403
        with signed_in(browser, site, keys["marketing"]) as page:
            page.goto("/voice")
            loop = page.locator("[aria-labelledby=loop] tbody tr").inner_text()
            assert loop.split("\t")[:3] == ["Unhappy answer", "1", "1"]
            assert page.goto("/tasks").status == 403
        with signed_in(browser, site, keys["mlops"]) as page:
            page.goto("/models")
            assert f"{account}: NPS 1" in page.locator("section", has=page.locator("#alerts")).inner_text()
            assert page.goto("/tasks").status == 403
        with signed_in(browser, site, keys["sales"]) as page:
            page.goto("/tasks")
            for step in (1, 2):
                close_step(page, step, f"settled {step}")
                page.get_by_text(STEPS_OF_IT[step]).wait_for(state="detached")
            assert the_tasks(store, account) == [
                (step, title, "done", owner) for step, title in enumerate(STEPS_OF_IT)
            ]
            assert [one["state"] for one in the_alerts(store)] == ["closed"]
            assert len(store.judgements.actions("renewal")) == 3
            outcome = {"rows": [{"contract_id": row["contract_id"], "outcome": "renewed"}]}
            assert call["marketing"]("POST", "/v1/outcomes", outcome).status_code == 403
            for new in (1, 0):
                assert call["mlops"]("POST", "/v1/outcomes", outcome).json()["new"] == new
            page.goto("/tasks?state=closed")
            assert page.locator("table.tasks tbody tr").count() == 3
            assert page.get_by_text(re.compile(r"^Renewed \d+ \w+ \d{4}$")).count() == 3
            assert "1 of 1" in page.locator(".figure").filter(has_text="Renewed since").inner_text()
        judged = call["admin"]("GET", "/v1/tasks?state=closed").json()["tasks"]
        assert [task["outcome"] for task in judged] == ["renewed"] * 3
