"""What a file is by its first bytes, whatever its name says: people and web pages name files as they like."""

import re
import zipfile
from pathlib import Path

HEAD = 4096
WORKBOOKS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
TEXT, PACKED, ZIP, WORKBOOK, PARQUET, JSON, PAGE = (
    "text",
    "packed",
    "zip",
    "workbook",
    "parquet",
    "json",
    "page",
)
_STARTS = {
    b"PK\x03\x04": ZIP,
    b"PK\x05\x06": ZIP,
    b"\xd0\xcf\x11\xe0": WORKBOOK,
    b"PAR1": PARQUET,
    b"\x1f\x8b": PACKED,
    b"BZh": PACKED,
    b"\xfd7zXZ\x00": PACKED,
}
_NO_TABLE = {
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"SQLite format 3": "an SQLite database",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
}
_PAGE = re.compile(
    rb"<(?:!doctype|!--|\?xml|\?mso|html|head|meta|body|table|div|style|script|center|h\d|tr|thead|workbook)\b",
    re.IGNORECASE,
)
_JSON = re.compile(rb'\{\s*["}]|\[\s*(?:[\[{\]]|"(?:[^"\\]|\\.)*"\s*[,\]])')
_MARKS = b"\xef\xbb\xbf\xff\xfe \t\r\n"


def form_of(path: Path) -> str:
    """One of the forms above, or in words what a file is that holds no table."""
    with path.open("rb") as file:
        form = form_in(file.read(HEAD))
    return WORKBOOK if form is ZIP and _is_workbook(path) else form


def _is_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as packed:
            names = packed.namelist()
    except zipfile.BadZipFile:
        return path.suffix.lower() in WORKBOOKS  # a broken one
    return "[Content_Types].xml" in names or {"mimetype", "content.xml"} <= set(names)


def form_in(head: bytes) -> str:
    """The form of a file that begins so."""
    form = next((form for start, form in _STARTS.items() if head.startswith(start)), None)
    if form is not None:
        return form
    if other := next((words for start, words in _NO_TABLE.items() if head.startswith(start)), None):
        return other
    if head[257:262] == b"ustar":
        return "a tar archive"
    text = head.replace(b"\0", b"").lstrip(_MARKS)  # UTF-16 of plain letters has a zero beside each
    if _PAGE.match(text):
        return PAGE
    return JSON if _JSON.match(text) else TEXT
