"""The views for spreadsheets and BI tools: documented columns, the exports' figures, no other table."""

import io
import re
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from serving_case import client_of, home, night  # noqa: F401 (fixtures)
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

from features.settings import Settings
from monitoring.store import open_store
from serving.pages.spreadsheet import COLUMNS, sheet

DOCUMENTED = {
    name: re.findall(r"\w+", body.strip().split("\n\n")[-1])
    for name, body in re.findall(
        r"^## (v_\w+)\n(.*?)(?=^## )", (Path(__file__).parents[2] / "docs/views.md").read_text(), re.M | re.S
    )
}


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    if request.param == "sqlite":
        return open_store(Settings(home=tmp_path))
    return open_store(Settings(home=tmp_path, database_url=request.getfixturevalue("postgres_url")))


def read(store, view):
    named = f"perennial.{view}" if store.engine.dialect.name == "postgresql" else view
    with store.engine.connect() as connection:
        return pd.read_sql(text(f"SELECT * FROM {named}"), connection)


def scored(held_out=False):
    reasons = [{"feature": "f", "words": f"reason {at}", "value": 1.0, "log_odds": -0.1} for at in (1, 2)]
    row = {
        "contract_id": "C1", "account_id": "A1", "account_name": "Nord AG", "owner_id": "O1",
        "owner_name": "Ada", "region": "north", "product": "suite", "lead_days": 120.0,
        "end_date": pd.Timestamp("2026-05-01"),
        "as_of": pd.Timestamp("2026-01-01"), "probability": 0.75, "low": 0.6, "high": 0.9, "band": "watch",
        "amount": 100.0, "at_risk": 25.0, "reasons": reasons, "held_out": held_out, "alias": "champion",
    }  # fmt: skip
    return pd.DataFrame([row])


def test_each_view_has_the_documented_columns(store):
    inspector = inspect(store.engine)
    schema = "perennial" if store.engine.dialect.name == "postgresql" else None
    views = {name for name in inspector.get_view_names(schema=schema) if name.startswith("v_")}
    assert views == set(DOCUMENTED)
    for view, columns in DOCUMENTED.items():
        assert list(read(store, view).columns) == columns


def test_a_row_of_a_view_is_the_row_of_the_export(store):
    store.scores.write("renewal", scored(), run_id="r1", model_version="1")
    (row,) = read(store, "v_renewals").to_dict("records")
    listed = sheet(store.scores.page("renewal").rows, "renewal")
    (exported,) = listed.to_dict("records")
    own = {
        name: exported.pop(name)
        for name in ("forecast", "override", "override_reason", "override_by", "override_at")
    }
    assert pd.isna(list(own.values())).all()
    directions = [exported.pop(f"reason_{at}_direction") for at in (1, 2, 3)]
    assert directions[:2] == ["lowers", "lowers"]
    assert pd.isna(directions[2])
    columns = [name for name in listed if not name.endswith("_direction")]
    assert columns == [*DOCUMENTED["v_renewals"][: len(exported)], *own]
    for name, value in exported.items():
        shown = pd.Timestamp(row[name]) if name in ("as_of", "end_date") else row[name]
        assert (pd.isna(shown) and pd.isna(value)) or shown == value, name
    assert (row["reason_2"], row["reason_3"]) == ("reason 2", None)


def test_a_deal_shows_its_owners_forecast_and_when_it_began(store):
    deal = scored().drop(columns=["contract_id", "at_risk", "product"])
    deal = deal.assign(
        opportunity_id="D1",
        expected=75.0,
        deal_kind="new",
        forecast=0.4,
        created_at=pd.Timestamp("2025-11-05"),
    )
    store.scores.write("win", deal, run_id="r1", model_version="1")
    (row,) = read(store, "v_pipeline").to_dict("records")
    assert (row["forecast"], row["deal_kind"], row["expected"]) == (0.4, "new", 75.0)
    assert pd.Timestamp(row["created_at"]) == pd.Timestamp("2025-11-05")


