"""Spark gives the same rows as the local engine, to the bit, and says what it needs where it cannot run."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features import spark
from features.crm.contract import TABLES
from features.crm.crm import Crm
from features.engine import feature_rows
from features.errors import RenewalError
from features.settings import Settings
from features.snapshots import renewal_snapshots, win_snapshots

KINDS = pytest.mark.parametrize(
    ("kind", "snapshots_of"), [("renewal", renewal_snapshots), ("win", win_snapshots)]
)
C1_ONLY = "--conf spark.driver.extraJavaOptions=-XX:TieredStopAtLevel=1 pyspark-shell"
"""Quick to start; a short run does not repay the optimising compiler."""


@pytest.fixture(scope="module")
def awkward_crm(simulated_crm: Crm, tmp_path_factory: pytest.TempPathFactory) -> Crm:
    """The simulated CRM with moments cut to days (ties everywhere), nulls strewn in, and empty accounts."""
    folder = tmp_path_factory.mktemp("awkward")
    draw = np.random.default_rng(7)
    for table in simulated_crm.tables:
        rows = simulated_crm.arrow(table)
        for place, field in enumerate(rows.schema):
            rows = rows.set_column(
                place, field.with_nullable(True), _roughened(draw, table, field.name, rows.column(place))
            )
        if table == "accounts":
            added = pa.table({"account_id": [f"empty {n}" for n in range(5)]})
            rows = pa.concat_tables([rows, added], promote_options="default")
        pq.write_table(rows, folder / f"{table}.parquet")
    return replace(simulated_crm, folder=folder, fingerprint="awkward")


def _roughened(
    draw: np.random.Generator, table: str, column: str, values: pa.ChunkedArray
) -> pa.ChunkedArray:
    declared = TABLES[table].by_name.get(column)
    if pa.types.is_timestamp(values.type):
        values = pc.floor_temporal(values, unit="day")
    if (
        declared is None
        or declared.required
        or column.endswith("_id")
        or column in ("end_date", "created_at")
    ):
        return values
    gone = pa.array(draw.random(len(values)) < 0.1)
    return pa.chunked_array([pc.if_else(gone, pa.scalar(None, values.type), values.combine_chunks())])


@pytest.fixture
def on_spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings for Spark on two cores; skips, with what is missing, where it cannot start."""
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", C1_ONLY)
    settings = Settings(home=tmp_path / "home", threads=2, engine="spark")
    try:
        spark.session(settings)
    except RenewalError as error:
        pytest.skip(str(error))
    return settings


def _same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Equal to the bit (-0.0 is not 0.0), but for the bits of NaN, which is missing."""
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    for name in one.select_dtypes("float64"):
        left, right = (np.nan_to_num(frame[name].to_numpy(), nan=-9.75e99) for frame in (one, other))
        assert (left.view(np.int64) == right.view(np.int64)).all(), name


@KINDS
def test_spark_equals_local_over_the_whole_catalogue(awkward_crm, on_spark, kind, snapshots_of):
    snapshots = snapshots_of(awkward_crm)
    nobody = snapshots.head(3).assign(
        account_id=["empty 1", "empty 4", "never heard of"], contract_id=None, opportunity_id=None
    )
    snapshots = pd.concat([snapshots, nobody], ignore_index=True).sample(frac=1, random_state=1)
    local = feature_rows(awkward_crm, snapshots, kind, Settings(threads=1))
    shared = feature_rows(awkward_crm, snapshots, kind, on_spark)
    assert len(local.frame.columns) > 200
    assert shared.infos == local.infos
    _same(local.frame, shared.frame)
    (folder,) = (on_spark.home / "features").iterdir()
    assert pq.read_table(folder).num_rows == len(snapshots)


def test_rows_asked_for_again_are_read_and_others_are_not(simulated_crm, on_spark, monkeypatch):
    some = renewal_snapshots(simulated_crm).head(20)
    first = feature_rows(simulated_crm, some, "renewal", on_spark)
    monkeypatch.setattr(spark, "_write", lambda *rest: pytest.fail("worked out twice"))
    _same(feature_rows(simulated_crm, some, "renewal", on_spark).frame, first.frame)
    with pytest.raises(pytest.fail.Exception):
        feature_rows(simulated_crm, some.head(19), "renewal", on_spark)
    assert len(list((on_spark.home / "features").iterdir())) == 1


def test_nothing_asked_needs_no_spark(simulated_crm, tmp_path, monkeypatch):
    monkeypatch.setattr(spark, "session", lambda settings: pytest.fail("Spark started"))
    none = renewal_snapshots(simulated_crm).head(0)
    assert feature_rows(simulated_crm, none, "renewal", Settings(home=tmp_path, engine="spark")).frame.empty


def test_old_rows_are_forgotten(tmp_path):
    import os

    for name in ("old", "young"):
        (tmp_path / name).mkdir()
    long_ago = (tmp_path / "young").stat().st_mtime - (spark.KEPT_DAYS + 1) * 86_400
    os.utime(tmp_path / "old", (long_ago, long_ago))
    spark._forget(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["young"]


def test_without_java_the_error_says_what_to_install(monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(RenewalError, match=r"Java 17 or later.*Install a Java runtime"):
        spark.session(Settings(engine="spark"))


def test_without_pyspark_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(spark, "_require_java", lambda: None)
    monkeypatch.setitem(__import__("sys").modules, "pyspark", None)
    with pytest.raises(RenewalError, match="pip install"):
        spark.session(Settings(engine="spark"))
