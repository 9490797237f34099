"""One file for each place CRM data comes from; one that names its `SCHEMES` is found by them.

A source declares `SCHEMES = ("postgresql", …)`, the beginnings of the addresses it reads, and a function
`read(address, mapping, until, staging, home=…, say=…)` that lays the tables down as raw Parquet. Nothing else
knows it.
"""

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Protocol

import pandas as pd

from features.errors import RenewalError
from features.progress import Say
from features.sources.readers import Raw


class Read(Protocol):
    """Lays an address's tables down in `staging`; `home` is where connections are kept."""

    def __call__(
        self,
        address: str,
        mapping: Path | None,
        until: pd.Timestamp | None,
        staging: Path,
        *,
        home: Path,
        say: Say,
    ) -> Raw:
        """Read it."""


def reader_of(address: str) -> Read:
    """The function that reads an address such as `postgresql://host/crm`.

    Raises:
        RenewalError: no source reads addresses of that scheme.
    """
    scheme = address.partition("://")[0].partition("+")[0]
    source = _sources().get(scheme)
    if source is not None:
        read: Read = source.read
        return read
    raise RenewalError(
        expected=f"a folder, {', '.join(f'{name}://…' for name in _sources())}",
        found=f"{scheme}://",
        do="Export the CRM to a folder or a database and name that.",
    )


def systems() -> dict[str, ModuleType]:
    """System → the source that connects to it: it names what a login `ASKS` and can `examine`."""
    return {scheme: source for scheme, source in _sources().items() if hasattr(source, "examine")}


def _sources() -> dict[str, ModuleType]:
    """Scheme → module, of every file here that names its `SCHEMES`."""
    modules = [importlib.import_module(f"{__name__}.{each.name}") for each in pkgutil.iter_modules(__path__)]
    return {scheme: module for module in modules for scheme in getattr(module, "SCHEMES", ())}
