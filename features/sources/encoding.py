"""CSV files in UTF-16 or UTF-32, as spreadsheets export "Unicode text": told by their byte-order mark."""

import codecs
import gzip
import io
import shutil
from pathlib import Path
from typing import BinaryIO, cast

from features.errors import RenewalError

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins with the mark of UTF-16, so it is asked for first
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHUNK = 1 << 20


def opened(path: Path) -> BinaryIO:
    """A file's bytes, unpacked where it is packed."""
    return cast("BinaryIO", gzip.open(path, "rb")) if path.name.lower().endswith(".gz") else path.open("rb")


def as_utf8(path: Path, staging: Path) -> Path:
    """The file itself, or its text as UTF-8 in `staging` where a byte-order mark names another encoding.

    Raises:
        RenewalError: the bytes are not of the encoding that the mark names.
    """
    with opened(path) as file:
        head = file.read(4)
    encoding = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    if encoding is None:
        return path
    target = staging / f"{path.name.split('.')[0]}.utf-8.csv"
    try:
        with opened(path) as file, target.open("w", encoding="utf-8", newline="") as out:
            shutil.copyfileobj(io.TextIOWrapper(file, encoding, newline=""), out, _CHUNK)
    except UnicodeError as error:
        raise RenewalError(
            expected=f"{path.name} to be {encoding.upper()}, as its byte-order mark says",
            found=" ".join(str(error).split())[:200],
            do="Export it again as UTF-8.",
        ) from error
    return target
