"""The guard bars what was written after the outcome and leaves what is merely strong."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from features.errors import RenewalError
from training import leakage
from training.dataset import Dataset, dataset
from training.leakage import guard
from training.leakage_evidence import Beside
from training.leakage_rules import is_suspect

SEEDS = range(6)
LEADS = (180, 90, 30)


def info(column=None, unit=""):
    return SimpleNamespace(source="column" if column else "event", column=column, unit=unit)


def contracts(seed: int, n: int = 900, base: float = 0.75) -> pd.DataFrame:
    """One row a contract: how it ended, how good it truly was, when it ends and was decided."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < base).astype(float)
    end = pd.Timestamp("2022-01-01") + pd.to_timedelta(np.sort(rng.integers(0, 1000, n)), unit="D")
    decided = end - pd.to_timedelta(rng.integers(0, 40, n), unit="D")
    return pd.DataFrame({"y": y, "end": end, "decided": decided, "account": [f"a{i // 2}" for i in range(n)]})


def graded(y: np.ndarray, auc: float, rng: np.random.Generator) -> np.ndarray:
    """A number that ranks the outcome with this AUC (two normals)."""
    from scipy.stats import norm

    return rng.normal(size=len(y)) + y * norm.ppf(auc) * np.sqrt(2)


def snapshots(rows: pd.DataFrame, values: pd.DataFrame, infos: dict) -> Dataset:
    """Three snapshots a contract, each with the column's value of today."""
    n = len(rows)
    at = np.repeat(np.arange(n), len(LEADS))
    lead = np.tile(LEADS, n).astype(float)
    frame = pd.DataFrame(
        {
            "subject_id": [f"c{i}" for i in at],
            "account_id": rows["account"].to_numpy()[at],
            "as_of": rows["end"].to_numpy()[at] - pd.to_timedelta(lead, unit="D"),
            "lead_days": lead,
        }
    )
    X = values.iloc[at].reset_index(drop=True)
    X["calls_90d"] = np.random.default_rng(0).poisson(3, len(X)).astype(float)
    return dataset(X, rows["y"].to_numpy()[at], frame, {**infos, "calls_90d": info()}, "renewal", True)


def category(values) -> pd.Series:
    return pd.Series(values, dtype="string").astype("category")


def copy_of_label(rows, rng):
    return category(np.where(rows.y == 1, "kept", "gone"))


def filled_after_close(rows, rng):
    return category(rng.choice(["handed over", "archived", "audited"], len(rows)))


def noisy_copy(rows, rng):
    return ((rows.y == 1) ^ (rng.random(len(rows)) < 0.10)).astype(float)


def noisy_number(rows, rng):
    return rows.y * 100 + rng.normal(0, 35, len(rows))


def reason_for_lost(rows, rng):
    text = rng.choice(["price", "no need", "rival", "merged"], len(rows)).astype(object)
    text[(rows.y == 1) | (rng.random(len(rows)) < 0.4)] = None
    return category(text)


def growing_id(rows, rng):
    """Numbered at the close, in the book of its outcome."""
    return rows.decided.rank(method="first") * 10 + rows.y * 3 + 40_000


LEAKS = {
    "contracts.memo": copy_of_label,
    "contracts.file": filled_after_close,
    "contracts.mood": noisy_copy,
    "contracts.index": noisy_number,
    "contracts.remark": reason_for_lost,
    "contracts.number": growing_id,
}


