"""Which code, which locked dependencies and which data a model was made of."""

import hashlib
import importlib.util
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

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
