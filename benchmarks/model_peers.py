"""The peers: libraries as they come, an AutoML library with the same time, and Perennial's own choice."""

import sys
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from features.settings import Settings
from training.baselines import library_default
from training.candidates import choose_recipe, fit_recipe
from training.dataset import Dataset
from training.select import tuning_folds

Fit = Callable[[Dataset, int, float], Callable[[pd.DataFrame], np.ndarray]]


def perennial(ds: Dataset, seed: int, seconds: float) -> Callable[[pd.DataFrame], np.ndarray]:
    """What `perennial train` would serve from these rows."""
    threads = Settings.from_env().threads
    folds, is_forward = tuning_folds(ds, seed)
    recipe = choose_recipe(
        ds,
        folds,
        is_forward=is_forward,
        name="benchmark",
        storage=None,
        trials=1000,
        seconds=0.6 * seconds,  # the rest goes to the regression's penalty and the last fit
        seed=seed,
        threads=threads,
    )
    return fit_recipe(ds, recipe, seed=seed, threads=threads).probability


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
    """scikit-learn's default on native categories of up to 255 levels."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    shaped = partial(_codes, levels=_levels(ds.X))
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


PEERS: dict[str, Fit] = {
    "Perennial": perennial,
    "logistic regression": logistic_regression,
    "HistGradientBoosting": hist_gradient_boosting,
    "XGBoost": xgboost_default,
    "LightGBM": lightgbm_default,
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
