"""Batches as columns: the same probability in Arrow, Parquet and JSON, reasons on demand, mistakes named."""

import io
import json
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from serving_case import client_of, home, night  # noqa: F401 (fixtures)

from features.settings import Settings
from monitoring.store import open_store
from serving.api.columnar import ARROW, PARQUET, PART_ROWS, scores_of, side_by_side
from training.registry import Loaded, champion

pytestmark = pytest.mark.slow
PATH = "/v1/score/features"


@pytest.fixture(scope="module")
def client(night):  # noqa: F811
    """Nothing here is stored, so the night's own home will do."""
    with client_of(night) as asked_of:
        yield asked_of


@pytest.fixture(scope="module")
def logged(night):  # noqa: F811
    """The last feature rows a run has logged, and the probability the model gives them."""
    settings = Settings(home=night, threads=1)
    frame = open_store(settings).predictions.features("renewal").tail(40).reset_index(drop=True)
    return frame, champion("renewal", settings).model


def arrow(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def parquet(table):
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def read(answer):
    assert answer.status_code == 200, answer.text
    kind = answer.headers["content-type"]
    if kind == ARROW:
        return pa.ipc.open_stream(answer.content).read_all()
    return (
        pq.read_table(io.BytesIO(answer.content))
        if kind == PARQUET
        else pa.Table.from_pylist(answer.json()["rows"])
    )


def test_many_rows_are_scored_side_by_side_as_they_are_one_after_the_other(logged):
    frame, model = logged
    times = 2 * PART_ROWS // len(frame) + 1
    many = pd.concat([frame[list(model.features)]] * times, ignore_index=True)
    table = pa.Table.from_pandas(many, preserve_index=False).append_column("id", pa.array(range(len(many))))
    loaded = Loaded(model, "1", "champion")
    for reasons in (False, True):
        alone = scores_of(loaded, table, reasons)
        beside = side_by_side(loaded, table, reasons, 2)
        assert beside.to_pylist() == alone.to_pylist()
        assert beside.schema == alone.schema
        assert beside["band"].num_chunks == 1
    assert alone["probability"].to_numpy()[:40].tolist() == model.probability(frame).tolist()


def test_all_forms_give_the_models_probability(client, logged):
    frame, model = logged
    wanted = model.probability(frame)
    table = pa.Table.from_pandas(frame[list(model.features)], preserve_index=False)
    table = table.append_column("id", pa.array(frame["subject_id"].tolist()))
    columns = {name: table[name].to_pylist() for name in table.column_names}
    bodies = {
        ARROW: arrow(table),
        PARQUET: parquet(table),
        "application/json": json.dumps({"columns": columns}).encode(),
    }
    for kind, body in bodies.items():
        found = read(client.post(PATH, content=body, headers={"content-type": kind, "accept": "*/*"}))
        assert found["id"].to_pylist() == frame["subject_id"].tolist(), kind
        assert np.array_equal(found["probability"].to_numpy(), wanted), kind
        assert found["band"].to_pylist() == model.band(wanted), kind
        assert "reasons" not in found.column_names


def test_the_answer_takes_the_form_asked_for_and_reasons_add_up(client, logged):
    frame, model = logged
    table = pa.Table.from_pandas(frame[list(model.features)], preserve_index=False)
    headers = {"content-type": ARROW, "accept": PARQUET}
    answer = client.post(f"{PATH}?reasons=true", content=arrow(table), headers=headers)
    assert answer.headers["content-type"] == PARQUET
    found = read(answer)
    for p, reasons in zip(found["probability"].to_pylist(), found["reasons"].to_pylist(), strict=True):
        assert sum(one["log_odds"] for one in reasons) == pytest.approx(math.log(p / (1 - p)), abs=1e-6)


def test_a_missing_column_counts_as_missing_and_order_does_not_matter(client, logged):
    frame, model = logged
    fewer = frame[list(model.features)[:0:-1]]
    found = read(
        client.post(
            PATH,
            content=arrow(pa.Table.from_pandas(fewer, preserve_index=False)),
            headers={"content-type": ARROW},
        )
    )
    assert np.array_equal(found["probability"].to_numpy(), model.probability(fewer))


@pytest.mark.parametrize(
    ("kind", "body", "status", "result"),
    [
        ("text/csv", b"a,b", 415, "arrow"),
        (ARROW, b"nonsense", 422, "no application"),
        (PARQUET, b"nonsense", 422, "no application"),
        ("application/json", b"[1, 2]", 422, "no application"),
        ("application/json", b'{"columns": {"a": [1], "b": [1, 2]}}', 422, "no application"),
        ("application/json", b'{"columns": {"pets": [1]}}', 422, "None of the columns"),
    ],
)
def test_what_cannot_be_read_says_so(client, kind, body, status, result):
    answer = client.post(PATH, content=body, headers={"content-type": kind})
    assert answer.status_code == status
    assert result in answer.json()["detail"]


def test_texts_where_numbers_belong_are_refused(client, logged):
    _, model = logged
    name = next(each for each in model.features if each not in model.encoding.levels)
    body = arrow(pa.Table.from_pandas(pd.DataFrame({name: ["many"]}), preserve_index=False))
    answer = client.post(PATH, content=body, headers={"content-type": ARROW})
    assert answer.status_code == 422
    assert name in answer.json()["detail"]


def test_no_rows_are_no_mistake(client, logged):
    frame, model = logged
    none = pa.Table.from_pandas(frame[list(model.features)].iloc[:0], preserve_index=False)
    for more in ("", "?reasons=true"):
        found = read(client.post(PATH + more, content=arrow(none), headers={"content-type": ARROW}))
        assert found.num_rows == 0
