"""The engine against the slow oracle, and what must change nothing: later events, order, partitions,
company."""

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st
from oracle import oracle_row, plain_rows
from random_crm import random_snapshots, random_tables

from features import engine
from features.arrays import Coded, Columns, columns_of
from features.catalog import plan
from features.columns import crm_columns
from features.crm.load import from_rows
from features.engine import feature_rows
from features.evaluate import Peers, known_ids, live_rows, partition_rows
from features.event_index import Ledger
from features.settings import Settings
from features.snapshots import renewal_snapshots, win_snapshots

LEVELS = {"usage.metric": ("logins", "api calls"), "activities.kind": ("webinar",)}
HISTORY = {
    "contracts.annual_value": "states", "contracts.auto_renew": "states", "contracts.product": "changes",
    "contracts.forecast": "states", "accounts.region": "states", "accounts.employees": "changes",
    "opportunities.amount": "states", "opportunities.lead_source": "states",
}  # fmt: skip
OUTCOMES = {"contracts": ("decided_at", "renewed"), "opportunities": ("closed_at", "is_won")}
KINDS = pytest.mark.parametrize("kind", ["renewal", "win"])


def declared(tables: dict[str, pa.Table], kind: str):
    schema = {name: tuple(table.column_names) for name, table in tables.items()}
    return plan(schema, kind, LEVELS), crm_columns(schema, {}, kind, in_history=HISTORY)


def with_peers(planned, tables, snapshots: pa.Table) -> pa.Table:
    columns = {name: columns_of(table) for name, table in tables.items()}
    for name, values in Peers(planned, columns, columns_of(snapshots)).rows(columns_of(snapshots)).items():
        snapshots = snapshots.append_column(name, pa.array(values))
    return snapshots


def answered(tables: dict[str, pa.Table], snapshots: pa.Table, kind: str) -> list[dict]:
    planned, columns = declared(tables, kind)
    return partition_rows(planned, columns, tables, with_peers(planned, tables, snapshots)).to_pylist()


def same(one, other) -> bool:
    missing = [value is None or (isinstance(value, float) and math.isnan(value)) for value in (one, other)]
    return all(missing) or (not any(missing) and one == other)


def differences(left: list[dict], right: list[dict]) -> list[tuple]:
    assert len(left) == len(right)
    return [
        (number, name, row.get(name), other.get(name))
        for number, (row, other) in enumerate(zip(left, right, strict=True))
        for name in row
        if not same(row[name], other.get(name))
    ]


@KINDS
@given(seed=st.integers(0, 2**31))
@trials(max_examples=25, deadline=None)
def test_every_feature_equals_the_oracle(kind, seed):
    tables, snapshots = random_tables(seed), random_snapshots(seed)
    planned, columns = declared(tables, kind)
    rows = plain_rows(tables)
    expected = [
        oracle_row(planned, columns, rows, snapshot) for snapshot in plain_rows({"s": snapshots})["s"]
    ]
    found = answered(tables, snapshots, kind)
    given_out = [{name: row[name] for name in found[0] if name in row} for row in expected]
    assert not differences(given_out, found)
    assert len(given_out[0]) >= len(found[0]) - 2  # term_days and end_month have tests of their own


@KINDS
@pytest.mark.parametrize("seed", range(4))
def test_events_from_as_of_on_change_nothing(kind, seed):
    tables, snapshots = random_tables(seed, events=40), random_snapshots(seed)
    as_of = snapshots["as_of"].cast(pa.int64()).to_pylist()
    for number, moment in enumerate(as_of):
        one = snapshots.slice(number, 1)
        known = {name: _known_before(name, table, moment) for name, table in tables.items()}
        assert not differences(answered(tables, one, kind), answered(known, one, kind))


