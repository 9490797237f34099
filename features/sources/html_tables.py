"""Tables of web pages and of Excel's XML, which CRMs save as "Excel": the cells, row by row."""

import re
from html.parser import HTMLParser

_SPACE = re.compile(r"\s+")
_ROWS, _CELLS = ("tr", "row"), ("td", "th", "cell")
_BREAKS = ("br", "p", "div", "li")
_MOST_CELLS = 1000
"""Columns, and rows, that one cell may span."""


def rows_of_page(text: str) -> list[list[str]]:
    """The cells of all tables in a page or a workbook in XML.

    A cell that spans rows counts in each of them; one that spans columns counts in the first.
    """
    page = _Page()
    page.feed(text)
    page.close()
    return page.rows


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._is_cell = False
        self._spans: dict[int, tuple[int, str]] = {}
        """Column → further rows that a cell above spans, and its text."""
        self._down: tuple[int, int] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A row or a cell begins."""
        given = {name.removeprefix("ss:"): value or "" for name, value in attrs}
        if tag == "table":
            self._spans = {}
        elif tag in _ROWS:
            self._end_cell()
            self.rows += [[] for _ in range(_count(given.get("index"), 0) - len(self.rows) - 1)]
            self.rows.append([])
            self._fill()
        elif tag in _CELLS and self.rows:
            self._end_cell()
            row = self.rows[-1]
            row += [""] * (_count(given.get("index"), 0) - len(row) - 1)
            row.append("")
            down = _count(given.get("rowspan"), 1) - 1 + _count(given.get("mergedown"), 0)
            across = _count(given.get("colspan"), 1) - 1 + _count(given.get("mergeacross"), 0)
            self._down, self._is_cell = (down, across), True
        elif tag in _BREAKS and self._is_cell:
            self.rows[-1][-1] += " "

    def handle_endtag(self, tag: str) -> None:
        """A cell ends."""
        if tag in (*_CELLS, *_ROWS, "table"):
            self._end_cell()

    def handle_data(self, data: str) -> None:
        """Text of the present cell."""
        if self._is_cell:
            self.rows[-1][-1] += _SPACE.sub(" ", data)

    def _end_cell(self) -> None:
        if not self._is_cell or self._down is None:
            return
        self._is_cell = False
        row = self.rows[-1]
        row[-1] = row[-1].strip()
        down, across = self._down
        if down:
            self._spans[len(row) - 1] = (down, row[-1])
        row += [""] * across
        self._fill()

    def _fill(self) -> None:
        """What cells above hold of the columns that come next."""
        row = self.rows[-1]
        while len(row) in self._spans:
            left, text = self._spans.pop(len(row))
            if left > 1:
                self._spans[len(row)] = (left - 1, text)
            row.append(text)


def _count(text: str | None, otherwise: int) -> int:
    return min(int(text), _MOST_CELLS) if text and text.isdigit() else otherwise