def fair_columns(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    n, y = len(rows), rows.y.to_numpy()
    strong = graded(y, 0.85, rng)
    sometimes = graded(y, 0.62, rng)
    sometimes[rng.random(n) < np.where(y == 1, 0.55, 0.7)] = np.nan
    tiers = np.select([graded(y, 0.8, rng) > 1.6, rng.random(n) < 0.4], ["gold", "silver"], "bronze")
    return pd.DataFrame(
        {
            "contracts.health_score": np.clip(np.round(60 + 12 * strong), 0, 100),
            "contracts.tier": category(tiers),
            "contracts.nps": np.round(sometimes * 2 + 5),
            "contracts.auto_renew": (rng.random(n) < np.where(y == 1, 0.8, 0.35)).astype(float),
            "contracts.customer_since": rng.integers(200, 3000, n) + 200 * y,
            "contracts.annual_value": np.round(np.exp(rng.normal(9, 1, n) + 0.3 * y), -1),
        }
    )


def infos_of(values: pd.DataFrame) -> dict:
    return {name: info(name, "days" if name.endswith("_since") else "") for name in values}


@pytest.mark.parametrize("seed", SEEDS)
def test_planted_leaks_are_barred_and_strong_fair_columns_pass(seed):
    rng = np.random.default_rng(seed + 100)
    rows = contracts(seed)
    fair = fair_columns(rows, rng)
    leaks = pd.DataFrame({name: plant(rows, rng) for name, plant in LEAKS.items()})
    leaks["contracts.signed_off"] = -5.0 - (rows.y == 0) * 3
    values = pd.concat([fair, leaks], axis=1)
    infos = {**infos_of(values), "contracts.signed_off": info("contracts.signed_off", "days")}
    ds = snapshots(rows, values, infos)
    undecided = fair_columns(contracts(seed + 50, 120), rng).assign(**dict.fromkeys(leaks, np.nan))
    dates = pd.DataFrame(
        {
            "contracts.signed_off": np.repeat(rows.decided + pd.Timedelta(days=4), len(LEADS)),
            "decided_at": np.repeat(rows.decided, len(LEADS)),
        }
    ).reset_index(drop=True)
    found = guard(ds, Beside(open_rows=undecided, raw=dates))
    assert set(found.barred) == {name.partition(".")[2] for name in leaks}
    assert set(found.apply(ds).X.columns) == {*fair, "calls_90d"}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", [n for n in LEAKS if n != "contracts.file"])
def test_leaks_show_without_open_rows(seed, name):
    rows = contracts(seed, 400)
    values = pd.DataFrame({name: LEAKS[name](rows, np.random.default_rng(1000 + seed))})
    found = guard(snapshots(rows, values, infos_of(values)))
    assert list(found.barred) == [name.partition(".")[2]]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("n", "base"), [(300, 0.5), (1500, 0.85), (6000, 0.6)])
def test_fair_columns_pass_without_open_rows(seed, n, base):
    rows = contracts(seed, n, base)
    values = fair_columns(rows, np.random.default_rng(1000 + seed))
    assert guard(snapshots(rows, values, infos_of(values))).barred == {}


def test_a_leak_on_the_account_shows_at_its_last_contract():
    rng = np.random.default_rng(1001)
    rows = contracts(1, 1600, 1.0)
    rows["account"] = [f"a{i % 400}" for i in range(1600)]
    left = rng.random(400) < 0.4
    rows.loc[1200:, "y"] = np.where(left, 0.0, 1.0)
    values = pd.DataFrame({"accounts.relation": category(np.tile(np.where(left, "former", "current"), 4))})
    found = guard(snapshots(rows, values, infos_of(values)))
    assert "relation" in found.barred


def test_an_amount_set_to_zero_for_some_of_the_lost():
    rng = np.random.default_rng(1002)
    rows = contracts(2, 800)
    amount = np.exp(rng.normal(9, 1, 800)).round()
    amount[(rows.y == 0) & (rng.random(800) < 0.5)] = 0
    values = pd.DataFrame({"contracts.annual_value": amount})
    assert "annual_value" in guard(snapshots(rows, values, infos_of(values))).barred


@pytest.mark.parametrize("seed", SEEDS)
def test_a_count_that_stays_at_nought_until_the_close(seed):
    rng = np.random.default_rng(seed + 300)
    rows = contracts(seed, 800)
    talks = pd.DataFrame({"contracts.talks": rng.poisson(np.where(rows.y == 1, 3.0, 1.5)).astype(float)})
    ds = snapshots(rows, talks, infos_of(talks))
    at_nought, running = pd.DataFrame({"contracts.talks": np.zeros(120)}), talks.iloc[:120]
    assert "written at the close" in guard(ds, Beside(open_rows=at_nought)).barred["talks"]
    assert guard(ds, Beside(open_rows=running)).barred == {}


