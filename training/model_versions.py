"""What a registered version is: its name, its record, and how two are distinguished.

Which code, which locked dependencies and which data a model was made of.

Schemas for MLflow and Optuna in a shared PostgreSQL: both want a table `alembic_version`.
"""

import hashlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any
from urllib.parse import unquote

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


ROOMS = ("features", "training")


def code_version() -> str:
    """The package's version and a hash of the source that makes models, which no checkout is needed for."""
    digest = hashlib.sha256()
    for room in ROOMS:
        spec = importlib.util.find_spec(room)
        for place in (spec.submodule_search_locations or []) if spec else []:
            for file in sorted(Path(place).rglob("*.py")):
                digest.update(file.relative_to(place).as_posix().encode() + b"\0" + file.read_bytes())
    try:
        number = version("perennial")
    except PackageNotFoundError:
        number = "source"
    return f"{number}+{digest.hexdigest()[:12]}"


def lock_hash() -> str:
    """A hash of requirements.lock in a checkout, else of what is installed."""
    lock = Path(__file__).resolve().parents[1] / "requirements.lock"
    if lock.is_file():
        return hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    installed = sorted({f"{d.metadata['Name']}=={d.version}".lower() for d in distributions()})
    return hashlib.sha256("\n".join(installed).encode()).hexdigest()[:16]


def fingerprint_of(*parts: object) -> str:
    """One hash of several things that print the same when they are the same."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]


_QUEUE = 7_306_110_518  # any fixed number: those who make a schema at the same time queue on it


def make_ready(url: str) -> str:
    """Make the schema that a PostgreSQL address puts first in its search path, where it is missing.

    Args:
        url: as `Settings.mlflow_url` or `Settings.optuna_url` give it; another database is left alone.

    Returns:
        The address, as it came.

    Raises:
        RenewalError: the database cannot be reached or written.
    """
    named = re.search(r"-csearch_path=(\w+)", unquote(url))
    if url.startswith("postgresql") and named and (url not in _READY):
        from sqlalchemy import create_engine, text
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError
        from sqlalchemy.pool import NullPool

        try:
            with create_engine(url, poolclass=NullPool).begin() as connection:
                connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _QUEUE})
                connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{named[1]}"'))
        except (OperationalError, ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise RenewalError(
                expected="a PostgreSQL database that can be reached and written",
                found=str(getattr(error, "orig", None) or error).strip().splitlines()[0],
                do="Check PERENNIAL_DATABASE_URL, and that the extra postgres is installed.",
            ) from error
        _READY.add(url)
    return url


_READY: set[str] = set()
"""Addresses seen to: asking again costs a connection, and nobody takes a schema away."""
