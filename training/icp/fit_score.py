"""The fit score: money won and renewed for each hour of effort, for any prospect, whatever is missing of it.

    value = P(win) · amount · (1 − discount) · (1 + r + r²)      r: renews without contact; three terms in all
    fit   = value for each hour, as the share of the CRM's own accounts that it exceeds

The user's weights tilt what is ordered by (`weighing.priority`); by default it is value for each hour.
Each part is a small regularised model over one common design, so a million prospects are one matrix product.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from features.crm.contract import Kind
from training.calibrate import Calibration
from training.encode import Encoding
from training.icp.prospects import as_attributes
from training.icp.rules import Condition, Rule, attribute_words, figure
from training.icp.weights import priority
from training.linear_terms import Term, design
from training.metrics import to_probability

PARTS = ("win", "amount", "discount", "renewal", "effort")
LEAST_HOURS = 0.25
CHUNK = 50_000
PROFILE = "combination"


@dataclass(frozen=True)
class Part:
    """One linear model: link⁻¹(intercept + design · coefficients), times `scale`.

    Attributes:
        link: `logit` (probability), `log` (positive amounts) or `share` (clipped to 0–1).
        intercept, coefficients: of the common design.
        scale: what turns exp(mean of logs) into a mean.
        calibration: of a logit, the last step.
    """

    link: str
    intercept: float
    coefficients: np.ndarray
    scale: float = 1.0
    calibration: Calibration = field(default_factory=Calibration)

    def predict(self, D: np.ndarray) -> np.ndarray:
        """(n,) in the outcome's unit."""
        linear = self.intercept + (D * self.coefficients).sum(axis=1)  # row by row: alone as among others
        if self.link == "logit":
            return to_probability(self.calibration(linear))
        if self.link == "log":
            return self.scale * np.exp(np.clip(linear, -30, 30))
        return np.clip(linear, 0.01, 0.99)

    def slope(self, D: np.ndarray) -> np.ndarray:
        """(n,) d log(value) / d linear for win, amount and effort; d share / d linear for shares."""
        if self.link == "logit":
            return 1 - self.predict(D)
        return np.ones(len(D))


