"""The worry of a contract: it comes and goes in steps of 15 days, and what is recorded shows it.

Visible worry is a function of two recorded things: the usage of the last step (`usage`, a log deviation
from the contract's level, AR(1)) and fading marks of cases, low scores and overdue invoices (`marks`). It
excites itself: worried customers open more cases. Hidden worry is an AR(1) that nothing records. So at
the start of a step everybody who reads the CRM knows the visible state exactly, and nobody the future.

Steps count from 180 days before the end: step 0 covers leads 180..166, step 10 leads 30..15, step 11 leads
14..0; steps before 0 reach back to the start of the contract.
"""

from dataclasses import dataclass

import numpy as np

STEPS_BACK, STEPS = 36, 12
LEAD_START = np.array([180, 165, 150, 135, 120, 105, 90, 75, 60, 45, 30, 14])
"""Days before the end at which steps 0..11 start; what a step brought is known when the next one starts."""
LEAD_END = np.append(LEAD_START[1:], -1)

USAGE_MEMORY, MARK_MEMORY, HIDDEN_MEMORY, MOOD_MEMORY = 0.82, 0.75, 0.82, 0.85
MARK_CASE, MARK_ESCALATED, MARK_LOW_SCORE, MARK_OVERDUE = 0.8, 1.6, 0.9, 0.9
USAGE_WEIGHT, MARK_WEIGHT, MARK_MEAN = 0.75, 0.85, 0.75

CONTACT_BASE = np.array([-2.9] * 4 + [-2.2] * 2 + [-2.3] * 2 + [-1.9] * 2 + [-1.3, -1.2])
CONTACT_WORRY = np.array([0.1] * 4 + [0.3] * 2 + [1.8] * 2 + [0.7] * 2 + [0.3, 0.2])
CONTACT_WEAKNESS = np.array([0.0] * 4 + [0.1] * 2 + [0.5] * 2 + [0.2] * 2 + [0.0, 0.0])
"""Log-odds of the first human contact by step; what a unit of worry adds, and one of standing weakness."""


@dataclass
class Mood:
    """The state of many contracts (or draws of one) at the start of a step; arrays of one shape."""

    usage: np.ndarray
    marks: np.ndarray
    hidden: np.ndarray
    felt: np.ndarray
    hidden_share: float

    def visible(self) -> np.ndarray:
        """The worry that recorded signals show."""
        worry = MARK_WEIGHT * (self.marks - MARK_MEAN) - USAGE_WEIGHT * self.usage
        return np.clip(worry, -2.5, 4.0)

    def worry(self) -> np.ndarray:
        """The whole worry: visible and hidden parts, weighted by their share of the variance."""
        if not self.hidden_share:
            return self.visible()
        return np.sqrt(1 - self.hidden_share) * self.visible() + np.sqrt(self.hidden_share) * self.hidden


@dataclass
class Shocks:
    """What one step recorded.

    Case: 0 none, 1 plain, 2 escalated. Score: -2 not asked, -1 no answer, 0 fine, 1 low.
    """

    case: np.ndarray
    score: np.ndarray
    overdue: np.ndarray


def fresh(shape: tuple[int, ...], hidden_share: float, rng: np.random.Generator) -> Mood:
    """A new customer's state: usage and hidden worry from their stationary law, no marks but the mean."""
    normal = rng.standard_normal((2, *shape), dtype=np.float32)
    marks = np.full(shape, MARK_MEAN, dtype=np.float32)
    return Mood(normal[0], marks, normal[1], np.zeros(shape, dtype=np.float32), hidden_share)


def is_invoice_step(step: int) -> bool:
    """Invoices fall due every sixth step (90 days)."""
    return step % 6 == 0


def is_survey_step(step: int) -> bool:
    """Customers are asked every twelfth step, once in the run-up (leads 105..91)."""
    return step % 12 == 5


def _odds(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x, dtype=np.float32))


def advance(mood: Mood, step: int, rng: np.random.Generator) -> Shocks:
    """Move every state one step on, in place, and return what the step recorded."""
    shape = mood.usage.shape
    visible = mood.visible()
    mood.felt = MOOD_MEMORY * mood.felt + (1 - MOOD_MEMORY) * mood.worry()
    draw, case_odds = rng.random(shape, dtype=np.float32), _odds(0.45 * visible - 2.0)
    case = (draw < case_odds).astype(np.int8) + (draw < 0.3 * case_odds)
    added = np.where(case == 1, np.float32(MARK_CASE), np.where(case == 2, np.float32(MARK_ESCALATED), 0))
    score, overdue = np.full(shape, -2, dtype=np.int8), np.zeros(shape, dtype=bool)
    if is_survey_step(step):
        answered = rng.random(shape, dtype=np.float32) < 0.45
        low = rng.random(shape, dtype=np.float32) < _odds(0.9 * visible - 1.3)
        score = np.where(answered, low, -1).astype(np.int8)
        added = added + MARK_LOW_SCORE * (score == 1)
    if is_invoice_step(step):
        overdue = rng.random(shape, dtype=np.float32) < _odds(0.8 * visible - 2.0)
        added = added + MARK_OVERDUE * overdue
    mood.marks = (MARK_MEMORY * mood.marks + added).astype(np.float32)
    mood.usage = ar(mood.usage, USAGE_MEMORY, rng)
    if mood.hidden_share:
        mood.hidden = ar(mood.hidden, HIDDEN_MEMORY, rng)
    return Shocks(case, score, overdue)


def ar(values: np.ndarray, memory: float, rng: np.random.Generator) -> np.ndarray:
    """One step of a first-order autoregression of unit variance."""
    noise = rng.standard_normal(values.shape, dtype=np.float32)
    return (memory * values + np.sqrt(1 - memory**2) * noise).astype(np.float32)


def contact_odds(step: int, worry: np.ndarray, habit: np.ndarray, weakness: np.ndarray) -> np.ndarray:
    """P(the first human contact falls in this step | none before); all arrays of one shape.

    `habit` is the owner's and tier's part of the log-odds, `weakness` how much poorer than usual the renewal
    stands by what is known from the start.
    """
    felt = CONTACT_WORRY[step] * np.clip(worry, -1.0, 1.8) + CONTACT_WEAKNESS[step] * weakness
    return _odds(CONTACT_BASE[step] + felt + habit)
