"""Each account's stored rows, found in mapped files sorted by account: what a live answer reads, in under a
millisecond a table and whatever the size of the CRM.

The files are made once for a CRM and lie beside it, where an erasure and a later ingest remove them.
"""

import bisect
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from features.crm.crm import Crm
from features.engine import batches_by_account
from features.feature_plan import Work

ROWS_A_BATCH = 1_024
"""Rows that are looked through together."""
MOST_KEPT = 64
"""Accounts whose rows stay in memory: a second model asks for the same, and so does the next event."""
PREFIX = "by-account-"
_FORM = 1
"""Counted up when the kept form changes."""


class ByAccount:
    """The rows of one CRM by account; threads may share it.

    Args:
        crm: the CRM; its folder's parent holds the files, which are made if they are not there.
        works: what the models read.
    """

    def __init__(self, crm: Crm, works: Mapping[str, Work]) -> None:
        self.reads = _union(works)
        folder = _made(crm, next(iter(works.values())), self.reads)
        self._tables = {table: _Mapped(folder / table) for table in self.reads}
        self._found = lru_cache(MOST_KEPT)(self._find)

    def rows(self, account_id: str) -> dict[str, pa.Table]:
        """Table → the account's rows."""
        return dict(self._found(account_id))

    def _find(self, account_id: str) -> dict[str, pa.Table]:
        return {table: mapped.rows(account_id) for table, mapped in self._tables.items()}


class _Mapped:
    """One table's file: batches of rows, with the first and last account of each."""

    def __init__(self, path: Path) -> None:
        self.file = pa.ipc.open_file(pa.memory_map(str(path.with_suffix(".arrow"))))
        bounds = json.loads(path.with_suffix(".json").read_text())
        self.first, self.last = bounds["first"], bounds["last"]

    def rows(self, account_id: str) -> pa.Table:
        batches = []
        for number in range(bisect.bisect_left(self.last, account_id), len(self.first)):
            if self.first[number] > account_id:
                break
            batch = self.file.get_batch(number)
            batches.append(batch.filter(pc.equal(batch.column("account_id"), account_id)))
        return pa.Table.from_batches(batches, self.file.schema)


def _union(works: Mapping[str, Work]) -> dict[str, tuple[str, ...]]:
    """Table → every column that any of the models reads."""
    columns_by_table: dict[str, dict[str, None]] = {}
    for work in works.values():
        for table, columns in work.reads.items():
            columns_by_table.setdefault(table, {}).update(dict.fromkeys(columns))
    return {table: tuple(columns) for table, columns in sorted(columns_by_table.items())}


def _made(crm: Crm, work: Work, reads: Mapping[str, tuple[str, ...]]) -> Path:
    """The folder of the files, made in one step by the first of those that ask; others wait for it."""
    content = json.dumps([_FORM, reads], sort_keys=True)
    crm_home = crm.folder.parent
    place = crm_home / f"{PREFIX}{crm.folder.name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    if place.is_dir():
        return place
    with (crm_home / f".{PREFIX}lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not place.is_dir():
            _forget_others(crm_home, crm)
            with tempfile.TemporaryDirectory(prefix=".load-", dir=crm_home) as making:
                for table in reads:
                    _write(crm, work, reads, table, Path(making) / "files")
                os.rename(Path(making) / "files", place)
    return place


def _write(crm: Crm, work: Work, reads: Mapping[str, tuple[str, ...]], table: str, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    bounds: dict[str, list[str]] = {"first": [], "last": []}
    path = folder / f"{table}.arrow"
    with (
        batches_by_account(crm, work, reads, table, ROWS_A_BATCH) as batches,
        pa.ipc.new_file(str(path), batches.schema) as writer,
    ):
        for batch in batches:
            if len(batch):
                writer.write_batch(batch)
                bounds["first"].append(batch.column("account_id")[0].as_py())
                bounds["last"].append(batch.column("account_id")[len(batch) - 1].as_py())
    path.with_suffix(".json").write_text(json.dumps(bounds))


def _forget_others(crm_home: Path, crm: Crm) -> None:
    """Remove files of CRMs that are gone, and of this one in other forms."""
    for left in crm_home.glob(f"{PREFIX}*"):
        named = left.name.removeprefix(PREFIX).rpartition("-")[0]
        if named == crm.folder.name or not (crm_home / named).is_dir():
            shutil.rmtree(left, ignore_errors=True)
