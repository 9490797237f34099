"""One pass over a CRM: prospects and outcomes, the profiles that hold up, and the fit score."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from features.crm import Crm
from features.progress import Say, silent
from features.settings import Settings
from training.profiles.conditions import Rule
from training.profiles.discover import Found, discover
from training.profiles.fit import Fit
from training.profiles.learn import learn
from training.profiles.observe import Observed, observe
from training.profiles.samples import checked_weights
from training.profiles.weighing import exponents_of


@dataclass(frozen=True)
class Study:
    """What a CRM teaches about its customers.

    Attributes:
        seen: prospects and outcomes.
        found: rules carried, judged and claimed.
        fit: the score.
        weights: of the outcomes, summing to 1.
    """

    seen: Observed
    found: Found
    fit: Fit
    weights: dict[str, float]

    @property
    def profiles(self) -> tuple[Rule, ...]:
        """The rules that hold up, best first."""
        return tuple(judged.rule for judged in self.found.claimed)


def study(
    crm: Crm, settings: Settings, weights: Mapping[str, float] | None = None, say: Say = silent
) -> Study:
    """Observe, discover and learn; raises as these do."""
    told = checked_weights(weights)
    return study_of(observe(crm, settings, say), told, settings.seed, say)


def study_of(seen: Observed, weights: dict[str, float], seed: int = 0, say: Say = silent) -> Study:
    """Discover and learn from what was observed.

    Args:
        seen: prospects and outcomes.
        weights: by outcome, summing to 1.
        seed: of the bootstrap and the folds.
        say: told each step.
    """
    found = discover(seen.frame, seen.account, seen.samples, weights, seed=seed, say=say)
    rules = [candidate.rule for candidate in found.candidates]
    say("learning the fit score")
    fit = learn(seen.frame, seen.account, seen.deals, seen.samples, rules, seed=seed)
    holding = tuple(judged.rule for judged in found.claimed)
    fit = replace(fit, profiles=holding, kinds=seen.kinds, exponents=exponents_of(weights))
    return Study(seen, found, fit, weights)
