"""Bodies that are small and mean much: bombs, lies about sizes, strangers, slow and silent connections."""

import io
import json
import struct
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from front_case import is_problem
from serving_case import night  # noqa: F401 (fixture)

from features.progress import GivenUpError, checkpoint, stoppable, until_given_up
from serving.api.arrow_messages import compressed_batches
from serving.api.problems import ProblemError
from serving.api.untrusted import MOST_ROWS, read_arrow, read_parquet

WANTED = ("id", "seats", "industry")


def stream(table, **options):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def parquet(table, **options):
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


ROWS = pa.table({"id": ["a", "b"], "seats": [1.0, None], "industry": ["x", "y"], "other": [1, 2]})


@pytest.mark.parametrize("options", [{}, {"compression": "none"}, {"use_dictionary": False}])
def test_plain_columns_are_read_as_they_were_sent(options):
    assert (
        read_parquet(parquet(ROWS, **options), WANTED).to_pydict() == ROWS.drop_columns(["other"]).to_pydict()
    )
    assert read_arrow(stream(ROWS), WANTED).to_pydict() == ROWS.drop_columns(["other"]).to_pydict()


def test_texts_may_come_as_codes():
    coded = ROWS.set_column(2, "industry", ROWS["industry"].dictionary_encode())
    assert read_arrow(stream(coded), WANTED)["industry"].to_pylist() == ["x", "y"]
    assert not compressed_batches(stream(coded))
    assert compressed_batches(stream(coded, compression="zstd"))


NAUGHTS = pa.table({"seats": pa.array(np.zeros(3_000_000))})
FAR = pa.table({"seats": pa.array(np.zeros(MOST_ROWS + 1))})
LONG = pa.table({"industry": pa.array(["x" * 100_000] * 10_000)})
LISTS = pa.table({"seats": pa.array([[0.0] * 1_000_000])})
BOMBS = {
    "many rows in Parquet": (413, read_parquet, parquet(NAUGHTS)),
    "many rows in Arrow": (413, read_arrow, stream(FAR)),
    "zstd in Arrow": (422, read_arrow, stream(NAUGHTS, compression="zstd")),
    "lz4 in Arrow": (422, read_arrow, stream(NAUGHTS, compression="lz4")),
    "zstd in Parquet": (422, read_parquet, parquet(ROWS, compression="zstd")),
    "gzip in Parquet": (422, read_parquet, parquet(ROWS, compression="gzip")),
    "brotli in Parquet": (422, read_parquet, parquet(ROWS, compression="brotli")),
    "one long text in every row": (413, read_parquet, parquet(LONG)),
    "one long text in every row of Arrow": (
        413,
        read_arrow,
        stream(pa.table({"industry": LONG["industry"].dictionary_encode()})),
    ),
    "lists in Parquet": (422, read_parquet, parquet(LISTS)),
    "lists in Arrow": (422, read_arrow, stream(LISTS)),
    "many row groups": (413, read_parquet, parquet(FAR.slice(0, 5_000), row_group_size=10)),
    "a column twice": (422, read_arrow, stream(pa.table([[1.0], [2.0]], names=["seats", "seats"]))),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_is_unpacked(name):
    status, read, body = BOMBS[name]
    began = time.process_time()
    with pytest.raises(ProblemError) as refused:
        read(body, WANTED)
    assert refused.value.status == status
    assert time.process_time() - began < 1.0


def test_columns_that_nobody_wants_are_not_unpacked():
    table = ROWS.append_column("bomb", pa.array([[0.0] * 1_000_000] * 2))
    assert read_parquet(parquet(table, compression="snappy"), WANTED).column_names == [
        "id",
        "seats",
        "industry",
    ]


@pytest.mark.parametrize("cut", [1, 8, 20, 60, 200])
@pytest.mark.parametrize("read", [read_arrow, read_parquet])
def test_what_is_cut_short_or_flipped_is_an_error_and_no_crash(read, cut):
    whole = stream(ROWS) if read is read_arrow else parquet(ROWS)
    for body in (
        whole[:-cut],
        whole[:cut],
        bytes(255 - byte if at == cut else byte for at, byte in enumerate(whole)),
    ):
        try:
            read(body, WANTED)
        except (ProblemError, pa.ArrowException, ValueError, OSError, KeyError, struct.error):
            continue


def test_a_big_form_is_refused_before_it_is_read(service):
    client, store = service()
    store.access.create_key("sales")
    form = {"content-type": "application/x-www-form-urlencoded"}
    with client:
        began = time.perf_counter()
        assert is_problem(client.post("/sign-in", content=b"a=&" * 5_000_000, headers=form), 413)
        assert is_problem(client.post("/sign-in", content=b"a=1&" * 100, headers=form), 422)
        parts = (b"k=" + b"x" * 1_000 + b"&" for _ in range(10_000))  # not announced, in chunks
        assert is_problem(client.post("/sign-in", content=parts, headers=form), 413)
        assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/v1/what_if", 2_000_000, 413),
        ("/v1/renewals/score", 2_000_000, 413),
        ("/v1/score/records", 17_000_000, 413),
        ("/v1/events", 17_000_000, 413),
    ],
)
def test_a_body_larger_than_its_route_needs_is_refused(service, path, size, status):
    client, _ = service()
    with client:
        answer = client.post(path, content=b" " * size, headers={"content-type": "application/json"})
        assert is_problem(answer, status)


