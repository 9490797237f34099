"""Kills a command at each change it makes below its home, runs it again, and leaves both homes to look at.

    python -m benchmarks.kill_points --home HOME --into DIR [--stride N] [--most N] -- erase A-1

A change is a file opened to write, made, renamed or removed, as Python's audit events report (PEP 578), or a
transaction that is committed. For the n-th, a copy of HOME is made at DIR/n, the command runs on it in a
forked process that ends itself by SIGKILL right before that change, and then once more to its end. One JSON
line a kill says how both ended.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate", "os.utime"}
"""Events whose first argument is a path that is changed."""


class Fuse:
    """Ends the process right before its n-th change below a folder or its n-th commit; 0: never.

    Args:
        folder: whose changes count.
        at: the number of the change, from 1.
        counts: a file that gets the number of changes so far, each time; None: none.
    """

    def __init__(self, folder: Path, at: int, counts: Path | None = None) -> None:
        self.below = os.fsencode(folder.resolve())
        self.at, self.changes, self.counts = at, 0, counts

    def lit(self) -> None:
        """Count from now on, in this process."""
        from sqlalchemy import Engine, event

        sys.addaudithook(self)
        event.listen(Engine, "commit", lambda connection: self.count())

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        """Hear of one event, and count it where it is a change."""
        if event == "open":
            path, flags = args[0], args[2]
            if not isinstance(flags, int) or not flags & WRITES:
                return
        elif event in CHANGES or event == "sqlite3.connect":
            path = args[0]
        else:
            return
        if isinstance(path, str | bytes | os.PathLike) and self.below in os.path.abspath(os.fsencode(path)):
            self.count()

    def count(self) -> None:
        """Count one change, and end the process where it is the one."""
        self.changes += 1
        if self.counts is not None:
            self.counts.write_text(str(self.changes))
        if self.changes == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def run_forked(command: Sequence[str], home: Path, at: int) -> int:
    """Run the command line in a forked process; its exit code, negative for the signal that ended it."""
    child = os.fork()
    if not child:
        _become(command, home, at)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _become(command: Sequence[str], home: Path, at: int) -> None:
    """Run the command in this process and end it."""
    code = 1
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.environ["PERENNIAL_HOME"] = str(home)
        sys.argv = ["perennial", *command]
        Fuse(home, at).lit()
        from perennial.cli import main

        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1 if ended.code else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def each_kill(
    command: Sequence[str], home: Path, into: Path, stride: int = 1, most: int = 1_000
) -> list[dict[str, int]]:
    """Kill `command` at every `stride`-th change and run it again; `at`, `killed`, `again` of each.

    The last one is the first that was not killed any more: every change is behind it.
    """
    ends = []
    for at in range(1, most * stride + 1, stride):
        copy = into / str(at)
        shutil.copytree(home, copy)
        killed = run_forked(command, copy, at)
        again = run_forked(command, copy, 0)
        ends.append({"at": at, "killed": killed, "again": again})
        print(json.dumps(ends[-1]), flush=True)
        if killed != -signal.SIGKILL:
            break
    return ends


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--most", type=int, default=1_000)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    given.into.mkdir(parents=True, exist_ok=True)
    each_kill(given.command, given.home, given.into, given.stride, given.most)


if __name__ == "__main__":
    import perennial.cli  # noqa: F401  (imported once, before the forks)
    import serving.app  # noqa: F401

    main()
