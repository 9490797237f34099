"""The quality report: every row read is accounted for, and the report survives being written."""

from pathlib import Path

from features.crm.crm import read_crm
from features.crm.load import load
from features.crm.quality import Quality


def test_every_row_read_is_kept_put_aside_or_left_out(simulated_crm):
    for name, answer in simulated_crm.quality.tables.items():
        assert answer.rows + answer.derived == answer.kept + answer.quarantined + answer.left_out, name
        assert answer.kept == simulated_crm.arrow(name).num_rows, name


def test_shares_of_nulls_and_the_range_are_those_of_the_rows_kept(simulated_crm):
    contracts = simulated_crm.frame("contracts")
    answer = simulated_crm.quality.tables["contracts"]
    for column, share in answer.null_share.items():
        assert abs(share - contracts[column].isna().mean()) < 1e-6
    assert answer.first == str(contracts["start_date"].min())
    assert answer.last == str(contracts["start_date"].max())


def test_the_report_is_the_same_after_a_round_trip(simulated_crm):
    answer = simulated_crm.quality.as_dict()
    assert Quality.from_dict(answer).as_dict() == answer
    assert read_crm(simulated_crm.folder).quality.as_dict() == answer


def test_reasons_are_counted_with_examples(tmp_path: Path):
    (tmp_path / "contracts.csv").write_text(
        "contract_id,renewed\nc1,1\n" + "".join(f"d{i},x{i}\n" for i in range(5))
    )
    answer = load(tmp_path, into=tmp_path / "clean").quality.as_dict()
    assert (answer["rows"], answer["quarantined"]) == (6, 5)
    assert answer["tables"]["contracts"]["reasons"] == {
        "renewed: … is not yes or no": {
            "count": 5,
            "examples": [f"renewed: 'x{i}' is not yes or no" for i in range(3)],
        }
    }


def test_links_to_another_accounts_rows_are_left_out_and_counted(tmp_path: Path):
    (tmp_path / "contracts.csv").write_text("contract_id,account_id,annual_value\nc1,a1,1\nc2,a2,1\n")
    (tmp_path / "activities.csv").write_text(
        "activity_id,account_id,occurred_at,kind,contract_id\n"
        "e1,a1,2025-01-01,call,c1\ne2,a1,2025-01-02,call,c2\ne3,a2,2025-01-03,call,c1\ne4,a2,2025-01-04,call,\n"
    )
    crm = load(tmp_path, into=tmp_path / "clean")
    linked = crm.frame("activities").set_index("activity_id")["contract_id"]
    assert linked.dropna().to_dict() == {"e1": "c1"}
    assert crm.quality.tables["activities"].foreign_links == 2
    assert crm.quality.tables["activities"].quarantined == 0
    assert any("activities: 2 rows name in contract_id" in answer for answer in crm.quality.warnings)
