"""Commands killed at every change they make on disk, and run again: nothing lost, doubled or left over."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text
from store_case import rows

from features.account_store import PREFIX
from features.crm.crm import MANIFEST, read_crm
from features.crm.load import current_folder, ingest
from features.scratch import MARK
from features.settings import Settings
from monitoring.store import open_store

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def killed_everywhere(home: Path, into: Path, *command: str, stride: int = 1) -> list[Path]:
    """The homes after each kill and the run after it, which must have ended well."""
    call = [sys.executable, "-m", "benchmarks.kill_points", "--home", str(home), "--into", str(into)]
    call += ["--stride", str(stride), "--", *command]
    answer = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, timeout=600, check=True)
    ends = [json.loads(line) for line in answer.stdout.splitlines()]
    assert len(ends) > 3, answer.stderr[-2000:]
    assert [end["again"] for end in ends] == [0] * len(ends), answer.stderr[-2000:]
    assert {end["killed"] for end in ends[:-1]} == {-signal.SIGKILL}
    return [into / str(end["at"]) for end in ends]


def left_over(home: Path) -> list[str]:
    """What no finished thing is: unfinished folders and drafts anywhere in a home."""
    return [str(path.relative_to(home)) for path in home.rglob(f"{MARK}*")]


def naming(home: Path, ids: list[str]) -> list[str]:
    """Files whose bytes, or whose cells where they are columns, hold one of the ids."""
    found = []
    for path in (path for path in sorted(home.rglob("*")) if path.is_file()):
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += pq.read_table(path).to_pandas().to_csv().encode()
        elif path.suffix == ".arrow":
            content += pa.ipc.open_file(pa.memory_map(str(path))).read_all().to_pandas().to_csv().encode()
        if any(one.encode() in content for one in ids):
            found.append(str(path.relative_to(home)))
    return found


@pytest.fixture(scope="module")
def crm_folder(tmp_path_factory):
    from features.simulation import simulate

    folder = tmp_path_factory.mktemp("small") / "crm"
    simulate(folder, accounts=40, seed=5, draws=0)
    for path in folder.glob("*.csv"):  # with few tables a command is quick, and its kills lie closer together
        if path.stem not in ("accounts", "contracts", "activities"):
            path.unlink()
    return folder


def filled(home: Path, source: Path) -> list[str]:
    """A home in which one customer stands everywhere; that customer's ids."""
    settings = Settings(home=home, threads=1)
    earlier = ingest(source, settings, until="2025-06-30")
    crm = ingest(source, settings)
    contracts = crm.frame("contracts", ["contract_id", "account_id"])
    account, contract = contracts["account_id"].iloc[0], contracts["contract_id"].iloc[0]
    store = open_store(settings)
    scored = rows(3).assign(account_id=account, contract_id=[contract, "c8", "c9"])
    for run in ("one", "two"):
        store.scores.write("renewal", scored, run_id=run, model_version="1")
    with store.engine.connect() as connection:  # as older versions' nights did: freed pages keep the bytes
        connection.execute(text("CREATE TABLE passing AS SELECT * FROM scores, (SELECT 1 FROM scores)"))
        connection.execute(text("DROP TABLE passing"))
        connection.commit()
    for name in ("reports/monitor.html", "effects/plan.json", "worked-out/icp-x.json"):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(f"<p>{contract}</p>")
    derived = home / "crm" / f"{PREFIX}{earlier.fingerprint}-x"
    for folder in (derived, home / "crm" / f"{MARK}killed", home / ".load-earlier"):
        folder.mkdir()
        (folder / "rows.json").write_text(json.dumps({"account_id": account}))
    (home / "features").mkdir()
    (home / "features" / "rows.json").write_text(account)
    return [account, contract]


def test_an_erasure_killed_at_any_change_and_run_again_leaves_no_byte_of_the_customer(crm_folder, tmp_path):
    home = tmp_path / "home"
    ids = filled(home, crm_folder)
    assert len(naming(home, ids)) > 10
    for after in killed_everywhere(home, tmp_path / "kills", "erase", ids[0], stride=13):
        assert naming(after, ids) == [], after
        assert left_over(after) == []
        assert (current_folder(Settings(home=after)) / MANIFEST).is_file()


def test_an_erasure_finds_a_customer_that_only_an_earlier_copy_holds(crm_folder, tmp_path):
    settings = Settings(home=tmp_path / "home", threads=1)
    account = ingest(crm_folder, settings).frame("contracts")["account_id"].iloc[0]
    copy = tmp_path / "later"
    copy.mkdir()
    for path in crm_folder.glob("*.csv"):
        lines = path.read_text().splitlines(keepends=True)
        (copy / path.name).write_text("".join(line for line in lines if account not in line))
    ingest(copy, settings)
    from serving.erase_everywhere import erase

    assert naming(settings.home, [account])
    erase(account, settings)
    assert naming(settings.home, [account]) == []


def test_an_ingest_killed_at_any_change_and_run_again_leaves_nothing_unfinished(crm_folder, tmp_path):
    home = tmp_path / "home"
    settings = Settings(home=home, threads=1)
    ingest(crm_folder, settings, until="2025-06-30")
    wanted = None
    for after in killed_everywhere(home, tmp_path / "kills", "ingest", str(crm_folder), stride=5):
        assert left_over(after) == []
        crm = read_crm(current_folder(Settings(home=after)))
        wanted = wanted or crm.fingerprint
        assert crm.fingerprint == wanted
        assert len(list((after / "crm").glob("*/crm.json"))) == 2
