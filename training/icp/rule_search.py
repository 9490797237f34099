"""Find rules on the earlier period: subgroup discovery (pysubgroup's beam search) on a weighted utility.

The quality of a rule is how many standard errors its utility lies above everybody's, less a little for each
further condition: that statistic peaks at the true box (Grosskreutz & Rüping 2009; Lemmerich & Becker 2018).
Nothing found here is claimed; it is judged on the later period (`judge`).

Merge rules that say one thing: a rule stays for what it adds to better-placed ones.

Most cuts of a good rule are good too, whatever they cut by: the redundancy of subgroup discovery (Lavrač et
al. 2004, weighted covering; Lemmerich, Becker & Puppe 2013, generalisation-aware measures). A rule inside
another takes its merit from there, and a rule around another has it within. So each is asked for its quality
*beside* those placed before it: the search's own statistic, on what a regression on their memberships leaves
of the outcomes. For a rule inside one other that compares its members with the rest of the other's; for a
rule around one, what it adds with everybody outside. It stays if that gain still pays for its words, as in
the search. A better-placed rule is never taken out for a later one: that once cost the true profile.

The earlier period decides, so the later stays a measurement; its intervals hold for all rules carried, hence
for whichever of them are reported.
"""

from collections import namedtuple
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from training.icp.prospect_outcomes import Sample
from training.icp.rules import Condition, Rule, rule_of

LEAST_ACCOUNTS = 15
LEAST_ROWS = 8
MOST_SHARE = 0.8
QUANTILES = np.arange(0.1, 0.91, 0.1)
LEAST_WIDTH, MOST_WIDTH = 0.15, 0.9
MOST_LEVELS_FOR_PAIRS = 8
MOST_LEVELS_FOR_REST = 4
MOST_LEVELS = 30
LEAST_LEVEL_ROWS = 10
DEPTH = 3
BEAM = 300
"""Wide, for it fills with rules that are nearly alike: 80 of them once hid all others."""
PRICE = 0.4
OUTLIERS = (0.02, 0.98)
MOST_CARRIED = 8
MOST_SEARCHED = 30_000
LEAST_QUALITY = 0.0
SAME_FROM = 0.5

