"""Unfinished work on disk: owned by a lock that ends with its process, so that what a kill leaves is known.

Every scratch folder has a lock file beside it, every draft of a file is its own lock file. Whoever holds the
lock lives; a folder or draft whose lock is free belongs to nobody: `sweep` removes it, however young it is.
"""

import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from features.errors import RenewalError

MARK = ".scratch-"
"""What the name of every unfinished folder, draft and lock begins with."""
_LOCK = ".lock"
_EARLIER = (".load-*", ".old-*", ".unfinished-*")
"""What versions before this one called theirs; elsewhere than in a home such names may be anybody's."""
_LOOKED_AT: set[Path] = set()
"""Folders in which this process has looked for what killed ones left."""


class Scratch:
    """A folder for unfinished work; `close` removes it, or the next `sweep` once this process is gone.

    Args:
        parent: where it is made; on the same disk as the result, so that the result can be moved in one step.

    Raises:
        RenewalError: nothing can be written there.
    """

    def __init__(self, parent: Path) -> None:
        self.path = parent / f"{MARK}{uuid.uuid4().hex}"
        with writable(parent):
            parent.mkdir(parents=True, exist_ok=True)
            _sweep_once(parent)
            self._lock = _owned(_lock_of(self.path))
            self.path.mkdir(mode=0o700)

    def close(self) -> None:
        """Remove the folder, then its lock."""
        if not self._lock.closed:
            shutil.rmtree(self.path, ignore_errors=True)
            _lock_of(self.path).unlink(missing_ok=True)
            self._lock.close()


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A folder for unfinished work in `parent`, removed at the end."""
    unfinished = Scratch(parent)
    try:
        yield unfinished.path
    finally:
        unfinished.close()


@contextmanager
def replacing(place: Path) -> Iterator[Path]:
    """A file to write that takes the name `place` at the end, in one step; nothing is left where that fails.

    Raises:
        RenewalError: nothing can be written there.
    """
    part = place.parent / f"{MARK}{uuid.uuid4().hex}{place.suffix}"
    with writable(place.parent):
        place.parent.mkdir(parents=True, exist_ok=True)
        _sweep_once(place.parent)
        lock = _owned(part)
    try:
        yield part
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)
        lock.close()


def discard(folder: Path) -> None:
    """Remove a finished folder; killed in between, what is left of it is known as nobody's."""
    gone = folder.with_name(f"{MARK}{uuid.uuid4().hex}")
    with suppress(FileNotFoundError):
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def sweep(*folders: Path) -> int:
    """Remove from folders what no process owns any more; says how many folders and files went."""
    return _swept(folders, (MARK + "*",))


def _sweep_once(folder: Path) -> None:
    """Sweep a folder before the first write into it: it may get a thousand files one by one."""
    if folder not in _LOOKED_AT:
        _LOOKED_AT.add(folder)
        sweep(folder)


def _swept(folders: Iterable[Path], names: Sequence[str]) -> int:
    unfinished = (left for folder in folders for left in _unfinished(folder, names))
    return sum(_removed(left) for left in unfinished if not _has_owner(left))


def sweep_home(home: Path) -> int:
    """`sweep` where a home keeps unfinished work, and in this user's place for passing files."""
    folders = [home, *(path for path in _listed(home) if path.is_dir())]
    return _swept(folders, (MARK + "*", *_EARLIER)) + sweep(passing())


def passing() -> Path:
    """This user's own folder below the system's for temporary files; made if it is not there.

    Raises:
        RenewalError: it is another user's, or nothing can be written there.
    """
    place = Path(tempfile.gettempdir()) / f"perennial-{os.getuid()}"
    with writable(place.parent):
        place.mkdir(mode=0o700, exist_ok=True)
    listed = place.lstat()
    if listed.st_uid != os.getuid() or place.is_symlink():
        raise RenewalError(
            expected=f"{place} to be this user's folder",
            found="another user's, or a link",
            do="Remove it, or set TMPDIR to a folder of this user.",
        )
    return place


@contextmanager
def turn(place: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock file `place` meanwhile; it is let go of with the process, however that ends.

    Args:
        place: the file; made if it is not there, and left there.
        wait: for whoever holds it; otherwise the value is False where somebody does.
    """
    with writable(place.parent):
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = place.open("a")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Say in one line why a file cannot be written.

    Raises:
        RenewalError: no permission, no space, a file where a folder should be, and the like.
    """
    try:
        yield
    except OSError as error:
        raise RenewalError(
            expected=f"to write in {folder}",
            found=error.strerror or str(error),
            do="Check the folder, its permissions and the free space, or choose another (PERENNIAL_HOME).",
        ) from error


def _owned(path: Path) -> IO[bytes]:
    """A new file under this process's lock; a sweeper may take it between making and locking: then again."""
    while True:
        file = path.open("xb")
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()


def _lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + _LOCK)


def _unfinished(folder: Path, names: Sequence[str]) -> list[Path]:
    """Unfinished folders and drafts of these names; locks after the folders they stand for."""
    listed = [left for left in _listed(folder) if any(left.match(name) for name in names)]
    return sorted(listed, key=lambda left: (left.name.endswith(_LOCK), left.name))


def _listed(folder: Path) -> list[Path]:
    with suppress(FileNotFoundError, NotADirectoryError):
        return list(folder.iterdir())
    return []


def _has_owner(left: Path) -> bool:
    """Whether a process holds the lock of a folder or draft; what has no lock at all has no owner."""
    try:
        with (_lock_of(left) if left.is_dir() else left).open("rb+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _removed(left: Path) -> bool:
    """Remove one; a file is removed under its lock, so that nobody begins to own it meanwhile."""
    if left.is_dir() and not left.is_symlink():
        shutil.rmtree(left, ignore_errors=True)
        return not left.exists()
    try:
        with left.open("rb+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()
    except (BlockingIOError, FileNotFoundError):
        return False
    return True
