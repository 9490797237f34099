"""Small worlds whose answer is known: contracts, worry that comes and goes, contacts, decisions, renewals.

They share no code with the shipped simulator. `World.draw` gives arrays as the estimator takes them,
`World.truth` the probability of renewal under each strategy, by forcing it upon many contracts of the world.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import expit

from training.effects.trial_arrays import Clock, Window

NAMES = ("121-180", "91-120", "61-90", "31-60", "15-30", "0-14")
FLAT = (0.0,) * 6
CHUNK = 50_000


@dataclass(frozen=True)
class World:
    """How contracts of this world live.

    Attributes:
        effect: log-odds of renewal added by a first contact in each window (none: 0).
        worry: how strongly visible signals drive contacts in each window (log-odds per unit).
        hidden: share of the worry's variance, in contacts and outcomes alike, that nobody records.
        base: log-odds of a contact in each window of average worry.
        harm: how strongly bad health lowers renewal.
        group_effect: added to `effect` in group 1.
        rule: 'chance' (logistic), or 'rule': worried contracts are called always, others never.
        early: probability scale of deciding early.
        inbound: probability scale of inbound contacts.
        noise: number of columns without meaning.
        per_account: contracts an account.
    """

    effect: tuple[float, ...] = FLAT
    worry: tuple[float, ...] = (0.5, 0.8, 2.4, 1.6, 1.0, 0.8)
    hidden: float = 0.0
    base: tuple[float, ...] = (-2.0, -1.9, -1.6, -1.4, -1.5, -1.4)
    harm: float = 1.5
    level: float = 0.9
    group_effect: tuple[float, ...] = FLAT
    rule: str = "chance"
    early: float = 0.06
    inbound: float = 0.03
    noise: int = 20
    per_account: float = 1.0

    def draw(self, n: int, seed: int, strategy: int | None = None) -> "Drawn":
        """n contracts; with `strategy` (0–5, 6 for none) forced upon all."""
        rng = np.random.default_rng(seed)
        accounts = max(int(n / self.per_account), 1)
        cluster = np.sort(rng.integers(0, accounts, n)) if self.per_account > 1 else np.arange(n)
        group = rng.integers(0, 2, accounts)[cluster] if self.per_account > 1 else rng.integers(0, 2, n)
        size = rng.normal(size=accounts)[cluster] if self.per_account > 1 else rng.normal(size=n)
        health = rng.normal(size=n) + 0.3 * size
        unseen = rng.normal(size=n)
        noise = rng.normal(size=(n, self.noise))
        shown, veiled = np.sqrt(1 - self.hidden), np.sqrt(self.hidden)
        waiting, undecided = np.ones(n, bool), np.ones(n, bool)
        first = np.full(n, 6)
        final = np.full(n, np.nan)
        windows = []
        for k in range(len(NAMES)):
            health = 0.8 * health + 0.6 * rng.normal(size=n)
            unseen = 0.8 * unseen + 0.6 * rng.normal(size=n)
            signal = health + 0.5 * rng.normal(size=n)
            usage = np.exp(0.5 * health + 0.3 * rng.normal(size=n))
            cases = rng.poisson(np.exp(-0.7 * health - 0.3))
            seen = np.clip(-0.5 * signal + 0.35 * (cases - 1) - 0.3 * (usage < 0.7), -2.5, 2.5)
            score = self.base[k] + self.worry[k] * (shown * seen - 0.75 * veiled * unseen) + 0.3 * size
            if self.rule == "rule":
                score = np.where(seen > 0.0, 30.0, -30.0)
            p_out = expit(score)
            at_out = rng.uniform(size=n) / np.maximum(p_out, 1e-12)
            p_in = self.inbound * np.exp(0.4 * size)
            at_in = rng.uniform(size=n) / np.maximum(p_in, 1e-12)
            p_dec = self.early * np.exp(0.3 * np.abs(health)) * (k > 0)
            at_dec = rng.uniform(size=n) / np.maximum(p_dec, 1e-12)
            if strategy is not None:
                at_in = np.full(n, np.inf)
                at_out = rng.uniform(size=n) if strategy == k else np.full(n, np.inf)
            at_risk = waiting & undecided
            X = np.column_stack([signal, usage, cases, size, group, noise + 0.0])
            X[:, 1] = np.where(rng.uniform(size=n) < 0.1, np.nan, X[:, 1])
            any_clock, out_clock = _clock(np.minimum(at_out, at_in), at_dec), _clock(at_out, at_dec)
            windows.append(Window(NAMES[k], X, at_risk, any_clock, out_clock))
            treated = at_risk & out_clock.hit
            first = np.where(treated, k, first)
            waiting &= ~any_clock.hit
            decides = undecided & (at_dec < 1)
            final = np.where(decides, shown * health + veiled * unseen, final)
            undecided &= ~decides
        final = np.where(np.isnan(final), shown * health + veiled * unseen, final)
        added = np.append(self.effect, 0.0)[first] + group * np.append(self.group_effect, 0.0)[first]
        chance = expit(self.level + self.harm * final + 0.2 * size + added)
        y = (rng.uniform(size=n) < chance).astype(float)
        return Drawn(windows, y, cluster, group, chance)

    def truth(self, n: int = 200_000, seed: int = 987_654) -> np.ndarray:
        """(7,) P(renew) under each strategy in the order of the windows, none last."""
        draws = range(seed, seed + max(n // CHUNK, 1))
        bare = replace(self, noise=0)
        return np.array([np.mean([bare.draw(CHUNK, d, s).chance.mean() for d in draws]) for s in range(7)])

    def truth_by_group(self, n: int = 200_000, seed: int = 987_654) -> np.ndarray:
        """(2, 7) the same for each group."""
        bare = replace(self, noise=0)
        drawn = [bare.draw(n, seed, s) for s in range(7)]
        return np.array([[d.chance[d.group == g].mean() for d in drawn] for g in (0, 1)])


@dataclass(frozen=True)
class Drawn:
    """What a world yields: windows, outcomes, accounts, groups, and each contract's true chance."""

    windows: list[Window]
    y: np.ndarray
    cluster: np.ndarray
    group: np.ndarray
    chance: np.ndarray = field(repr=False)


def _clock(at: np.ndarray, decided_at: np.ndarray) -> Clock:
    hit = (at < 1) & (at < decided_at)
    decided = (decided_at < 1) & ~hit
    return Clock(hit, decided, np.minimum(np.minimum(at, decided_at), 1.0))


NO_EFFECT = World()
PEAK = World(effect=(0.2, 0.45, 0.9, 0.45, 0.2, -0.1))
GAP = replace(PEAK, effect=(0.2, 0.45, 1.22, 0.5, 0.2, -0.1))
SEVERE = replace(PEAK, worry=(1.0, 1.4, 3.0, 2.2, 1.6, 1.2))
BY_GROUP = World(effect=(0.0, 0.1, 0.8, 0.1, 0.0, 0.0), group_effect=(0.0, 0.0, -0.8, 0.0, 0.8, 0.0))
NO_OVERLAP = World(effect=PEAK.effect, rule="rule")
HIDDEN = replace(PEAK, hidden=0.5)
SHARED = replace(PEAK, per_account=3.0)
