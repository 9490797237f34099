"""The store's database: its migrations, its transactions, and that a killed writer leaves no half."""

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from sqlalchemy import text
from store_case import rows, wrote

from features.errors import RenewalError
from features.settings import Settings
from monitoring.store import Store, open_store
from monitoring.store.database import connect, migrate
from monitoring.store.tables import HEAD


def _open(url, queue):
    queue.put(open_store(Settings(database_url=url)).runs("score"))


def test_many_openers_of_a_new_database_at_once(request, tmp_path):
    for url in (f"sqlite:///{tmp_path}/new/p.db", request.getfixturevalue("postgres_url")):
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        openers = [context.Process(target=_open, args=(url, queue)) for _ in range(4)]
        for opener in openers:
            opener.start()
        assert [queue.get(timeout=60) for _ in openers] == [[]] * 4
        for opener in openers:
            opener.join()


def test_head_is_the_newest_migration_and_migrations_make_the_declared_tables(tmp_path):
    from alembic.autogenerate import compare_metadata
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from monitoring.store import tables

    config = Config()
    config.set_main_option("script_location", "monitoring/store/migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD
    engine = connect(f"sqlite:///{tmp_path}/p.db")
    migrate(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []


def test_a_store_of_a_newer_perennial_is_refused(tmp_path):
    engine = connect(f"sqlite:///{tmp_path}/p.db")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(RenewalError, match="Upgrade Perennial"):
        connect(f"sqlite:///{tmp_path}/p.db")


def test_unusable_databases_are_told_in_one_line(tmp_path):
    (tmp_path / "perennial.db").write_text("this is not a database, but a text of some length" * 30)
    with pytest.raises(RenewalError, match="SQLite"):
        open_store(Settings(home=tmp_path))
    for url in ("mysql://x/y", "nonsense", "postgresql://nobody@127.0.0.1:1/none"):
        with pytest.raises(RenewalError) as answer:
            connect(url)
        assert "\n" not in str(answer.value)


def test_sqlite_is_opened_in_wal_with_foreign_keys(tmp_path):
    store = open_store(Settings(home=tmp_path))
    with store.engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 30_000


KILLED = """
import sys
sys.path[:0] = ["tests"]
from store_case import open_store, Settings, rows, wrote
store = open_store(Settings(home=sys.argv[1]))
print("ready", flush=True)
for day in range(10, 29):
    wrote(store, rows(3000, as_of=f"2025-03-{day}"), run_id=f"r{day}", complete=True)
"""


@pytest.mark.parametrize("wait", [0.05, 0.3, 0.7])
def test_killed_at_any_moment_every_run_is_there_whole_or_not_at_all(tmp_path, wait):
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    time.sleep(wait)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    store: Store = open_store(Settings(home=tmp_path))
    log = store.predictions.read("renewal")
    assert set(log.groupby("run_id").size()) <= {3000}
    assert len(log) == 3000 * len(store.runs("score"))
    assert len({row["run_id"] for row in store.scores.page("renewal", limit=5000).rows}) <= 1
    with sqlite3.connect(tmp_path / "perennial.db") as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_readers_see_the_old_or_the_new_never_half(store):
    wrote(store, rows(400), complete=True)
    seen, done = set(), threading.Event()

    def read():
        while not done.is_set():
            found = store.scores.page("renewal", limit=1000).rows
            seen.add((len(found), len({row["as_of"] for row in found})))

    reader = threading.Thread(target=read)
    reader.start()
    for day in range(2, 8):
        wrote(store, rows(400 if day % 2 else 300, as_of=f"2025-03-0{day}"), run_id=f"r{day}", complete=True)
    done.set()
    reader.join()
    assert seen <= {(400, 1), (300, 1)}


def test_more_scores_than_one_statement_holds_are_all_stored(store):
    wrote(store, rows(40_000), complete=True)
    assert len(store.predictions.read("renewal")) == 40_000