def _known_before(name: str, table: pa.Table, moment: int) -> pa.Table:
    """The table without the event rows, and the second moments, that lie at `moment` or later."""
    if name in OUTCOMES:
        decided, outcome = OUTCOMES[name]
        table = _nulled(table, moment, [outcome], by=decided)
        return _nulled(table, moment, [decided])
    first = {
        "activities": "occurred_at", "stage_history": "changed_at", "quotes": "quoted_at",
        "leads": "created_at",
        "touches": "sent_at", "cases": "opened_at", "usage": "used_on", "invoices": "issued_at",
        "surveys": "asked_at",
    }.get(name)  # fmt: skip
    if first is None:
        return table
    at = table[first].cast(pa.int64())
    keep = pc.fill_null(pc.less(at, moment), True)
    if name == "activities":
        recorded = table["recorded_at"].cast(pa.int64())
        keep = pc.and_(keep, pc.fill_null(pc.less(recorded, moment), True))
    kept = table.filter(keep)
    seconds = {
        "cases": ["closed_at"], "invoices": ["paid_at"], "leads": ["qualified_at", "disqualified_at"],
        "surveys": ["answered_at"], "touches": ["opened_at", "clicked_at", "responded_at"],
    }  # fmt: skip
    return _nulled(kept, moment, seconds.get(name, []))


def _nulled(table: pa.Table, moment: int, columns: list[str], by: str = "") -> pa.Table:
    for column in columns:
        late = pc.fill_null(pc.greater_equal(table[by or column].cast(pa.int64()), moment), False)
        nulled = pc.if_else(late, pa.scalar(None, table[column].type), table[column])
        table = table.set_column(table.column_names.index(column), column, nulled)
    return table


@KINDS
@pytest.mark.parametrize("seed", range(6))
def test_the_order_of_rows_changes_nothing(kind, seed):
    tables, snapshots = random_tables(seed), random_snapshots(seed)
    draw = np.random.default_rng(seed)
    shuffled = {
        name: table.take(pa.array(draw.permutation(table.num_rows))) for name, table in tables.items()
    }
    assert not differences(answered(tables, snapshots, kind), answered(shuffled, snapshots, kind))


@KINDS
@pytest.mark.parametrize("seed", range(6))
def test_alone_equals_in_a_batch(kind, seed):
    tables, snapshots = random_tables(seed), random_snapshots(seed)
    together = answered(tables, snapshots, kind)
    alone = [answered(tables, snapshots.slice(number, 1), kind)[0] for number in range(snapshots.num_rows)]
    assert not differences(together, alone)


@KINDS
@pytest.mark.parametrize(
    "table", ["activities", "quotes", "cases", "surveys", "usage", "invoices", "touches", "leads"]
)
def test_a_missing_table_is_absent_and_an_empty_one_is_zero(kind, table):
    tables, snapshots = random_tables(3), random_snapshots(3)
    without = {name: rows for name, rows in tables.items() if name != table}
    planned, _ = declared(tables, kind)
    lost = {feature.name for feature in planned.features if feature.events.table == table and feature.shown}
    assert lost
    assert not lost & set(answered(without, snapshots, kind)[0])
    empty = answered({**tables, table: tables[table].slice(0, 0)}, snapshots, kind)
    counts = [
        feature.name
        for feature in planned.features
        if feature.name in lost and feature.take in ("count", "distinct")
    ]
    ever = [name for name in counts if not name.endswith(("_term", "_runup"))]
    assert {row[name] for row in empty for name in ever} == {0.0}


