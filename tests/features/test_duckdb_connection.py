"""One DuckDB database a process: what one question puts there no other sees, and it ends in silence."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from features.duckdb_connection import connected


def test_what_one_question_puts_there_no_other_sees():
    with connected() as one, connected() as other:
        one.execute("CREATE TEMP VIEW accounts AS SELECT 1 AS n")
        other.execute("CREATE TEMP VIEW accounts AS SELECT 2 AS n")
        assert (one.sql("FROM accounts").fetchall(), other.sql("FROM accounts").fetchall()) == (
            [(1,)],
            [(2,)],
        )
    with connected() as later, pytest.raises(duckdb.CatalogException):
        later.sql("FROM accounts")


def test_many_at_once_each_answer_their_own():
    def answer(n: int) -> int:
        with connected(threads=1) as connection:
            connection.execute(f"CREATE TEMP VIEW numbers AS SELECT {n} AS n FROM range(1000)")
            return connection.sql("SELECT sum(n) FROM numbers").fetchall()[0][0]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(answer, range(40))) == [1000 * n for n in range(40)]


ASKS_AND_IS_HELD = """
import ctypes
from features import duckdb_connection
with duckdb_connection.connected() as connection:
    connection.sql("SELECT 1").fetchall()
ctypes.pythonapi.Py_IncRef(ctypes.py_object(duckdb_connection.connected))
"""
"""Evidently never lets go of what it was given either."""


def test_a_process_ends_in_silence_though_a_library_holds_on_to_what_asked():
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", ASKS_AND_IS_HELD]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert ended.stdout + ended.stderr == ""
