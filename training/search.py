"""Search over boosted trees: Optuna on the mean log loss of folds, raced, resumable, shared by database."""

import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from features.progress import Say, silent
from training.boosting import CAUTIOUS, DEFAULT, MAX_TREES, Trees, fit_trees, threads_for
from training.racing import Race
from training.split import Split
from training.training_rows import EVERYTHING, SCREENED, WEIGHTED, Rows

if TYPE_CHECKING:
    import optuna

SPACE = 3  # one more whenever the space changes: an old study cannot be gone on with in a new one
LEAST_FOR_IMPORTANCE = 12


@dataclass(frozen=True)
class Tuned:
    """The best trial: parameters, trees, mean log loss, the contracts they are for, and how the search went.

    `importance` says which parameters made the good trials differ from the rest, as shares (PED-ANOVA,
    Watanabe, Bansal & Hutter 2023); empty after fewer than 12 finished trials.
    """

    params: dict[str, Any]
    rounds: int
    loss: float
    trials: int
    contracts: int
    study: str
    storage: str
    history: list[dict[str, Any]] = field(default_factory=list)
    importance: dict[str, float] = field(default_factory=dict)


def search(
    rows: Rows,
    folds: list[Split],
    *,
    name: str,
    storage: str | None,
    trials: int,
    seconds: float | None = None,
    seed: int = 0,
    threads: int = 1,
    say: Say = silent,
) -> Tuned:
    """Find parameters with the lowest mean log loss over the folds.

    The number of trees is the one that is best for the mean of the folds' curves, so no fold stops by its own
    outcome. A study of this name in `storage` is gone on with: only the trials it still lacks are run.

    Args:
        rows: what to learn from.
        folds: row positions to learn from and judge on.
        name: of the study, to which space and seed are added; the same data and kind give the same name.
        storage: Optuna's database URL, None for memory.
        trials: how many trials the study is to have in the end.
        seconds: stop after the trial in which this time runs out; at least one trial is run.
        seed: of sampler and boosting.
        threads: cores used: two folds side by side, or, where there are many rows, all cores on one.
        say: called with each line of progress.
    """
    name = f"{name}-space{SPACE}-seed{seed}"
    study = _study(name, storage, seed)
    _enqueue_default(study, rows)
    done = _finished(study)
    objective = _objective(rows, folds, seed, threads)
    if done < trials:
        study.optimize(
            objective,
            n_trials=trials - done,
            timeout=seconds,
            callbacks=[_progress(trials, say)],
            gc_after_trial=False,
        )
    best = study.best_trial
    return Tuned(
        params=_params(best.params),
        rounds=int(best.user_attrs["rounds"]),
        loss=float(best.value or 0.0),
        trials=_finished(study),
        contracts=int(np.mean([rows.contracts(rows.then(fold).sample(fold.train, seed)) for fold in folds])),
        study=name,
        storage=_shown(storage),
        history=_history(study),
        importance=_importance(study),
    )


def refit_on_folds(
    rows: Rows, folds: list[Split], tuned: Tuned, *, seed: int, threads: int
) -> list[np.ndarray]:
    """Log-odds of each fold's judged rows, by trees of the tuned parameters grown on its other rows."""
    inner = threads_for(rows.E.size, threads)

    def judge(fold: Split) -> np.ndarray:
        then = rows.then(fold)
        return fit_tuned(then, fold.train, tuned, seed=seed, threads=inner).margin(then.for_judging(fold))

    with ThreadPoolExecutor(1 if inner > 1 else threads) as pool:
        return list(pool.map(judge, folds))


def fit_tuned(rows: Rows, at: np.ndarray, tuned: Tuned, *, seed: int, threads: int) -> Trees:
    """Trees of the tuned parameters on the rows at these positions.

    More contracts than the folds had bear more trees: their number grows with the ratio's root, by half at
    most.
    """
    rounds = round(tuned.rounds * np.clip(np.sqrt(rows.contracts(at) / tuned.contracts), 1.0, 1.5))
    choice = tuned.params.get("features", EVERYTHING)
    return fit_trees(
        rows.for_training(at),
        rows.y[at],
        rows.weight[at],
        rows.types,
        rows.directions,
        tuned.params,
        min(rounds, MAX_TREES),
        columns=rows.read(choice, at),
        offered=rows.offered(choice, at),
        seed=seed,
        threads=threads,
    )


