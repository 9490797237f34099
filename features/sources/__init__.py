"""One file for each place CRM data comes from; one that names its `SCHEMES` is found by them.

A source declares `SCHEMES = ("postgresql", …)`, the beginnings of the addresses it reads, and a function
`read(address, mapping, until, staging)` that lays the tables down as raw Parquet. Nothing else knows it.
"""

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from features.errors import RenewalError
from features.sources.readers import Raw

Read = Callable[[str, Path | None, pd.Timestamp | None, Path], Raw]


def reader_of(address: str) -> Read:
    """The source that reads an address such as `postgresql://host/crm`.

    Raises:
        RenewalError: no source reads addresses of that scheme.
    """
    scheme = address.partition("://")[0].partition("+")[0]
    readable: list[str] = []
    for module in pkgutil.iter_modules(__path__):
        source = importlib.import_module(f"{__name__}.{module.name}")
        schemes = getattr(source, "SCHEMES", ())
        if scheme in schemes:
            read: Read = source.read
            return read
        readable += schemes
    raise RenewalError(
        expected=f"a folder, {', '.join(f'{name}://…' for name in readable)}",
        found=f"{scheme}://",
        do="Export the CRM to a folder or a database and name that.",
    )
