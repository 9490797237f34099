"""The encoding of a CSV file: named by its byte-order mark, shown by its bytes, or judged from them."""

import codecs
import gzip
import io
import re
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from charset_normalizer import from_bytes

from features.errors import RenewalError

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins with the mark of UTF-16, so it is asked for first
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHUNK = 1 << 20
_SAMPLE = 20_000
"""Bytes of lines beyond ASCII from which an encoding is judged."""
_CANDIDATES = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "cp1255", "cp1256", "mac_roman"),
    *("cp850", "cp437", "koi8_r", "cp932", "gb18030", "cp949", "big5", "euc_jp"),
)
"""Encodings that spreadsheets and CRMs export in, the most common first."""
_UNDEFINED = frozenset("\x81\x8d\x8f\x90\x9d")
"""Bytes that Windows-1252 leaves undefined and readers pass through."""
_SELDOM = frozenset("ÝÞþðÐýÿŸ¤¦¨ª¬¯±³´µ¶·¸¹¼½¾÷ƒˆ˜¥¢›‹‰†‡")
"""Signs much more seldom in names and places than the letters that other encodings have in their place."""


def opened(path: Path) -> BinaryIO:
    """A file's bytes, unpacked where it is packed."""
    return cast("BinaryIO", gzip.open(path, "rb")) if path.name.lower().endswith(".gz") else path.open("rb")


def as_utf8(path: Path, staging: Path, notes: list[str]) -> Path:
    """The file itself where it is UTF-8, else its text as UTF-8 in `staging`.

    Args:
        path: a text file, packed or not.
        staging: where the UTF-8 text goes.
        notes: gets what was decided, where that is not UTF-8 or not surely right.

    Raises:
        RenewalError: the bytes are not of the encoding that a byte-order mark names.
    """
    with opened(path) as file:
        head = file.read(4096)
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    encoding = marked or _without_mark(head)
    target = staging / f"{path.name.split('.')[0]}.utf-8.csv"
    if encoding is None and _is_utf8(path):
        twice = _read_twice(path)
        if twice is None:
            return path
        with opened(path) as file, target.open("w", encoding="utf-8", newline="") as out:
            out.writelines(_mended(line.decode()) for line in file)
        notes.append(
            f"{path.name} was UTF-8 read as Windows-1252 and written again, and is read as what it was:"
            f" {twice[0]!r} is {twice[1]!r}"
        )
        return target
    if encoding is not None:
        try:
            _rewrite(path, target, encoding, "strict")
        except UnicodeError as error:
            raise RenewalError(
                expected=f"{path.name} to be {encoding.upper()}, as its byte-order mark says",
                found=" ".join(str(error).split())[:200],
                do="Export it again as UTF-8.",
            ) from error
        return target
    strays, sample, in_utf8 = _beyond_ascii(path)
    if in_utf8 >= len(strays):
        _rewrite_mixed(path, target)
        lines = ", ".join(map(str, strays[:5])) + (" …" if len(strays) > 5 else "")
        notes.append(
            f"{path.name} is UTF-8 but for {len(strays)} line{'s' * (len(strays) > 1)} ({lines}),"
            " read as Windows-1252"
        )
        return target
    encoding = judged(sample)
    _rewrite(path, target, encoding, "replace")
    example = _example(sample, encoding)
    notes.append(f"{path.name} is not UTF-8 and was read as {_called(encoding)}: {example}")
    return target


def judged(sample: bytes) -> str:
    """The encoding that makes most sense of bytes that are not UTF-8.

    charset-normalizer measures how messy each decoding looks; a few names are too short for it to distinguish
    neighbouring code pages, so among those that look alike the one with the fewest odd letters is taken
    (a capital after a small letter, a sign inside a word, two scripts in one word), and then the most common.
    """
    matches = {
        name: match.chaos
        for match in from_bytes(sample, cp_isolation=list(_CANDIDATES))
        for name in match.could_be_from_charset
    }
    least = min(matches.values(), default=0.0)
    alike = ["cp1252", *(name for name in _CANDIDATES if matches.get(name, 1.0) <= least + 0.1)]
    return min(alike, key=lambda name: (_oddities(sample.decode(name, "replace")), _CANDIDATES.index(name)))