def test_customers_held_out_show_no_score_and_predictions_meet_their_outcome(store):
    store.scores.write("renewal", scored(held_out=True), run_id="r1", model_version="1")
    (row,) = read(store, "v_renewals").to_dict("records")
    hidden = ("probability", "low", "high", "band", "at_risk", "reason_1", "previous_probability")
    assert all(pd.isna(row[name]) for name in hidden)
    assert row["problem"].startswith("held out")
    assert read(store, "v_predictions").empty
    shown = scored().assign(contract_id="C2")
    store.scores.write("renewal", shown, run_id="r2", model_version="1")
    store.outcomes.record(pd.DataFrame([{"contract_id": "C2", "outcome": "0", "decided_at": "2026-04-01"}]))
    (row,) = read(store, "v_predictions").to_dict("records")
    assert (row["subject_id"], row["probability"], row["outcome"]) == ("C2", 0.75, 0)


def test_a_login_for_the_views_reads_nothing_else(postgres_url, tmp_path):
    store = open_store(Settings(home=tmp_path, database_url=postgres_url))
    role = postgres_url.rsplit("/", 1)[1] + "_bi"
    answer = (Path(__file__).parents[2] / "docs/views.md").read_text()
    grants = re.search(r"    CREATE ROLE.*?TO bi;\n\n", answer, re.S)[0].replace("…", "secret")
    with store.engine.begin() as connection:
        for statement in re.sub(r"\bbi\b", role, grants).strip().rstrip(";").split(";"):
            connection.execute(text(statement))
    reader = create_engine(store.engine.url.set(username=role, password="secret"))
    with reader.connect() as connection:
        for view in DOCUMENTED:
            connection.execute(text(f"SELECT * FROM perennial.{view}"))
    for table in ("api_keys", "scores", "events"):
        with reader.connect() as connection, pytest.raises(DBAPIError, match="permission denied"):
            connection.execute(text(f"SELECT * FROM perennial.{table}"))
    reader.dispose()
    with store.engine.begin() as connection:
        connection.execute(text(f"DROP OWNED BY {role}"))
        connection.execute(text(f"DROP ROLE {role}"))


def test_an_empty_list_has_the_same_columns_and_types_as_a_full_one():
    full = sheet([{**scored().to_dict("records")[0], "kind": "renewal"}], "renewal")
    assert list(full.columns) == [*COLUMNS["renewal"], *full.columns[len(COLUMNS["renewal"]) :]]
    for kind in ("renewal", "win"):
        empty = sheet([], kind)
        own = {name: str(dtype) for name, dtype in empty.dtypes.items()}
        assert {"object"}.isdisjoint(own.values())
        if kind == "renewal":
            assert own == {name: str(dtype) for name, dtype in full.dtypes.items()}


@pytest.mark.slow
def test_what_a_spreadsheet_would_run_is_text_in_it_and_unchanged_in_parquet(home):  # noqa: F811
    store = open_store(Settings(home=home))
    store.scores.write(
        "renewal", scored().assign(account_name="=cmd|' /C calc'!A0"), run_id="x", model_version="1"
    )
    with client_of(home) as client:
        as_csv = pd.read_csv(io.BytesIO(client.get("/renewals/export.csv").content))
        as_xlsx = pd.read_excel(io.BytesIO(client.get("/renewals/export.xlsx").content))
        as_parquet = pq.read_table(io.BytesIO(client.get("/renewals/export.parquet").content)).to_pandas()
        named = client.get("/renewals/export.csv").headers["content-disposition"]
    for frame, shown in ((as_csv, "'=cmd"), (as_xlsx, "'=cmd"), (as_parquet, "=cmd")):
        assert frame.set_index("contract_id").loc["C1", "account_name"].startswith(shown)
    assert named == 'attachment; filename="renewals.csv"'
    assert list(as_csv.columns) == list(as_xlsx.columns) == list(as_parquet.columns)
