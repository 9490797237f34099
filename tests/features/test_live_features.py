"""Live answers equal the nightly ones to the bit, over the whole catalogue and every account."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features.account_store import ByAccount
from features.arrays import Coded, columns_of
from features.engine import feature_rows, ledger_of, snapshot_table, work_for
from features.evaluate import live_rows
from features.settings import Settings
from features.snapshots import renewal_snapshots, win_snapshots

ARRIVING = ("activities", "cases", "surveys", "usage", "quotes", "touches", "invoices", "stage_history")


@pytest.fixture(params=["renewal", "win"])
def nightly(request: pytest.FixtureRequest, simulated_crm):
    """Kind, work, every seventh account's snapshots as the kernel takes them, and their nightly rows."""
    kind = request.param
    snapshots = (renewal_snapshots if kind == "renewal" else win_snapshots)(simulated_crm)
    accounts = sorted(snapshots["account_id"].unique())[::7]
    some = snapshots[snapshots["account_id"].isin(accounts)].reset_index(drop=True)
    work = work_for(simulated_crm, kind)
    frame = feature_rows(simulated_crm, some, kind, Settings(threads=1)).frame
    return work, some, snapshot_table(simulated_crm, work, some), frame


def _differs(frame: pd.DataFrame, live: dict) -> list[str]:
    """Columns in which live rows differ from the nightly ones; floats by their bits, NaN apart."""
    assert list(frame.columns) == [name for name in frame if name in live]
    differing = []
    for name in frame:
        values = live[name]
        if isinstance(values, Coded):
            texts = [values.levels[code] if code >= 0 else None for code in values.codes]
            same = texts == frame[name].astype(object).where(frame[name].notna(), None).tolist()
        else:
            nightly = frame[name].to_numpy()
            gone = np.isnan(nightly)
            same = (gone == np.isnan(values)).all() and (
                nightly[~gone].view(np.int64) == values[~gone].view(np.int64)
            ).all()
        differing += [] if same else [name]
    return differing


def test_each_account_alone_from_its_stored_rows(simulated_crm, nightly):
    work, some, asked, frame = nightly
    assert len(frame.columns) > 200
    stored = ByAccount(simulated_crm, {"this": work})
    for account, mine in some.groupby("account_id"):
        ledger = ledger_of(stored.rows(account), work, [account])
        live = live_rows(work.plan, work.columns, ledger, columns_of(asked.take(pa.array(mine.index))))
        assert not _differs(frame.loc[mine.index], live), account


def test_half_stored_and_half_just_arrived(simulated_crm, nightly):
    work, some, asked, frame = nightly
    accounts = sorted(some["account_id"].unique())
    stored = ByAccount(simulated_crm, {"this": work})
    rows_by_account = [stored.rows(account) for account in accounts]
    tables = {table: pa.concat_tables(rows[table] for rows in rows_by_account) for table in work.reads}
    half = {table: _every_other(rows, 0) if table in ARRIVING else rows for table, rows in tables.items()}
    snapped = columns_of(asked)
    before = live_rows(work.plan, work.columns, ledger_of(half, work, accounts), snapped)
    assert len(_differs(frame, before)) > 50
    arrived = {
        table: pa.concat_tables([half[table], _every_other(rows, 1)]) if table in ARRIVING else rows
        for table, rows in tables.items()
    }
    after = live_rows(work.plan, work.columns, ledger_of(arrived, work, accounts), snapped)
    assert not _differs(frame, after)


def _every_other(rows: pa.Table, first: int) -> pa.Table:
    return rows.filter(pa.array(np.arange(rows.num_rows) % 2 == first))