def _shown(storage: str | None) -> str:
    """Where the study is, as a card may say it: without the password."""
    from sqlalchemy import make_url

    return make_url(storage).render_as_string(hide_password=True) if storage else "memory"


def _study(name: str, storage: str | None, seed: int) -> "optuna.Study":
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    place: Any = None
    if storage:
        wait = {"connect_args": {"timeout": 60}} if storage.startswith("sqlite") else {}
        place = optuna.storages.RDBStorage(storage, engine_kwargs=wait)
    return optuna.create_study(
        study_name=name,
        storage=place,
        load_if_exists=True,
        direction="minimize",
        sampler=optuna.samplers.TPESampler(
            seed=seed, multivariate=True, n_startup_trials=8, constant_liar=True
        ),
        pruner=optuna.pruners.NopPruner(),
    )


def _enqueue_default(study: "optuna.Study", rows: Rows) -> None:
    if any(trial.state.is_finished() or trial.state.name == "WAITING" for trial in study.trials):
        return
    shallow = {"max_depth": 2, "learning_rate": 0.04} if rows.small else {}
    for params in (DEFAULT, CAUTIOUS):
        for choice in (EVERYTHING, WEIGHTED, SCREENED):
            if choice in rows.choices:
                study.enqueue_trial({**params, **shallow, "features": choice})


def _suggest(trial: "optuna.Trial", rows: Rows) -> dict[str, Any]:
    params: dict[str, Any] = {
        "max_depth": trial.suggest_int("max_depth", 1 if rows.small else 2, 3 if rows.small else 4),
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.2, log=True),
        "min_child_weight": trial.suggest_float("min_child_weight", 1.0, 60.0, log=True),
        "reg_lambda": trial.suggest_float("reg_lambda", 0.3, 100.0, log=True),
        "reg_alpha": trial.suggest_float("reg_alpha", 0.01, 10.0, log=True),
        "gamma": trial.suggest_float("gamma", 0.01, 5.0, log=True),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.2, 1.0),
        "max_cat_to_onehot": trial.suggest_categorical("max_cat_to_onehot", [4, 8, 64]),
        "monotone": trial.suggest_categorical("monotone", [False, True]) if any(rows.directions) else False,
    }
    params["features"] = trial.suggest_categorical("features", rows.choices)
    return params


def _params(params: dict[str, Any]) -> dict[str, Any]:
    return {**{"monotone": False, "features": EVERYTHING}, **params}


def _objective(rows: Rows, folds: list[Split], seed: int, threads: int) -> Callable[["optuna.Trial"], float]:
    race = Race(rows, folds, seed=seed, threads=threads)

    def objective(trial: "optuna.Trial") -> float:
        import optuna

        run = race.run(_suggest(trial, rows), trial.report)
        if run.is_behind:
            raise optuna.TrialPruned
        trial.set_user_attr("rounds", run.rounds)
        return run.loss

    return objective


def _finished(study: "optuna.Study") -> int:
    return sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))


def _progress(trials: int, say: Say) -> Callable[["optuna.Study", "optuna.trial.FrozenTrial"], None]:
    started = time.monotonic()

    def report(study: "optuna.Study", trial: "optuna.trial.FrozenTrial") -> None:
        # A pruned trial's value is that of its first folds, which are not all folds.
        outcome = "pruned" if trial.state.name == "PRUNED" else f"log loss {trial.value:.4f}"
        spent = time.monotonic() - started
        say(f"trial {trial.number + 1} of {trials}: {outcome}, best {study.best_value:.4f}, {spent:.0f} s")

    return report


def _history(study: "optuna.Study") -> list[dict[str, Any]]:
    return [
        {
            "number": t.number,
            "state": t.state.name.lower(),
            "log_loss": t.value if t.state.name == "COMPLETE" else None,
            "params": dict(t.params),
        }
        for t in study.get_trials(deepcopy=False)
        if t.state.is_finished()
    ]


def _importance(study: "optuna.Study") -> dict[str, float]:
    import optuna

    finished = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
    if len(finished) < LEAST_FOR_IMPORTANCE:
        return {}
    judge = optuna.importance.PedAnovaImportanceEvaluator()
    return optuna.importance.get_param_importances(study, evaluator=judge)
