"""What a registered version is: its name, its record, and how two are told apart."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from features.errors import RenewalError
from training.model import Model

KINDS = ("renewal", "win")


@dataclass(frozen=True)
class Version:
    """A registered version: `alias` is champion, challenger or None."""

    name: str
    version: str
    alias: str | None


@dataclass(frozen=True)
class Loaded:
    """A model that may be served, and the version it is."""

    model: Model
    version: str
    alias: str


@dataclass(frozen=True)
class Record:
    """What is kept of a training beside its files.

    Attributes:
        params: settings and parameters, by name.
        metrics: figures, by name; those not finite are left out.
        gates: gate → {passed, why}.
        fingerprint: of data, code, lock and settings together: the same fingerprint trains the same model.
        tags: further words, by name.
    """

    params: Mapping[str, object]
    metrics: Mapping[str, float]
    gates: Mapping[str, Mapping[str, Any]]
    fingerprint: str
    tags: Mapping[str, str] = field(default_factory=dict)


def model_name(kind: str) -> str:
    """The registered model of a kind: `renewal`, `win`, or the full name itself.

    Raises:
        RenewalError: no such kind.
    """
    short = kind.removeprefix("perennial-")
    if short not in KINDS:
        raise RenewalError(expected="renewal or win", found=repr(kind), do="Name one of the two models.")
    return f"perennial-{short}"


def side_by_side(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """Two shown versions: each figure in both and its change, and the parameters that differ."""
    figures = sorted({*a["metrics"], *b["metrics"]})
    params = sorted({*a["params"], *b["params"]})
    return {
        "model": a["model"],
        "versions": [a["version"], b["version"]],
        "metrics": {
            name: {
                "one": (x := a["metrics"].get(name)),
                "other": (y := b["metrics"].get(name)),
                "change": _less(y, x),
            }
            for name in figures
        },
        "params": {
            name: [a["params"].get(name), b["params"].get(name)]
            for name in params
            if a["params"].get(name) != b["params"].get(name)
        },
        "gates": [a["gates"], b["gates"]],
        "same_data": a["data_fingerprint"] == b["data_fingerprint"],
    }


def _less(y: float | None, x: float | None) -> float | None:
    return None if x is None or y is None else y - x


def allowed_name(name: str) -> str:
    """A name with only the characters MLflow allows."""
    return "".join(c if c.isalnum() or c in "_-./ " else "_" for c in name)
