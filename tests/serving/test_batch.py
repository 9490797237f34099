"""Scoring a whole list: its columns, its money, its problems, and that a repeated run doubles nothing."""

import math

import numpy as np
import pandas as pd
import pytest
from serving_case import home, night, train_plainly  # noqa: F401 (fixtures)

from features.crm.load import opened
from features.errors import RenewalError
from features.holdout import held_out
from features.renewal_opportunities import contracts_of_renewals
from features.settings import Settings
from monitoring.store import open_store
from serving.scoring.batch import asked_rows, score
from serving.scoring.scored_rows import HELD_OUT, hide_held_out
from training.dataset import build

COLUMNS = {"account_id", "as_of", "probability", "low", "high", "band", "amount"}
COLUMNS |= {"reasons", "model_version", "alias", "problem"}
pytestmark = pytest.mark.slow


@pytest.fixture
def here(home):  # noqa: F811
    return Settings(home=home, threads=1)


def current(settings, kind="renewal"):
    return open_store(settings).scores.page(kind, limit=10_000).rows


@pytest.mark.parametrize(
    ("kind", "key", "value", "bands"),
    [
        ("renewal", "contract_id", "at_risk", {"at risk", "watch", "safe"}),
        ("win", "opportunity_id", "expected", {"cold", "warm", "hot"}),
    ],
)
def test_rows_have_the_documented_columns_and_the_money_adds_up(here, kind, key, value, bands):
    with opened(here) as crm:
        rows = score(kind, crm, here)
    assert COLUMNS | {key, value} <= set(rows)
    assert len(rows) > 10
    assert rows["problem"].isna().all()
    assert rows["probability"].between(0, 1).all()
    assert (rows["low"] <= rows["high"]).all()
    assert set(rows["band"]) <= bands
    share = 1 - rows["probability"] if kind == "renewal" else rows["probability"]
    assert np.allclose(rows[value], share * rows["amount"], atol=0.006)
    assert rows[value].is_monotonic_decreasing
    for reasons, probability in zip(rows["reasons"], rows["probability"], strict=True):
        assert all({"feature", "words", "value", "log_odds"} <= set(reason) for reason in reasons)
        total = sum(reason["log_odds"] for reason in reasons)
        assert total == pytest.approx(math.log(probability / (1 - probability)), abs=1e-6)


def test_amount_is_the_annual_value_in_units(here):
    with opened(here) as crm:
        rows = score("renewal", crm, here).set_index("contract_id")
        kept = crm.frame("contracts", ["contract_id", "annual_value"]).set_index("contract_id")
    assert np.allclose(rows["amount"], kept.loc[rows.index, "annual_value"].astype(float) / 100)


def test_a_run_again_changes_nothing(here):
    store = open_store(here)
    before = current(here), store.predictions.read("renewal"), store.predictions.features("renewal")
    with opened(here) as crm:
        score("renewal", crm, here)
    after = current(here), store.predictions.read("renewal"), store.predictions.features("renewal")
    assert len(before[1]) == len(after[1])
    assert len(before[2]) == len(after[2])
    blank = {"scored_at": None}
    assert [{**row, **blank} for row in before[0]] == [{**row, **blank} for row in after[0]]


