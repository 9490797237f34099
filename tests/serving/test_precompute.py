"""serving/precompute.py: what is asked for goes first, and quick ones do not wait for slow ones."""

import json
import os

import pytest

from features.crm.load import ingest
from features.settings import Settings
from serving import precompute
from serving.precompute import READ, SLOW, WorkedOut, usual

VERSIONS = {"renewal": "3", "win": None}


class Work:
    """A process of ours: ends on request."""

    def __init__(self, name, settings):
        self.name, self.path, self.returncode = name, precompute._path(name, settings), None

    def done(self, value=None):
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(json.dumps({"value": value}))
        self.returncode = 0

    def poll(self):
        return self.returncode

    def terminate(self):
        self.returncode = -15

    def wait(self):
        return self.returncode


@pytest.fixture
def begun(monkeypatch, settings, tmp_path):
    """The processes begun so far, on a small CRM."""
    (tmp_path / "crm").mkdir()
    (tmp_path / "crm" / "contracts.csv").write_text("contract_id,annual_value\nc1,1\n")
    ingest(tmp_path / "crm", settings)
    found: list[Work] = []

    def start(name, given):
        found.append(Work(name, given))
        return found[-1]

    monkeypatch.setattr(precompute, "_start", start)
    return found


def test_all_that_pages_show_is_worked_out_ahead_one_quick_and_one_slow_at_a_time(begun, settings):
    long = WorkedOut(settings)
    for _ in range(20):
        long.look(usual(VERSIONS))
        running = [work for work in begun if work.poll() is None]
        assert len(running) <= 2
        assert sum(work.name in SLOW for work in running) <= 1
        for work in running:
            work.done({"known": [], "space": [], "near": 1.0, "version": "3"})
    assert sorted(work.name for work in begun) == sorted(usual(VERSIONS))
    assert all(long.ask(name).value is not None for name in usual(VERSIONS))


def test_what_was_kept_before_the_start_is_read_before_it_is_asked_for(begun, settings):
    Work("calls", settings).done({"rows": []})
    long = WorkedOut(settings)
    long.look(["calls"])
    assert begun == []
    assert long._read["calls"][1] == {"value": {"rows": []}}


def test_what_somebody_asks_for_goes_first(begun, settings):
    long = WorkedOut(settings)
    long.look(["retention", "right", "journey", "effects"])
    assert [work.name for work in begun] == ["retention", "effects"]
    answer = long.ask("journey")
    assert (answer.value, answer.comes) == (None, True)
    begun[0].done()
    long.look(["retention", "right", "journey", "effects"])
    assert begun[-1].name == "journey"


def test_what_fails_is_told_and_not_begun_again_at_once(begun, settings):
    long = WorkedOut(settings)
    assert long.ask("calls").comes
    begun[0].returncode = 1
    answer = long.ask("calls")
    assert (answer.value, answer.comes) == (None, False)
    assert "log" in answer.why
    long.look(["calls"])
    assert len(begun) == 1


def test_a_kept_answer_is_held_as_pages_need_it(begun, settings):
    long = WorkedOut(settings)
    long.ask("similar@3")
    begun[0].done({"known": [{"lead_days": 30.0}], "space": [[0.5, 1.0]], "near": 1.0, "version": "3"})
    held = long.ask("similar@3").value
    assert held.space.tolist() == [[0.5, 1.0]]
    assert long.ask("similar@3").value is held
    assert set(READ) == {"similar"}


def test_when_the_service_stops_its_work_stops(begun, settings):
    long = WorkedOut(settings)
    long.look(["retention", "effects"])
    long.close()
    assert [work.returncode for work in begun] == [-15, -15]
    long.look(["journey"])
    assert len(begun) == 2


def test_an_answer_is_worked_out_by_a_process_of_its_own(begun, settings, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(precompute, "NICENESS", 0)  # beside other tests it would wait for minutes
    long = WorkedOut(settings)
    try:
        assert long.ask("right").comes
        (work,) = long._running.values()
        assert work.process.wait(300) == 0
        assert long.ask("right").value is not None
    finally:
        long.close()


def test_working_ahead_is_a_setting(monkeypatch, tmp_path):
    monkeypatch.delenv("PERENNIAL_WORK_AHEAD")
    assert Settings(home=tmp_path).work_ahead
    assert not Settings(home=tmp_path, work_ahead=False).work_ahead


def test_the_process_gives_way_from_its_start(settings):
    process = precompute._start("journey", settings)
    try:
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(ours + precompute.NICENESS, 19)
    finally:
        process.terminate()
        process.wait()
