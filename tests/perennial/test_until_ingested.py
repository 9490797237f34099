"""`--until` on what was ingested reads the same as `--until` on the source itself, units and all."""

import pandas as pd
from pandas.testing import assert_frame_equal

from features.crm.load import ingest, load, opened
from features.simulation import simulate


def test_an_earlier_day_of_the_ingested_crm_is_that_day_of_its_source(settings, tmp_path):
    day = pd.Timestamp("2024-06-01")
    simulate(tmp_path / "crm", accounts=100, seed=1, draws=0)
    ingest(tmp_path / "crm", settings)
    direct = load(tmp_path / "crm", until=day, into=tmp_path / "direct")
    with opened(settings, until=day) as again:
        assert again.until == direct.until
        assert set(again.tables) == set(direct.tables)
        for table in direct.tables:
            assert set(again.tables[table]) == set(direct.tables[table]), table
            columns = list(direct.tables[table])
            assert_frame_equal(
                again.frame(table, columns), direct.frame(table, columns), check_dtype=False, obj=table
            )