def _oddities(text: str) -> int:
    odd = 0
    for before, letter, after in zip(" " + text, text, text[1:] + " ", strict=False):
        if letter < "\x80":
            continue
        category = unicodedata.category(letter)
        odd += letter in _SELDOM or letter == "\ufffd" or category in ("Co", "Cc", "Cn")
        odd += category == "Lu" and before.islower()
        odd += category in ("So", "Sc", "Sm", "Sk") and (before.isalpha() or after.isalpha())
        odd += not letter.isalpha() and letter not in "’‘" and before.isalpha() and after.isalpha()
        odd += letter.isalpha() and (before.isdigit() or after.isdigit())
        odd += before.isalpha() and letter.isalpha() and _script(before) != _script(letter)
        odd += after < "\x80" and after.isalpha() and letter.isalpha() and _script(after) != _script(letter)
        odd += "HALFWIDTH" in unicodedata.name(letter, "") or category == "Lm"
    return odd


def _script(letter: str) -> str:
    return unicodedata.name(letter, "?").split()[0]


def _called(encoding: str) -> str:
    return f"Windows-{encoding[2:]}" if encoding.startswith("cp125") else encoding


def _example(sample: bytes, encoding: str) -> str:
    words = re.findall(r"[^\W\d_]+", sample.decode(encoding, "replace"))
    return repr(
        next((word for word in words if not word.isascii()), sample.decode(encoding, "replace")[:20])[:40]
    )


def _without_mark(head: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of plain letters is zero."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if max(even, odd) < 0.4 * len(head) / 2 or min(even, odd) > 0.1 * len(head) / 2:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with opened(path) as file:
        try:
            while chunk := file.read(_CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _read_twice(path: Path) -> tuple[str, str] | None:
    """Text garbled by reading UTF-8 as Windows-1252, and the original; None unless all non-ASCII lines are.

    `MÃ¼ller` turns back into `Müller`; text that was not garbled hardly ever turns into UTF-8.
    """
    example = None
    with opened(path) as file:
        for line in file:
            if line.isascii():
                continue
            text = line.decode().lstrip("\ufeff")
            mended = _mended(text)
            if mended == text and not text.isascii():
                return None
            example = example or next(
                (pair for pair in zip(text.split(), mended.split(), strict=False) if pair[0] != pair[1]), None
            )
    return example


def _mended(text: str) -> str:
    """The text as it was before its UTF-8 was read as Windows-1252; unchanged where it was not."""
    try:
        codes = (ord(letter) if letter in _UNDEFINED else letter.encode("cp1252")[0] for letter in text)
        return bytes(codes).decode()
    except (UnicodeError, ValueError):
        return text


def unquoted_lines(path: Path, staging: Path) -> Path:
    """A copy of a UTF-8 file of which each line is quoted as a whole, without those quotes."""
    target = staging / f"{path.name.split('.')[0]}.unquoted.csv"
    with opened(path) as file, target.open("w", encoding="utf-8", newline="") as out:
        for line in io.TextIOWrapper(file, "utf-8-sig", newline=""):
            text = line.rstrip("\r\n")
            is_quoted = len(text) > 1 and text[0] == text[-1] == '"'
            out.write((text[1:-1].replace('""', '"') if is_quoted else text) + "\n")
    return target


def _beyond_ascii(path: Path) -> tuple[list[int], bytes, int]:
    """Lines (from 1) that are not UTF-8, a sample of them, and how many lines beyond ASCII are UTF-8."""
    strays: list[int] = []
    sample, in_utf8 = b"", 0
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            if line.isascii():
                continue
            try:
                line.decode()
                in_utf8 += 1
            except UnicodeDecodeError:
                strays.append(number)
                if len(sample) < _SAMPLE:
                    sample += line
    return strays, sample, in_utf8


def _rewrite(path: Path, target: Path, encoding: str, errors: str) -> None:
    with opened(path) as file, target.open("w", encoding="utf-8", newline="") as out:
        shutil.copyfileobj(io.TextIOWrapper(file, encoding, newline="", errors=errors), out, _CHUNK)


def _rewrite_mixed(path: Path, target: Path) -> None:
    with opened(path) as file, target.open("w", encoding="utf-8", newline="") as out:
        out.writelines(_decoded(file))


def _decoded(file: BinaryIO) -> Iterator[str]:
    for line in file:
        try:
            yield line.decode()
        except UnicodeDecodeError:
            yield line.decode("cp1252", "replace")
