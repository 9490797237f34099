"""The systems that killed commands connect to: two Salesforce organisations, the Census Bureau, a webhook.

They run in one forked process, so that the process which forks has no threads. `POST /reset` makes an
organisation what it was at first, `GET /standing` lists its contracts; `GET /taken` of the webhook counts
what arrived.
"""

import json
import os
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from benchmarks.killed_homes import ended, forked

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from api_server import Answer, ApiServer, serving
from census_server import KEY, census_server
from salesforce_server import SalesforceServer, organisation, stamped

SECRET = "secret-of-both"
PAGE_ROWS = 5
SCORED_FIELDS = ("Perennial_Likelihood__c", "Perennial_Band__c", "Perennial_Reasons__c")


class Resettable(SalesforceServer):
    """An organisation that can be made what it was at first."""

    def __init__(self, objects: dict[str, list[dict[str, Any]]]) -> None:
        super().__init__(deepcopy(objects), secret=SECRET, page_rows=PAGE_ROWS)
        self.first = objects

    def answer(self, method: str, path: str, query: dict[str, str], body: str, headers: Any) -> Answer:
        """What the organisation answers, beside `reset` and `standing`."""
        if path == "/reset":
            self.objects = deepcopy(self.first)
            return Answer({})
        if path == "/standing":
            return Answer(self.objects["Contract"])
        return super().answer(method, path, query, body, headers)


class Webhook(ApiServer):
    """Counts what arrives by its text."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: dict[str, int] = {}

    def answer(self, method: str, path: str, query: dict[str, str], body: str, headers: Any) -> Answer:
        """Nothing but that it arrived; `/taken` and `/reset` are for who looks."""
        if path == "/taken":
            return Answer(self.taken)
        if path == "/reset":
            self.taken = {}
        else:
            text = json.loads(body)["message"]
            self.taken[text] = self.taken.get(text, 0) + 1
        return Answer({})


def _written_to(contracts: list[str]) -> dict[str, list[dict[str, Any]]]:
    """An organisation with those contracts, whose fields for scores are empty, one by hand."""
    rows = [stamped(each, "01-01", **dict.fromkeys(SCORED_FIELDS), Note__c="theirs") for each in contracts]
    rows[0]["Perennial_Band__c"] = "by hand"
    return {"Contract": rows, "Opportunity": [], "Account": []}


@contextmanager
def systems(contracts: list[str]) -> Iterator[dict[str, str]]:
    """Name → address of each while the block runs: `pulled`, `written`, `census`, `webhook`.

    Args:
        contracts: ids of the contracts that scores are written back to.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "addresses.json"
        child = forked(lambda: _serve(contracts, place))
        while not place.exists():
            time.sleep(0.05)
        try:
            yield json.loads(place.read_text())
        finally:
            os.kill(child, signal.SIGKILL)
            ended(child)


def _serve(contracts: list[str], place: Path) -> None:
    with ExitStack() as stack:
        pulled = stack.enter_context(serving(Resettable(organisation())))
        written = stack.enter_context(serving(Resettable(_written_to(contracts))))
        webhook = stack.enter_context(serving(Webhook()))
        bureau = stack.enter_context(census_server())
        addresses = {
            "pulled": pulled.url,
            "written": written.url,
            "webhook": webhook.url,
            "census": f"http://127.0.0.1:{bureau.server_port}/data",
        }
        part = place.with_suffix(".part")
        part.write_text(json.dumps(addresses))
        part.rename(place)
        signal.pause()


def environment(addresses: dict[str, str]) -> dict[str, str]:
    """What a command finds in its environment to reach them."""
    return {
        "PERENNIAL_SECRET_PULLED": SECRET,
        "PERENNIAL_SECRET_WRITTEN": SECRET,
        "PERENNIAL_CENSUS_URL": addresses["census"],
        "PERENNIAL_CENSUS_KEY": KEY,
    }


def ask(address: str) -> Any:
    """What one of them answers."""
    with urllib.request.urlopen(address, timeout=10) as answer:
        return json.load(answer)
