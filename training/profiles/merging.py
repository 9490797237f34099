"""Merge rules that say one thing: a rule stays for what it adds to better-placed ones.

Most cuts of a good rule are good too, whatever they cut by: the redundancy of subgroup discovery (Lavrač et
al. 2004, weighted covering; Lemmerich, Becker & Puppe 2013, generalisation-aware measures). A rule inside
another takes its merit from there, and a rule around another has it within. So each is asked for its quality
*beside* those placed before it: the search's own statistic, on what a regression on their memberships leaves
of the outcomes. For a rule inside one other that compares its members with the rest of the other's; for a
rule around one, what it adds with everybody outside. It stays if that gain still pays for its words, as in
the search. A better-placed rule is never taken out for a later one: that once cost the true profile.

The earlier period decides, so the later stays a measurement; its intervals hold for all rules carried, hence
for whichever of them are told.
"""

from collections.abc import Sequence

import numpy as np

from training.profiles.rules import LEAST_QUALITY, LEAST_ROWS, Utility, quality_of


def distinct(utility: Utility, members: Sequence[np.ndarray], prices: Sequence[float]) -> list[int]:
    """The places of those rules that add to the ones kept before them.

    Args:
        utility: of the earlier period.
        members: by rule, best placed first: (seen rows,) bool, who fulfils it.
        prices: by rule, of its words in nats.
    """
    kept: list[int] = []
    for place, (inside, price) in enumerate(zip(members, prices, strict=True)):
        if kept and quality_of(*_added(utility, members, kept, inside), price) <= LEAST_QUALITY:
            continue
        kept.append(place)
    return kept


def _added(
    utility: Utility, members: Sequence[np.ndarray], kept: Sequence[int], inside: np.ndarray
) -> tuple[float, float]:
    return Beside(utility, [members[k] for k in kept]).of(inside)


class Beside:
    """The utility of sets of prospects beyond what their membership in known sets tells.

    Args:
        utility: sums of the outcomes for each seen row.
        known: (seen rows,) bool each.
    """

    def __init__(self, utility: Utility, known: Sequence[np.ndarray]) -> None:
        outcomes = len(utility.weight)
        self.weight = utility.weight
        self.count, total = utility.sums[:, 1 : outcomes + 1], utility.sums[:, outcomes + 1 :]
        self.known = np.column_stack([np.ones(len(total)), *known]).astype(float)
        self.bread = [np.linalg.pinv((self.known.T * n) @ self.known) for n in self.count.T]
        of_known = [bread @ (self.known.T @ t) for bread, t in zip(self.bread, total.T, strict=True)]
        self.left = total - self.count * (self.known @ np.column_stack(of_known))

    def of(self, inside: np.ndarray) -> tuple[float, float]:
        """Score and its standard error of the prospects `inside` (seen rows,) bool.

        An outcome counts nothing where fewer than eight rows were seen, or are left that the known sets don't
        foretell; with nothing known it is `Utility.of`.
        """
        n, total = self.count[inside].sum(axis=0), self.left[inside].sum(axis=0)
        shared = (self.known[inside].T @ self.count[inside]).T
        own = n - np.array([s @ bread @ s for s, bread in zip(shared, self.bread, strict=True)])
        enough = np.minimum(n, own) >= LEAST_ROWS
        safe = np.where(enough, n, 1.0)
        score = np.where(enough, self.weight * total / safe, 0.0).sum()
        spread = np.where(enough, self.weight**2 * own / safe**2, 0.0).sum()
        return float(score), float(np.sqrt(max(spread, 1e-12)))
