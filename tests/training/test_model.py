import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from model_data import dated, true_log_odds, undated

from features.errors import RenewalError
from features.settings import Settings
from training.baselines import heuristic_baseline
from training.candidates import Held, adjusted, choose_recipe, fit_recipe
from training.dataset import Dataset
from training.metrics import auc, log_loss
from training.model import Model
from training.select import select
from training.split import grouped_folds

SETTINGS = Settings(seed=0, threads=1)


def chosen(ds: Dataset, served: str):
    recipe = choose_recipe(
        ds,
        grouped_folds(ds, 3),
        name="s",
        storage=None,
        trials=3,
        seconds=None,
        seed=0,
        threads=1,
    )
    return replace(recipe, served=served, share={"xgboost": 1.0, "blend": 0.5}.get(served, 0.0))


@pytest.fixture(scope="module")
def selection():
    return select(dated(700), SETTINGS, trials=4, storage=None)


@pytest.mark.parametrize("served", ["xgboost", "logistic", "blend", "base rate"])
def test_a_saved_model_scores_the_same_to_the_bit(served, tmp_path):
    ds = undated(400)
    model = fit_recipe(ds, chosen(ds, served), seed=0, threads=1)
    model.save(tmp_path)
    loaded = Model.load(tmp_path)
    assert loaded.served == served
    assert (loaded.probability(ds.X) == model.probability(ds.X)).all()
    assert loaded.infos == model.infos
    assert not list(tmp_path.glob("*.pkl"))


def test_a_model_loads_and_scores_without_mlflow_optuna_or_scikit_learn(selection, tmp_path):
    selection.model.save(tmp_path)
    code = f"""
import sys
for name in ("mlflow", "optuna", "sklearn"):
    sys.modules[name] = None
import pandas as pd
from pathlib import Path
from training.explain import reasons
from training.model import Model
model = Model.load(Path({str(tmp_path)!r}))
p = model.probability(pd.DataFrame({{"calls_90d": [3.0]}}))
low, high = model.interval(p)
assert low[0] <= p[0] <= high[0]
assert reasons(model, pd.DataFrame({{"calls_90d": [3.0]}}))
"""
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, "no such file"),
        ("{", "JSONDecodeError"),
        ('{"format": 99}', "format 99"),
        ('{"format": 2}', "KeyError"),
    ],
)
def test_a_folder_without_a_whole_model_is_one_clear_error(text, found, tmp_path):
    if text is not None:
        (tmp_path / "model.json").write_text(text)
    with pytest.raises(RenewalError, match=found):
        Model.load(tmp_path)


def test_a_missing_booster_is_an_error_too(tmp_path):
    ds = undated(400)
    fit_recipe(ds, chosen(ds, "xgboost"), seed=0, threads=1).save(tmp_path)
    (tmp_path / "booster.ubj").unlink()
    with pytest.raises(RenewalError, match="whole model"):
        Model.load(tmp_path)


def test_a_row_alone_scores_as_in_a_batch_whatever_the_order_or_company_of_its_columns(selection):
    X, model = dated(700).X, selection.model
    batch = model.probability(X)
    for row in (0, 17, 400):
        alone = X.iloc[[row]][list(X.columns[::-1])].assign(more=1.0)
        alone["industry"] = alone["industry"].astype(str)
        assert model.probability(alone)[0] == batch[row]


def test_a_missing_column_is_scored_as_missing_and_named(selection):
    X, model = dated(700).X.head(5), selection.model
    assert model.absent(X.drop(columns="usage")) == ["usage"]
    assert (model.probability(X.drop(columns="usage")) == model.probability(X.assign(usage=np.nan))).all()


def test_an_unknown_level_is_missing(selection):
    X, model = dated(700).X.head(5), selection.model
    new = X.assign(industry=pd.Categorical(["space"] * 5))
    assert (model.probability(new) == model.probability(X.assign(industry=pd.Categorical([None] * 5)))).all()


def test_what_is_served_finds_the_signal_on_later_data(selection):
    assert selection.served != "base rate"
    assert selection.forward["log_loss"] < selection.baselines["base rate"]["log_loss"] - 0.02
    assert selection.forward["log_loss"] <= selection.baselines["xgboost default"]["log_loss"]
    assert selection.gap == pytest.approx(selection.random["auc"] - selection.forward["auc"])
    assert [row["lead_days"] for row in selection.by_lead_time] == [14, 60, 120]


def test_the_later_part_is_out_of_the_choice(selection):
    """Turning every later outcome round changes the report and the verdict, and nothing that was chosen."""
    ds = dated(700)
    ds.y[selection.split.test] = 1 - ds.y[selection.split.test]
    turned = select(ds, SETTINGS, trials=4, storage=None)
    assert turned.study["log_loss"] == selection.study["log_loss"]
    assert turned.recipe.regression == selection.recipe.regression
    assert (
        turned.recipe.tuned == selection.recipe.tuned
        or turned.recipe.tuned.params == selection.recipe.tuned.params
    )
    assert (turned.test["logistic regression"] == selection.test["logistic regression"]).all()
    assert turned.ranking.auc < selection.ranking.auc - 0.1


