"""What a home states, as people and programs read it: pages, files, routes and commands; and compared."""

import contextlib
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
from starlette.testclient import TestClient

from perennial.cli import app as commands
from serving.scoring.answer_tables import main_table
from serving.scoring.export import without_its_page

NEAR = 1e-6


class Facts:
    """What was compared: how many statements of how many places, and which differ."""

    def __init__(self) -> None:
        self.compared: dict[str, int] = {}
        self.wrong: list[str] = []

    def same(self, fact: str, place: str, expected: Any, stated: Any) -> None:
        """A place states a fact; numbers may differ by less than a millionth of it."""
        self.compared[place] = self.compared.get(place, 0) + 1
        if not _equal(expected, stated):
            self.wrong.append(f"{fact}: {expected!r}, but {stated!r} in {place}")


def _equal(one: Any, other: Any) -> bool:
    missing = [value is None or value != value for value in (one, other)]
    if any(missing):
        return all(missing)
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) <= NEAR * max(1.0, abs(one))
    return bool(one == other)


class Page(HTMLParser):
    """The rows of a page's lists as label → words, its headline, and figures by their label."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[dict[str, str]] = []
        self.words: list[str] = []
        self._cell: str | None = None
        self._ids: list[str] = []
        self.feed(html)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))
        tile = re.compile(r'<div class="label">([^<]*)</div><div class="value[^"]*">([^<]*)</div>')
        self.tiles = dict(tile.findall(html))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a row or a cell."""
        named = dict(attrs)
        if tag == "tr":
            self.rows.append({})
        elif tag == "td":
            self._cell = named.get("data-label") or ""
        elif tag == "input" and named.get("name") == "id" and self.rows:
            self.rows[-1]["id"] = named.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        """Text after a cell does not belong to it."""
        if tag == "td":
            self._cell = None

    def handle_data(self, data: str) -> None:
        """Words belong to the cell they are in."""
        self.words.append(data)
        if self._cell is not None and self.rows:
            self.rows[-1][self._cell] = f"{self.rows[-1].get(self._cell, '')} {data.strip()}".strip()


class Source:
    """One home, asked through its service and its commands.

    Args:
        client: of its service.
        home: its folder.
        facts: where it is noted whether a command's file holds what the command answers; None: nowhere.
    """

    def __init__(self, client: TestClient, home: Path, facts: Facts | None = None) -> None:
        self.client, self.home, self.facts = client, home, facts

    def json(self, path: str) -> Any:
        """An answer of the API."""
        answer = self.client.get(path)
        answer.raise_for_status()
        return answer.json()

    def page(self, path: str) -> Page:
        """A page as a browser gets it."""
        return Page(self.html(path))

    def html(self, path: str) -> str:
        """The text of a page."""
        answer = self.client.get(path, headers={"accept": "text/html"})
        answer.raise_for_status()
        return answer.text

    def file(self, path: str) -> pd.DataFrame:
        """An exported file."""
        body = io.BytesIO(self.client.get(path).raise_for_status().content)
        ending = path.partition("?")[0].rpartition(".")[2]
        readers: dict[str, Callable[..., Any]] = {
            "csv": pd.read_csv, "xlsx": pd.read_excel, "parquet": pd.read_parquet,
        }  # fmt: skip
        return pd.DataFrame(readers[ending](body))

    def command(self, *words: str) -> Any:
        """The JSON of a command, whose workbook must hold the same."""
        output = io.StringIO()
        with tempfile.TemporaryDirectory() as folder:
            book = Path(folder) / "answer.xlsx"
            with contextlib.redirect_stdout(output), environment(self.home):
                commands([*words, "--json", "--out", str(book)], standalone_mode=False)
            answer = json.loads(output.getvalue())
            if self.facts is not None:
                self._in_book(f"perennial {' '.join(words)} --out", answer, book)
        return answer

    def _in_book(self, place: str, answer: Any, book: Path) -> None:
        """Number for number, the main table of an answer and the first sheet of its file."""
        assert self.facts is not None
        main, sheet = main_table(without_its_page(answer)), pd.read_excel(book)
        self.facts.same("rows", place, len(main), len(sheet))
        for name in map(str, main.select_dtypes("number")):
            if name in sheet:
                stated = pd.to_numeric(sheet[name], errors="coerce").tolist()
                for one, other in zip(main[name].tolist(), stated, strict=False):
                    self.facts.same(name, place, one, other)
            else:
                self.facts.same("column", place, name, None)


@contextlib.contextmanager
def environment(home: Path) -> Iterator[None]:
    """Commands work on this home meanwhile."""
    before = os.environ.get("PERENNIAL_HOME")
    os.environ["PERENNIAL_HOME"] = str(home)
    try:
        yield
    finally:
        os.environ.pop("PERENNIAL_HOME")
        if before is not None:
            os.environ["PERENNIAL_HOME"] = before
