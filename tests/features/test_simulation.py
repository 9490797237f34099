"""The simulator: the same bytes for a seed, a clean contract, and truths that are what truth.json says."""

import hashlib
import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from features.crm.contract import TABLES
from features.crm.load import load
from features.errors import RenewalError
from features.simulation import simulate, worry
from features.simulation.planted import NONE, WINDOW_LEADS, WINDOWS, Options
from features.simulation.records import world
from features.simulation.renewals import renewal_odds, timing_of
from features.simulation.truth import forced_contact

CARRIED = {
    "accounts": {"tier", "record_theme"},
    "contracts": {"seats", "billing"},
    "opportunities": {"competitor", "has_partner"},
    "leads": {"form_version"},
}


def options(**changed) -> Options:
    given = dict(  # noqa: C408
        accounts=1500, seed=3, signal=True, hidden_worry=False, icp=True, unfair=True, timing="peaked",
        first_day=18_993, until_day=20_454, draws=0,
    )  # fmt: skip
    return Options(**(given | changed))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("simulated")
    simulate(out, accounts=900, seed=1)
    return out


@pytest.fixture(scope="module")
def truth(folder) -> dict:
    return json.loads((folder / "truth.json").read_text())


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_same_seed_same_bytes_in_another_process(tmp_path):
    simulate(tmp_path / "here", accounts=60, seed=5)
    there = str(tmp_path / "there")
    code = f"from features.simulation import simulate; simulate({there!r}, accounts=60, seed=5)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    simulate(tmp_path / "other", accounts=60, seed=6)
    assert hashes(tmp_path / "here") == hashes(tmp_path / "there")
    assert hashes(tmp_path / "here")["contracts.csv"] != hashes(tmp_path / "other")["contracts.csv"]


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_table_has_the_columns_of_the_contract(folder, table):
    frame = pd.read_csv(folder / f"{table}.csv", dtype=str)
    assert len(frame)
    assert set(frame.columns) == set(TABLES[table].by_name) | CARRIED.get(table, set())


def test_only_the_planted_faults_go_to_quarantine(folder, truth, tmp_path):
    crm = load(folder, mapping=None, until=None, into=tmp_path / "clean")
    found = {name: table["quarantined"] for name, table in crm.quality.as_dict()["tables"].items()}
    planted = pd.Series([fault["table"] for fault in truth["planted_faults"]]).value_counts()
    assert {name: count for name, count in found.items() if count} == planted.to_dict()
    assert crm.until == pd.Timestamp("2026-01-01")


def test_nothing_is_written_that_was_known_later(tmp_path):
    until = pd.Timestamp("2024-06-01")
    simulate(tmp_path, accounts=600, years=3, until=until.date(), faults=False, draws=0)
    for table, declared in TABLES.items():
        frame = pd.read_csv(tmp_path / f"{table}.csv")
        first = "recorded_at" if table == "activities" else declared.time
        for moment in filter(None, {first, *declared.seconds}):
            assert (pd.to_datetime(frame[moment]).dropna() < until).all(), (table, moment)
    activities = pd.read_csv(tmp_path / "activities.csv", parse_dates=["occurred_at"])
    planned = activities[activities["occurred_at"] >= until]
    assert len(planned)
    assert set(planned["kind"]) == {"meeting"}


def test_second_moments_and_outcomes_go_together(folder):
    contracts = pd.read_csv(folder / "contracts.csv")
    assert contracts["renewed"].notna().equals(contracts["decided_at"].notna())
    assert contracts["renewed"].isna().any()
    assert not contracts.loc[contracts["renewed"] != False, "lost_reason"].notna().any()  # noqa: E712
    deals = pd.read_csv(folder / "opportunities.csv")
    assert deals["is_won"].notna().equals(deals["closed_at"].notna())
    assert deals["is_won"].isna().any()
    assert set(deals["kind"]) == {"new", "renewal", "expansion"}


def test_renewed_contracts_are_followed_by_another_and_lost_ones_are_not(folder):
    contracts = pd.read_csv(folder / "contracts.csv", parse_dates=["start_date", "end_date"])
    contracts = contracts[(contracts["end_date"] > contracts["start_date"]) & contracts["renewed"].notna()]
    contracts = contracts[contracts["end_date"] < pd.Timestamp("2025-10-01")]
    everything = pd.read_csv(folder / "contracts.csv", parse_dates=["start_date"])
    starts = everything.groupby("account_id")["start_date"].apply(list)
    for row in contracts.itertuples():
        later = [s for s in starts[row.account_id] if 0 <= (s - row.end_date).days <= 45]
        assert bool(later) == row.renewed


def test_some_calls_are_logged_late_and_mails_are_not(folder):
    rows = pd.read_csv(folder / "activities.csv").iloc[:-1]
    delay = pd.to_datetime(rows["recorded_at"]) - pd.to_datetime(rows["occurred_at"])
    late = delay > pd.Timedelta(days=1)
    assert late[rows["kind"] == "call"].mean() == pytest.approx(0.15, abs=0.03)
    assert not late[rows["kind"] == "email"].any()


