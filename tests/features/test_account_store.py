"""An account's rows by look-up equal those of a query, and the files go when the account is erased."""

import shutil

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from features.account_store import PREFIX, ByAccount
from features.crm.erase_from_crm import erase_account
from features.crm.load import ingest
from features.engine import batches_by_account, work_for
from features.settings import Settings

KINDS = ("renewal", "win")


@pytest.fixture(scope="module")
def works(simulated_crm):
    return {kind: work_for(simulated_crm, kind) for kind in KINDS}


def test_the_rows_equal_those_of_a_query(simulated_crm, works):
    stored = ByAccount(simulated_crm, works)
    accounts = simulated_crm.frame("accounts", ["account_id"])["account_id"].tolist()
    for work in works.values():
        for table, columns in work.reads.items():
            with batches_by_account(simulated_crm, work, work.reads, table, 10_000) as batches:
                queried = batches.read_all()
            for account in [*accounts[::40], accounts[-1]]:
                mine = stored.rows(account)[table].select(columns)
                theirs = queried.filter(pc.equal(queried["account_id"], account)).select(columns)
                assert _texts(mine) == _texts(theirs), table


def _texts(rows: pa.Table) -> list[str]:
    return sorted(map(str, rows.to_pylist()))


def test_nobodys_rows_are_empty_tables_with_all_columns(simulated_crm, works):
    stored = ByAccount(simulated_crm, works)
    for account in ("", "nobody", "zzz"):
        for table, rows in stored.rows(account).items():
            assert rows.num_rows == 0
            assert rows.column_names == list(stored.reads[table])


def test_the_files_are_made_once_and_those_of_a_crm_that_is_gone_are_removed(simulated_crm, works, tmp_path):
    from dataclasses import replace

    for name in ("one", "two"):
        shutil.copytree(simulated_crm.folder, tmp_path / name)
    ByAccount(replace(simulated_crm, folder=tmp_path / "one"), works)
    (folder,) = tmp_path.glob(f"{PREFIX}one-*")
    when = folder.stat().st_mtime_ns
    ByAccount(replace(simulated_crm, folder=tmp_path / "one"), works)
    assert folder.stat().st_mtime_ns == when
    shutil.rmtree(tmp_path / "one")
    ByAccount(replace(simulated_crm, folder=tmp_path / "two"), works)
    assert [each.name.split("-")[2] for each in tmp_path.glob(f"{PREFIX}*")] == ["two"]


def test_an_erasure_removes_them(tmp_path):
    source = tmp_path / "crm"
    source.mkdir()
    (source / "contracts.csv").write_text(
        "contract_id,account_id,start_date,end_date,renewed\n"
        "C1,A1,2024-01-01,2024-12-31,1\nC2,A2,2024-01-01,2025-06-30,0\n"
    )
    settings = Settings(home=tmp_path / "home")
    crm = ingest(source, settings)
    ByAccount(crm, {"renewal": work_for(crm, "renewal")})
    assert list((settings.home / "crm").glob(f"{PREFIX}*"))
    assert erase_account("A1", settings)
    assert not list((settings.home / "crm").glob(f"{PREFIX}*"))
