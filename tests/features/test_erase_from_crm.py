"""features/crm/erase_from_crm.py and serving/erase_everywhere.py: one customer is gone, no other."""

import pyarrow.parquet as pq

from features.crm.erase_from_crm import erase_account
from features.crm.load import current_folder, ingest
from serving.erase_everywhere import erase


def files_that_name(folder, text):
    """Parquet files below a folder in which some text cell is exactly `text`."""
    return [
        path
        for path in folder.rglob("*.parquet")
        if any(text in set(map(str, column.to_pylist())) for column in pq.read_table(path).columns)
    ]


def test_an_account_is_gone_from_every_table_and_copy(simulated_folder, settings):
    ingest(simulated_folder, settings, until=None)
    before = ingest(simulated_folder, settings)
    account = before.frame("activities")["account_id"].iloc[0]
    others = before.frame("contracts").query("account_id != @account")["contract_id"].tolist()
    answer = erase(account, settings)
    assert answer["removed"]["crm.accounts"] == 1
    assert answer["removed"]["crm.activities"] > 0
    assert set(answer["left"].values()) <= {0}
    assert files_that_name(settings.home / "crm", account) == []
    from features.crm.crm import read_crm

    after = read_crm(current_folder(settings))
    assert after.frame("contracts")["contract_id"].tolist() == others


def test_an_unknown_account_changes_nothing(simulated_folder, settings):
    ingest(simulated_folder, settings)
    folder = current_folder(settings)
    assert erase_account("nobody", settings) == {}
    assert current_folder(settings) == folder


def test_nothing_ingested_is_nothing_to_erase(settings):
    assert erase_account("A1", settings) == {}
