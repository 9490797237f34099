"""Who lives where: counts of people by county or postcode from the US Census Bureau's API (ACS, five years).

Documented at https://www.census.gov/data/developers/guidance/api-user-guide.html: an answer is a JSON array
of arrays with a header row; 204 means no data, 400 comes with the error as text, a wrong key brings an HTML
page. A published year never changes, so what was fetched is kept under the home and not asked for again.
"""

import hashlib
import json
import random
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from features.errors import RenewalError
from features.progress import Say, silent
from features.scratch import replacing
from features.settings import Settings

MOST_VARIABLES = 50
"""What the API answers in one call, NAME among them."""

ATTEMPTS = 5
TIMEOUT_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 60.0
AREAS = {"county": "county", "postcode": "zip code tabulation area"}
"""What an area is called on the command line → in the API."""

SIGN_UP = "https://api.census.gov/data/key_signup.html"
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


def _sex_by_age(*spans: tuple[int, int]) -> tuple[str, ...]:
    """Variables of table B01001 (sex by age), both ends of each span included."""
    return tuple(f"B01001_{at:03d}E" for first, last in spans for at in range(first, last + 1))


ATTRIBUTES: dict[str, dict[str, tuple[str, ...]]] = {
    "sex": {"male": ("B01001_002E",), "female": ("B01001_026E",)},
    "age": {
        "under 18": _sex_by_age((3, 6), (27, 30)),
        "18 to 64": _sex_by_age((7, 19), (31, 43)),
        "65 and over": _sex_by_age((20, 25), (44, 49)),
    },
    "race": {
        "white": ("B03002_003E",),
        "black": ("B03002_004E",),
        "american indian or alaska native": ("B03002_005E",),
        "asian": ("B03002_006E",),
        "pacific islander": ("B03002_007E",),
        "other": ("B03002_008E",),
        "two or more": ("B03002_009E",),
        "hispanic or latino": ("B03002_012E",),
    },
    "poverty": {"below the line": ("B17001_002E",), "at or above it": ("B17001_031E",)},
    "born": {"in the country or to its citizens": ("B05002_002E",), "elsewhere": ("B05002_013E",)},
}
"""Attribute → value → the variables whose sum counts its people. Race is of those not Hispanic or Latino."""


@dataclass(frozen=True)
class Population:
    """Rows of the table `population`, and what could not be answered.

    Attributes:
        rows: `attribute`, `value`, `people`, `area` (`25017 Middlesex County, Massachusetts`, or a postcode).
        areas: how many areas there are.
        withheld: counts that the Bureau does not give (too few sampled); they are left out, not zero.
        source: what was asked.
    """

    rows: list[dict[str, Any]]
    areas: int
    withheld: int
    source: str


def population(
    settings: Settings,
    *,
    year: int,
    by: str,
    attributes: Sequence[str] = (),
    states: Sequence[str] = (),
    refresh: bool = False,
    say: Say = silent,
    wait: Callable[[float], None] = time.sleep,
) -> Population:
    """Fetch who lives in each area.

    Args:
        settings: `census_key`, `census_url`, and the home where answers are kept.
        year: the last of the five years, 2009 at the earliest.
        by: `county` or `postcode` (ZIP code tabulation areas).
        attributes: of `ATTRIBUTES`; all if none is named.
        states: two-digit codes (25 is Massachusetts), of counties only; all if none is named.
        refresh: ask again though the answer is kept.
        say: called with a line for each request.
        wait: sleeps between attempts.

    Raises:
        RenewalError: no key or a wrong one, an unknown attribute, area or state, a year not published, no
            data, or a server that does not answer.
    """
    wanted = _wanted(attributes)
    place = _place(by, states)
    variables = sorted({each for values in wanted.values() for sums in values.values() for each in sums})
    counts_by_area: dict[str, dict[str, Any]] = {}
    for start in range(0, len(variables), MOST_VARIABLES - 1):
        part = variables[start : start + MOST_VARIABLES - 1]
        query = {"get": ",".join(["NAME", *part]), **place}
        for row in _records(_answer(settings, f"{year}/acs/acs5", query, refresh, say, wait)):
            counts_by_area.setdefault(_area(row, by), {}).update(row)
    rows, withheld = _rows(counts_by_area, wanted)
    return Population(rows, len(counts_by_area), withheld, f"ACS five years to {year}, by {by}")


