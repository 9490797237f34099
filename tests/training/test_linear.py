"""A regression gives a row the same bits alone, among few, among many, and as a sum of what explains it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from training.linear import BLOCK, Logistic, fit_logistic
from training.linear_terms import Term

TYPES = ["q", "c", "q", "q"]


def rows(n):
    """(n, 4) encoded rows, a fifth missing; the last column is hardly ever there."""
    drawn = np.random.default_rng(7)
    E = drawn.normal(size=(n, 4))
    E[:, 1] = drawn.integers(0, 6, n)
    E[drawn.random(E.shape) < [0.2, 0.2, 0, 0.95]] = np.nan
    return E.astype(np.float32)


def outcomes(E):
    """(n,) outcomes for which column 0 says the more, the further along the clock (column 2) is."""
    return (np.random.default_rng(1).random(len(E)) < expit(np.nan_to_num(E[:, 0]) * E[:, 2])).astype(float)


FORMS = [{}, {"curved": True}, {"timed": 1.0}, {"sparse": True, "timed": 0.1}, {"curved": True, "timed": 1.0}]


@pytest.fixture(scope="module", params=FORMS, ids=str)
def fitted(request):
    E = rows(900)
    return fit_logistic(E, outcomes(E), np.ones(len(E)), TYPES, C=1.0, clock=2, **request.param)


def slowly(model, E):
    """The definition: each term by itself, and its change by how far the clock is along."""
    if model.clock is not None:
        plain = slowly(replace(model, timed=None, clock=None), E)
        clock = model.clock
        steps = (
            np.clip(E[:, clock.column].astype(float), clock.low, clock.high) - clock.middle
        ) / clock.width
        return plain + np.nan_to_num(steps) * slowly(model.timed, E)
    out = np.full(len(E), model.intercept)
    for term, coefficient in zip(model.terms, model.coefficients, strict=True):
        x = E[:, term.column].astype(float)
        if term.kind == "level":
            made = (x == term.at) - term.mean
        elif term.kind == "missing":
            made = np.isnan(x) - term.mean
        else:
            squashed = np.arcsinh((np.clip(x, term.low, term.high) - term.center) / term.width)
            bent = np.maximum(squashed - term.at, 0) if term.kind == "hinge" else squashed
            made = np.nan_to_num((bent - term.mean) / term.scale)
        out += coefficient * made
    return out


def test_alone_among_few_and_among_many_are_the_same(fitted):
    E = rows(3 * BLOCK + 5)
    E[:3, 1] = [6, 50, np.nan]  # codes no term knows
    many = fitted.margin(np.asfortranarray(E))
    assert np.allclose(many, slowly(fitted, E), rtol=0, atol=1e-12)
    assert np.array_equal(many, fitted.margin(E))
    assert np.array_equal(many, fitted.sum(fitted.contributions(E)[1]))
    assert np.array_equal(many[:BLOCK], fitted.margin(E[:BLOCK]))
    assert all(fitted.margin(E[at : at + 1])[0] == many[at] for at in range(0, len(E), 50))


def test_effects_that_change_with_the_clock_are_found():
    E, later = rows(4000), rows(9000)[4000:]
    plain, timed = (
        fit_logistic(E, outcomes(E), np.ones(len(E)), TYPES, C=1.0, timed=C, clock=2) for C in (0.0, 1.0)
    )
    truth = np.nan_to_num(later[:, 0]) * later[:, 2]
    assert np.corrcoef(plain.margin(later), truth)[0, 1] < 0.2
    assert np.corrcoef(timed.margin(later), truth)[0, 1] > 0.9
    still = np.where(np.arange(4) == 2, 5.0, E).astype(np.float32)
    assert fit_logistic(still, outcomes(E), np.ones(len(E)), TYPES, C=1.0, timed=1.0, clock=2).clock is None


def test_a_regression_of_nothing_but_an_intercept_and_rows_that_are_none():
    empty = Logistic((), np.empty(0), 0.25)
    for n in (0, 1, BLOCK + 1):
        assert (empty.margin(rows(n)) == np.full(n, 0.25)).all()
    assert (empty.margin(np.empty((3, 0), np.float32)) == 0.25).all()
    one = Logistic((Term(0, "value", scale=2.0, low=-1.0, high=1.0),), np.array([4.0]), 0.0)
    assert one.margin(np.array([[9.0], [-0.5], [np.nan]], np.float32)) == pytest.approx(
        np.arcsinh([1.0, -0.5, 0.0]) * 2
    )
