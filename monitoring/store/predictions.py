"""What was predicted, by which model, from which features: the log that monitoring judges.

The former champion's scores have a table of their own, so that nothing takes them for what was served.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Engine, delete, func, select

from features.moments import naive_utc
from monitoring.store.database import insert, insert_in, put, records
from monitoring.store.tables import feature_batches, prediction_log, shadow_log

UNDATED = "undated"
ABOUT = ("subject_id", "account_id", "as_of", "lead_days", "run_id", "model_version")
"""What a logged feature row is about; the features follow."""

WORTH_PACKING = 32
"""Rows: each column is packed by itself, and a few values take more room packed."""

_LOGGED = tuple(column.name for column in prediction_log.columns if column.name != "prediction_id")


@dataclass(frozen=True)
class Shadow:
    """What a model that does not serve would have said of a run's rows.

    `probability`: (n,) as the rows, NaN where a row could not be scored.
    """

    model_version: str
    probability: pd.Series


@dataclass(frozen=True)
class PredictionLog:
    """The part of the store that keeps every prediction."""

    engine: Engine

    def history(self, kind: str, subject_id: str) -> list[dict[str, Any]]:
        """All logged predictions of one subject, oldest `as_of` first."""
        log = prediction_log.c
        query = select(prediction_log).where(log.kind == kind, log.subject_id == subject_id)
        with self.engine.connect() as connection:
            rows = connection.execute(query.order_by(log.as_of_key, log.prediction_id)).mappings()
            return [dict(row) for row in rows]

    def read(self, kind: str, since: Any = None) -> pd.DataFrame:
        """The prediction log; with `since`, predictions of an `as_of` (undated: scored) at or after it."""
        log = prediction_log.c
        query = select(prediction_log).where(log.kind == kind).order_by(log.prediction_id)
        if since is not None:
            query = query.where(func.coalesce(log.as_of, log.scored_at) >= naive_utc(since).to_pydatetime())
        with self.engine.connect() as connection:
            result = connection.execute(query)
            frame = pd.DataFrame(result.fetchall(), columns=list(result.keys()))
        for name in ("as_of", "scored_at", "end_date"):
            frame[name] = pd.to_datetime(frame[name]).astype("datetime64[us]")
        numbers = ["probability", "low", "high", "lead_days", "amount", "at_risk", "expected", "forecast"]
        return frame.astype(dict.fromkeys(numbers, float))

    def shadows(self, kind: str, version: str) -> pd.DataFrame:
        """What a version would have said while another one served: `subject_id`, `as_of`, `probability`, …"""
        log = shadow_log.c
        query = select(shadow_log).where(log.kind == kind, log.model_version == version)
        with self.engine.connect() as connection:
            result = connection.execute(query.order_by(log.as_of_key, log.subject_id))
            frame = pd.DataFrame(result.fetchall(), columns=list(result.keys()))
        frame["as_of"] = pd.to_datetime(frame["as_of"]).astype("datetime64[us]")
        return frame.astype({"probability": float})

    def features(self, kind: str, since: Any = None) -> pd.DataFrame:
        """Feature rows logged by runs: the columns `ABOUT`, then the features.

        A feature that one run lacks is missing in its rows; categories are pandas categories.
        """
        batch = feature_batches.c
        query = select(feature_batches).where(batch.kind == kind).order_by(batch.logged_at, batch.run_id)
        if since is not None:
            query = query.where(
                func.coalesce(batch.last_as_of, batch.logged_at) >= naive_utc(since).to_pydatetime()
            )
        with self.engine.connect() as connection:
            tables = [_read_batch(row) for row in connection.execute(query).mappings()]
        if not tables:
            nothing = pd.DataFrame(columns=list(ABOUT))
            return nothing.astype({"as_of": "datetime64[us]", "lead_days": float})
        frame = pa.concat_tables(tables, promote_options="permissive").to_pandas()
        if since is not None:
            frame = frame[frame["as_of"].isna() | (frame["as_of"] >= naive_utc(since).to_pydatetime())]
        features = frame.columns[len(ABOUT) :]
        empty = [name for name in features if frame[name].isna().all()]
        frame = frame.astype(dict.fromkeys(empty, float))
        texts = [name for name in features if not pd.api.types.is_numeric_dtype(frame[name])]
        return frame.astype(dict.fromkeys(texts, "category")).reset_index(drop=True).copy()


def log_predictions(connection: Connection, ready: list[dict[str, Any]], current: bool) -> None:
    """Keep the predictions among a run's rows; one of the same subject, moment and model replaces itself.

    The owner's `forecast` is kept where it is as the CRM has it at that moment: not in a look back, which
    reads today's.
    """
    logged = []
    for row in ready:
        if row["probability"] is not None:
            forecast = (row["details"] or {}).get("forecast") if current else None
            logged.append({name: row.get(name) for name in _LOGGED} | {"forecast": forecast})
    put(connection, _upsert_predictions(connection.dialect.name), logged)


@cache
def _upsert_predictions(dialect: str) -> Any:
    statement = insert_in(dialect, prediction_log)
    key = ["kind", "subject_id", "as_of_key", "model_version"]
    changed = {name: statement.excluded[name] for name in _LOGGED if name not in key}
    return statement.on_conflict_do_update(index_elements=key, set_=changed)


def log_shadow(
    connection: Connection, kind: str, rows: pd.DataFrame, shadow: Shadow, run_id: str, scored_at: datetime
) -> None:
    """Keep what another model would have said of these rows (`subject_id`, `account_id`, `as_of`)."""
    about = pd.DataFrame({name: rows[name].to_numpy() for name in ("subject_id", "account_id", "as_of")})
    about["probability"] = shadow.probability.to_numpy(float)
    fixed = {"kind": kind, "model_version": shadow.model_version, "run_id": run_id, "scored_at": scored_at}
    ready = [{**row, **fixed} for row in records(about[about["probability"].notna()])]
    for row in ready:
        row["as_of_key"] = as_of_key(row["as_of"])
    statement = insert(connection, shadow_log)
    key = [column.name for column in shadow_log.primary_key]
    changed = {
        name: statement.excluded[name] for name in ("probability", "run_id", "scored_at", "account_id")
    }
    put(connection, statement.on_conflict_do_update(index_elements=key, set_=changed), ready)


def as_of_key(as_of: datetime | None) -> str:
    """A moment as text that can be part of a key: a NULL would not be unique."""
    return as_of.isoformat() if as_of else UNDATED


def log_features(
    connection: Connection,
    kind: str,
    run_id: str,
    version: str,
    rows: pd.DataFrame,
    features: pd.DataFrame,
    logged_at: datetime,
) -> None:
    """Keep a run's feature rows, as one blob; the run again replaces it."""
    if len(rows) != len(features):
        raise ValueError(f"{len(features)} feature rows for {len(rows)} scores")
    about = pd.DataFrame(
        {"subject_id": rows["subject_id"].to_numpy(), "account_id": rows["account_id"].to_numpy()}
    )
    about["as_of"] = pd.to_datetime(rows["as_of"].to_numpy()).astype("datetime64[us]")
    about["lead_days"] = rows["lead_days"].to_numpy(float) if "lead_days" in rows else float("nan")
    about["run_id"] = run_id
    about["model_version"] = version
    feature_rows = features.reset_index(drop=True)
    blank: dict[str, Any] = {str(name): None for name in feature_rows if feature_rows[name].isna().all()}
    table = pa.Table.from_pandas(
        pd.concat([about, feature_rows.assign(**blank)], axis=1), preserve_index=False
    )
    _log_batch(connection, kind, run_id, version, table, logged_at)


