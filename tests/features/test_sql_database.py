"""A database as a source: it gives the same CRM as a folder does, and is only read."""

from pathlib import Path

import duckdb
import pandas as pd
import pytest

from features.crm.load import load
from features.errors import RenewalError
from features.sources.sql_database import _before, _Found

TABLES = {
    "contracts": "contract_id,account_id,start_date,end_date,annual_value,renewed,tier\n"
    "c1,a1,2023-01-01,2023-12-31,1234.5,true,gold\nc2,a2,2023-01-01,2023-12-31,99,false,silver\n",
    "activities": "activity_id,account_id,occurred_at,kind,duration_minutes,mood\n"
    "1,a1,2023-02-01 10:00:00,call,1.5,good\n2,a2,2024-05-01 00:00:00,email,,bad\n"
    "3,a1,2024-06-01 08:30:00,call,3,so so\n",
}
TYPES = {
    "contracts": "contract_id text, account_id text, start_date date, end_date date, annual_value numeric,"
    " renewed boolean, tier text",
    "activities": "activity_id bigint, account_id text, occurred_at timestamp, kind text,"
    " duration_minutes double precision, mood text",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "crm"
    source.mkdir()
    for name, text in TABLES.items():
        (source / f"{name}.csv").write_text(text)
    return source


@pytest.fixture
def postgres(postgres_url: str) -> str:
    import psycopg

    with psycopg.connect(postgres_url) as connection:
        for name, types in TYPES.items():
            connection.execute(f"CREATE TABLE {name} ({types})")
            with connection.cursor().copy(f"COPY {name} FROM STDIN (FORMAT csv, HEADER true)") as rows:
                rows.write(TABLES[name])
    return postgres_url


@pytest.fixture
def duck(tmp_path: Path, folder: Path) -> str:
    with duckdb.connect(str(tmp_path / "crm.duckdb")) as connection:
        for name, types in TYPES.items():
            connection.execute(f"CREATE TABLE {name} ({types})")
            connection.execute(f"COPY {name} FROM '{folder / name}.csv' (HEADER true)")
    return f"duckdb:///{tmp_path / 'crm.duckdb'}"


@pytest.fixture(params=["postgres", "duck"])
def url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("until", [None, pd.Timestamp("2024-05-02")])
def test_a_database_gives_the_same_as_a_folder(url, folder, tmp_path, until):
    there = load(url, into=tmp_path / "there", until=until)
    here = load(folder, into=tmp_path / "here", until=until)
    assert there.tables == here.tables
    for table in here.tables:
        assert there.arrow(table).equals(here.arrow(table)), table
    assert there.fingerprint == here.fingerprint


def test_a_mapping_is_run_by_the_database(url, tmp_path):
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(
        "contracts: SELECT contract_id, annual_value * 2 AS annual_value FROM contracts -- doubled\n"
    )
    crm = load(url, into=tmp_path / "clean", mapping=mapping)
    assert crm.frame("contracts")["annual_value"].sort_values().tolist() == [19800, 246900]
    assert crm.has("activities", "kind")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM contracts",
        "SELECT 1 AS contract_id; DROP TABLE contracts",
        "SELECT 1) TO '/tmp/out.csv' --",
        "WITH gone AS (DELETE FROM contracts RETURNING contract_id) SELECT contract_id FROM gone",
        "SELECT nothing FROM contracts",
        "SELEKT 1",
    ],
)
def test_a_mapping_only_reads(url, tmp_path, statement):
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(f"contracts: |\n  {statement}\n")
    with pytest.raises(RenewalError) as error:
        load(url, into=tmp_path / "clean", mapping=mapping)
    assert "\n" not in str(error.value)
    assert len(load(url, into=tmp_path / "clean").frame("contracts")) == 2


def test_a_duckdb_file_opens_no_way_to_others(duck, tmp_path):
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("contracts: SELECT content AS contract_id FROM read_text('/etc/passwd')\n")
    with pytest.raises(RenewalError, match="the SELECT for contracts to run"):
        load(duck, into=tmp_path / "clean", mapping=mapping)


@pytest.mark.parametrize(
    ("url", "answer"),
    [
        ("mysql://host/db", r"a folder, .*postgresql://…"),
        ("duckdb:///nowhere/at/all.duckdb", "no such file"),
        ("postgresql://nobody@127.0.0.1:1/none", "to reach the PostgreSQL database"),
    ],
)
def test_no_way_in_is_one_line(tmp_path, url, answer):
    with pytest.raises(RenewalError, match=answer):
        load(url, into=tmp_path / "clean")


def test_an_empty_database_is_refused(postgres_url, tmp_path):
    with pytest.raises(RenewalError, match="found none of them"):
        load(postgres_url, into=tmp_path / "clean")


def test_timestamps_with_a_zone_are_utc(postgres_url, tmp_path):
    import psycopg

    with psycopg.connect(postgres_url) as connection:
        connection.execute(
            "CREATE TABLE opportunities (opportunity_id text, created_at timestamptz, is_won boolean)"
        )
        connection.execute("INSERT INTO opportunities VALUES ('o1', '2024-01-05 10:00:00+02', true)")
    deals = load(postgres_url, into=tmp_path / "clean").frame("opportunities")
    assert deals["created_at"].tolist() == [pd.Timestamp("2024-01-05 08:00:00")]


@pytest.mark.parametrize(
    ("table", "columns", "pushed"),
    [
        ("activities", {"occurred_at": "timestamp"}, True),
        ("activities", {"occurred_at": "text"}, False),
        ("usage", {"used_on": "date"}, True),
        ("opportunities", {"created_at": "timestamp"}, False),
    ],
)
def test_time_is_pushed_down_where_nothing_else_hangs_on_the_row(table, columns, pushed):
    assert (_before(table, _Found(table, columns), pd.Timestamp("2024-01-01")) is not None) == pushed
