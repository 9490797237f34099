"""The peers: libraries as they come, an AutoML library with the same time, and Perennial's own choice."""

import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from features.settings import Settings
from training.baselines import library_default
from training.dataset import Dataset, require_outcomes
from training.select import served_model, tuning_folds

Fit = Callable[[Dataset, int, float], Callable[[pd.DataFrame], np.ndarray]]


def perennial(ds: Dataset, seed: int, seconds: float) -> Callable[[pd.DataFrame], np.ndarray]:
    """What `perennial train` would serve from these rows."""
    settings = Settings.from_env().model_copy(update={"seed": seed})
    require_outcomes(ds.kind, *ds.outcome_counts(), settings.min_positives)
    model = served_model(ds, settings, trials=1000, minutes=seconds / 60)
    return model.probability


def logistic_regression(ds: Dataset, seed: int, seconds: float) -> Callable[[pd.DataFrame], np.ndarray]:
    """scikit-learn's default on one-hot categories and standardised, median-filled quantities."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = make_column_transformer(
        (
            make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()),
            make_column_selector(dtype_include="number"),
        ),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(_worded(ds.X), ds.y)
    return lambda X: model.predict_proba(_worded(X))[:, 1]


def hist_gradient_boosting(ds: Dataset, seed: int, seconds: float) -> Callable[[pd.DataFrame], np.ndarray]:
    """scikit-learn's default on native categories of up to 255 levels; it refuses columns of nothing."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    filled = list(ds.X.columns[ds.X.notna().any()])
    ds = replace(ds, X=ds.X[filled])
    codes = partial(_codes, levels=_levels(ds.X))
    shaped = lambda X: codes(X[filled])  # noqa: E731
    model = HistGradientBoostingClassifier(random_state=seed, categorical_features=_small(ds.X))
    model.fit(shaped(ds.X), ds.y)
    return lambda X: model.predict_proba(shaped(X))[:, 1]


def xgboost_default(ds: Dataset, seed: int, seconds: float) -> Callable[[pd.DataFrame], np.ndarray]:
    """XGBoost's default on native categories."""
    return library_default(ds, seed, Settings.from_env().threads)


def lightgbm_default(ds: Dataset, seed: int, seconds: float) -> Callable[[pd.DataFrame], np.ndarray]:
    """LightGBM's default on native categories."""
    from lightgbm import LGBMClassifier

    shaped = partial(_codes, levels=_levels(ds.X))
    model = LGBMClassifier(random_state=seed, verbose=-1, n_jobs=Settings.from_env().threads)
    model.fit(
        shaped(ds.X),
        ds.y,
        categorical_feature=[at for at, small in enumerate(_small(ds.X)) if small] or "auto",
    )
    return lambda X: np.asarray(model.predict_proba(shaped(X)))[:, 1]


def catboost_default(ds: Dataset, seed: int, seconds: float) -> Callable[[pd.DataFrame], np.ndarray]:
    """CatBoost's default with its ordered statistics of categories."""
    from catboost import CatBoostClassifier

    model = CatBoostClassifier(
        random_seed=seed,
        verbose=False,
        allow_writing_files=False,
        thread_count=Settings.from_env().threads,
        cat_features=[at for at, name in enumerate(ds.X) if not pd.api.types.is_numeric_dtype(ds.X[name])],
    )
    model.fit(_worded(ds.X), ds.y.astype(int))
    return lambda X: np.asarray(model.predict_proba(_worded(X)))[:, 1]


def flaml(ds: Dataset, seed: int, seconds: float) -> Callable[[pd.DataFrame], np.ndarray]:
    """FLAML on log loss with the same time, folds kept by contract (undated: by equal rows)."""
    sys.modules.setdefault("pyspark", None)  # type: ignore[arg-type]  # else it starts a Java machine to look for Spark
    from flaml import AutoML

    model = AutoML()
    model.fit(
        _worded(ds.X),
        ds.y.astype(int),
        task="classification",
        metric="log_loss",
        time_budget=seconds,
        split_type="group",
        groups=ds.together,
        seed=seed,
        verbose=0,
        n_jobs=Settings.from_env().threads,
        log_file_name="",
    )
    return lambda X: model.predict_proba(_worded(X))[:, 1]


