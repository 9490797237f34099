"""`perennial check` says what the data can answer and what to mend first."""

import pytest

from features.crm.load import load
from features.mapping_draft.folder_draft import map_folder
from features.settings import Settings
from training.readiness import LIMITS, NOT_YET, READY, readiness


def states(result):
    return {each["answer"]: each["state"] for each in result["answers"]}


def test_a_whole_crm_is_ready_for_all(simulated_crm, settings):
    result = readiness(simulated_crm, settings)
    assert result["usable"]
    assert set(states(result)) == {"renewal", "win", "timing", "calls", "discount", "icp", "parity"}
    assert states(result)["renewal"] == READY
    assert states(result)["win"] == READY
    assert len(result["understood"]["contracts"]) == 5
    assert result["freshness"] == {}


def small(tmp_path, n=90):
    source = tmp_path / "crm"
    source.mkdir(exist_ok=True)
    rows = "".join(
        f"C{i},A{i},{2019 + i % 3}-{1 + i % 12:02d}-01,{2020 + i % 3}-{1 + i % 12:02d}-01,1000,{i % 2 == 0}\n"
        for i in range(n)
    )
    head = "contract_id,account_id,start_date,end_date,annual_value,renewed\n"
    (source / "contracts.csv").write_text(head + rows)
    return source


def test_contracts_alone_are_usable_with_limits(tmp_path):
    settings = Settings(home=tmp_path / "home")
    result = readiness(load(small(tmp_path), into=tmp_path / "clean"), settings)
    assert states(result)["renewal"] == LIMITS
    assert states(result)["win"] == NOT_YET
    assert states(result)["timing"] == NOT_YET
    assert result["usable"]
    assert result["understood"]["contracts"][0]["annual_value"] == 1000


def test_what_opens_most_is_mended_first(tmp_path):
    settings = Settings(home=tmp_path / "home")
    mend = readiness(load(small(tmp_path), into=tmp_path / "clean"), settings)["mend"]
    opens = [len(each["opens"]) for each in mend]
    assert opens == sorted(opens, reverse=True)
    assert "win" in next(each for each in mend if each["do"] == "add opportunities")["opens"]


def test_too_few_outcomes_are_not_usable(tmp_path):
    settings = Settings(home=tmp_path / "home")
    result = readiness(load(small(tmp_path, n=12), into=tmp_path / "clean"), settings)
    assert not result["usable"]
    renewal = next(each for each in result["answers"] if each["answer"] == "renewal")
    assert any("more renewed contracts are needed" in why for why in renewal["why"])


@pytest.mark.parametrize(
    ("column", "of_renewed", "of_lost", "shown"),
    [
        ("Vertragsstatus", "verlängert", "gekündigt", "'verlängert', 'gekündigt'"),
        ("is_churned", "no", "yes", "by its name"),
        ("cancelled_on", "", "2022-06-01", "a date of leaving"),
    ],
)
def test_a_column_that_tells_the_outcome_is_named(tmp_path, column, of_renewed, of_lost, shown):
    source = small(tmp_path)
    text = (source / "contracts.csv").read_text().replace("renewed", column)
    text = text.replace("True", of_renewed).replace("False", of_lost)
    (source / "contracts.csv").write_text(text)
    result = readiness(load(source, into=tmp_path / "clean"), Settings(home=tmp_path / "home"))
    assert f"contracts have no renewed, but {column} holds it ({shown})" in result["answers"][0]["why"]
    assert result["mend"][0]["do"] == f"map renewed from {column}: `perennial map` drafts it"
    assert result["mend"][0]["opens"] == ["renewal"]
    drafted = map_folder(source, tmp_path / "mapping.yaml")
    assert any(line["column"] == "renewed" and column in line["expression"] for line in drafted["lines"])
