"""Every writing command on a disk that fills up: one line and exit 2 or all done, and nothing is lost.

    mount -t tmpfs -o size=64m tmpfs DISK     # or any small file system
    python -m benchmarks.full_disk DISK [--draws 3] [--most-kb 3000] [--only run,erase] [--prepared DIR]

A copy of a prepared home lies on the small disk, with ballast that leaves a drawn number of kilobytes. A
command runs, the ballast is taken away, the command runs again and must end well. Then we look, as after a
kill, for what was lost, doubled or left over. `ended badly`: a traceback, or an exit status but 0 and 2.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.killed_checks import problems_after
from benchmarks.killed_commands import killed
from benchmarks.killed_furnishing import furnished, reached
from benchmarks.killed_homes import Place, copied, ended, finished, perennial
from benchmarks.killed_systems import systems
from benchmarks.reliability import begun, checked, import_first, note_versions, unharmed

KB = 1_024


def filled(disk: Path, free_kb: int) -> Path:
    """A file that leaves so much of a disk free."""
    ballast = disk / "ballast"
    size = shutil.disk_usage(disk).free - free_kb * KB
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(size, KB))
    return ballast


def tried(name: str, place: Place, facts: Any, disk: Path, free_kb: int) -> tuple[int, list[str]]:
    """Run one command with so much space, then with enough: its first exit status, and what is wrong."""
    command = begun(name, place)
    ballast = filled(disk, free_kb)
    with tempfile.TemporaryFile() as output:
        code = ended(perennial(place, command.words, output))
        output.seek(0)
        text = output.read().decode(errors="replace").strip()
    ballast.unlink()
    last = text.rpartition("\n")[2]
    problems = []
    if code not in (0, 2) or (code == 2 and not last.startswith("perennial: ")) or "Traceback" in text:
        problems.append(f"ended badly: {name} with {free_kb} KB: {code}, {text[-600:]}")
    again, _ = finished(place, *command.words)
    if again not in command.again:
        return code, [*problems, f"lost: {name} run again ended with {again}"]
    return code, problems + checked(partial(problems_after, name, place, facts))


def main() -> None:
    """Prepare, fill, run, and print what was found by command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("disk", type=Path)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--most-kb", type=int, default=3_000)
    parser.add_argument("--only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--prepared", type=Path)
    given = parser.parse_args()
    draw, counts, full = random.Random(given.seed), Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="full-disk-") as work:
        folder = given.prepared or Path(work)
        folder.mkdir(parents=True, exist_ok=True)
        place = furnished(folder, None)
        note_versions(place)
        with systems(place.before["contracts"]) as addresses:
            reached(place, addresses)
            for name in given.only.split(",") if given.only else killed(place):
                facts = unharmed(place, [name], Path(work))[name].facts
                for _ in range(given.draws):
                    free_kb = int(draw.random() ** 2 * given.most_kb)
                    copy = copied(place, given.disk / "copy")
                    code, problems = tried(name, copy, facts, given.disk, free_kb)
                    shutil.rmtree(given.disk / "copy")
                    full[f"{name}: {code}"] += 1
                    for one in problems:
                        counts[one.partition(":")[0]] += 1
                        print(one, flush=True)
    print(dict(full))
    print(", ".join(f"{what} {counts[what]}" for what in ("ended badly", "lost", "doubled", "left over")))
    sys.exit(1 if counts else 0)


if __name__ == "__main__":
    import_first()
    main()
