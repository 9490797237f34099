"""Schemas for MLflow and Optuna in a shared PostgreSQL: both want a table `alembic_version`."""

import re
from urllib.parse import unquote

_QUEUE = 7_306_110_518  # any fixed number: those who make a schema at the same time queue on it


def make_ready(url: str) -> str:
    """Make the schema that a PostgreSQL address puts first in its search path, where it is missing.

    Args:
        url: as `Settings.mlflow_url` or `Settings.optuna_url` give it; another database is left alone.

    Returns:
        The address, as it came.
    """
    named = re.search(r"-csearch_path=(\w+)", unquote(url))
    if url.startswith("postgresql") and named and (url not in _READY):
        from sqlalchemy import create_engine, text
        from sqlalchemy.pool import NullPool

        with create_engine(url, poolclass=NullPool).begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _QUEUE})
            connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{named[1]}"'))
        _READY.add(url)
    return url


_READY: set[str] = set()
"""Addresses seen to: asking again costs a connection, and nobody takes a schema away."""