def _wanted(attributes: Sequence[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    for name in attributes:
        if name not in ATTRIBUTES:
            raise RenewalError(
                expected=f"an attribute of {', '.join(ATTRIBUTES)}",
                found=repr(name),
                do="Name one of these.",
            )
    return {name: ATTRIBUTES[name] for name in (attributes or ATTRIBUTES)}


def _place(by: str, states: Sequence[str]) -> dict[str, str]:
    """The `for` and `in` of a query; postcodes cross state lines and know no `in` since 2020."""
    if by not in AREAS:
        raise RenewalError(expected=f"one of {', '.join(AREAS)}", found=repr(by), do="Choose one with --by.")
    wrong = [state for state in states if not re.fullmatch(r"\d{2}", state)]
    if wrong or (states and by != "county"):
        raise RenewalError(
            expected="--state to be a two-digit code, with --by county only",
            found=repr(wrong[0]) if wrong else f"--by {by}",
            do="Write 25 for Massachusetts, or leave --state out.",
        )
    inside = {"in": f"state:{','.join(states) or '*'}"} if by == "county" else {}
    return {"for": f"{AREAS[by]}:*", **inside}


def _area(row: dict[str, Any], by: str) -> str:
    if by == "county":
        return f"{row['state']}{row['county']} {row['NAME']}"
    return str(row[AREAS[by]])


def _rows(
    counts_by_area: dict[str, dict[str, Any]], wanted: dict[str, dict[str, tuple[str, ...]]]
) -> tuple[list[dict[str, Any]], int]:
    rows, withheld = [], 0
    for area, counts in sorted(counts_by_area.items()):
        for attribute, values in wanted.items():
            for value, variables in values.items():
                people = _sum(counts.get(name) for name in variables)
                if people is None:
                    withheld += 1
                else:
                    rows.append({"attribute": attribute, "value": value, "people": people, "area": area})
    return rows, withheld


def _sum(counts: Iterable[Any]) -> int | None:
    """The sum of counts, None if any is missing; negative ones (−666666666 and the like) say why it is."""
    total = 0
    for count in counts:
        if count is None or float(count) < 0:
            return None
        total += int(float(count))
    return total


def _records(table: list[list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(table[0], row, strict=True)) for row in table[1:]]


def _answer(
    settings: Settings,
    dataset: str,
    query: dict[str, str],
    refresh: bool,
    say: Say,
    wait: Callable[[float], None],
) -> list[list[Any]]:
    """A query's table, from the disk if it was asked before; the key is never kept."""
    address = f"{settings.census_url.rstrip('/')}/{dataset}?{urlencode(query, quote_via=quote, safe=',:*')}"
    path = settings.home / "census" / f"{hashlib.sha256(address.encode()).hexdigest()[:24]}.json"
    if not refresh and (table := _kept(path, address)) is not None:
        return table
    if not settings.census_key:
        raise RenewalError(
            expected="a key of the Census Bureau in PERENNIAL_CENSUS_KEY",
            found="none",
            do=f"Ask for one at {SIGN_UP}; it is free.",
        )
    say(f"asking {address}")
    table = _table(_fetch(f"{address}&key={quote(settings.census_key)}", address, wait), address)
    _keep(path, {"asked": address, "table": table})
    return table


def _kept(path: Path, address: str) -> list[list[Any]] | None:
    """The answer on disk, None if there is none or it is damaged."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stored["table"] if isinstance(stored, dict) and stored.get("asked") == address else None


def _keep(path: Path, content: dict[str, Any]) -> None:
    """Write a file so that a reader finds it whole or not at all."""
    with replacing(path) as part:
        part.write_text(json.dumps(content), encoding="utf-8")


def _fetch(url: str, address: str, wait: Callable[[float], None]) -> tuple[int, str]:
    """Status and text of an answer; what may pass is tried again, twice as late each time."""
    for attempt in range(ATTEMPTS):
        after = None
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
                return answer.status, answer.read().decode("utf-8", errors="replace")
        except urllib.error.HTTPError as error:
            text = error.read().decode("utf-8", errors="replace")
            if error.code not in _TRANSIENT:
                return error.code, text
            trouble, after = f"status {error.code}", error.headers.get("Retry-After")
        except (OSError, TimeoutError) as error:  # URLError and a connection cut are both OSErrors
            trouble = str(getattr(error, "reason", error)) or type(error).__name__
        if attempt + 1 < ATTEMPTS:
            wait(_pause(attempt, after))
    raise RenewalError(
        expected=f"an answer from {address}",
        found=f"{trouble}, {ATTEMPTS} times",
        do="Try again later; what was fetched before is kept.",
    )


def _pause(attempt: int, after: str | None) -> float:
    """Seconds until the next attempt: as the server asks, else 1, 2, 4, … with some chance in it."""
    if after and after.isdigit():
        return min(float(after), LONGEST_WAIT_SECONDS)
    return min(2.0**attempt, LONGEST_WAIT_SECONDS) * (0.5 + random.random() / 2)


def _table(answer: tuple[int, str], address: str) -> list[list[Any]]:
    """The array of arrays, or what the API complains of in one line."""
    status, text = answer
    title = re.search(r"<title>\s*(.*?)\s*</title>", text, re.IGNORECASE | re.DOTALL)
    if title and "key" in title.group(1).lower():
        raise RenewalError(
            expected="a valid key of the Census Bureau in PERENNIAL_CENSUS_KEY",
            found=f"the answer “{title.group(1)}”",
            do=f"Check the key, or ask for another at {SIGN_UP}; a new one works once it is activated.",
        )
    if status == 204 or (status == 200 and not text.strip()):
        raise RenewalError(
            expected=f"data for {address}", found="none (204)", do="Ask for another area or year."
        )
    if status == 404:
        raise RenewalError(
            expected="a year whose five-year ACS is published",
            found=f"404 for {address}",
            do="Ask for an earlier --year; each is published the December after.",
        )
    if status != 200:
        complaint = " ".join(re.sub(r"<[^>]*>", " ", text).split())[:200]
        raise RenewalError(
            expected=f"data for {address}", found=f"{status}: {complaint}", do="Change the question."
        )
    return _read(text, address)


def _read(text: str, address: str) -> list[list[Any]]:
    try:
        table = json.loads(text)
        is_table = {(type(row), len(row)) for row in table} == {(list, len(table[0]))}
    except (ValueError, TypeError, LookupError):
        is_table = False
    if not is_table:
        raise RenewalError(
            expected=f"an array of arrays from {address}", found=repr(text[:80]), do="Try again later."
        )
    return table
