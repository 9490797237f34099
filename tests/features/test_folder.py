"""A folder of files as a source: what is found, what is refused, and that a mapping sees nothing else."""

import gzip
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from features.crm.load import load
from features.errors import RenewalError
from features.mapping_draft.folder_draft import map_folder

CONTRACTS = "contract_id,account_id,annual_value\nc1,a1,5\n"


def loaded(folder: Path, files: dict[str, str | bytes], **given):
    source = folder / "crm"
    source.mkdir()
    for name, content in files.items():
        (source / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return load(source, into=folder / "clean", **given)


@pytest.mark.parametrize(
    ("files", "answer"),
    [
        ({}, "found an empty folder"),
        ({"notes.txt": "hello"}, "found notes.txt"),
        ({"accounts.csv": "account_id\na1\n"}, "expected a table contracts or opportunities"),
        ({"contracts.csv": ""}, "expected contracts.csv to have a header line; found an empty file"),
        (
            {"contracts.csv": CONTRACTS, "contracts.parquet": "x"},
            "one file for contracts; found contracts.csv and",
        ),
        ({"contracts.parquet": "nonsense"}, "expected contracts.parquet to be a Parquet file"),
        (
            {"contracts.csv": CONTRACTS, "activities.csv": "activity_id\n1\n"},
            "found no account_id, occurred_at, kind",
        ),
        ({"contracts.csv": CONTRACTS, "mapping.yaml": "contract: SELECT 1"}, "found contract"),
        (
            {"contracts.csv": CONTRACTS, "mapping.yaml": "- a\n- b"},
            "map table names to SELECT statements; found list",
        ),
        ({"contracts.csv": CONTRACTS, "mapping.yaml": "contracts: 5"}, "an entry that is no text"),
        ({"contracts.csv": CONTRACTS, "mapping.yaml": "a: b: c"}, "expected mapping.yaml to be YAML"),
        (
            {"x.csv": "a\n1\n", "mapping.yaml": "contracts: SELEKT a FROM 'x.csv'"},
            "the SELECT for contracts to run",
        ),
        (
            {"x.csv": "a\n1\n", "mapping.yaml": "contracts: SELECT b FROM 'x.csv'"},
            "the SELECT for contracts to run",
        ),
        (
            {"x.csv": "a\n1\n", "mapping.yaml": "contracts: SELECT a FROM 'y.csv'"},
            "the SELECT for contracts to run",
        ),
        (
            {"x.csv": "a\n1\n", "mapping.yaml": "activities: SELECT a AS activity_id FROM 'x.csv'"},
            "expected activities to have activity_id, account_id, occurred_at, kind",
        ),
    ],
)
def test_what_cannot_be_read_is_one_line_and_leaves_nothing(tmp_path, files, answer):
    with pytest.raises(RenewalError) as error:
        loaded(tmp_path, files)
    assert answer.lower() in str(error.value).lower()
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["crm"]


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_folder_that_is_none_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RenewalError, match="a folder of CRM data"):
        load(tmp_path / name, into=tmp_path / "clean")


def test_a_single_file_is_read_alone_and_through_the_mapping_beside_it(tmp_path):
    rows = "".join(f"c{i},a{i},2022-01-0{i},2022-12-3{i % 2},yes\n" for i in range(1, 9))
    (tmp_path / "Subscriptions.csv").write_text(f"contract id,account id,start date,end date,renewed\n{rows}")
    (tmp_path / "accounts.csv").write_text("account_id\nA9\n")
    with pytest.raises(RenewalError, match="perennial map"):
        load(tmp_path / "Subscriptions.csv", into=tmp_path / "clean")
    map_folder(tmp_path / "Subscriptions.csv")
    crm = load(tmp_path / "Subscriptions.csv", into=tmp_path / "clean")
    assert crm.quality.tables["contracts"].kept == 8
    assert "A9" not in crm.frame("accounts")["account_id"].tolist()


def test_a_mapping_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(RenewalError, match="no such file"):
        loaded(tmp_path, {"contracts.csv": CONTRACTS}, mapping=tmp_path / "other.yaml")


def test_a_file_of_another_name_is_told_with_the_nearest(tmp_path):
    crm = loaded(tmp_path, {"contracts.csv": CONTRACTS, "activites.csv": "a\n1\n"})
    answer = "activites.csv is named like no table and is ignored; did you mean activities?"
    assert crm.quality.warnings == [answer]


def test_a_header_alone_is_an_empty_table(tmp_path):
    crm = loaded(tmp_path, {"contracts.csv": CONTRACTS, "cases.csv": "case_id,account_id,opened_at\n"})
    assert crm.has("cases", "opened_at")
    assert len(crm.frame("cases")) == 0