Measured = namedtuple("Measured", "accounts score error")
VOID = Measured(0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Candidate:
    """A rule of the earlier period with how it stood out there, and the price of its words in nats."""

    rule: Rule
    quality: float
    score: float
    price: float


def conditions_of(frame: pd.DataFrame, has_outcome: np.ndarray) -> list[Condition]:
    """Every condition worth asking: levels alone, in pairs and (of few) all but one; intervals between
    tenths.

    Args:
        frame: the prospects, one row each.
        has_outcome: (n,) bool, rows with an outcome in the earlier period.
    """
    conditions: list[Condition] = []
    for attribute in frame.columns:
        column = frame.loc[has_outcome, attribute]
        if pd.api.types.is_numeric_dtype(column):
            conditions += _intervals(attribute, column.to_numpy(float, na_value=np.nan))
        else:
            conditions += _level_sets(attribute, column)
    return conditions


def _level_sets(attribute: str, column: pd.Series) -> list[Condition]:
    counts = column.astype(object).dropna().astype(str).value_counts()
    levels = sorted(counts[counts >= LEAST_LEVEL_ROWS].index[:MOST_LEVELS])
    sets: set[tuple[str, ...]] = {(level,) for level in levels}
    if len(levels) <= MOST_LEVELS_FOR_PAIRS:
        sets |= set(combinations(levels, 2))
    if len(levels) <= MOST_LEVELS_FOR_REST:
        sets |= {tuple(other for other in levels if other != level) for level in levels}
    return [Condition(attribute, levels=one) for one in sorted(sets) if 0 < len(one) < max(len(levels), 2)]


def _intervals(attribute: str, values: np.ndarray) -> list[Condition]:
    ordered = np.sort(values[np.isfinite(values)])
    if len(np.unique(ordered)) < 2:
        return []
    cuts = sorted({_rounded(c) for c in np.quantile(ordered, QUANTILES)})
    ends: list[float | None] = [None, *cuts, None]
    conditions = []
    for a, b in combinations(range(len(ends)), 2):
        low, high = ends[a], ends[b]
        inside = (ordered >= (-np.inf if low is None else low)) & (
            ordered <= (np.inf if high is None else high)
        )
        if LEAST_WIDTH <= inside.mean() <= MOST_WIDTH:
            conditions.append(Condition(attribute, low=low, high=high))
    return conditions


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")


class Utility:
    """The weighted, standardised utility of sets of prospects, from sums kept for each row of their frame.

    Args:
        samples: the outcomes of one period.
        weights: by outcome, summing to 1.
        account: (rows,) account codes of the prospects' frame.
    """

    def __init__(self, samples: Sequence[Sample], weights: dict[str, float], account: np.ndarray) -> None:
        used = [s for s in samples if len(s) >= LEAST_ROWS and s.value.std() > 0 and weights[s.name] > 0]
        self.weight = np.array([weights[s.name] for s in used])
        count = np.zeros((len(account), len(used)))
        total = np.zeros((len(account), len(used)))
        for o, s in enumerate(used):
            z = s.sign * _standardised(s.value)
            count[:, o] = np.bincount(s.row, minlength=len(account))
            total[:, o] = np.bincount(s.row, weights=z, minlength=len(account))
        self.has_outcome = count.sum(axis=1) > 0
        self.everyone = len(np.unique(account[self.has_outcome]))
        held = np.bincount(account[self.has_outcome], minlength=account.max(initial=0) + 1)
        # Each row counts as its part of an account, so that one product counts accounts too.
        part = 1 / np.maximum(held[account], 1)
        self.sums = np.column_stack([part, count, total])[self.has_outcome]
        self.rows_of_all = np.maximum(count.sum(axis=0), 1)

    def of(self, inside: np.ndarray) -> Measured:
        """Accounts, score and its standard error of the prospects `inside` (seen rows,) bool.

        Outcomes of which fewer than eight were seen count nothing.
        """
        outcomes = len(self.weight)
        sums = inside.astype(float) @ self.sums
        n, total = sums[1 : outcomes + 1], sums[outcomes + 1 :]
        enough = n >= LEAST_ROWS
        safe = np.where(enough, n, 1.0)
        score = float(np.where(enough, self.weight * total / safe, 0.0).sum())
        spread = np.where(enough, self.weight**2 * (1 / safe - 1 / self.rows_of_all), 0.0).sum()
        return Measured(float(sums[0]), score, float(np.sqrt(max(spread, 1e-12))))


def _standardised(value: np.ndarray) -> np.ndarray:
    """Values less their mean in standard deviations, outliers drawn in: a search is not to chase them."""
    clipped = np.clip(value, *np.quantile(value, OUTLIERS))
    spread = clipped.std()
    return (clipped - clipped.mean()) / spread if spread > 0 else np.zeros(len(value))


class _Quality:
    """pysubgroup's interface of a quality function; a selector's column name is the place of its
    condition."""

    def __init__(self, utility: Utility, conditions: list[Condition], masks: list[np.ndarray]) -> None:
        self.utility, self.conditions, self.masks = utility, conditions, masks
        self.prices = prices(conditions)

    def calculate_constant_statistics(self, data, target) -> None:
        """Nothing to prepare: the sums are kept in `utility`."""

    def calculate_statistics(self, subgroup, target, data, statistics=None) -> Measured:
        """Measure a conjunction; one that asks an attribute twice, or holds too few or too many, is void."""
        if isinstance(subgroup, slice):
            return VOID
        at = [int(s.attribute_name) for s in subgroup.selectors]
        if len({self.conditions[i].attribute for i in at}) < len(at):
            return VOID
        measured = self.utility.of(np.logical_and.reduce([self.masks[i] for i in at]))
        fits = LEAST_ACCOUNTS <= measured.accounts <= MOST_SHARE * self.utility.everyone
        return measured if fits else VOID

    def evaluate(self, subgroup, target, data, statistics=None) -> float:
        """Log-likelihood gained, less the price of the words it takes to say it."""
        if statistics.accounts == 0:
            return float("-inf")
        price = sum(self.prices[int(s.attribute_name)] for s in subgroup.selectors)
        return quality_of(statistics.score, statistics.error, price)


def quality_of(score: float, error: float, price: float) -> float:
    """Log-likelihood gained by a score of that standard error, less the price of a rule's words, in nats."""
    return (score / error) ** 2 / 2 - PRICE * price if score > 0 else float("-inf")


def prices(conditions: Sequence[Condition]) -> list[float]:
    """The description length of each condition in nats: which attribute, and which of the like sets of it."""
    shapes = [(c.attribute, len(c.levels), c.low is None, c.high is None) for c in conditions]
    attributes = len({c.attribute for c in conditions})
    return [float(np.log(attributes) + np.log(shapes.count(shape))) for shape in shapes]


def search(
    frame: pd.DataFrame, account: np.ndarray, samples: Sequence[Sample], weights: dict[str, float]
) -> list[Candidate]:
    """The rules that stand out in the earlier period, best first; of nearly the same ones the best.

    Args:
        frame: (rows, attributes) the prospects.
        account: (rows,) their account codes.
        samples: the outcomes of the earlier period.
        weights: by outcome, summing to 1.
    """
    import pysubgroup as ps

    utility = Utility(thinned(samples), weights, account)
    conditions = conditions_of(frame, utility.has_outcome)
    if not conditions or not len(utility.weight):
        return []
    part = frame[utility.has_outcome]
    masks = [condition.covers(part) for condition in conditions]
    names = [str(place) for place in range(len(conditions))]
    task = ps.SubgroupDiscoveryTask(
        pd.DataFrame(columns=names),
        ps.FITarget(),
        [ps.EqualitySelector(name, True) for name in names],
        _Quality(utility, conditions, masks),
        result_set_size=BEAM,
        depth=DEPTH,
        min_quality=LEAST_QUALITY,
    )
    price, candidates = prices(conditions), []
    for value, subgroup, measured in ps.BeamSearch(beam_width=BEAM).execute(task).results:
        at = [int(s.attribute_name) for s in subgroup.selectors]
        if at:
            rule, words = rule_of([conditions[i] for i in at]), sum(price[i] for i in at)
            candidates.append(Candidate(rule, float(value), float(measured.score), words))
    return apart(part, account[utility.has_outcome], candidates)


def thinned(samples: Sequence[Sample]) -> list[Sample]:
    """The outcomes of at most 30,000 accounts: a search needs no more, and judging takes all."""
    codes = np.unique(np.concatenate([np.empty(0, np.int64), *[s.account for s in samples]]))
    if len(codes) <= MOST_SEARCHED:
        return list(samples)
    chosen = np.random.default_rng(0).choice(codes, MOST_SEARCHED, replace=False)
    return [s.take(np.isin(s.account, chosen)) for s in samples]


def apart(frame: pd.DataFrame, account: np.ndarray, candidates: list[Candidate]) -> list[Candidate]:
    """The best candidates, without those that share half their accounts or more with a better one."""
    chosen: list[Candidate] = []
    members: list[np.ndarray] = []
    for candidate in sorted(candidates, key=lambda c: (-c.quality, c.rule.words)):
        inside = np.unique(account[candidate.rule.covers(frame)])
        if all(jaccard(inside, other) < SAME_FROM for other in members):
            chosen.append(candidate)
            members.append(inside)
        if len(chosen) == MOST_CARRIED:
            break
    return chosen


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Shared members over all members of two sets of codes (each without repeats)."""
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / max(len(a) + len(b) - shared, 1)


def distinct(utility: Utility, members: Sequence[np.ndarray], prices: Sequence[float]) -> list[int]:
    """The places of those rules that add to the ones kept before them.

    Args:
        utility: of the earlier period.
        members: by rule, best placed first: (seen rows,) bool, who fulfils it.
        prices: by rule, of its words in nats.
    """
    chosen: list[int] = []
    for place, (inside, price) in enumerate(zip(members, prices, strict=True)):
        if chosen and quality_of(*_added(utility, members, chosen, inside), price) <= LEAST_QUALITY:
            continue
        chosen.append(place)
    return chosen


def _added(
    utility: Utility, members: Sequence[np.ndarray], chosen: Sequence[int], inside: np.ndarray
) -> tuple[float, float]:
    return Beside(utility, [members[k] for k in chosen]).of(inside)


class Beside:
    """The utility of sets of prospects beyond what their membership in known sets predicts.

    Args:
        utility: sums of the outcomes for each seen row.
        known: (seen rows,) bool each.
    """

    def __init__(self, utility: Utility, chosen: Sequence[np.ndarray]) -> None:
        outcomes = len(utility.weight)
        self.weight = utility.weight
        self.count, total = utility.sums[:, 1 : outcomes + 1], utility.sums[:, outcomes + 1 :]
        self.basis = np.column_stack([np.ones(len(total)), *chosen]).astype(float)
        self.bread = [np.linalg.pinv((self.basis.T * n) @ self.basis) for n in self.count.T]
        of_basis = [bread @ (self.basis.T @ t) for bread, t in zip(self.bread, total.T, strict=True)]
        self.left = total - self.count * (self.basis @ np.column_stack(of_basis))

    def of(self, inside: np.ndarray) -> tuple[float, float]:
        """Score and its standard error of the prospects `inside` (seen rows,) bool.

        An outcome counts nothing where fewer than eight rows were seen, or are left that the known sets don't
        foretell; with nothing known it is `Utility.of`.
        """
        n, total = self.count[inside].sum(axis=0), self.left[inside].sum(axis=0)
        shared = (self.basis[inside].T @ self.count[inside]).T
        remaining = n - np.array([s @ bread @ s for s, bread in zip(shared, self.bread, strict=True)])
        enough = np.minimum(n, remaining) >= LEAST_ROWS
        safe = np.where(enough, n, 1.0)
        score = np.where(enough, self.weight * total / safe, 0.0).sum()
        spread = np.where(enough, self.weight**2 * remaining / safe**2, 0.0).sum()
        return float(score), float(np.sqrt(max(spread, 1e-12)))
