"""What was written into a system, and what stood there before: a journal in the home, a line a record.

A line is appended, and on disk, before the call it is about: killed in between, the next run knows what
stood there before and writes the same again. The last line about a record counts.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from features.errors import RenewalError
from features.scratch import replacing
from features.sources.connection_file import checked_name

Values = dict[str, Any]
FOLDER = "written"


@dataclass(frozen=True)
class Written:
    """One record of a system.

    Args:
        object: of the system.
        id: of the record.
        values: the system's field → what was written, or was about to be.
        before: the system's field → what stood there before the first time.
        is_done: whether the system has confirmed it.
    """

    object: str
    id: str
    values: Values = field(default_factory=dict)
    before: Values = field(default_factory=dict)
    is_done: bool = False


class WrittenLog:
    """The journal of one connection.

    Args:
        name: of the connection.
        home: where journals are kept.
    """

    def __init__(self, name: str, home: Path) -> None:
        self.path = home / FOLDER / f"{checked_name(name)}.jsonl"

    def read(self) -> dict[tuple[str, str], Written]:
        """(object, id) → the last line about it; a line cut short by a kill is none."""
        records: dict[tuple[str, str], Written] = {}
        if not self.path.is_file():
            return records
        lines = self.path.read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(lines):
            try:
                record = Written(**json.loads(line)) if line else None
            except (ValueError, TypeError) as error:
                if number == len(lines) - 1:  # cut short by a kill
                    continue
                raise RenewalError(
                    expected=f"{self.path} to be a journal of what was written",
                    found=f"line {number + 1} that is none",
                    do="Put back a copy of it, or remove it: what stood before is then no longer known.",
                ) from error
            if record is not None:
                records[record.object, record.id] = record
        return records

    def append(self, records: Iterable[Written]) -> None:
        """Add lines, on disk before this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(vars(record), ensure_ascii=False) + "\n" for record in records)
        with self.path.open("ab+") as file:
            self._drop_cut_line(file)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())

    def confirm(self, records: Iterable[Written]) -> None:
        """Note that the system has taken them."""
        self.append(replace(record, is_done=True) for record in records)

    def rewrite(self, records: Mapping[tuple[str, str], Written]) -> None:
        """Replace the journal by these records, in one step."""
        with replacing(self.path) as part:
            part.write_text(
                "".join(json.dumps(vars(record), ensure_ascii=False) + "\n" for record in records.values()),
                encoding="utf-8",
            )

    def _drop_cut_line(self, file: IO[bytes]) -> None:
        """Take off a last line that a kill has cut short."""
        end = file.seek(0, os.SEEK_END)
        while end and (file.seek(end - 1), file.read(1))[1] != b"\n":
            end -= 1
        file.truncate(end)


def forget_written(home: Path, ids: Iterable[str]) -> int:
    """Remove lines about records of these ids from every journal; returns how many records went."""
    gone, count = set(ids), 0
    for path in sorted((home / FOLDER).glob("*.jsonl")):
        log = WrittenLog(path.stem, home)
        records = log.read()
        stay = {key: record for key, record in records.items() if record.id not in gone}
        if len(stay) < len(records):
            count += len(records) - len(stay)
            log.rewrite(stay)
    return count
