"""The schema's way up and down, on both databases, and homes of earlier versions."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import inspect, text
from store_case import rows, wrote

from features.errors import RenewalError
from features.settings import Settings
from monitoring.store import open_store
from monitoring.store.database import migrate
from monitoring.store.tables import FIRST, HEAD, POSTGRES_SCHEMA, metadata

EARLIER = Path(__file__).with_name("schema_0006.sql")
"""A store as the six migrations left it that were put together into one, with a row or two."""


def schema_of(engine):
    """Tables with their columns, keys and indexes, and the views."""
    found = inspect(engine)
    schema = POSTGRES_SCHEMA if engine.dialect.name == "postgresql" else None
    tables = {
        name: (
            sorted(
                (column["name"], str(column["type"]), column["nullable"], str(column["default"]))
                for column in found.get_columns(name, schema=schema)
            ),
            found.get_pk_constraint(name, schema=schema)["constrained_columns"],
            sorted(
                (str(index["name"]), str(index["column_names"]), bool(index["unique"]))
                for index in found.get_indexes(name, schema=schema)
            ),
            sorted(str(key["referred_table"]) for key in found.get_foreign_keys(name, schema=schema)),
        )
        for name in found.get_table_names(schema=schema)
    }
    return tables, sorted(found.get_view_names(schema=schema))


def test_down_to_every_migration_and_up_again_is_the_same_schema(store):
    before = schema_of(store.engine)
    assert set(metadata.tables) <= set(before[0])
    for number in range(int(HEAD) - 1, int(FIRST) - 1, -1):
        migrate(store.engine, f"{number:04d}")
    migrate(store.engine)
    assert schema_of(store.engine) == before


def test_down_to_nothing_and_up_again_is_an_empty_store_of_the_same_schema(store):
    before = schema_of(store.engine)
    wrote(store, rows(2))
    migrate(store.engine, "base")
    assert not set(metadata.tables) & set(schema_of(store.engine)[0])
    assert schema_of(store.engine)[1] == []
    migrate(store.engine)
    assert schema_of(store.engine) == before
    assert store.scores.page("renewal").rows == []


def test_a_home_of_an_earlier_version_is_opened_without_loss(tmp_path):
    with sqlite3.connect(tmp_path / "perennial.db") as earlier:
        earlier.executescript(EARLIER.read_text())
    store = open_store(Settings(home=tmp_path))
    assert [row["subject_id"] for row in store.scores.page("renewal").rows] == ["C-1"]
    assert store.outcomes.read("renewal")["subject_id"].tolist() == ["C-0"]
    assert len(store.predictions.read("renewal")) == 1
    wrote(store, rows(3))
    assert len(store.predictions.read("renewal")) == 4
    assert schema_of(store.engine) == schema_of(open_store(Settings(home=tmp_path / "new")).engine)


def test_a_store_from_before_the_first_schema_is_told_in_one_line(tmp_path):
    store = open_store(Settings(home=tmp_path))
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0003'"))
    with pytest.raises(RenewalError, match=r"schema 0003.*Open it once"):
        open_store(Settings(home=tmp_path))