def test_a_plan_that_all_open_contracts_are_on_is_no_leak():
    rng = np.random.default_rng(1007)
    rows = contracts(7, 900)
    plan = pd.DataFrame(
        {"contracts.plan": category(rng.choice(["basic", "plus", "2030"], 900, p=[0.5, 0.4, 0.1]))}
    )
    undecided = pd.DataFrame({"contracts.plan": category(np.full(120, "2030", object))})
    ds = snapshots(rows, plan, infos_of(plan))
    assert guard(ds, Beside(open_rows=undecided)).barred == {}


@pytest.mark.parametrize(("share", "leaves_out"), [(0.3, False), (0.06, True)])
def test_an_account_that_is_only_linked_at_the_close(share, leaves_out):
    rng = np.random.default_rng(1006)
    rows = contracts(6, 900, 0.5)
    unlinked = (rows.y == 0) & (rng.random(900) < 2 * share)
    rows.loc[unlinked, "account"] = [f"c{i}" for i in np.flatnonzero(unlinked)]
    size = pd.Series(rng.normal(size=900)).mask(unlinked)
    ds = snapshots(rows, pd.DataFrame({"accounts.size": size}), {"accounts.size": info("accounts.size")})
    found = guard(ds)
    assert list(found.barred) == ["account_id"]
    clean = found.apply(ds)
    assert ("accounts.size" in clean.X) is leaves_out
    assert len(clean) == (3 * (~unlinked).sum() if leaves_out else len(ds))


@pytest.mark.parametrize("described", [1.0, 0.0, np.nan])
def test_accounts_that_bear_the_ids_of_contracts_are_accounts_all_the_same(described):
    rows = contracts(8, 400, 0.5)
    rows["account"] = [f"c{i}" for i in range(400)]
    size = pd.DataFrame({"accounts.size": np.full(400, described)})
    ds = snapshots(rows, size, {"accounts.size": info("accounts.size")})
    assert leakage.is_linked(ds).all() == (not np.isnan(described))
    assert guard(ds).barred == {}


def test_an_account_that_a_second_contract_names_is_not_made_of_the_first():
    rows = contracts(8, 400, 0.5)
    rows["account"] = [f"c{i % 200}" for i in range(400)]
    nothing = pd.DataFrame(index=range(400))
    assert leakage.is_linked(snapshots(rows, nothing, {})).all()


def test_an_account_that_only_the_renewed_have_is_barred():
    rows = contracts(8, 400, 0.5)
    lost = rows.y == 0
    rows.loc[lost, "account"] = [f"c{i}" for i in np.flatnonzero(lost)]
    size = pd.DataFrame({"accounts.size": pd.Series(np.arange(400) % 7.0).mask(lost)})
    found = guard(snapshots(rows, size, {"accounts.size": info("accounts.size")}))
    assert {"account_id", "size"} <= set(found.barred)


def test_evidence_is_listed_for_what_passed_too():
    rows = contracts(3)
    values = fair_columns(rows, np.random.default_rng(1003))
    evidence = guard(snapshots(rows, values, infos_of(values))).evidence
    assert {entry["column"] for entry in evidence} == set(values)
    assert all(entry["verdict"] == "passed" and entry["n"] == len(rows) for entry in evidence)


def test_bar_and_allow_by_either_name():
    rows = contracts(4)
    values = pd.DataFrame({"contracts.memo": copy_of_label(rows, None), "contracts.seats": rows.y * 0 + 3.0})
    ds = snapshots(rows, values, infos_of(values))
    found = guard(ds, bar=["seats"], allow=["contracts.memo"])
    assert found.barred == {"seats": "barred by the user"}
    assert found.allowed == ("memo",)
    assert "contracts.memo" in found.apply(ds).X


def test_an_unknown_name_is_answered_with_the_closest():
    rows = contracts(5)
    values = pd.DataFrame({"contracts.health_score": graded(rows.y, 0.7, np.random.default_rng(5))})
    with pytest.raises(RenewalError, match="health_score"):
        guard(snapshots(rows, values, infos_of(values)), allow=["helth_score"])


@pytest.mark.parametrize(
    ("name", "suspect"),
    [
        ("contracts.lost_reason", True),
        ("opportunities.closeCode", True),
        ("accounts.Churn_Date", True),
        ("contracts.auto_renew", False),
        ("accounts.winter_tyres", False),
        ("contracts.glossary", False),
    ],
)
def test_names(name, suspect):
    assert is_suspect(name) is suspect