def test_a_strangers_body_is_not_read(service):
    client, store = service()
    store.access.create_key("sales")
    read = []

    def body():
        for _ in range(50):
            read.append(1)
            yield b'{"contract_ids": ["C"], '

    with client:
        broken = client.post("/v1/renewals/score", content=b"{" * 1_000)
        assert is_problem(broken, 401)  # and not 400: nobody looked at it
        wrong = {"authorization": "Bearer wrong"}
        assert is_problem(client.post("/v1/score/records", content=b"[" * 100_000, headers=wrong), 401)


def test_work_that_nobody_waits_for_ends_at_the_next_checkpoint():
    with until_given_up() as event:
        checkpoint()
        unit = stoppable(lambda value: value + 1)
        assert unit(1) == 2
        event.set()
        with pytest.raises(GivenUpError):
            checkpoint()
        with pytest.raises(GivenUpError):
            unit(1)
    checkpoint()


def test_a_request_that_took_too_long_ends_its_work():
    import asyncio
    import threading

    from starlette.concurrency import run_in_threadpool
    from starlette.testclient import TestClient

    from serving.middleware import Front, Metrics

    ended = threading.Event()

    def work():
        try:
            for _ in range(200):
                time.sleep(0.02)
                checkpoint()
        except GivenUpError:
            ended.set()
            raise

    async def slow(scope, receive, send):
        assert asyncio.get_running_loop()
        await run_in_threadpool(work)

    client = TestClient(Front(slow, Metrics(), lambda request, error: None, seconds=0.1))
    assert is_problem(client.get("/v1/renewals"), 504)
    assert ended.wait(2)


ODD_ROWS = {
    "no columns": [{}],
    "an empty name": [{"contract_id": "C", "": 1}],
    "a blank name": [{"contract_id": "C", "  ": 1}],
    "a NUL": [{"contract_id": "C", "a\0": 1}],
    "a name twice": [{"contract_id": "C", "A": 1, "a": 2}],
    "a long name": [{"contract_id": "C", "x" * 500: 1}],
    "half a letter": [{"contract_id": "C", "\ud800": 1}],
    "quotes": [{"contract_id": "C", "a\"b'c": 1}],
    "a name of ours": [{"contract_id": "C", "__row": 7, "reason": 1}],
    "SQL": [{"contract_id": "C", "x; DROP TABLE y --": 1}],
    "nothing but nulls": [{"contract_id": None}],
}


@pytest.mark.parametrize("name", ODD_ROWS)
def test_odd_rows_of_the_callers_own_are_told_in_one_problem(night_client, name):
    crm = {"contracts": ODD_ROWS[name]}
    body = json.dumps({"model": "renewal", "crm": crm})
    answer = night_client.post(
        "/v1/score/records", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code in (200, 422), answer.text[:300]
    answer = night_client.post(
        "/v1/score/records", json={"model": "renewal", "crm": {"contracts": [{}, {"contract_id": "C-1"}]}}
    )
    assert answer.status_code in (200, 422), answer.text[:300]


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"]
)
def test_a_moment_out_of_the_world_is_told(night_client, moment):
    rows = {"contracts": [{"contract_id": "C", "account_id": "A", "end_date": "2026-01-01"}]}
    for path, body in (
        ("/v1/renewals/score", {"contract_ids": ["C"], "as_of": moment}),
        ("/v1/score/records", {"model": "renewal", "crm": rows, "as_of": moment}),
    ):
        assert is_problem(night_client.post(path, json=body), 422), path


@pytest.fixture(scope="module")
def night_client(night):  # noqa: F811
    from serving_case import client_of

    with client_of(night) as client:
        yield client
