"""Words that a CRM's pages left in an export as HTML: `Smith &amp; Sons` is Smith & Sons."""

import html
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.sources.csv_text import opened

_ENTITY = r"&(?:[a-zA-Z]{2,8}|#[0-9]{1,6}|#[xX][0-9a-fA-F]{1,5});"
_IN_TEXT, _IN_BYTES = re.compile(_ENTITY), re.compile(_ENTITY.encode())
_CHUNK = 1 << 22
_LONGEST = 12


def without_entities(value: str) -> str:
    """The text with each whole entity as its letter; what only looks like one stays."""
    return _IN_TEXT.sub(lambda match: html.unescape(match[0]), value)


def decode_entities(text: Path, target: Path) -> str | None:
    """Rewrite a Parquet file of text whose columns hold entities.

    Args:
        text: the file that it was read from, looked at first.
        target: all columns text.

    Returns:
        One value as it was and as it is; None where there was nothing to do.
    """
    if not _holds_entities(text):
        return None
    table, example = pq.read_table(target), None
    for at, name in enumerate(table.column_names):
        words = table.column(at).combine_chunks().dictionary_encode()
        if not pc.any(pc.match_substring_regex(words.dictionary, _ENTITY)).as_py():
            continue
        plain = [value and without_entities(value) for value in words.dictionary.to_pylist()]
        changed = next(
            (pair for pair in zip(words.dictionary.to_pylist(), plain, strict=True) if pair[0] != pair[1]),
            None,
        )
        example = example or (changed and f"{changed[0]!r} is {changed[1]!r}")
        decoded = pa.DictionaryArray.from_arrays(words.indices, pa.array(plain, pa.string()))
        table = table.set_column(at, name, decoded.cast(pa.string()))
    if example is not None:
        pq.write_table(table, target, compression="snappy", row_group_size=40_960)
    return example


def _holds_entities(text: Path) -> bool:
    with opened(text) as file:
        end = b""
        while chunk := file.read(_CHUNK):
            if _IN_BYTES.search(end + chunk):
                return True
            end = chunk[-_LONGEST:]
    return False