@KINDS
def test_live_equals_the_batch_once_the_last_event_has_arrived(kind):
    tables, snapshots = random_tables(11, events=60), random_snapshots(11)
    planned, columns = declared(tables, kind)
    asked = with_peers(planned, tables, snapshots)
    expected = partition_rows(planned, columns, tables, asked).to_pylist()
    before = {**tables, "activities": tables["activities"].slice(0, tables["activities"].num_rows // 2)}
    snapped = columns_of(asked)
    ledger = Ledger({name: columns_of(rows) for name, rows in before.items()}, known_ids(snapped))
    assert differences(expected, _rows_of(live_rows(planned, columns, ledger, snapped)))
    whole = Ledger({name: columns_of(rows) for name, rows in tables.items()}, known_ids(snapped))
    assert not differences(expected, _rows_of(live_rows(planned, columns, whole, snapped)))


def _rows_of(live: Columns) -> list[dict]:
    plain = {name: _listed(values) for name, values in live.items()}
    return [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]


@pytest.fixture(scope="module")
def looked_at(simulated_crm):
    return renewal_snapshots(simulated_crm).iloc[::9]


def test_rows_stand_by_their_snapshots_and_are_of_plain_types(simulated_crm, looked_at):
    features = feature_rows(simulated_crm, looked_at, "renewal", Settings(threads=2))
    assert features.frame.index.equals(looked_at.index)
    assert list(features.frame.columns) == list(features.infos)
    assert {str(dtype) for dtype in features.frame.dtypes} == {"float64", "category"}
    assert (features.frame["days_to_end"].to_numpy() == looked_at["lead_days"].to_numpy()).all()


def test_the_cut_of_partitions_and_the_order_of_snapshots_change_nothing(
    simulated_crm, looked_at, monkeypatch
):
    whole = feature_rows(simulated_crm, looked_at, "renewal", Settings(threads=1)).frame
    monkeypatch.setattr(engine, "ACCOUNTS_A_PARTITION", 7)
    shuffled = looked_at.sample(frac=1, random_state=3)
    cut = feature_rows(simulated_crm, shuffled, "renewal", Settings(threads=3)).frame
    pd.testing.assert_frame_equal(whole, cut.loc[whole.index], check_exact=True, check_categorical=False)
    assert all(
        _texts(whole[name]) == _texts(cut.loc[whole.index, name]) for name in whole.select_dtypes("category")
    )


def _texts(column: pd.Series) -> list:
    return column.astype(object).where(column.notna(), None).tolist()


@KINDS
def test_every_feature_of_a_simulated_crm_equals_the_oracle(kind, simulated_crm):
    snapshots = (renewal_snapshots if kind == "renewal" else win_snapshots)(simulated_crm)
    some = snapshots.sample(3, random_state=5)
    found = feature_rows(simulated_crm, some, kind, Settings(threads=1))
    work = engine.work_for(simulated_crm, kind)
    homes = ", ".join(f"'{account}'" for account in some["account_id"])
    mine = plain_rows({
        name: simulated_crm.sql(f"SELECT * FROM {name} WHERE account_id IN ({homes})")
        for name in work.reads if "account_id" in simulated_crm.tables[name]
    })  # fmt: skip
    asked = pa.Table.from_pandas(some[list(engine.SNAPSHOT_COLUMNS)], preserve_index=False)
    across = {one.name for one in (*work.plan.across, *work.plan.across_derived)} | {"discount_above_peers"}
    for place, snapshot in enumerate(plain_rows({"s": asked})["s"]):
        expected = oracle_row(work.plan, work.columns, mine, snapshot)
        row = found.frame.iloc[place].to_dict()
        checked = [name for name in row if name in expected and name not in across]
        assert not differences(
            [{name: expected[name] for name in checked}], [{name: row[name] for name in checked}]
        )


def test_undated_subjects_have_their_columns_and_nothing_else():
    deals = [{"budget": "big", "size": str(n), "is_won": str(n % 2)} for n in range(6)]
    crm = from_rows({"opportunities": deals})
    features = feature_rows(crm, win_snapshots(crm), "win", Settings(threads=1))
    assert set(features.frame) == {"opportunities.budget", "opportunities.size"}
    assert sorted(features.frame["opportunities.size"]) == [0, 1, 2, 3, 4, 5]
    assert features.infos["opportunities.size"].source == "column"


def test_rows_that_cannot_be_placed_are_missing_throughout(simulated_crm, looked_at):
    some = looked_at.head(4).copy()
    some.iloc[1, some.columns.get_loc("account_id")] = pd.NA
    some.iloc[2, some.columns.get_loc("as_of")] = pd.NaT
    frame = feature_rows(simulated_crm, some, "renewal", Settings(threads=1)).frame
    assert frame.isna().all(axis=1).tolist() == [False, True, True, False]


def _listed(values) -> list:
    if isinstance(values, Coded):
        return [None if code < 0 else values.levels[code] for code in values.codes]
    return values.tolist()
