import numpy as np
import pandas as pd
import pytest

from monitoring.drift import category_shift, holm, number_shift, shifts
from monitoring.windows import lead_bucket, one_per_lead, windows


def frame(n=1500, seed=0, columns=20, start="2024-01-01", per_account=2):
    """Predictions of `n` contracts, several an account, whose features stand still."""
    draw = np.random.default_rng(seed)
    account = np.arange(n) // per_account
    rows = pd.DataFrame(
        {
            "subject_id": [f"{seed}-{i}" for i in range(n)],
            "account_id": [f"{seed}-{i}" for i in account],
            "as_of": pd.Timestamp(start) + pd.to_timedelta(draw.integers(0, 180, n), unit="D"),
            "lead_days": draw.choice([180, 150, 120, 90, 60, 30, 14], n).astype(float),
        }
    )
    shared = draw.normal(size=(account.max() + 1, columns))[account]
    values = 0.8 * shared + 0.6 * draw.normal(size=(n, columns))
    for at in range(columns):
        rows[f"x{at}"] = values[:, at]
    rows["count"] = draw.poisson(1, n).astype(float)
    rows["industry"] = pd.Categorical(draw.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2]))
    return rows


COLUMNS = [f"x{at}" for at in range(20)] + ["count", "industry"]


def found(current, reference=None, **more):
    compared = windows(frame(seed=1) if reference is None else reference, current, "renewal", 0)
    return {(s.column, s.aspect) for s in shifts(compared, COLUMNS, **more) if s.has_moved}


@pytest.mark.slow
def test_nothing_moves_when_nothing_changed():
    assert sum(bool(found(frame(seed=s), frame(seed=s + 100))) for s in range(20)) <= 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda f: f.assign(x3=f["x3"] + 0.5), ("x3", "values")),
        (lambda f: f.assign(x3=np.nan), ("x3", "missing")),
        (lambda f: f.drop(columns="x3"), ("x3", "missing")),
        (lambda f: f.assign(count=f["count"].where(np.arange(len(f)) % 4 > 0)), ("count", "missing")),
        (
            lambda f: f.assign(industry=f["industry"].astype(object).where(np.arange(len(f)) % 20 > 0, "z")),
            ("industry", "new category"),
        ),
        (
            lambda f: f.assign(industry=f["industry"].cat.rename_categories(["b", "c", "a"])),
            ("industry", "values"),
        ),
    ],
)
def test_each_change_is_found_and_nothing_else(change, expected):
    assert found(change(frame(seed=2))) == {expected}


def test_repeats_of_one_contract_are_no_evidence():
    few = frame(120, seed=3, per_account=1)
    nightly = pd.concat([few.assign(lead_days=few["lead_days"] - day) for day in range(13)])
    thin = one_per_lead(nightly, "renewal")
    assert len(thin) < 3 * len(few)
    assert not thin.duplicated(["subject_id", "lead_bucket"]).any()
    compared = windows(frame(seed=1), nightly, "renewal", 0)
    assert compared.current["account_id"].is_unique
    assert len(compared.current) == 120


def test_lead_times_are_matched():
    late = frame(seed=4).assign(lead_days=lambda f: np.where(np.arange(len(f)) % 3 > 0, 14.0, 90.0))
    reference = frame(4000, seed=1)
    reference["x0"] += reference["lead_days"] / 30
    late["x0"] += late["lead_days"] / 30
    compared = windows(reference, late, "renewal", 0)
    mix = compared.reference["lead_bucket"].value_counts(normalize=True)
    assert mix[14] == pytest.approx((compared.current["lead_bucket"] == 14).mean(), abs=0.01)
    assert not [s for s in shifts(compared, ["x0"]) if s.has_moved]


def test_a_trend_that_was_there_before_is_no_alarm_but_a_jump_is():
    reference = frame(3000, seed=5)
    age = (reference["as_of"] - pd.Timestamp("2020-01-01")).dt.days
    reference["x0"] += age / 150
    current = frame(1500, seed=6, start="2024-07-01")
    current["x0"] += (current["as_of"] - pd.Timestamp("2020-01-01")).dt.days / 150
    assert found(current, reference) == set()
    assert found(current.assign(x1=current["x1"] + 0.5), reference) == {("x1", "values")}


def test_what_moved_is_weighed_by_what_it_carries():
    current = frame(seed=2).assign(x1=lambda f: f["x1"] + 0.6, x2=lambda f: f["x2"] + 0.6)
    compared = windows(frame(seed=1), current, "renewal", 0)
    first, second = shifts(compared, COLUMNS, importance={"x2": 0.3, "x1": 0.1})[:2]
    assert (first.column, first.weight) == ("x2", pytest.approx(0.75))
    assert (second.column, second.weight) == ("x1", pytest.approx(0.25))


def test_categories_seen_anywhere_in_the_reference_are_not_new():
    current = frame(seed=2)
    current["industry"] = current["industry"].astype(object).where(np.arange(len(current)) % 20 > 0, "z")
    assert ("industry", "new category") not in found(current, reference_levels={"industry": {"z"}})


def test_holm_equals_statsmodels():
    from statsmodels.stats.multitest import multipletests

    p = np.random.default_rng(0).random(40) ** 3
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])


def test_distances_by_hand():
    assert number_shift(np.array([1.0, 2, 3, 4]), np.array([3.0, 4, 5, 6]))[0] == 0.5
    assert category_shift(np.array(list("aabb")), np.array(list("aaab")))[0] == 0.25
    assert number_shift(np.array([]), np.array([1.0])) == (0.0, 1.0)


def test_lead_buckets():
    days = pd.Series([0, 14, 21, 23, 46, 170, np.nan])
    assert lead_bucket(days, "renewal").tolist() == [14, 14, 14, 30, 60, 180, -1]


def test_undated_rows_are_compared_too():
    blank = {"as_of": pd.NaT, "lead_days": np.nan}
    assert found(frame(seed=2).assign(**blank), frame(seed=1).assign(**blank)) == set()
    moved = frame(seed=2).assign(**blank, x3=lambda f: f["x3"] + 1)
    assert found(moved, frame(seed=1).assign(**blank)) == {("x3", "values")}
