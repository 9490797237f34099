"""What scoring refuses: data the model would see nothing in, and a row that forgot its day."""

import pandas as pd
import pytest
from serving_case import home, night  # noqa: F401 (fixtures)

from features.errors import RenewalError
from features.load import load, opened
from features.settings import Settings
from monitoring.store import open_store
from serving.batch import asked_rows, score

pytestmark = pytest.mark.slow


@pytest.fixture
def here(home):  # noqa: F811
    return Settings(home=home, threads=1)


def only(settings, tables, into):
    """The ingested CRM with nothing but these tables."""
    with opened(settings) as crm:
        for name in tables:
            crm.frame(name).assign(**_units(crm.frame(name))).to_csv(into / f"{name}.csv", index=False)
        until = crm.until
    return load(into, until=until, into=into / "clean")


def _units(frame):
    return {name: frame[name] / 100 for name in ("annual_value", "list_value", "amount") if name in frame}


def test_data_without_nearly_all_the_model_uses_are_not_scored(here, tmp_path):
    poor = only(here, ["contracts"], tmp_path)
    before = len(open_store(here).predictions("renewal"))
    with pytest.raises(RenewalError, match="absent.*perennial check"):
        score("renewal", poor, here)
    assert len(open_store(here).predictions("renewal")) == before


def test_one_missing_table_is_only_said(here, tmp_path):
    said = []
    with opened(here) as crm:
        tables = [name for name in crm.tables if name not in ("cases", "history")]
    rows = score("renewal", only(here, tables, tmp_path), here, say=said.append)
    assert rows["probability"].notna().all()
    assert any("count as missing" in line for line in said)


def test_an_empty_day_in_a_file_is_a_mistake_of_that_row_and_never_today(here, tmp_path):
    with opened(here) as crm:
        ids = score("renewal", crm, here)["contract_id"].head(2).tolist()
        file = tmp_path / "rows.csv"
        file.write_text(f"contract_id,as_of\n{ids[0]},\n{ids[1]},{crm.until - pd.Timedelta(days=20)}\n")
        rows = score("renewal", crm, here, rows=asked_rows(file, "renewal"))
        file.write_text(f"contract_id\n{ids[0]}\n")
        today = score("renewal", crm, here, rows=asked_rows(file, "renewal"))
    assert "as_of" in rows["problem"][0]
    assert pd.isna(rows["probability"][0])
    assert rows["probability"].notna()[1]
    assert today["problem"].isna().all()
