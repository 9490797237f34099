"""Intervals and tests that hold however often, and whenever, an experiment is looked at.

An estimate whose error has variance v at a look is held against the normal mixture boundary (Robbins 1970):
under "the effect is θ", M = sqrt(v / (v + τ²)) exp(τ² (estimate − θ)² / (2 v (v + τ²))) exceeds 1 / level at
any look at all with probability `level` at most. Turned round, it is the asymptotic confidence sequence of
Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024, Annals of Statistics 52(6), equation 1) and the mixture
sequential probability ratio test of Johari, Koomen, Pekelis & Walsh (2022, Operations Research 70(3)). The
mixing spread τ decides where it is tightest: at the information a fixed design would wait for.

Variances are robust to clusters. A cluster whose outcomes arrive one after another makes errors at two looks
more alike than independent increments would be, and by Slepian's inequality (1962) that can only lower the
chance that any of them passes the boundary.
"""

from functools import lru_cache

import numpy as np
from scipy import stats

PATHS, LOOKS, SEED = 20_000, 400, 20_240_811
MOST_INFLATION = 4.0


def fixed_variance(gap: float, level: float, power: float) -> float:
    """The variance at which a test at one fixed moment finds `gap` with `power` (two-sided)."""
    return float((gap / (stats.norm.isf(level / 2) + stats.norm.isf(1 - power))) ** 2)


def mixing_variance(gap: float, level: float, power: float) -> float:
    """τ² that makes the interval tightest at the fixed design's moment (Waudby-Smith et al., app. B.2)."""
    spent = -2 * np.log(level)
    return float(fixed_variance(gap, level, power) * (spent + np.log(1 + spent)))


def half_width(variance: np.ndarray, mixing: float, level: float) -> np.ndarray:
    """(T,) half of the interval at looks with these variances; infinite where there is none."""
    variance = np.asarray(variance, dtype=float)
    is_known = np.isfinite(variance) & (variance > 0)
    v = np.where(is_known, variance, 1.0)
    square = v * (v + mixing) / mixing * (np.log((v + mixing) / v) - 2 * np.log(level))
    return np.where(is_known, np.sqrt(square), np.inf)


def p_values(estimate: np.ndarray, variance: np.ndarray, mixing: float) -> np.ndarray:
    """(T,) the least 1 / M against "no effect" up to each look: valid whenever one stops."""
    is_known = np.isfinite(variance) & (variance > 0)
    v = np.where(is_known, variance, 1.0)
    log_m = 0.5 * np.log(v / (v + mixing)) + mixing * np.square(estimate) / (2 * v * (v + mixing))
    return np.exp(-np.maximum.accumulate(np.maximum(np.where(is_known, log_m, 0.0), 0.0)))


def chance_found(gap: float, information: np.ndarray, mixing: float, level: float) -> np.ndarray:
    """(T,) the chance that an effect of `gap` is found by looks with this information (1 / variance).

    From 20,000 simulated paths with independent increments, always the same; no looks in between.
    """
    information = np.maximum.accumulate(np.asarray(information, dtype=float))
    step = np.diff(information, prepend=0.0)
    draws = np.random.default_rng(SEED).standard_normal((PATHS // 2, len(step)), dtype=np.float32)
    score = np.cumsum(draws * np.sqrt(step), axis=1)
    is_known = information > 0
    limit = np.full(len(information), np.inf)
    limit[is_known] = information[is_known] * half_width(1 / information[is_known], mixing, level)
    drift = gap * information
    passed = [np.abs(drift + sign * score) > limit for sign in (1, -1)]
    return np.mean([np.maximum.accumulate(each, axis=1).mean(axis=0) for each in passed], axis=0)


@lru_cache
def inflation(level: float, power: float) -> float:
    """How many times the information of a fixed design gives the same power when looked at all the time."""
    shares = np.linspace(MOST_INFLATION / LOOKS, MOST_INFLATION, LOOKS)
    information = shares / fixed_variance(1.0, level, power)
    chance = chance_found(1.0, information, mixing_variance(1.0, level, power), level)
    return float(np.interp(power, chance, shares))
