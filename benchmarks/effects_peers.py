"""What other tools make of the same drawn worlds: the gain of each window over no contact, and its error.

Raw rates; logistic regression with controls as of 180 days before the end, standardised (g-computation);
DoubleML's average potential outcomes, EconML's and causalml's doubly robust learners, all on the same
controls; and EconML's DynamicDML, which alone of them takes the controls of every window. The treatment of
the others is the window of the first contact, so contracts that left by an inbound contact are not theirs.
Learners are linear or logistic, as each tool's examples have them. `pip install -e '.[bench]'` brings EconML
and causalml.
"""

import importlib.util
from collections.abc import Callable

import numpy as np
from effect_worlds import Drawn
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeCV

from training.effects.trial_arrays import Scaling, Strategies

Gains = tuple[np.ndarray, np.ndarray]
"""Gains over no contact (windows,), and their standard errors."""


def gains_of(strategies: Strategies) -> Gains:
    """Ours."""
    apart = strategies.influence[:, :-1] - strategies.influence[:, [-1]]
    return strategies.estimate[:-1] - strategies.estimate[-1], apart.std(axis=0) / np.sqrt(len(apart))


def raw_rates(drawn: Drawn, strategies: Strategies) -> Gains:
    """Differences of shares with binomial standard errors."""
    variance = strategies.raw * (1 - strategies.raw) / np.maximum(strategies.n, 1)
    return strategies.raw[:-1] - strategies.raw[-1], np.sqrt(variance[:-1] + variance[-1])


def _first(drawn: Drawn, strategies: Strategies) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows with a first contact or none; their arm, 0 none, else 1 + window; the controls at 180 days."""
    rows = np.asarray(strategies.followed.any(axis=1))
    last = strategies.followed.shape[1] - 1
    arm = np.where(strategies.followed[:, last], 0, strategies.followed.argmax(axis=1) + 1)
    X = drawn.windows[0].X
    return rows, arm, Scaling.fit(X).apply(X)


def logistic(drawn: Drawn, strategies: Strategies) -> Gains:
    """Logistic regression of renewal on arms and controls; standard errors of ten bootstraps."""
    rows, arm, Z = _first(drawn, strategies)
    arms = np.eye(strategies.followed.shape[1])

    def fit(which: np.ndarray) -> np.ndarray:
        design = np.hstack([arms[arm], Z])[which]
        model = LogisticRegression(max_iter=500).fit(design, drawn.y[which])
        levels = [np.hstack([np.tile(one, (len(Z), 1)), Z]) for one in arms]
        share = np.array([model.predict_proba(level)[:, 1].mean() for level in levels])
        return share[1:] - share[0]

    index = np.flatnonzero(rows)
    rng = np.random.default_rng(0)
    again = [fit(rng.choice(index, len(index))) for _ in range(10)]
    return fit(index), np.std(again, axis=0, ddof=1)


def doubleml(drawn: Drawn, strategies: Strategies) -> Gains:
    """DoubleML's average potential outcomes, contrasted with no contact."""
    from doubleml import DoubleMLAPOS, DoubleMLData

    rows, arm, Z = _first(drawn, strategies)
    data = DoubleMLData.from_arrays(Z[rows], drawn.y[rows], arm[rows].astype(float))
    learner = LogisticRegression(max_iter=500)
    np.random.seed(0)
    model = DoubleMLAPOS(data, learner, learner, treatment_levels=list(range(strategies.followed.shape[1])))
    contrast = model.fit().causal_contrast(reference_levels=[0])
    return np.asarray(contrast.thetas).ravel(), np.asarray(contrast.ses).ravel()


def econml(drawn: Drawn, strategies: Strategies) -> Gains:
    """EconML's LinearDRLearner with the controls as confounders only."""
    from econml.dr import LinearDRLearner

    rows, arm, Z = _first(drawn, strategies)
    model = LinearDRLearner(
        model_propensity=LogisticRegression(max_iter=500),
        model_regression=LogisticRegression(max_iter=500),
        discrete_outcome=True,
        cv=5,
        random_state=0,
    ).fit(drawn.y[rows], arm[rows], X=None, W=Z[rows])
    inferences = [model.intercept__inference(T=level) for level in range(1, strategies.followed.shape[1])]
    return _column(one.point_estimate for one in inferences), _column(one.stderr for one in inferences)


def dynamic(drawn: Drawn, strategies: Strategies) -> Gains:
    """EconML's DynamicDML: a first contact in each window as a treatment, the controls of every window."""
    from econml.panel.dml import DynamicDML

    windows = drawn.windows
    scaling = Scaling.fit(np.concatenate([w.X[w.at_risk] for w in windows]))
    W = np.stack([np.column_stack([scaling.apply(w.X) * w.at_risk[:, None], w.at_risk]) for w in windows], 1)
    T = np.column_stack([w.at_risk & w.outbound.hit for w in windows]).astype(float)
    n, periods = T.shape
    groups = np.repeat(np.arange(n), periods)
    model = DynamicDML(model_y=RidgeCV(), model_t=RidgeCV(), cv=5, random_state=0)
    model.fit(np.repeat(drawn.y, periods), T.ravel(), X=None, W=W.reshape(n * periods, -1), groups=groups)
    inference = model.intercept__inference()
    return np.ravel(inference.point_estimate), np.ravel(inference.stderr)


def causalml(drawn: Drawn, strategies: Strategies) -> Gains:
    """causalml's BaseDRLearner with linear learners and our logistic propensities.

    Left to itself it fits propensities on a third of two arms' rows and divides by them as they are.
    """
    from causalml.inference.meta import BaseDRLearner

    rows, arm, Z = _first(drawn, strategies)
    share = LogisticRegression(max_iter=500).fit(Z[rows], arm[rows]).predict_proba(Z[rows])
    chance = {a: share[:, a] / (share[:, a] + share[:, 0]) for a in range(1, share.shape[1])}
    model = BaseDRLearner(learner=LinearRegression(), control_name=0)
    effects = model.estimate_ate(X=Z[rows], treatment=arm[rows], y=drawn.y[rows], p=chance, seed=0)
    ate, low, high = (np.ravel(part) for part in effects)
    return ate, (high - low) / (2 * 1.959964)


def _column(values: object) -> np.ndarray:
    return np.array([float(np.ravel(value)[0]) for value in values])  # type: ignore[attr-defined]


def at_hand() -> dict[str, Callable[[Drawn, Strategies], Gains]]:
    """Peers by name, those that are not installed left out."""
    needs = {
        "raw rates": (raw_rates, None),
        "logistic regression, controls": (logistic, None),
        "DoubleML APOS": (doubleml, "doubleml"),
        "EconML LinearDRLearner": (econml, "econml"),
        "EconML DynamicDML, controls of every window": (dynamic, "econml"),
        "causalml BaseDRLearner": (causalml, "causalml"),
    }
    return {
        name: method
        for name, (method, package) in needs.items()
        if package is None or importlib.util.find_spec(package)
    }
