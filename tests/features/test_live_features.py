"""Live answers equal the nightly ones to the bit, over the whole catalogue and every account."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features.arrays import Coded, columns_of
from features.engine import account_ledger, feature_rows, snapshot_table, work_for
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


def test_each_account_alone_from_its_kept_ledger(simulated_crm, nightly):
    work, some, asked, frame = nightly
    assert len(frame.columns) > 200
    for account, mine in some.groupby("account_id"):
        ledger = account_ledger(simulated_crm, work, [account])
        live = live_rows(work.plan, work.columns, ledger, columns_of(asked.take(pa.array(mine.index))))
        assert not _differs(frame.loc[mine.index], live), account


def test_half_stored_and_half_just_arrived(simulated_crm, nightly):
    work, some, asked, frame = nightly
    everyone = sorted(some["account_id"].unique())
    whole = account_ledger(simulated_crm, work, everyone)
    stored = whole.changed(
        {table: columns_of(_half(whole.tables[table].table)) for table in _arriving(whole)}
    )
    snapped = columns_of(asked)
    before = live_rows(work.plan, work.columns, stored, snapped)
    assert len(_differs(frame, before)) > 50
    after = stored.changed({table: whole.tables[table] for table in _arriving(whole)})
    assert not _differs(frame, live_rows(work.plan, work.columns, after, snapped))


def _arriving(ledger) -> list[str]:
    return [table for table in ARRIVING if table in ledger.tables]


def _half(rows: pa.Table) -> pa.Table:
    return rows.filter(pa.array(np.arange(rows.num_rows) % 2 == 0))
