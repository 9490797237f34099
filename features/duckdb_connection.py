"""Connections to DuckDB for questions to a CRM's files.

To open a database takes DuckDB 30 ms, which is more than most questions take. So a process opens one for each
number of threads, and a question gets a connection to it.

DuckDB lists its types on the screen where one of them outlives the process's modules. Libraries hold on to
what they were given (Evidently to its metrics, and so to all that those import): annotations are text here,
and the databases are closed.
"""

from __future__ import annotations

import atexit
import os
from functools import cache

import duckdb


def connected(threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """A connection of the caller's own, in UTC; nothing is in it, and what is put there stays there.

    That holds for temporary views and tables alone: others would be every caller's.

    Args:
        threads: that a question is answered with; None: as many as there are cores.
    """
    connection = _database(os.getpid(), threads).cursor()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


@cache
def _database(process: int, threads: int | None) -> duckdb.DuckDBPyConnection:
    """The database of a process (a forked one lacks the threads of its parent's); it holds on to no file."""
    config: dict[str, str | bool | int | float | list[str]] = {"enable_external_file_cache": False}
    return duckdb.connect(config=config if threads is None else {**config, "threads": threads})


atexit.register(_database.cache_clear)
