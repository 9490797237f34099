"""Ranges of accounts read from a sorted file equal a filter of the whole table."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.engine import AccountFile

ACCOUNTS = ["a", "a", "b", "Ä", "é", "zebra", "zebra", "日本", None, None]
COLUMNS = ("account_id", "kind", "activity_id", "duration_seconds")


def written(tmp_path, accounts, **options):
    rows = pa.table(
        {
            "account_id": pa.array(accounts, pa.string()),
            "activity_id": [f"e{n}" for n in range(len(accounts))],
            "kind": pa.array(["call", None] * (len(accounts) // 2), pa.string()),
            "duration_seconds": pa.array(range(len(accounts)), pa.int64()),
        }
    )
    pq.write_table(rows, tmp_path / "activities.parquet", **options)
    return rows, AccountFile(tmp_path / "activities.parquet", "activities", COLUMNS)


@pytest.mark.parametrize(
    "options", [{"row_group_size": 3}, {}, {"write_statistics": False, "row_group_size": 2}]
)
@pytest.mark.parametrize("accounts", [sorted(ACCOUNTS[:8]) + ACCOUNTS[8:], ACCOUNTS[::-1], []])
def test_a_range_equals_a_filter(tmp_path, options, accounts):
    rows, file = written(tmp_path, accounts, **options)
    for low, high in [("a", "a"), ("a", "zebra"), ("b", "日本"), ("c", "d"), ("", ""), ("", "\U0010ffff")]:
        inside = pc.and_(pc.greater_equal(rows["account_id"], low), pc.less_equal(rows["account_id"], high))
        expected = rows.filter(inside).select(COLUMNS)
        assert file.rows(low, high).cast(expected.schema).to_pylist() == expected.to_pylist()


def test_texts_come_as_codes_but_for_the_key(tmp_path):
    _, file = written(tmp_path, sorted(ACCOUNTS[:8]), row_group_size=3)
    types = {field.name: pa.types.is_dictionary(field.type) for field in file.rows("a", "zebra").schema}
    assert types == {"account_id": True, "kind": True, "activity_id": False, "duration_seconds": False}


def test_row_groups_without_the_accounts_are_not_read(tmp_path):
    _, file = written(tmp_path, sorted(ACCOUNTS[:8]), row_group_size=2)
    whole = (tmp_path / "activities.parquet").read_bytes()
    group = file.metadata.row_group(3).column(0)
    begin = group.dictionary_page_offset or group.data_page_offset
    spoiled = (
        whole[:begin] + b"\xff" * group.total_compressed_size + whole[begin + group.total_compressed_size :]
    )
    (tmp_path / "activities.parquet").write_bytes(spoiled)
    assert file.rows("a", "b").num_rows == 3
    with pytest.raises(OSError, match=r"\w"):
        file.rows("é", "日本")
