"""One export in several ZIP files (`WE_00D…_1.ZIP`, `WE_00D…_2.ZIP`), as Salesforce's weekly one comes.

An object may be in several of them: its rows go below each other. Two exports are never put together.
"""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from features.errors import RenewalError

_PART = re.compile(r"(WE_.+_)(\d{1,3})\.zip", re.IGNORECASE)


def parts_of(place: Path) -> list[Path]:
    """All parts beside a ZIP file of the export that it is a part of, in their order; else the file alone."""
    export, _ = _place_of(place.name)
    if not export:
        return [place]
    beside = [path for path in place.parent.iterdir() if _place_of(path.name)[0] == export and path.is_file()]
    return sorted(beside, key=lambda path: _place_of(path.name)[1])


def missing_parts(folder: Path) -> list[str]:
    """Names of parts that a folder lacks, before the last that is there."""
    numbers: dict[str, set[int]] = {}
    for path in folder.iterdir():
        export, number = _place_of(path.name)
        if export:
            numbers.setdefault(export, set()).add(number)
    return [
        f"{export.upper()}{number}.ZIP"
        for export, there in sorted(numbers.items())
        for number in range(1, max(there))
        if number not in there
    ]


def with_parts_below(files: Iterable[Path], notes: list[str]) -> list[Path]:
    """Unpacked files, each in a folder named as its ZIP file; one that is in several parts is one file.

    Args:
        files: of all ZIP files; those of later parts are put below those of the first.
        notes: gets a line for what was put together.

    Raises:
        RenewalError: an object has other columns in one part than in another.
    """
    whole: dict[tuple[str, str], list[Path]] = {}
    for path in files:
        export, _ = _place_of(path.parent.name)
        whole.setdefault((export or str(path.parent), path.name), []).append(path)
    joined = []
    for (_, name), paths in whole.items():
        first, *later = sorted(paths, key=lambda path: _place_of(path.parent.name)[1])
        for path in later:
            _put_below(first, path)
        if later:
            zips = ", ".join(path.parent.name for path in (first, *later))
            notes.append(f"{name} is in {zips}: read as one")
        joined.append(first)
    return joined


def _place_of(name: str) -> tuple[str, int]:
    """The export that a ZIP file of this name is a part of, and which one; "" for others."""
    part = _PART.fullmatch(name)
    return (part[1].lower(), int(part[2])) if part else ("", 0)


def _put_below(first: Path, later: Path) -> None:
    with first.open("rb+") as into, later.open("rb") as rows:
        header, later_header = into.readline(), rows.readline()
        if header.strip() != later_header.strip():
            zips = later.parent.name, first.parent.name
            raise RenewalError(
                expected=f"{later.name} of {zips[0]} to have the columns it has in {zips[1]}",
                found=later_header.decode(errors="replace").strip()[:80] or "none",
                do="Use parts of one export alone.",
            )
        into.seek(-1, 2)
        if into.read(1) != b"\n":
            into.write(b"\n")
        into.seek(0, 2)
        shutil.copyfileobj(rows, into)
    later.unlink()
