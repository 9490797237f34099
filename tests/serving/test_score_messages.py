"""Changed scores as signed webhooks over HTTP: each change once, whatever breaks; the second time nothing."""

import multiprocessing
import os
import signal

import pytest
from api_server import DOWN, serving
from store_case import rows
from typer.testing import CliRunner
from webhook_receiver import WEBHOOK_SECRET, Receiver

from features.errors import RenewalError
from features.settings import Settings
from features.sources import web_api
from monitoring.store import open_store
from perennial import cli
from serving.write_back import forget_written
from serving.write_back.score_messages import deliver_scores, score_hooks


@pytest.fixture
def receiver(monkeypatch):
    monkeypatch.setenv("PERENNIAL_SECRET_WEBHOOK", WEBHOOK_SECRET)
    monkeypatch.setattr(web_api, "pause", lambda seconds: None)
    with serving(Receiver()) as each:
        yield each


@pytest.fixture
def home(receiver, tmp_path):
    """Settings, and functions to score and post; five contracts, c0 to c4, are scored 10 to 90 per cent."""
    url = f"{receiver.url.replace('http://', 'hook://')}/scores"
    settings = Settings(home=tmp_path, score_urls=url)
    store = open_store(settings)

    def score(run_id, probabilities=None, count=5, **more):
        frame = rows(5).assign(**more).iloc[:count]
        for place, probability in (probabilities or {}).items():
            frame.loc[place, "probability"] = probability
        store.scores.write("renewal", frame, run_id=run_id, model_version="3", complete=True)

    def post(settings=settings, **more):
        result = deliver_scores(url, store, settings, **more)
        counts = result["objects"][0]
        return counts["changed"], counts["unchanged"], counts["failed"]

    score("r1")
    return settings, score, post


def answer(receiver):
    """Subject → likelihood and band as a receiver has them that keeps the latest message."""
    return {
        message["data"]["subject_id"]: (message["data"]["likelihood"], message["data"]["band"])
        for message in receiver.taken.values()
    }


ALL = {
    "c0": (10.0, "at risk"),
    "c1": (30.0, "at risk"),
    "c2": (50.0, "safe"),
    "c3": (70.0, "safe"),
    "c4": (90.0, "safe"),
}


def test_each_change_is_told_once_with_what_it_was_before(receiver, home):
    _, score, post = home
    assert post() == (5, 0, 0)
    assert answer(receiver) == ALL
    assert post() == (0, 5, 0)
    score("r2", {1: 0.55}, count=4)
    assert post() == (2, 3, 0)
    changed, removed = list(receiver.taken.values())[5:]
    assert changed["type"] == "score.changed"
    assert changed["data"] | {"scored_at": ""} == {
        "kind": "renewal", "subject_id": "c1", "account_id": "a1", "likelihood": 55.0, "band": "at risk",
        "reasons": ["no call"], "model_version": "3", "scored_at": "",
        "before": {"likelihood": 30.0, "band": "at risk"},
    }  # fmt: skip
    assert (removed["type"], removed["data"]["subject_id"]) == ("score.removed", "c4")
    assert removed["data"]["likelihood"] is removed["data"]["band"] is None
    score("r3", {1: 0.3})
    assert post() == (2, 3, 0)  # back as it was before: a change of its own
    assert answer(receiver) == ALL
    assert len(receiver.taken) == len(receiver.came) == 9


def test_of_bands_alone_where_that_is_wanted(receiver, home):
    settings, score, post = home
    settings = settings.model_copy(update={"score_changes": "band"})
    assert post(settings) == (5, 0, 0)
    score("r2", {1: 0.35, 2: 0.45}, band=["at risk", "at risk", "at risk", "safe", "safe"])
    assert post(settings) == (1, 4, 0)
    assert answer(receiver)["c2"] == (45.0, "at risk")


def test_held_out_customers_are_not_told(receiver, home):
    _, score, post = home
    score("r2", held_out=[True, False, False, False, False])
    assert post() == (4, 0, 0)
    assert "c0" not in answer(receiver)


def test_a_dry_run_posts_nothing(receiver, home):
    settings, _, post = home
    assert post(dry_run=True) == (5, 0, 0)
    assert not receiver.calls
    assert not list((settings.home / "written").glob("*.jsonl"))


def test_a_receiver_that_is_down_gets_all_later_and_one_refused_message_holds_up_none(receiver, home):
    _, score, post = home
    receiver.faults += [("/scores", DOWN)] * 2
    receiver.refused = {"c1"}
    assert post() == (4, 0, 1)
    receiver.status = 503
    score("r2", {0: 0.2, 1: 0.4})
    assert post() == (0, 3, 2)
    assert len(receiver.came) == 5 + 1 + 5  # c1 refused again, five tries of c0, then it is left alone
    receiver.status, receiver.refused = 200, set()
    assert post() == (2, 3, 0)  # what was due of c1 first, then what it is by now
    assert answer(receiver) == ALL | {"c0": (20.0, "at risk"), "c1": (40.0, "at risk")}
    of_c1 = [message["data"] for message in receiver.taken.values() if message["data"]["subject_id"] == "c1"]
    assert [each["likelihood"] for each in of_c1] == [30.0, 40.0]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_killed_between_two_messages_each_change_still_counts_once(receiver, home):
    settings, _, post = home

    def deliver():
        deliver_scores(settings.score_urls, open_store(settings), settings)

    process = multiprocessing.get_context("fork").Process(target=deliver)
    process.start()

    def kill(path):
        if len(receiver.came) == 3:
            os.kill(process.pid, signal.SIGKILL)
        return len(receiver.came) == 3

    receiver.kill_at = kill
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert len(receiver.came) == 3
    assert post()[0] in (2, 3)
    assert answer(receiver) == ALL
    assert len(receiver.taken) == 5  # what came twice bore the same id and was the same
    assert len({body for _, body in receiver.came}) == 5


def test_the_command_posts_and_an_erased_customer_is_forgotten(receiver, home, monkeypatch):
    settings, *_ = home
    monkeypatch.setenv("PERENNIAL_HOME", str(settings.home))
    monkeypatch.setenv("PERENNIAL_SCORE_URLS", settings.score_urls)

    def run(*words):
        done = CliRunner().invoke(cli.app, ["write-back", *words])
        return done.exception, done.output

    assert "would be" in run("--dry-run")[1]
    fault, output = run("--to", "webhook")
    assert (fault, len(receiver.taken)) == (None, 5)
    assert WEBHOOK_SECRET not in output
    assert isinstance(run("--undo")[0], RenewalError)
    assert forget_written(settings.home, ["c0"]) == 1
    monkeypatch.delenv("PERENNIAL_SECRET_WEBHOOK")
    assert "PERENNIAL_SECRET_WEBHOOK" in str(run()[0])
    with pytest.raises(RenewalError, match="hooks://"):
        score_hooks(Settings(home=settings.home, score_urls="https://acme.example"))