@dataclass(frozen=True)
class Fit:
    """A fitted score.

    Attributes:
        encoding: the attributes read and the levels known of each category.
        logged: attributes taken as logarithms.
        terms: of the common design.
        rules: whose membership is a further column each, with their share in training.
        shares: mean of those columns.
        parts: by name, of `PARTS`.
        peers: the parts of up to 1,001 of the CRM's own accounts, spread evenly over what they are worth.
        exponents: of the parts in what is ordered by; 1 where not given.
        profiles: the rules that hold up, best first; they name the profile a prospect matches.
        kinds: of each attribute, to read prospects given as text.
        notes: which parts had to be taken as constant.
    """

    encoding: Encoding
    logged: tuple[str, ...]
    terms: tuple[Term, ...]
    rules: tuple[Rule, ...]
    shares: tuple[float, ...]
    parts: dict[str, Part]
    peers: dict[str, np.ndarray] = field(default_factory=dict)
    exponents: dict[str, float] = field(default_factory=dict)
    profiles: tuple[Rule, ...] = ()
    kinds: dict[str, Kind] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def attributes(self) -> tuple[str, ...]:
        """What may be given of a prospect; all of it may be missing."""
        return self.encoding.columns

    def read(self, prospects: pd.DataFrame) -> pd.DataFrame:
        """Prospects as given (text, numbers, anything; money in units) as attributes; same index."""
        return as_attributes(prospects, self.kinds, minor=False)

    def score(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Each prospect's parts, expected value and effort, and fit; same index as `frame`.

        Args:
            frame: (n, …) attributes; absent columns and unknown levels count as missing.
        """
        pieces = [self._score(frame.iloc[at : at + CHUNK]) for at in range(0, max(len(frame), 1), CHUNK)]
        return pd.concat(pieces) if len(pieces) > 1 else pieces[0]

    def _score(self, frame: pd.DataFrame) -> pd.DataFrame:
        D = self.design(frame)
        expected = {name: self.parts[name].predict(D) for name in PARTS}
        expected["effort"] = np.maximum(expected["effort"], LEAST_HOURS)
        value = (
            expected["win"]
            * expected["amount"]
            * (1 - expected["discount"])
            * terms_renewed(expected["renewal"])
        )
        worth = priority(expected, self.exponents)
        return pd.DataFrame(
            {
                "fit": self.exceeded(worth),
                "priority": worth,
                "value_per_hour": value / expected["effort"],
                "expected_value": value,
                "expected_effort_hours": expected["effort"],
                "win": expected["win"],
                "amount": expected["amount"],
                "discount": expected["discount"],
                "renewal": expected["renewal"],
            },
            index=frame.index,
        )

    def exceeded(self, worth: np.ndarray) -> np.ndarray:
        """(n,) the share of the CRM's own accounts that a priority exceeds; 0 where none are kept."""
        if not self.peers:
            return np.zeros(len(worth))
        reference = np.sort(priority(self.peers, self.exponents))
        return np.searchsorted(reference, worth, side="right") / len(reference)

    def design(self, frame: pd.DataFrame) -> np.ndarray:
        """(n, terms + rules) the common design."""
        D = design(self.encoding.encode(as_logs(frame, self.logged)), self.terms)
        if not self.rules:
            return D
        inside = [rule.covers(frame) - share for rule, share in zip(self.rules, self.shares, strict=True)]
        return np.column_stack([D, *inside])

    def reasons(self, frame: pd.DataFrame, top: int = 3) -> list[list[dict[str, Any]]]:
        """For each prospect what moves its place most, as factors on the average prospect's."""
        D = self.design(frame)
        names = [*self.encoding.columns, PROFILE]
        moved = np.zeros((len(frame), len(names)))
        for name, slope in self._slopes(D).items():
            moved += slope[:, None] * (D @ self._owner(self.parts[name].coefficients))
        order = np.argsort(-np.abs(moved), axis=1, kind="stable")[:, :top]
        shown = {
            name: frame[name].to_numpy(object) if name in frame else None for name in self.encoding.columns
        }
        best = first_rules(self.rules, frame)
        return [
            [
                _reason(names[j], shown.get(names[j]), i, float(moved[i, j]), best[i])
                for j in row
                if abs(moved[i, j]) >= 0.01
            ]
            for i, row in enumerate(order)
        ]

    def _slopes(self, D: np.ndarray) -> dict[str, np.ndarray]:
        """(n,) d log(priority) / d linear predictor, by part."""
        r, d = self.parts["renewal"].predict(D), self.parts["discount"].predict(D)
        slopes = {
            "win": self.parts["win"].slope(D),
            "amount": np.ones(len(D)),
            "discount": -1 / (1 - d),
            "renewal": (1 + 2 * r) / terms_renewed(r),
            "effort": -np.ones(len(D)),
        }
        return {name: self.exponents.get(name, 1.0) * slope for name, slope in slopes.items()}

    def _owner(self, coefficients: np.ndarray) -> np.ndarray:
        owner = np.zeros((len(coefficients), len(self.encoding.columns) + 1))
        for row, value in enumerate(coefficients):
            owner[row, self.terms[row].column if row < len(self.terms) else -1] = value
        return owner

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON knows it."""
        return {
            "encoding": asdict(self.encoding),
            "logged": list(self.logged),
            "terms": [asdict(term) for term in self.terms],
            "rules": _rule_conditions(self.rules),
            "profiles": _rule_conditions(self.profiles),
            "kinds": {name: str(kind) for name, kind in self.kinds.items()},
            "shares": list(self.shares),
            "parts": {
                name: {**asdict(part), "coefficients": part.coefficients.tolist()}
                for name, part in self.parts.items()
            },
            "peers": {name: values.tolist() for name, values in self.peers.items()},
            "exponents": self.exponents,
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Fit":
        """The reverse of `as_dict`."""
        return cls(
            encoding=Encoding(
                tuple(data["encoding"]["columns"]),
                {name: tuple(levels) for name, levels in data["encoding"]["levels"].items()},
            ),
            logged=tuple(data["logged"]),
            terms=tuple(Term(**term) for term in data["terms"]),
            rules=_rules_read(data["rules"]),
            profiles=_rules_read(data["profiles"]),
            kinds={name: Kind(kind) for name, kind in data["kinds"].items()},
            shares=tuple(data["shares"]),
            parts={name: _part(part) for name, part in data["parts"].items()},
            peers={name: np.array(values, dtype=float) for name, values in data["peers"].items()},
            exponents=dict(data["exponents"]),
            notes=tuple(data["notes"]),
        )


def terms_renewed(r: np.ndarray) -> np.ndarray:
    """How many terms a customer won is worth: the first, and two renewals as likely as r each."""
    return 1 + r + r**2


def as_logs(frame: pd.DataFrame, logged: Iterable[str]) -> pd.DataFrame:
    """The frame with these columns as log(1 + value); negative values count as missing."""
    there = [name for name in logged if name in frame]
    if not there:
        return frame
    out = frame.copy(deep=False)
    for name in there:
        values = pd.to_numeric(frame[name], errors="coerce").to_numpy(float, na_value=np.nan)
        out[name] = np.log1p(np.where(values >= 0, values, np.nan))
    return out


def first_rules(rules: Iterable[Rule], frame: pd.DataFrame) -> np.ndarray:
    """(n,) the first rule, in their order, that each row fulfils, in words; None where none."""
    first = np.full(len(frame), None, dtype=object)
    for rule in reversed(list(rules)):
        first[rule.covers(frame)] = rule.words
    return first


def _reason(name: str, values: np.ndarray | None, row: int, moved: float, rule: str | None) -> dict[str, Any]:
    times = float(np.exp(moved))
    change = f"{100 * (times - 1):+.0f} %" if times < 2 else f"{times:.1f} times"
    if name == PROFILE:
        words = f"{rule}, together ({change})" if rule else f"no combination that stands out ({change})"
        return {"feature": PROFILE, "words": words, "value": rule, "times": times}
    value = None if values is None else values[row]
    missing = value is None or value != value
    shown = "not known" if missing else figure(value, name) if isinstance(value, int | float) else str(value)
    return {
        "feature": name,
        "words": f"{attribute_words(name)} {shown} ({change})",
        "value": None if missing else value,
        "times": times,
    }


def _rule_conditions(rules: Iterable[Rule]) -> list[list[dict[str, Any]]]:
    return [[condition.as_dict() for condition in rule.conditions] for rule in rules]


def _rules_read(rules: list[list[dict[str, Any]]]) -> tuple[Rule, ...]:
    return tuple(Rule(tuple(Condition.from_dict(one) for one in rule)) for rule in rules)


def _part(data: dict[str, Any]) -> Part:
    calibration: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in data["calibration"].items()
    }
    return Part(
        data["link"],
        data["intercept"],
        np.array(data["coefficients"], dtype=float),
        data["scale"],
        Calibration(**calibration),
    )
