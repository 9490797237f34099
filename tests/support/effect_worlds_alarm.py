"""A second kind of world for effects, by another recipe than `effect_worlds`: alarms that a contact can end.

A contract is calm or alarmed, and alarms come and go. Owners differ in how often they call, and call the
more the more cases are open and the longer nobody has logged in. A contact changes nothing by itself: it may
end the alarm, and keeps a new one away for a while, so its effect runs through what would be recorded
afterwards. Alarmed customers give notice early, calm ones renew early; either ends the exposure. Outcomes
follow from the state at the decision, not from a logistic formula.
"""

from dataclasses import dataclass, replace

import numpy as np
from effect_worlds import CHUNK, NAMES, Drawn, _clock

from training.effects.trial_arrays import Window

OWNERS = 25


@dataclass(frozen=True)
class Alarms:
    """How contracts of this world live.

    Attributes:
        cure: chance that a first contact in each window ends an alarm.
        guard: windows after a contact in which no new alarm comes.
        enter: chance that an alarm begins, at each window's start.
        notice: chance that an alarmed customer decides in a window; a calm one a quarter of it.
        zeal: how much more alarmed contracts are called.
    """

    cure: tuple[float, ...] = (0.9, 0.9, 0.9, 0.9, 0.7, 0.4)
    guard: int = 2
    enter: float = 0.16
    leave: float = 0.12
    notice: float = 0.12
    zeal: float = 2.2

    def draw(self, n: int, seed: int, strategy: int | None = None) -> Drawn:
        """n contracts; with `strategy` (0–5, 6 for none) forced upon all."""
        rng = np.random.default_rng(seed)
        owner = rng.integers(0, OWNERS, n)
        diligence = np.linspace(0.05, 0.17, OWNERS)[owner]
        small = rng.uniform(size=n) < 0.4
        alarm = rng.uniform(size=n) < 0.25
        safe_until, contacted = np.full(n, -1), np.zeros(n, bool)
        waiting, undecided, final = np.ones(n, bool), np.ones(n, bool), np.zeros(n, bool)
        gave_notice = np.zeros(n, bool)
        windows = []
        for k, name in enumerate(NAMES):
            enters = ~alarm & (k > safe_until) & (rng.uniform(size=n) < self.enter * (1 + 0.5 * small))
            alarm = (alarm & (rng.uniform(size=n) >= self.leave)) | enters
            X = _records(alarm, small, diligence, rng)
            cases, away = X[:, 0], X[:, 1]
            worry = 1 + (self.zeal - 1) * ((cases >= 2) + (np.nan_to_num(away, nan=0.0) > 10))
            p_out = np.minimum(diligence * worry, 0.7)
            at_out = rng.uniform(size=n) / p_out
            at_in = rng.uniform(size=n) / np.where(alarm, 0.06, 0.02)
            at_dec = rng.uniform(size=n) / (self.notice * np.where(alarm, 1.0, 0.25) * (k > 0) + 1e-12)
            if strategy is not None:
                at_in = np.full(n, np.inf)
                at_out = rng.uniform(size=n) if strategy == k else np.full(n, np.inf)
            any_clock, out_clock = _clock(np.minimum(at_out, at_in), at_dec), _clock(at_out, at_dec)
            windows.append(Window(name, X, waiting & undecided, any_clock, out_clock))
            acts = undecided & ~contacted & out_clock.hit
            contacted |= acts
            alarm = alarm & ~(acts & (rng.uniform(size=n) < self.cure[k]))
            safe_until = np.where(acts, k + self.guard, safe_until)
            waiting = waiting & ~any_clock.hit
            decides = undecided & (at_dec < 1)
            final = np.where(decides, alarm, final)
            gave_notice |= decides & alarm
            undecided = undecided & ~decides
        final = np.where(undecided, alarm, final)
        chance = np.where(final, np.where(gave_notice, 0.1, 0.45), 0.93) - 0.08 * small
        y = (rng.uniform(size=n) < chance).astype(float)
        return Drawn(windows, y, np.arange(n), small.astype(int), chance)

    def truth(self, n: int = 200_000, seed: int = 987_654) -> np.ndarray:
        """(7,) P(renew) under each strategy in the order of the windows, none last."""
        draws = range(seed, seed + max(n // CHUNK, 1))
        return np.array([np.mean([self.draw(CHUNK, d, s).chance.mean() for d in draws]) for s in range(7)])


def _records(
    alarm: np.ndarray, small: np.ndarray, diligence: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(n, 16) open cases, days since the last login (a tenth missing), size, owner's habit, 12 of noise."""
    n = len(alarm)
    cases = rng.poisson(np.where(alarm, 2.0, 0.4)).astype(float)
    away = rng.exponential(np.where(alarm, 14.0, 3.0))
    away[rng.uniform(size=n) < 0.1] = np.nan
    seats = rng.lognormal(np.where(small, 2.0, 4.0), 0.5)
    return np.column_stack([cases, away, seats, diligence, rng.normal(size=(n, 12))])


ALARMS = Alarms()
CALM = replace(ALARMS, cure=(0.0,) * 6, guard=-1)
