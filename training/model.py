"""The model that is served: log-odds of trees, of a regression or of both, calibrated; kept as plain files.

JSON and XGBoost's own format: loading needs numpy, pandas and xgboost alone, and unpickles nothing.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xgboost as xgb

from features.catalog.declare import Info
from features.errors import RenewalError
from training.boosting import Trees
from training.calibrate import Calibration
from training.close_timing import CloseTiming
from training.encode import Encoding, Rows
from training.intervals import Intervals
from training.linear import Clock, Logistic
from training.linear_terms import Term
from training.metrics import to_logit, to_probability

FORMAT = 2
MODEL_FILE, BOOSTER_FILE = "model.json", "booster.ubj"
BANDS = {"renewal": ("at risk", "watch", "safe"), "win": ("cold", "warm", "hot")}
BAND_SHARES = (0.2, 0.5)


@dataclass(frozen=True)
class Comparison:
    """How often training rows like a row turned out well, by one feature.

    Attributes:
        edges: inner bin edges of a quantity; empty for a category.
        rates: a rate for each bin (or level), the last for missing; None where fewer than 30 contracts stand
            behind it.
    """

    edges: tuple[float, ...]
    rates: tuple[float | None, ...]


@dataclass(frozen=True)
class Model:
    """A fitted model of one kind.

    Attributes:
        kind: `renewal` or `win`.
        served: `xgboost`, `logistic`, `blend` or `base rate`.
        encoding: columns read and levels known.
        infos: for each column what it is and how it is put in words.
        base: the base rate in log-odds, which is all there is when that is served.
        share: the trees' weight in the log-odds, the regression having the rest.
        trees, logistic: the parts, None where the share leaves them none.
        calibration: map of log-odds to log-odds, the last step.
        intervals: of the event rate among rows scored alike.
        cuts: the 20th and 50th percentile of the training rows' scores, each predicted while not trained on.
        horizon_days: of win labels; None for renewals.
        timing: of dated deals, when they are decided; None otherwise.
        comparisons: how rows like a row fared, by column.
        about: what else is worth keeping (period, rows, versions); JSON values only.
    """

    kind: str
    served: str
    encoding: Encoding
    infos: dict[str, Info]
    base: float
    share: float = 0.0
    trees: Trees | None = None
    logistic: Logistic | None = None
    calibration: Calibration = field(default_factory=Calibration)
    intervals: Intervals = field(default_factory=lambda: Intervals((0.0,), (0.0,), (1.0,)))
    cuts: tuple[float, float] = (0.2, 0.5)
    horizon_days: int | None = None
    timing: CloseTiming | None = None
    comparisons: dict[str, Comparison] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def features(self) -> tuple[str, ...]:
        """The columns read, in the order of `encode`."""
        return self.encoding.columns

    def encode(self, X: Rows) -> np.ndarray:
        """Rows as float32 (n, k), NaN where missing or unknown; they lie in memory column after column."""
        return self.encoding.by_column(X).T

    def absent(self, X: Rows) -> list[str]:
        """Columns the model reads which X lacks; they are scored as missing, and the caller should say so."""
        return self.encoding.absent(X)

    def margin(self, E: np.ndarray) -> np.ndarray:
        """Log-odds (n,) of encoded rows before calibration."""
        if self.trees is None and self.logistic is None:
            return np.full(len(E), self.base)
        out = np.zeros(len(E))
        if self.trees is not None:
            out += self.share * self.trees.margin_of_many(E)
        if self.logistic is not None:
            out += (1 - self.share) * self.logistic.margin(E)
        return out

    def log_odds(self, X: Rows) -> np.ndarray:
        """Calibrated log-odds (n,) float64."""
        return self.calibration(self.margin(self.encode(X)))

    def probability(self, X: Rows) -> np.ndarray:
        """Probability (n,) float64 of renewal or win, strictly between 0 and 1."""
        return to_probability(self.log_odds(X))

    def interval(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Limits (low, high) of the event rate among rows scored like p; 90 %."""
        return self.intervals.at(p)

    def band(self, p: np.ndarray) -> list[str]:
        """`at risk`/`watch`/`safe` or `cold`/`warm`/`hot`; the middle one when all get the base rate."""
        names = BANDS[self.kind]
        if self.served == "base rate":
            return [names[1]] * len(p)
        place = np.searchsorted(np.array(self.cuts), np.asarray(p), side="right")
        return [names[at] for at in place]

    def save(self, folder: Path) -> None:
        """Write the model into a folder, made if need be."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MODEL_FILE).write_text(
            json.dumps(_as_json(self), indent=1, allow_nan=False), encoding="utf-8"
        )
        if self.trees is not None:
            self.trees.booster.save_model(folder / BOOSTER_FILE)

    @staticmethod
    def load(folder: Path) -> "Model":
        """The model of a folder.

        Raises:
            RenewalError: the folder holds no model, a damaged one, or one of another format.
        """
        folder = Path(folder)
        text = _read(folder)
        try:
            return _from_json(json.loads(text), folder)
        except (KeyError, TypeError, ValueError, xgb.core.XGBoostError) as error:
            raise RenewalError(
                expected=f"a whole model in {folder}",
                found=f"{type(error).__name__}: {error}",
                do="Train again, or restore the folder.",
            ) from error


def comparisons(
    X: pd.DataFrame, y: np.ndarray, subjects: np.ndarray, encoding: Encoding
) -> dict[str, Comparison]:
    """For each column read, how often training rows of each quarter (or level) turned out well.

    A many-valued category has none: few of its values have contracts enough.
    """
    E = encoding.encode(X)
    out = {}
    for at, name in enumerate(encoding.columns):
        if name in encoding.statistics:
            continue  # its quantity was made of these very outcomes
        values = E[:, at].astype(float)
        present = values[~np.isnan(values)]
        edges: np.ndarray = np.array([])
        if name not in encoding.levels:
            edges = np.unique(np.quantile(present, [0.25, 0.5, 0.75])) if len(present) else edges
        bins = len(encoding.levels.get(name, ())) or len(edges) + 1
        place = comparison_bin(values, tuple(edges), bins)
        out[name] = Comparison(tuple(map(float, edges)), _rates(place, y, subjects, bins + 1))
    return out


def comparison_bin(values: np.ndarray, edges: tuple[float, ...], bins: int) -> np.ndarray:
    """(n,) which rate holds for encoded values: bin or level, `bins` for missing."""
    place = np.searchsorted(np.array(edges), values, side="left") if edges else np.nan_to_num(values, nan=0.0)
    if not edges and bins == 1:
        place = np.zeros(len(values))
    return np.where(np.isnan(values), bins, place).astype(int)


def _rates(place: np.ndarray, y: np.ndarray, subjects: np.ndarray, bins: int) -> tuple[float | None, ...]:
    rates: list[float | None] = []
    for at in range(bins):
        here = place == at
        enough = len(np.unique(subjects[here])) >= 30
        rates.append(float(y[here].mean()) if enough else None)
    return tuple(rates)


def logit_of(p: float) -> float:
    """Log-odds of one probability."""
    return float(to_logit(np.array([p]))[0])


def _as_json(model: Model) -> dict[str, Any]:
    parts = {
        name: getattr(model, name) for name in ("kind", "served", "base", "share", "horizon_days", "about")
    }
    out = {"format": FORMAT, "cuts": list(model.cuts), **parts}
    out["encoding"] = asdict(model.encoding)
    out["infos"] = {name: asdict(model.infos[name]) for name in model.features if name in model.infos}
    out["calibration"] = asdict(model.calibration)
    out["intervals"] = asdict(model.intervals)
    out["comparisons"] = {name: asdict(each) for name, each in model.comparisons.items()}
    out["timing"] = asdict(model.timing) if model.timing is not None else None
    if model.trees is not None:
        out["tree_columns"] = model.trees.columns.tolist()
    if model.logistic is not None:
        out["logistic"] = _logistic_as_json(model.logistic)
    return out


def _logistic_as_json(part: Logistic) -> dict[str, Any]:
    return {
        "terms": [asdict(term) for term in part.terms],
        "coefficients": part.coefficients.tolist(),
        "intercept": part.intercept,
        "timed": None if part.timed is None else _logistic_as_json(part.timed),
        "clock": None if part.clock is None else asdict(part.clock),
    }


def _read(folder: Path) -> str:
    try:
        return (folder / MODEL_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RenewalError(
            expected=f"a model ({MODEL_FILE}) in {folder}",
            found="no such file" if not (folder / MODEL_FILE).exists() else str(error),
            do="Give the folder a model was saved to, or train one first.",
        ) from error


def _from_json(data: dict[str, Any], folder: Path) -> Model:
    if data.get("format") != FORMAT:
        raise RenewalError(
            expected=f"a model of format {FORMAT} in {folder}",
            found=f"format {data.get('format')!r}",
            do="Train again with this version of Perennial.",
        )
    model = Model(
        kind=data["kind"],
        served=data["served"],
        encoding=Encoding(
            tuple(data["encoding"]["columns"]),
            {k: tuple(v) for k, v in data["encoding"]["levels"].items()},
            data["encoding"].get("statistics", {}),
        ),
        infos=_infos(data["infos"]),
        base=data["base"],
        share=data["share"],
        calibration=Calibration(**_tuples(data["calibration"])),
        intervals=Intervals(**_tuples(data["intervals"])),
        cuts=(data["cuts"][0], data["cuts"][1]),
        horizon_days=data["horizon_days"],
        timing=_timing(data["timing"]),
        comparisons={name: Comparison(**_tuples(each)) for name, each in data["comparisons"].items()},
        about=data["about"],
    )
    return replace(model, trees=_trees(data, folder), logistic=_logistic(data.get("logistic")))


def _infos(data: dict[str, Any]) -> dict[str, Info]:
    return {name: Info(**_tuples(info)) for name, info in data.items()}


def _timing(data: dict[str, Any] | None) -> CloseTiming | None:
    if data is None:
        return None
    won, lost = (tuple(map(tuple, data[name])) for name in ("won", "lost"))
    return CloseTiming(tuple(data["ages"]), won, lost)


def _trees(data: dict[str, Any], folder: Path) -> Trees | None:
    if "tree_columns" not in data:
        return None
    booster = xgb.Booster()
    booster.load_model(folder / BOOSTER_FILE)
    return Trees(booster, np.array(data["tree_columns"], dtype=int))


def _logistic(part: dict[str, Any] | None) -> Logistic | None:
    if part is None:
        return None
    terms = tuple(Term(**term) for term in part["terms"])
    clock = Clock(**part["clock"]) if part.get("clock") else None
    coefficients = np.array(part["coefficients"], dtype=float)
    return Logistic(terms, coefficients, part["intercept"], _logistic(part.get("timed")), clock)


def _tuples(data: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
