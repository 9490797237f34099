"""The columns of a regression's design: what it makes of each feature, and the shapes of quantities."""

from dataclasses import dataclass, replace

import numpy as np

HINGES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Term:
    """One column of the design: what it makes of one feature.

    `kind` is `value` (clipped to [low, high], squashed, standardised, missing → 0), `hinge` (how far the
    squashed value lies above `at`, standardised), `level` (1 for the category code `at`) or `missing`. Every
    term is less its training mean. Squashed is asinh((x − center) / width): straight near the median, a
    logarithm far from it. Counts, amounts and use have long tails, and what doubles matters more there than
    what is added.
    """

    column: int
    kind: str
    at: float = 0.0
    low: float = 0.0
    high: float = 0.0
    center: float = 0.0
    width: float = 1.0
    scale: float = 1.0
    mean: float = 0.0


def squashed(x: np.ndarray, center: np.ndarray | float, width: np.ndarray | float) -> np.ndarray:
    """x as `Term` squashes quantities."""
    return np.asarray(np.arcsinh((x - center) / width))


def design_terms(E: np.ndarray, types: list[str], curved: bool) -> tuple[Term, ...]:
    """The terms that training rows call for; those that do not vary are left out."""
    terms: list[Term] = []
    for column, kind in enumerate(types):
        values = E[:, column].astype(float)
        missing = np.isnan(values)
        terms += _level_terms(values, column) if kind == "c" else _quantity_terms(values, column, curved)
        if min(missing.sum(), (~missing).sum()) >= 3:
            terms.append(Term(column, "missing", mean=float(missing.mean())))
    return tuple(terms)


def _level_terms(values: np.ndarray, column: int) -> list[Term]:
    codes, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    return [
        Term(column, "level", at=float(code), mean=count / len(values))
        for code, count in zip(codes, counts, strict=True)
        if 0 < count < len(values)
    ]


def _quantity_terms(values: np.ndarray, column: int, curved: bool) -> list[Term]:
    present = values[~np.isnan(values)]
    if len(np.unique(present[:1000])) < 2 and len(np.unique(present)) < 2:
        return []
    low, high = np.quantile(present, [0.01, 0.99])
    if low == high:
        low, high = present.min(), present.max()
    clipped = np.clip(present, low, high)
    center = float(np.median(clipped))
    width = float(np.median(np.abs(clipped - center))) or float(clipped.std())
    if not width:
        return []
    value = Term(column, "value", low=float(low), high=float(high), center=center, width=width)
    bends = curved and len(np.unique(present)) > 4
    shaped = _shape(value, present)
    hinges = np.unique(np.quantile(shaped, HINGES if bends else ()))
    raw = [value]
    raw += [replace(value, kind="hinge", at=float(at)) for at in hinges if shaped.min() < at < shaped.max()]
    return [term for term in (_standardised(term, values) for term in raw) if term]


def _standardised(term: Term, values: np.ndarray) -> Term | None:
    shaped = _shape(term, values)
    present = shaped[~np.isnan(shaped)]
    scale = float(present.std())
    if scale < 1e-9 * max(1.0, abs(float(present.mean()))):
        return None
    return replace(term, scale=scale, mean=float(present.mean()))


def _shape(term: Term, values: np.ndarray) -> np.ndarray:
    x = squashed(np.clip(values, term.low, term.high), term.center, term.width)
    return np.maximum(x - term.at, 0) if term.kind == "hinge" else x


def design(E: np.ndarray, terms: tuple[Term, ...]) -> np.ndarray:
    """(n, terms) float64."""
    out = np.empty((len(E), len(terms)))
    for place, term in enumerate(terms):
        values = E[:, term.column].astype(float)
        if term.kind == "level":
            out[:, place] = (values == term.at) - term.mean
        elif term.kind == "missing":
            out[:, place] = np.isnan(values) - term.mean
        else:
            out[:, place] = np.nan_to_num((_shape(term, values) - term.mean) / term.scale, nan=0.0)
    return out