@pytest.mark.parametrize(
    "content",
    [
        "contract_id;account_id;annual_value\nc1;a1;5\n",
        "contract_id\taccount_id\tannual_value\nc1\ta1\t5\n",
        "contract_id|account_id|annual_value\nc1|a1|5",
        "\ufeffcontract_id,account_id,annual_value\r\nc1,a1,5\r\n",
        '"contract_id","account_id","annual_value"\n"c1","a1","5"\n',
        "Contract ID,account-id, Annual_Value \nc1,a1,5\n",
    ],
)
def test_csv_in_its_usual_forms(tmp_path, content):
    contracts = loaded(tmp_path, {"contracts.csv": content}).frame("contracts")
    assert contracts.to_dict("records") == [{"contract_id": "c1", "account_id": "a1", "annual_value": 500}]


def test_values_may_hold_delimiters_quotes_and_line_breaks(tmp_path):
    text = 'contract_id,note\nc1,"a, ""b""\nc"\nc2,plain\n'
    assert loaded(tmp_path, {"contracts.csv": text}).frame("contracts")["note"].tolist() == [
        'a, "b"\nc',
        "plain",
    ]


def test_packed_and_latin_1_files_are_read(tmp_path):
    packed = gzip.compress(CONTRACTS.encode())
    accounts = "account_id,name\na1,Müller\n".encode("latin-1")
    crm = loaded(tmp_path, {"contracts.csv.gz": packed, "accounts.csv": accounts})
    assert crm.frame("accounts")["name"].tolist() == ["Müller"]
    assert crm.quality.warnings == ["accounts.csv is not UTF-8 and was read as Windows-1252: 'Müller'"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_byte_order_mark_names_the_encoding(tmp_path, encoding):
    text = 'contract_id,account_id,annual_value,product\nc1,Zürich,5,"a\r\nb"\n'
    crm = loaded(tmp_path, {"contracts.csv": text.encode(encoding)})
    row = crm.frame("contracts").iloc[0]
    assert (row["contract_id"], row["account_id"], row["product"]) == ("c1", "Zürich", "a\r\nb")


def test_a_packed_file_in_utf_16_is_read_and_a_broken_one_refused(tmp_path):
    packed = gzip.compress(CONTRACTS.replace(",", "\t").encode("utf-16"))
    assert len(loaded(tmp_path, {"contracts.tsv.gz": packed}).frame("contracts")) == 1
    (tmp_path / "more").mkdir()
    with pytest.raises(RenewalError, match=r"contracts\.csv to be UTF-16, as its byte-order mark says"):
        loaded(tmp_path / "more", {"contracts.csv": CONTRACTS.encode("utf-16") + b"x"})


@pytest.mark.parametrize(
    ("rows", "answer"),
    [
        ('c1,"a1,5\nc2,a2\n', "a quote that is never closed in line 2, and 1 more lines that are no rows"),
        ('c2,"a2"x,5\n', "text after a closing quote in line 2"),
    ],
)
def test_a_file_without_one_whole_row_is_refused_with_its_first_line(tmp_path, rows, answer):
    with pytest.raises(RenewalError, match=answer):
        loaded(tmp_path, {"contracts.csv": "contract_id,account_id,annual_value\n" + rows})


def test_lines_that_are_no_rows_are_counted_and_the_rest_is_read(tmp_path):
    crm = loaded(tmp_path, {"contracts.csv": CONTRACTS + "c2,a1,5,6,7\nc3,a1,6\n"})
    assert crm.frame("contracts")["contract_id"].tolist() == ["c1", "c3"]
    answer = crm.quality.as_dict()["tables"]["contracts"]
    assert (answer["rows"], answer["kept"], answer["quarantined"]) == (3, 2, 1)
    assert answer["reasons"]["not a row of the file"]["count"] == 1


def test_a_folder_of_parquet_parts_is_one_table(tmp_path):
    source = tmp_path / "crm"
    (source / "contracts.parquet").mkdir(parents=True)
    for i in range(3):
        pd.DataFrame({"contract_id": [f"c{i}"]}).to_parquet(
            source / "contracts.parquet" / f"part-{i}.parquet"
        )
    assert load(source, into=tmp_path / "clean").frame("contracts")["contract_id"].tolist() == [
        "c0",
        "c1",
        "c2",
    ]


MAPPED = {
    "deals.csv": "nr,when,stage\n7,2024-01-05,Won\n8,2024-01-06,Lost\n",
    "other.csv": "nr,amount\n7,12.5\n",
}


@pytest.mark.parametrize(
    "select",
    [
        "SELECT nr AS opportunity_id, \"when\" AS created_at, stage = 'Won' AS is_won FROM 'deals.csv'",
        "SELECT nr AS opportunity_id, \"when\" AS created_at, stage = 'Won' AS is_won FROM deals;",
        "FROM read_csv('deals.csv') "
        "SELECT nr AS opportunity_id, \"when\" AS created_at, stage = 'Won' AS is_won",
        "WITH d AS (FROM read_csv(['deals.csv'])) "
        "SELECT nr AS opportunity_id, \"when\" AS created_at, stage = 'Won' AS is_won FROM d",
    ],
)
def test_a_mapping_names_files_in_several_ways(tmp_path, select):
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(f"opportunities: >\n  {select}\n")
    deals = loaded(tmp_path, MAPPED, mapping=mapping).frame("opportunities")
    assert deals["opportunity_id"].tolist() == ["7", "8"]
    assert deals["is_won"].tolist() == [True, False]
    assert deals["created_at"].iloc[0] == pd.Timestamp("2024-01-05 23:59:59.999999")


def test_a_mapping_beside_the_data_is_used_and_files_of_contract_names_as_well(tmp_path):
    crm = loaded(
        tmp_path,
        {
            "mapping.yaml": "contracts: SELECT id AS contract_id, acc AS account_id FROM 'vertraege.csv'",
            "vertraege.csv": "id,acc\nv1,a1\n",
            "cases.csv": "case_id,account_id,opened_at\nk1,a1,2024-01-01\n",
        },
    )
    assert set(crm.tables) == {"accounts", "contracts", "cases"}


def test_a_foreign_file_of_a_contract_name_gives_way_to_the_mapping(tmp_path):
    crm = loaded(
        tmp_path,
        {
            "mapping.yaml": "contracts: SELECT id AS contract_id FROM 'vertraege.csv'",
            "vertraege.csv": "id\nv1\n",
            "accounts.csv": "account,sector\na1,tech\n",
        },
    )
    assert crm.tables["accounts"] == ("account_id",)
    assert crm.quality.warnings == [
        "accounts.csv lacks account_id and is ignored: the mapping does not say how to read it"
    ]


@pytest.mark.parametrize(
    "select",
    [
        "SELECT column0 AS contract_id FROM '/etc/passwd'",
        "SELECT content AS contract_id FROM read_text('/etc/passwd')",
        "SELECT content AS contract_id FROM read_text('../secret.csv')",
        "SELECT content AS contract_id FROM read_text(['../secret.csv'])",
        "SELECT a AS contract_id FROM '../secret.csv'",
        "SELECT content AS contract_id FROM read_text('{folder}/../secret.csv')",
        "SELECT file AS contract_id FROM glob('/etc/*')",
        "SELECT a AS contract_id FROM read_csv('https://example.org/x.csv')",
        "SELECT a AS contract_id FROM query('SELECT 1 AS a FROM ''/etc/passwd''')",
        "SELECT a AS contract_id FROM sqlite_scan('/tmp/x.db', 'a')",
    ],
)
def test_a_mapping_reads_nothing_but_the_folder(tmp_path, select):
    (tmp_path / "secret.csv").write_text("a\nsecret\n")
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("contracts: |\n  " + select.replace("{folder}", str(tmp_path / "crm")))
    with pytest.raises(RenewalError, match="the SELECT for contracts to run"):
        loaded(tmp_path, {"x.csv": "a\n1\n"}, mapping=mapping)


@pytest.mark.parametrize(
    "statement",
    [
        "ATTACH '{folder}/x.db'",
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "CREATE TABLE t AS SELECT 1",
        "SELECT 1 AS contract_id; COPY (SELECT 1) TO '{folder}/out.csv'",
        "EXPORT DATABASE '{folder}/all'",
    ],
)
def test_a_mapping_only_selects(tmp_path, statement):
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("contracts: |\n  " + statement.replace("{folder}", str(tmp_path / "crm")))
    with pytest.raises(RenewalError, match="one SELECT for contracts"):
        loaded(tmp_path, {"x.csv": "a\n1\n"}, mapping=mapping)
    assert [path.name for path in (tmp_path / "crm").iterdir()] == ["x.csv"]


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    (tmp_path / "secret.csv").write_text("contract_id\nsecret\n")
    source = tmp_path / "crm"
    source.mkdir()
    (source / "inside.csv").symlink_to(tmp_path / "secret.csv")
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("contracts: SELECT contract_id FROM 'inside.csv'")
    with pytest.raises(RenewalError):
        load(source, into=tmp_path / "clean", mapping=mapping)


def test_rows_of_a_mapping_keep_the_order_of_the_file(tmp_path):
    rows = "\n".join(f"{i}" for i in range(300_000))
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("opportunities: SELECT nr, true AS is_won FROM 'deals.csv'")
    crm = loaded(tmp_path, {"deals.csv": f"nr\n{rows}\n"}, mapping=mapping)
    deals = crm.arrow("opportunities", ["opportunity_id", "nr"]).to_pandas()
    assert (deals["opportunity_id"].str[12:].astype(int) == deals["nr"] + 1).all()
    assert pq.read_metadata(crm.path("opportunities")).num_rows == 300_000