def log_feature_table(
    connection: Connection, kind: str, ready: list[dict[str, Any]], features: pa.Table
) -> None:
    """Keep the feature rows behind a run's prepared rows, same order."""
    types = dict.fromkeys(ABOUT, pa.string()) | {"as_of": pa.timestamp("us"), "lead_days": pa.float64()}
    about = {name: pa.array([row[name] for row in ready], types[name]) for name in ABOUT}
    table = pa.table({**about, **dict(zip(features.column_names, features.columns, strict=True))})
    first = ready[0]
    _log_batch(connection, kind, first["run_id"], first["model_version"], table, first["scored_at"])


def _log_batch(
    connection: Connection, kind: str, run_id: str, version: str, table: pa.Table, logged_at: datetime
) -> None:
    dated = pc.min_max(table["as_of"]).as_py()
    batch = {
        "kind": kind,
        "run_id": run_id,
        "model_version": version,
        "first_as_of": dated["min"],
        "last_as_of": dated["max"],
        "logged_at": logged_at,
        "rows": table.num_rows,
        "arrow_zstd": packed(table),
    }
    connection.execute(
        delete(feature_batches).where(feature_batches.c.kind == kind, feature_batches.c.run_id == run_id)
    )
    connection.execute(insert(connection, feature_batches).values(**batch))


def packed(table: pa.Table) -> bytes:
    """A table as one Arrow IPC stream, zstd inside where there is something to pack."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd" if table.num_rows >= WORTH_PACKING else None)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def unpacked(blob: bytes) -> pa.Table:
    """The table `packed` made, categories as plain text."""
    table = pa.ipc.open_stream(blob).read_all()
    plain = [
        pa.field(field.name, field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(plain))


def _read_batch(row: Any) -> pa.Table:
    return unpacked(row["arrow_zstd"])
