"""Training rows as numbers: what a search reads of them, and which of them it samples."""

from dataclasses import dataclass, field, replace

import numpy as np

from training.linear import fit_logistic
from training.split import Split
from training.stability import column_weights
from training.target_statistics import TargetHistory

LOOKS = 3
"""Of one contract, in a search: its further looks say much the same again."""
SEARCH_ROWS = 30_000
EVERYTHING = "all"
SCREENED = "screened"
WEIGHTED = "weighted"
SCREEN_ROWS = 20_000


@dataclass(frozen=True)
class Rows:
    """Encoded training rows and what a search needs to know of them.

    Attributes:
        E: (n, k) encoded features.
        y: (n,) outcomes.
        weight: (n,) row weights.
        types: `c` or `q` for each column.
        directions: the sign each column's effect is declared to have, 0 for none.
        columns_of: feature group → positions of its columns.
        small: too few contracts for anything but shallow trees.
        screen: inverse strength of the lasso whose columns the choice `screened` keeps; None for no such
            choice.
        subjects: (n,) a code for each contract or deal; by default each row is its own.
        history: of the many-valued categories, whose columns of E depend on which rows train.
        of_history: which columns of E they are.
        information: (n,) what each outcome is worth, to judge by.
        clock: the column that says how far along a contract or deal is; None where there is none.
    """

    E: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    types: list[str]
    directions: list[int]
    columns_of: dict[str, np.ndarray]
    small: bool = False
    screen: float | None = None
    subjects: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=int))
    history: TargetHistory | None = None
    of_history: tuple[int, ...] = ()
    information: np.ndarray = field(default_factory=lambda: np.empty(0))
    clock: int | None = None

    def __post_init__(self) -> None:
        if not len(self.information):
            object.__setattr__(self, "information", np.ones(len(self.y)))
        if not len(self.subjects):
            object.__setattr__(self, "subjects", np.arange(len(self.y)))

    @property
    def choices(self) -> list[str]:
        """What a search may choose from: all columns alike, all by how stable they are, the screened ones,
        all without one group.
        """
        screened = [SCREENED] if self.screen is not None else []
        return [EVERYTHING, WEIGHTED, *screened, *(self.columns_of if len(self.columns_of) > 1 else ())]

    def read(self, choice: str, at: np.ndarray) -> np.ndarray:
        """The columns of a feature choice, for rows at these positions to learn from."""
        every = np.arange(self.E.shape[1])
        if choice == SCREENED:
            return self._screened(at)
        return (
            every
            if choice in (EVERYTHING, WEIGHTED)
            else np.setdiff1d(every, self.columns_of.get(choice, every[:0]))
        )

    def offered(self, choice: str, at: np.ndarray) -> np.ndarray | None:
        """How often a tree is offered each column, as weights; None for all alike."""
        if choice != WEIGHTED:
            return None
        return column_weights(self.for_training(at), self.y[at], self.subjects[at], self.types)

    def then(self, fold: Split) -> "Rows":
        """The rows with what they taught when a fold's judged rows were scored."""
        if fold.then is None:
            return self
        y, weight = fold.then.y, fold.then.weight
        history = None if self.history is None else self.history.taught(y, fold.then.information)
        return replace(self, y=y, weight=weight, history=history)

    def for_training(self, at: np.ndarray) -> np.ndarray:
        """(m, k) rows at these positions to learn from."""
        E = self.E[at]
        if self.history is not None:
            E[:, self.of_history] = self.history.for_training(at).T
        return E

    def for_judging(self, fold: Split) -> np.ndarray:
        """(m, k) a fold's rows to judge, encoded by what its other rows knew."""
        E = self.E[fold.test]
        if self.history is not None:
            E[:, self.of_history] = self.history.frozen(fold.train, fold.test).T
        return E

    def contracts(self, at: np.ndarray) -> int:
        """How many contracts or deals stand behind the rows at these positions."""
        return len(np.unique(self.subjects[at]))

    def weights_of(self, at: np.ndarray) -> np.ndarray:
        """(m,) weights of sampled rows, scaled so that they sum to the number of their contracts."""
        weight = self.weight[at]
        return weight * (self.contracts(at) / weight.sum())

    def sample(self, at: np.ndarray, seed: int, most: int = SEARCH_ROWS) -> np.ndarray:
        """Of the rows at these positions `LOOKS` of each contract, and `most` in all.

        Each contract's first draw comes before anybody's second; rows of no weight are never drawn.
        """
        at = at[self.weight[at] > 0]
        order = at[np.random.default_rng(seed).permutation(len(at))]
        by_contract = order[np.argsort(self.subjects[order], kind="stable")]
        _, first, counts = np.unique(self.subjects[by_contract], return_index=True, return_counts=True)
        draw = np.arange(len(at)) - np.repeat(first, counts)
        chosen = by_contract[draw < LOOKS]
        if len(chosen) > most:
            chosen = chosen[np.argsort(draw[draw < LOOKS], kind="stable")[:most]]
        return np.sort(chosen)

    def _screened(self, at: np.ndarray) -> np.ndarray:
        """The columns a lasso on these rows keeps, or all if it keeps none.

        Among hundreds of columns most are noise, and each is one more chance for a tree to split on luck.
        """
        assert self.screen is not None
        some = self.sample(at, seed=0, most=SCREEN_ROWS)
        fitted = fit_logistic(
            self.for_training(some),
            self.y[some],
            self.weights_of(some),
            self.types,
            C=self.screen,
            sparse=True,
        )
        columns = np.unique([term.column for term in fitted.terms]).astype(int)
        return columns if len(columns) else np.arange(self.E.shape[1])