def test_a_run_killed_before_its_transaction_ends_leaves_the_old_list(here, monkeypatch):
    before = current(here)
    train_again(here)
    monkeypatch.setattr(
        "monitoring.store.scores._finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with opened(here) as crm, pytest.raises(KeyboardInterrupt):
        score("renewal", crm, here)
    assert current(here) == before


def train_again(settings):
    with opened(settings) as crm:
        return train_plainly("renewal", crm, settings, settings.home / "again", C=0.01)


def test_the_list_is_what_the_last_run_scored_and_earlier_moments_are_only_logged(here):
    with opened(here) as crm:
        then = crm.until - pd.Timedelta(days=45)
        newest = {row["as_of"] for row in current(here)}
        past = score("renewal", crm, here, as_of=then)
        assert {row["as_of"] for row in current(here)} == newest == {crm.until.to_pydatetime()}
        assert set(past["as_of"]) == {then}
    logged = open_store(here).predictions.read("renewal")
    assert set(past["contract_id"]) == set(logged.loc[logged["as_of"] == then, "subject_id"])


def test_a_new_model_remembers_nothing_of_the_old_ones_odds_at_the_same_moment(here):
    train_again(here)
    with opened(here) as crm:
        rows = score("renewal", crm, here)
    assert set(rows["model_version"]) == {"2"}
    assert {row["model_version"] for row in current(here)} == {"2"}


def test_rows_asked_for_keep_their_order_and_their_problems(here):
    with opened(here) as crm:
        some = score("renewal", crm, here)["contract_id"].tolist()[:2]
        wanted = pd.DataFrame(
            {
                "contract_id": [some[1], "no such", some[0], some[0], some[1]],
                "as_of": ["2025-11-01", "2025-11-01", "2025-12-01T12:00:00", "2025-10-01", "yesterday"],
            }
        )
        rows = score("renewal", crm, here, rows=wanted)
    assert rows["contract_id"].tolist() == wanted["contract_id"].tolist()
    assert rows["problem"].notna().tolist() == [False, True, False, False, True]
    assert rows["probability"].isna().tolist() == [False, True, False, False, True]
    assert rows["as_of"].iloc[2] == pd.Timestamp("2025-12-01 12:00")
    logged = open_store(here).predictions.read("renewal")
    asked = logged[logged["subject_id"] == some[0]]["as_of"].astype(str).tolist()
    assert {"2025-12-01 12:00:00", "2025-10-01 00:00:00"} <= {
        text[:19] + ("" if ":" in text else " 00:00:00") for text in asked
    }


def test_alone_equals_in_a_batch(here):
    with opened(here) as crm:
        every = score("renewal", crm, here).set_index("contract_id")
        one = every.index[3]
        alone = score("renewal", crm, here, rows=pd.DataFrame({"contract_id": [one]})).iloc[0]
    assert alone["probability"] == pytest.approx(every.loc[one, "probability"], rel=1e-12)
    assert [reason["words"] for reason in alone["reasons"]] == [
        reason["words"] for reason in every.loc[one, "reasons"]
    ]


def test_without_a_champion_the_challenger_scores_and_says_so(settings, night):  # noqa: F811
    from shutil import copytree

    copytree(night / "crm", settings.home / "crm")
    with opened(settings) as crm:
        with pytest.raises(RenewalError, match="perennial train renewal"):
            score("renewal", crm, settings)
        train_plainly("renewal", crm, settings, settings.home / "one", lead=False)
        assert set(score("renewal", crm, settings)["alias"]) == {"challenger"}


def test_held_out_accounts_are_logged_but_not_shown(here):
    hidden = here.model_copy(update={"holdout_share": 0.3})
    with opened(hidden) as crm:
        rows = score("renewal", crm, hidden)
    out = rows["problem"] == HELD_OUT
    assert 0.1 < out.mean() < 0.6
    assert rows.loc[out, ["probability", "low", "high", "band", "at_risk"]].isna().all(axis=None)
    assert not any(rows.loc[out, "reasons"])
    logged = open_store(here).predictions.read("renewal").set_index("subject_id")
    assert logged.loc[rows.loc[out, "contract_id"], "probability"].notna().all()
    assert all(hide_held_out(row)["probability"] is None for row in current(here) if row["held_out"])


def test_the_hold_out_stays_the_same_and_follows_the_seed():
    accounts = pd.Series([f"A{number}" for number in range(2_000)])
    first = held_out(accounts, Settings(holdout_share=0.1))
    assert first.mean() == pytest.approx(0.1, abs=0.03)
    assert (held_out(accounts, Settings(holdout_share=0.1)) == first).all()
    assert (held_out(accounts, Settings(holdout_share=0.1, seed=1)) != first).any()


@pytest.mark.parametrize(
    ("text", "found"),
    [("", "No columns"), ("id,as_of\nC1,2025-01-01\n", "id, as_of"), (None, "No such file")],
)
def test_a_file_that_cannot_be_scored_is_one_clear_error(tmp_path, text, found):
    path = tmp_path / "rows.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RenewalError, match=found):
        asked_rows(path, "renewal")


def test_a_renewal_run_as_an_opportunity_has_its_contracts_likelihood(here):
    with opened(here) as crm:
        links = contracts_of_renewals(crm)
        contracts = score("renewal", crm, here).set_index("contract_id")
        listed = links[links.isin(contracts.index)]
        pipeline = score("win", crm, here)
        asked = pd.DataFrame({"opportunity_id": [listed.index[0], pipeline["opportunity_id"].iloc[0]]})
        rows = score("win", crm, here, rows=asked.assign(as_of=str(crm.until)))
    assert len(listed) > 3
    assert not set(pipeline["opportunity_id"]) & set(listed.index)
    assert list(rows["opportunity_id"]) == list(asked["opportunity_id"])
    contract = contracts.loc[listed.iloc[0]]
    for name in ("probability", "low", "high", "band"):
        assert rows[name].iloc[0] == contract[name]
    assert rows["renewal_of"].iloc[0] == listed.iloc[0]
    assert rows["probability"].iloc[1] == pipeline["probability"].iloc[0]
    assert contract["renewal_opportunity"] == listed.index[0]
    assert not {row["subject_id"] for row in current(here, "win")} & set(listed.index)


def test_the_win_model_does_not_train_on_renewals_of_contracts(here):
    with opened(here) as crm:
        trained_on = build(crm, "win", here).snapshots["subject_id"]
        renewals = contracts_of_renewals(crm)
    assert len(renewals) > 20
    assert not trained_on.isin(renewals.index).any()
