"""The schema's way up and down, on both databases: what was there stays, and the end is the same."""

import pytest
from sqlalchemy import inspect
from store_case import rows, wrote

from monitoring.store.database import migrate
from monitoring.store.tables import HEAD, POSTGRES_SCHEMA, metadata


def schema_of(engine):
    """Tables with their columns, and the views."""
    found = inspect(engine)
    schema = POSTGRES_SCHEMA if engine.dialect.name == "postgresql" else None
    tables = {
        name: sorted(column["name"] for column in found.get_columns(name, schema=schema))
        for name in found.get_table_names(schema=schema)
    }
    return tables, sorted(found.get_view_names(schema=schema))


def test_down_to_every_migration_and_up_again_is_the_same_schema(store):
    before = schema_of(store.engine)
    assert set(metadata.tables) <= set(before[0])
    for number in range(int(HEAD) - 1, 0, -1):
        migrate(store.engine, f"{number:04d}")
    assert schema_of(store.engine) != before or HEAD == "0001"
    migrate(store.engine)
    assert schema_of(store.engine) == before


def test_scores_and_outcomes_of_the_first_schema_are_there_after_the_way_down_and_up(store):
    wrote(store, rows(5))
    kept = store.scores.page("renewal").rows
    if HEAD == "0001":
        pytest.skip("there is one migration")
    migrate(store.engine, "0001")
    migrate(store.engine)
    assert store.scores.page("renewal").rows == kept
    assert len(store.predictions.read("renewal")) == 5


def test_down_to_nothing_and_up_again_is_an_empty_store(store):
    wrote(store, rows(2))
    migrate(store.engine, "base")
    assert not set(metadata.tables) & set(schema_of(store.engine)[0])
    migrate(store.engine)
    assert store.scores.page("renewal").rows == []
