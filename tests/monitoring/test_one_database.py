"""Scores, MLflow and Optuna in one PostgreSQL: none gets in another's way, and the whole path runs."""

import pandas as pd
import pytest
from folders import only_tables
from serving_case import LOCAL, train_plainly
from starlette.testclient import TestClient

from features.crm.load import ingest
from features.settings import Settings
from features.simulation import simulate
from monitoring.store import open_store
from serving.app import create_app
from serving.scoring.batch import score
from training.model_versions import make_ready
from training.registry import champion, listing
from training.train import TrainOptions, train


@pytest.mark.parametrize(
    ("url", "mlflow"),
    [
        ("postgresql://u:p@h/db", "postgresql+psycopg://u:p@h/db?options=-csearch_path%3Dmlflow"),
        ("postgres://u@h:5/db", "postgresql+psycopg://u@h:5/db?options=-csearch_path%3Dmlflow"),
        (
            "postgresql+psycopg://h/db?sslmode=require&options=-cwork_mem%3D64MB",
            "postgresql+psycopg://h/db?sslmode=require&options=-cwork_mem%3D64MB%20-csearch_path%3Dmlflow",
        ),
        ("sqlite:////data/all.db", "sqlite:////data/all-mlflow.db"),
        ("sqlite:////da.ta/all", "sqlite:////da.ta/all-mlflow"),
    ],
)
def test_each_has_a_place_of_its_own_in_a_shared_database(url, mlflow):
    settings = Settings(database_url=url)
    assert settings.mlflow_url == mlflow
    assert settings.optuna_url == mlflow.replace("mlflow", "optuna")
    assert settings.store_url == url


def tables_by_schema(url: str) -> dict[str, set[str]]:
    import psycopg

    query = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT LIKE 'pg_%'"
    with psycopg.connect(url) as connection:
        found = connection.execute(query).fetchall()
    schemas: dict[str, set[str]] = {}
    for schema, table in found:
        schemas.setdefault(schema, set()).add(table)
    schemas.pop("information_schema", None)
    return schemas


def test_a_schema_is_made_once_and_again_changes_nothing(postgres_url):
    url = Settings(database_url=postgres_url).mlflow_url
    for _ in range(2):
        assert make_ready(url) == url
        make_ready.__globals__["_READY"].clear()


@pytest.mark.slow
def test_training_scoring_and_serving_share_one_postgresql(postgres_url, tmp_path):
    secret = postgres_url.replace(
        "tests@", "tests:let-me-in@"
    )  # the test server asks for none, and takes any
    settings = Settings(home=tmp_path / "home", threads=1, database_url=secret, min_positives=10)
    simulate(tmp_path / "crm", accounts=330, seed=3, draws=0)
    only_tables(tmp_path / "crm", "accounts", "contracts", "activities")
    crm = ingest(tmp_path / "crm", settings)
    train_plainly("renewal", crm, settings, tmp_path / "plain")
    result = train("renewal", crm, settings, TrainOptions(trials=1))
    rows = score("renewal", crm, settings)
    score("renewal", crm, settings, as_of=crm.until - pd.Timedelta(days=30))
    assert len(rows)
    schemas = tables_by_schema(postgres_url)
    assert {"scores", "alembic_version"} <= schemas["perennial"]
    assert {"registered_models", "alembic_version"} <= schemas["mlflow"]
    assert {"studies", "trials", "alembic_version"} <= schemas["optuna"]
    assert schemas.get("public", set()) == set()
    assert not list(settings.home.glob("*.db"))
    assert [row["version"] for row in listing(settings)] == ["2", "1"]
    assert champion("renewal", settings).version
    with TestClient(create_app(settings), base_url=LOCAL, client=("127.0.0.1", 50_000)) as client:
        one = client.get("/v1/renewals?limit=1").json()["rows"][0]["contract_id"]
        answer = client.post("/v1/renewals/score", json={"contract_ids": [one]}).json()
        assert answer["model_version"] == champion("renewal", settings).version
        assert 0 < answer["rows"][0]["probability"] < 1
        assert client.get("/models").status_code == 200
        account = answer["rows"][0]["account_id"]
        call = {"activity_id": "E1", "account_id": account, "kind": "call", "occurred_at": "2026-01-01"}
        for _ in range(20):  # the first one reads the data; where that takes too long, it is sent again
            sent = client.post("/v1/events", json={"table": "activities", "rows": [call]})
            if sent.status_code != 504:
                break
        assert sent.status_code == 200, sent.text
        assert sent.json()["stored"] + sent.json()["repeated"] == 1
        assert len(open_store(settings).events.read()) == 1
    open_store(settings).engine.dispose()
    assert result["version"] == "2"
    written = [path for path in settings.home.rglob("*") if path.is_file()]
    assert [path.name for path in written if b"let-me-in" in path.read_bytes()] == []