def optuna_lightgbm(ds: Dataset, seed: int, trials: int) -> Callable[[pd.DataFrame], np.ndarray]:
    """LightGBM tuned by Optuna's default sampler on Perennial's folds, each fold stopped early."""
    import optuna
    from lightgbm import LGBMClassifier, early_stopping

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folds = tuning_folds(ds, seed)
    E = _codes(ds.X, levels=(levels := _levels(ds.X)))
    categories: Any = [at for at, small in enumerate(_small(ds.X)) if small] or "auto"
    fixed: dict[str, Any] = {
        "random_state": seed,
        "verbose": -1,
        "n_jobs": Settings.from_env().threads,
        "subsample_freq": 1,
    }

    def objective(trial: "optuna.Trial") -> float:
        params: dict[str, Any] = {
            "num_leaves": trial.suggest_int("num_leaves", 4, 64, log=True),
            "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.2, log=True),
            "min_child_samples": trial.suggest_int("min_child_samples", 5, 200, log=True),
            "subsample": trial.suggest_float("subsample", 0.5, 1.0),
            "colsample_bytree": trial.suggest_float("colsample_bytree", 0.2, 1.0),
            "reg_alpha": trial.suggest_float("reg_alpha", 1e-3, 10.0, log=True),
            "reg_lambda": trial.suggest_float("reg_lambda", 1e-3, 100.0, log=True),
        }
        losses, rounds = [], []
        for fold in folds:
            model = LGBMClassifier(n_estimators=1000, **params, **fixed)
            model.fit(
                E[fold.train], ds.y[fold.train], eval_set=[(E[fold.test], ds.y[fold.test])],
                categorical_feature=categories, callbacks=[early_stopping(30, verbose=False)],
            )  # fmt: skip
            losses.append(model.best_score_["valid_0"]["binary_logloss"])
            rounds.append(model.best_iteration_)
        trial.set_user_attr("rounds", int(np.mean(rounds)))
        return float(np.mean(losses))

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, n_trials=trials)
    best = study.best_trial
    final = LGBMClassifier(n_estimators=best.user_attrs["rounds"], **best.params, **fixed)
    final.fit(E, ds.y, categorical_feature=categories)
    return lambda X: np.asarray(final.predict_proba(_codes(X, levels)))[:, 1]


PEERS: dict[str, Fit] = {
    "Perennial": perennial,
    "logistic regression": logistic_regression,
    "HistGradientBoosting": hist_gradient_boosting,
    "XGBoost": xgboost_default,
    "LightGBM": lightgbm_default,
    "CatBoost": catboost_default,
    "FLAML": flaml,
}


def quiet() -> None:
    """Peers warn about what does not matter here."""
    warnings.simplefilter("ignore")


def _worded(X: pd.DataFrame) -> pd.DataFrame:
    """Categories as plain strings, missing ones by name; columns without any value left out by the
    imputer.
    """
    out = X.copy()
    for name in out:
        if not pd.api.types.is_numeric_dtype(out[name]):
            out[name] = out[name].astype(object).where(out[name].notna(), "missing").astype(str)
    out.columns = [f"c{at}" for at in range(out.shape[1])]
    return out


def _levels(X: pd.DataFrame) -> dict[str, pd.Index]:
    return {
        str(name): pd.Index(X[name].dropna().astype(str).unique())
        for name in X
        if not pd.api.types.is_numeric_dtype(X[name])
    }


def _small(X: pd.DataFrame) -> list[bool]:
    """Which columns are categories of no more levels than the libraries take."""
    levels = _levels(X)
    return [name in levels and len(levels[name]) < 250 for name in X.columns]


def _codes(X: pd.DataFrame, levels: dict[str, pd.Index]) -> np.ndarray:
    out = np.empty(X.shape)
    for at, name in enumerate(X.columns):
        if name in levels:
            words = X[name].astype(object).where(X[name].notna(), None)
            labels = pd.Index([None if word is None else str(word) for word in words], dtype=object)
            codes = levels[name].get_indexer(labels)
            out[:, at] = np.where(codes < 0, np.nan, codes)
        else:
            out[:, at] = X[name]
    return out