def test_potential_outcomes_are_what_truth_says_by_each_contracts_luck():
    of = world(options())
    for code, name in enumerate(WINDOWS):
        window = np.full(of.terms.size, code)
        timing = timing_of(of.who, of.terms, of.options, window)
        probability = renewal_odds(of.terms.fixed, of.terms.felt, timing, of.terms.discount, signal=True)
        error = np.sqrt((probability * (1 - probability)).sum()) / of.terms.size
        assert abs((of.terms.luck < probability).mean() - probability.mean()) < 4 * error, name


@pytest.mark.parametrize("code", [1, 2, 3, NONE])
def test_forcing_everybodys_contact_into_a_window_gives_the_rate_truth_promises(monkeypatch, code):
    """Brute force: live the same years again with every first contact pushed into one window."""
    natural = world(options())
    promised = forced_contact(natural.who, natural.terms, code, natural.options)[
        natural.terms.term == 0
    ].mean()
    low, high = WINDOW_LEADS[code] if code != NONE else (1000, 1000)
    usual = worry.contact_odds

    def forced(step, *state):
        inside = worry.LEAD_START[step] <= high and worry.LEAD_END[step] >= low - 1
        steps_left = (worry.LEAD_START[step] - low + 1) / 15
        return np.ones_like(usual(step, *state)) * (1 / max(1, round(steps_left)) if inside else 0.0)

    monkeypatch.setattr(worry, "contact_odds", forced)
    lived = world(options())
    first = lived.terms.term == 0
    assert set(lived.terms.window[first]) <= {code, NONE}
    error = np.sqrt(promised * (1 - promised) * 2 / first.sum())
    assert abs(lived.terms.renewed[first].mean() - promised) < 4 * error


def raw_rates(folder: Path) -> pd.Series:
    """What an analyst sees: the renewal rate by the first call or meeting of the last 180 days."""
    contracts = pd.read_csv(folder / "contracts.csv", parse_dates=["end_date", "decided_at"])
    contracts = contracts[contracts["renewed"].notna()].iloc[:-1]
    talks = pd.read_csv(folder / "activities.csv", low_memory=False).iloc[:-1]
    talks = talks[talks["kind"].isin(["call", "meeting"]) & talks["contract_id"].notna()]
    talks = talks.merge(contracts[["contract_id", "end_date", "decided_at"]], on="contract_id")
    occurred = pd.to_datetime(talks["occurred_at"])
    lead = (talks["end_date"] - occurred.dt.normalize()).dt.days
    first = (
        lead[(lead <= 180) & (lead >= 0) & (occurred < talks["decided_at"])]
        .groupby(talks["contract_id"])
        .max()
    )
    names = pd.cut(
        first, [-1, 14, 30, 60, 90, 120, 180], labels=["0-14", "15-30", "31-60", "61-90", "91-120", "121-180"]
    )
    window = contracts["contract_id"].map(names.astype(str)).fillna("none")
    return contracts["renewed"].astype(float).groupby(window).mean()


def test_raw_rates_name_another_window_than_the_true_best(folder, truth, tmp_path):
    wrong = 0
    for seed in range(4):
        found = simulate(tmp_path / str(seed), accounts=1500, seed=10 + seed, draws=0, faults=True)
        assert found["timing"]["best"] == "61-90"
        wrong += raw_rates(tmp_path / str(seed)).idxmax() != "61-90"
    assert wrong >= 3
    assert truth["timing"]["best_by_industry"]["manufacturing"] == "91-120"


def test_the_best_window_leads_by_about_eight_points():
    gaps = []
    for seed in range(3):
        of = world(options(seed=seed))
        rates = sorted(
            forced_contact(of.who, of.terms, code, of.options).mean() for code in range(len(WINDOWS))
        )
        gaps.append(rates[-1] - rates[-2])
    assert np.mean(gaps) == pytest.approx(0.08, abs=0.015)


@pytest.mark.parametrize(
    ("file", "lowest", "highest"), [("truth_renewals", 0.74, 0.83), ("truth_wins", 0.70, 0.83)]
)
def test_the_oracle_is_calibrated_and_of_realistic_strength(folder, file, lowest, highest):
    answers = pd.read_parquet(folder / f"{file}.parquet")
    assert lowest < roc_auc_score(answers["label"], answers["oracle"]) < highest
    tenth = pd.qcut(answers["oracle"].rank(method="first"), 10, labels=False)
    table = answers.groupby(tenth)[["oracle", "label"]].mean()
    assert (table["oracle"] - table["label"]).abs().max() < 0.07
    assert (table["oracle"] - table["label"]).abs().mean() < 0.03


def test_the_oracle_knows_more_the_nearer_the_end(folder):
    answers = pd.read_parquet(folder / "truth_renewals.parquet")
    far, near = (answers[answers["lead_days"] == lead] for lead in (180, 30))
    assert roc_auc_score(near["label"], near["oracle"]) > roc_auc_score(far["label"], far["oracle"]) + 0.03