def test_bands_are_cut_at_the_20th_and_50th_percentile(selection):
    model = selection.model
    low, middle = model.cuts
    assert model.band(np.array([low - 0.01, low + 1e-6, middle + 0.01])) == ["at risk", "watch", "safe"]
    bands = pd.Series(model.band(selection.test["probability"].to_numpy())).value_counts(normalize=True)
    assert bands["at risk"] == pytest.approx(0.2, abs=0.08)


@pytest.mark.parametrize("make", [undated, dated])
def test_without_signal_the_base_rate_is_served_or_nearly(make):
    ds = make(600, seed=5, signal=False)
    found = select(ds, SETTINGS, trials=1, storage=None)
    honest = found.forward or found.random
    assert honest["log_loss"] <= found.baselines["base rate"]["log_loss"] + 0.002
    assert found.model.probability(ds.X).std() < 0.05


def test_drift_that_a_column_tells_is_no_ranking():
    """Outcomes follow the month, one column gives the month, and nothing else is informative."""
    ds = dated(900, signal=False)
    month = (ds.snapshots["matured_at"] - ds.snapshots["matured_at"].min()).dt.days.to_numpy() / 30
    drawn = np.random.default_rng(0).random(ds.subjects.max() + 1)[ds.subjects]
    drifting = replace(ds, y=(drawn < 0.2 + 0.02 * month).astype(float))
    drifting.X["usage"] = month
    found = select(drifting, SETTINGS, trials=2, storage=None)
    assert found.served == "base rate"
    assert "beyond chance" in found.why
    assert found.model.probability(ds.X).mean() > drifting.base_rate + 0.1


def test_a_model_speaks_while_the_base_rate_steps_down():
    """What once was a reason to stay silent: the later part lies far below what was trained on."""
    ds = dated(900)
    late = ds.snapshots["matured_at"] > ds.snapshots["matured_at"].quantile(0.75)
    drawn = np.random.default_rng(0).random(ds.subjects.max() + 1)[ds.subjects]
    stepped = replace(ds, y=np.where(late & (drawn < 0.6), 0.0, ds.y))
    found = select(stepped, SETTINGS, trials=2, storage=None)
    assert found.served != "base rate"
    assert found.ranking.is_real
    assert found.model.probability(ds.X.iloc[-300:]).mean() < 0.75 * stepped.base_rate
    assert found.adjustment.moved < -0.4


def test_what_is_judged_carries_the_same_adjustment_as_what_is_served(selection):
    """The judged probabilities come again from the recipe, fitted and adjusted on the earlier part alone."""
    ds, split = dated(700), selection.split
    start = ds.snapshots["as_of"].to_numpy()[split.test].min()
    earlier, before = ds.take(split.train), np.isin(selection.recipe.held.rows, split.train)
    place = np.searchsorted(split.train, selection.recipe.held.rows[before])
    held = Held(place, selection.recipe.held.score[before])
    recipe, _ = adjusted(earlier, replace(selection.recipe, held=held), start)
    assert recipe.adjustment == selection.judged
    model = fit_recipe(earlier, recipe, seed=0, threads=1)
    assert model.probability(ds.X.iloc[split.test]) == pytest.approx(
        selection.test["probability"].to_numpy(), abs=1e-6
    )
    assert len(selection.adjustment.spans) >= len(selection.judged.spans)


def test_undated_data_is_judged_on_rows_the_choice_never_saw():
    ds = undated(500)
    found = select(ds, SETTINGS, trials=1, storage=None)
    assert found.forward is None
    assert sorted(found.test["row"]) == list(range(500))
    in_sample = log_loss(ds.y, found.model.probability(ds.X))
    assert found.random["log_loss"] > in_sample
    best = auc(ds.y, true_log_odds(ds.X))
    assert found.random["auc"] - 0.5 > 0.8 * (best - 0.5)


def test_too_few_outcomes_are_refused():
    with pytest.raises(RenewalError, match="at least 40"):
        select(undated(60), SETTINGS, trials=1, storage=None)


def test_small_data_gets_the_simple_model():
    found = select(undated(200), SETTINGS, trials=1, storage=None)
    assert found.served in ("logistic", "base rate")
    assert found.study["trials"] == 0


def test_the_team_rule_learns_rates_of_cells():
    ds = dated(600)
    rule = heuristic_baseline(ds)
    assert 1 <= len(rule.columns) <= 3
    assert 0 < rule.probability(ds.X).min() < rule.probability(ds.X).max() < 1
    later = dated(600, seed=1)
    assert log_loss(later.y, rule.probability(later.X)) < log_loss(later.y, np.full(len(later), ds.base_rate))


def test_a_model_file_holds_no_infinity_or_nan(selection, tmp_path):
    selection.model.save(tmp_path)
    json.loads((tmp_path / "model.json").read_text(), parse_constant=lambda name: pytest.fail(name))
