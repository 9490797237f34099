"""Folders that several test processes share, and copies of homes that others may be reading."""

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest


def built_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], None]) -> Path:
    """A folder that the first test process to ask for it builds, and every other finds."""
    root = factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    folder = root / name
    with (root / f"{name}.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            folder.mkdir()
            build(folder)
            (folder / "done").touch()
    return folder


def copy_of(home: Path, to: Path) -> Path:
    """A copy of a home that other tests may be reading: each SQLite file whole, without the files beside it
    that come and go with its readers.
    """

    def copy(source: str, target: str) -> str:
        if not source.endswith(".db"):
            return shutil.copy2(source, target)
        with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as written:
            read.backup(written)
        return target

    beside = shutil.ignore_patterns("*.db-wal", "*.db-shm", "*.db-journal")
    return Path(shutil.copytree(home, to, ignore=beside, copy_function=copy))


def only_tables(folder: Path, *tables: str) -> None:
    """Remove a folder's other tables: of few features a model is trained in a fraction of the time."""
    for file in folder.glob("*.csv"):
        if file.stem not in tables:
            file.unlink()