def test_hidden_worry_is_hidden_from_the_oracle_who_stays_calibrated(folder, tmp_path):
    simulate(tmp_path, accounts=900, seed=1, hidden_worry=True)
    seen, hidden = (pd.read_parquet(path / "truth_renewals.parquet") for path in (folder, tmp_path))
    near = [frame[frame["lead_days"] == 14] for frame in (seen, hidden)]
    assert roc_auc_score(near[1]["label"], near[1]["oracle"]) < roc_auc_score(
        near[0]["label"], near[0]["oracle"]
    )
    assert hidden["oracle"].mean() == pytest.approx(hidden["label"].mean(), abs=0.03)


def test_without_signal_every_outcome_is_a_coin_flip(tmp_path):
    found = simulate(tmp_path, accounts=600, seed=2, signal=False)
    renewals, wins = (pd.read_parquet(tmp_path / f"truth_{name}.parquet") for name in ("renewals", "wins"))
    assert renewals["oracle"].std() < 1e-9
    deals = wins[~wins["opportunity_id"].str.startswith("ON")]
    assert deals["oracle_ever"].std() < 1e-9
    assert renewals["label"].mean() == pytest.approx(renewals["oracle"].iloc[0], abs=0.03)
    assert found["timing"]["best"] is None
    assert found["icp"] is None
    assert found["unfair"] is None
    rates = [arm["all"] for arm in found["timing"]["windows"].values()]
    assert max(rates) - min(rates) < 1e-9


def qualified_by_leadership(folder: Path) -> pd.Series:
    leads = pd.read_csv(folder / "leads.csv")
    leads = leads[leads["qualified_at"].notna() | leads["disqualified_at"].notna()]
    segments = pd.read_csv(folder / "segments.csv").query("attribute == 'leadership'")
    value = leads["account_id"].map(segments.set_index("account_id")["value"])
    return leads["qualified_at"].notna().groupby(value).mean()


def test_the_unfair_qualification_shows_and_can_be_switched_off(folder, tmp_path):
    rates = qualified_by_leadership(folder)
    assert rates["women"] / rates["men"] == pytest.approx(0.55, abs=0.08)
    simulate(tmp_path, accounts=900, seed=1, unfair=False, draws=0)
    rates = qualified_by_leadership(tmp_path)
    assert rates["women"] / rates["men"] == pytest.approx(1.0, abs=0.1)


def test_the_ideal_profile_wins_more_with_less_and_renews_alone(folder, truth):
    inside, outside = truth["icp"]["inside"], truth["icp"]["outside"]
    assert inside["win"] > outside["win"] + 0.15
    assert inside["calls_30d"] < 0.75 * outside["calls_30d"]
    assert inside["discount"] < outside["discount"] - 0.04
    assert inside["renewal_without_contact"] > outside["renewal_without_contact"] + 0.15
    conditions = truth["icp"]["conditions"]
    accounts = pd.read_csv(folder / "accounts.csv")
    match = accounts["industry"].isin(conditions["industry"]) & accounts["region"].isin(conditions["region"])
    assert (match & accounts["employees"].between(*conditions["employees"])).sum() == inside["accounts"]


def test_the_curve_of_calls_peaks_at_three_to_four_and_raw_discounts_mislead(truth):
    curve = {name: arm["all"] for name, arm in truth["calls"]["buckets"].items()}
    assert max(curve, key=curve.get) == "3-4"
    assert curve["8+"] < curve["5-7"] < curve["3-4"]
    true, raw = ({name: arm[key] for name, arm in truth["discount"]["win"].items()} for key in ("all", "raw"))
    assert true["10-20"] > true["0"] + 0.08
    assert raw["10-20"] - raw["0"] < true["10-20"] - true["0"] - 0.05


@pytest.mark.parametrize(
    ("changed", "says"),
    [({"accounts": 3}, "10 accounts"), ({"years": 0}, "1 year"), ({"timing": "odd"}, "peaked, mild or none")],
)
def test_a_switch_that_does_not_fit_is_refused_and_nothing_written(tmp_path, changed, says):
    with pytest.raises(RenewalError, match=says):
        simulate(tmp_path / "out", until=date(2025, 1, 1), **changed)
    assert not (tmp_path / "out").exists()


def test_no_invoice_is_issued_before_its_contract_starts(tmp_path):
    simulate(tmp_path, accounts=300, seed=2, draws=0, faults=False)
    contracts = pd.read_csv(tmp_path / "contracts.csv", parse_dates=["start_date", "end_date"])
    invoices = pd.read_csv(tmp_path / "invoices.csv", parse_dates=["issued_at"])
    invoices = invoices.reset_index(names="row")
    both = invoices.merge(contracts, on="account_id")
    day = both["issued_at"].dt.normalize()
    inside = both.loc[(day >= both["start_date"]) & (day <= both["end_date"]), "row"]
    assert set(invoices["row"]) == set(inside), "an invoice outside every term tells what was decided"
