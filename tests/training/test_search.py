import numpy as np
import pytest
from model_data import dated, undated

from training.candidates import encoded_rows
from training.search import EVERYTHING, refit_on_folds, search
from training.split import forward_folds, grouped_folds


def run(ds, folds, storage=None, trials=4, **more):
    rows, _ = encoded_rows(ds)
    return search(rows, folds, name="study", storage=storage, trials=trials, **more), rows


def test_search_beats_the_base_rate_and_its_refit_gives_the_loss_it_found():
    ds = undated(600)
    folds = grouped_folds(ds, 4)
    tuned, rows = run(ds, folds)
    margins = refit_on_folds(rows, folds, tuned, seed=0, threads=1)
    loss = np.mean(
        [
            np.logaddexp(0, np.where(ds.y[f.test] > 0, -m, m)).mean()
            for f, m in zip(folds, margins, strict=True)
        ]
    )
    base = -np.mean(ds.y * np.log(ds.y.mean()) + (1 - ds.y) * np.log(1 - ds.y.mean()))
    assert tuned.loss < base - 0.03
    assert loss == pytest.approx(tuned.loss, abs=0.002)
    assert 1 <= tuned.rounds <= 300


def test_a_broken_off_study_goes_on_and_a_finished_one_is_only_read(tmp_path):
    ds, said = undated(300), []
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    folds = grouped_folds(ds, 3)
    first, _ = run(ds, folds, storage, trials=3)
    more, _ = run(ds, folds, storage, trials=5, say=said.append)
    again, _ = run(ds, folds, storage, trials=5, say=said.append)
    assert (first.trials, more.trials, again.trials) == (3, 5, 5)
    assert len(said) == 2
    assert again.params == more.params
    assert more.loss <= first.loss


def test_the_same_data_and_seed_give_the_same_study():
    ds = undated(300)
    folds = grouped_folds(ds, 3)
    one, two = run(ds, folds)[0], run(ds, folds)[0]
    assert (one.params, one.rounds, one.loss) == (two.params, two.rounds, two.loss)


def test_time_that_runs_out_still_leaves_a_trial():
    ds = undated(300)
    tuned, _ = run(ds, grouped_folds(ds, 3), trials=500, seconds=0.01)
    assert 1 <= tuned.trials < 500


def test_the_first_trial_is_the_good_default_on_all_columns():
    ds = dated(300)
    tuned, _ = run(ds, forward_folds(ds, 3), trials=1)
    assert tuned.params["features"] == EVERYTHING
    assert tuned.params["reg_lambda"] == 5.0


def test_a_feature_choice_leaves_out_one_touchpoint():
    rows, encoding = encoded_rows(undated(300))
    kept = [encoding.columns[at] for at in rows.read("product", np.arange(300))]
    assert kept == ["calls_90d", "days_since_meeting", "industry"]
