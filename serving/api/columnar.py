"""Batches as columns: feature rows in, scores out, as Arrow or Parquet beside JSON."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic_core import from_json
from starlette.concurrency import run_in_threadpool

from features.arrays import Column, columns_of
from serving.api.problems import ProblemError
from serving.api.routes import ERRORS, Scorer, answer
from serving.state import running_of
from training.explain import judged
from training.model import Model
from training.registry import Loaded

ARROW, PARQUET, JSON = (
    "application/vnd.apache.arrow.stream",
    "application/vnd.apache.parquet",
    "application/json",
)
MOST_ROWS = 100_000
PART_ROWS = 2_500
ID = "id"
BATCHES: dict[str, Any] = {ARROW: {}, PARQUET: {}, JSON: {}}

router = APIRouter(responses=ERRORS)


@router.post(
    "/v1/score/features",
    tags=["score"],
    openapi_extra={"requestBody": {"required": True, "content": BATCHES}},
    responses={200: {"description": "`id` if it was sent, then the scores.", "content": BATCHES}},
)
async def score_features(
    request: Request,
    principal: Scorer,
    model: Annotated[Literal["renewal", "win"], Query(description="Which model scores.")] = "renewal",
    reasons: Annotated[
        bool, Query(description="Add each row's reasons, which cost most of the time.")
    ] = False,
) -> Response:
    """Score ready-made feature rows, such as a run has logged; nothing is stored.

    The columns are the model's features by name, in any order; one that is not there counts as missing, and
    further ones are ignored. A column `id` comes back with the scores. The body is an Arrow stream, a Parquet
    file or JSON (`{"columns": {name: [values]}}`); the answer is what `Accept` asks for, else as the body.
    """
    running = running_of(request)
    loaded = running.models.need(model)
    kind = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    accepted = request.headers.get("accept", "")
    wanted = next((one for one in (ARROW, PARQUET, JSON) if one in accepted), kind)
    threads = running.settings.threads
    table = await run_in_threadpool(_answered, loaded, kind, wanted, await request.body(), reasons, threads)
    running.metrics.scored.labels(model, loaded.version).inc(table.rows)
    return table.response


class _Answered:
    """An answer and how many rows it has."""

    def __init__(self, response: Response, rows: int) -> None:
        self.response, self.rows = response, rows


def _answered(loaded: Loaded, kind: str, wanted: str, body: bytes, reasons: bool, threads: int) -> _Answered:
    table = read_table(kind, body)
    if table.num_rows > MOST_ROWS:
        raise ProblemError(413, f"Send at most {MOST_ROWS:,} rows in one request.")
    if not set(loaded.model.features) & set(table.column_names):
        named = ", ".join(loaded.model.features[:3])
        raise ProblemError(422, f"None of the columns is a feature of the model ({named}, …).")
    return _Answered(written(side_by_side(loaded, table, reasons, threads), wanted), table.num_rows)


def side_by_side(loaded: Loaded, table: pa.Table, reasons: bool, threads: int) -> pa.Table:
    """`scores_of` in as many parts as there are threads, each of enough rows to be worth one."""
    parts = max(1, min(threads, table.num_rows // PART_ROWS))
    if parts == 1:
        return scores_of(loaded, table, reasons)
    size = -(-table.num_rows // parts)
    slices = [table.slice(at, size) for at in range(0, table.num_rows, size)]
    with ThreadPoolExecutor(parts) as pool:
        scored = list(pool.map(lambda part: scores_of(loaded, part, reasons), slices))
    return pa.concat_tables(scored).unify_dictionaries().combine_chunks()


def read_table(kind: str, body: bytes) -> pa.Table:
    """A request's rows.

    Raises:
        ProblemError: 415 for another kind of body, 422 where it cannot be read.
    """
    if kind not in BATCHES:
        raise ProblemError(415, f"Send {ARROW}, {PARQUET} or {JSON}.")
    try:
        if kind == ARROW:
            return pa.ipc.open_stream(body).read_all()
        if kind == PARQUET:
            return pq.read_table(pa.BufferReader(body), use_threads=False)
        columns = from_json(body)["columns"]
        return pa.table({str(name): pa.array(values) for name, values in columns.items()})
    except (pa.ArrowException, ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise ProblemError(422, f"The body is no {kind} with a table in it: {error}") from error


def scores_of(loaded: Loaded, table: pa.Table, reasons: bool) -> pa.Table:
    """The scores of feature rows: `id` where it is there, probability, interval and band; reasons where wanted.

    Raises:
        ProblemError: 422 where a column holds neither numbers nor texts.
    """
    model = loaded.model
    X = _features(model, table)
    probability, why = judged(model, X) if reasons else (model.probability(X), None)
    low, high = model.interval(probability)
    columns: dict[str, Any] = {ID: table[ID]} if ID in table.column_names else {}
    columns |= {"probability": probability, "low": low, "high": high, "band": _bands(model, probability)}
    if why is not None:
        reason_rows = [[{**one, "value": _text(one["value"])} for one in row] for row in why]
        columns["reasons"] = pa.array(reason_rows, REASONS)
    columns["model_version"] = pa.repeat(pa.scalar(str(loaded.version)), table.num_rows)
    return pa.table(columns)


REASONS = pa.list_(
    pa.struct(
        [
            ("feature", pa.string()),
            ("words", pa.string()),
            ("value", pa.string()),
            ("log_odds", pa.float64()),
            ("group", pa.string()),
            ("comparison", pa.string()),
        ]
    )
)
"""`value` is text, as columns have one type: a number, or a category's name."""


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _bands(model: Model, probability: np.ndarray) -> pa.Array:
    return pa.array(model.band(probability), pa.string()).dictionary_encode()


def _features(model: Model, table: pa.Table) -> Mapping[str, Column]:
    """The model's columns: texts coded, all else as float64, NaN where missing."""
    columns, features = columns_of(table), {}
    for name in model.features:
        if name in columns:
            features[name] = columns[name] if name in model.encoding.levels else _numbers(name, table[name])
    return features


def _numbers(name: str, values: pa.ChunkedArray) -> Column:
    try:
        return values.cast(pa.float64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ProblemError(422, f"{name}: not numbers: {error}") from error


def written(table: pa.Table, kind: str) -> Response:
    """A table as it is answered: Arrow stream, Parquet, or JSON rows."""
    if kind == ARROW:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return Response(sink.getvalue().to_pybytes(), media_type=ARROW)
    if kind == PARQUET:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        return Response(sink.getvalue().to_pybytes(), media_type=PARQUET)
    return answer({"rows": table.to_pylist()})
