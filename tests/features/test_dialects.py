"""A clean CRM written in any dialect of CSV reads back as what it is."""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.crm.load import load

NAMES = st.sampled_from(
    ["Müller & Söhne", "Café Peña", 'The "Big" One', "a, b; c", "Plain", "Total", "Österreich"]
)


@dataclass(frozen=True)
class Dialect:
    """How a system or a spreadsheet writes its exports."""

    encoding: str = "utf-8"
    delimiter: str = ","
    newline: str = "\n"
    number: str = "{:.2f}"
    comma: bool = False
    day: str = "%Y-%m-%d"
    moment: str = "%Y-%m-%d %H:%M:%S"
    flags: tuple[str, str] = ("true", "false")
    nothing: str = ""
    id: Callable[[int], str] = "{}".format
    top: str = ""
    serial: bool = False

    def money(self, value: float | None) -> str:
        if value is None:
            return self.nothing
        text = self.number.format(value)
        return text.translate(str.maketrans(",.", ".,")) if self.comma else text

    def date(self, value: date | None) -> str:
        if value is None:
            return self.nothing
        return str((value - date(1899, 12, 30)).days) if self.serial else value.strftime(self.day)


GERMAN = Dialect(
    "cp1252", ";", "\r\n", "{:,.2f}", True, "%d.%m.%Y", "%d.%m.%Y %H:%M:%S", ("ja", "nein"), "#NV"
)
AMERICAN = Dialect(
    "cp1252", ",", "\r\n", "${:,.2f}", False, "%m/%d/%Y", "%m/%d/%Y %I:%M:%S %p", ("TRUE", "FALSE")
)
FRENCH = Dialect("utf-8-sig", ";", "\r\n", "{:.2f}", True, "%d/%m/%Y", "%d/%m/%Y %H:%M:%S", ("VRAI", "FAUX"))
SWISS = Dialect("cp1252", ";", "\r\n", "CHF {:,.2f}", day="%d.%m.%Y", flags=("oui", "non"), nothing="(blank)")
DIALECTS = {
    "contract": Dialect(),
    "excel-de": GERMAN,
    "excel-us": AMERICAN,
    "excel-fr": FRENCH,
    "unicode-text": Dialect("utf-16", "\t", "\r\n", day="%d-%b-%Y", flags=("Yes", "No"), nothing="-"),
    "mysql": Dialect(nothing="\\N", flags=("1", "0"), id="{:06d}".format),
    "pandas": Dialect(nothing="nan", flags=("True", "False"), id="{}.0".format, number="{!r}"),
    "postgres": Dialect(delimiter="|", nothing="NULL", flags=("t", "f"), moment="%Y-%m-%d %H:%M:%S+00"),
    "salesforce": Dialect(moment="%Y-%m-%dT%H:%M:%S.000Z", id="00150000{:07d}AAA".format, flags=("1", "0")),
    "swiss": SWISS,
    "dated-serially": Dialect(number="{:,.2f}", serial=True, nothing="n/a"),
    "old-macintosh": Dialect(
        "utf-8", ";", "\r", "{:.2f} €", True, "%d %B %Y", flags=("Y", "N"), top="sep=;\r"
    ),
}


def rows():
    """Contracts as (account, start, end, value, renewed, product) and calls as (account, when, minutes)."""
    days = st.dates(date(2015, 1, 1), date(2023, 12, 31))
    value = st.none() | st.integers(0, 10**9).map(lambda cents: cents / 100)
    flag = st.none() | st.booleans()
    contract = st.tuples(st.integers(1, 9), days, st.integers(1, 900), value, flag, st.none() | NAMES)
    when = st.datetimes(datetime(2015, 1, 1), datetime(2023, 12, 31)).map(
        lambda at: at.replace(microsecond=0)
    )
    call = st.tuples(st.integers(1, 9), when, st.integers(0, 4000).map(lambda tenths: tenths / 10))
    return st.tuples(st.lists(contract, max_size=12), st.lists(call, max_size=12))


# One row that shows how its column is to be read; a column without any is ambiguous, and no reader's fault.
SHOWS = ((1, date(2020, 1, 31), 29, 1_234_567.89, True, "Plain"), (1, datetime(2021, 12, 31, 22, 5, 9), 12.5))


def as_text(dialect: Dialect, header: list[str], lines: list[list[str]]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=dialect.delimiter, lineterminator=dialect.newline)
    writer.writerows([header, *lines])
    return (dialect.top + out.getvalue()).encode(dialect.encoding)


def write(folder: Path, dialect: Dialect, contracts: list[tuple], calls: list[tuple]) -> None:
    """The CRM in a dialect; a name that its encoding lacks does not occur."""
    truth = dict(zip((True, False), dialect.flags, strict=True)) | {None: dialect.nothing}
    lines = []
    for i, (account, start, days, value, renewed, product) in enumerate([SHOWS[0], *contracts], 1):
        end = date.fromordinal(start.toordinal() + days)
        text = [dialect.id(i), dialect.id(account), dialect.date(start), dialect.date(end)]
        lines.append([*text, dialect.money(value), truth[renewed], product or dialect.nothing])
    header = ["contract_id", "account_id", "start_date", "end_date", "annual_value", "renewed", "product"]
    (folder / "contracts.csv").write_bytes(as_text(dialect, header, lines))
    lines = [
        [dialect.id(i), dialect.id(account), at.strftime(dialect.moment), "call", dialect.money(minutes)]
        for i, (account, at, minutes) in enumerate([SHOWS[1], *calls], 1)
    ]
    header = ["activity_id", "account_id", "occurred_at", "kind", "duration_minutes"]
    (folder / "activities.csv").write_bytes(as_text(dialect, header, lines))


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(crm=rows())
def test_a_clean_crm_in_any_dialect_reads_back_equal(name, crm):
    dialect, (contracts, calls) = DIALECTS[name], crm
    plain_ids = Dialect(id=lambda number: dialect.id(number).removesuffix(".0"))
    tables = []
    with TemporaryDirectory() as work:
        for way, written in (("plain", plain_ids), ("dialect", dialect)):
            source = Path(work) / way
            source.mkdir()
            write(source, written, contracts, calls)
            crm_read = load(source, into=Path(work) / f"{way}-clean")
            assert crm_read.quality.quarantined == 0
            assert not any(table.unread for table in crm_read.quality.tables.values())
            tables.append({table: crm_read.arrow(table) for table in ("contracts", "activities")})
    for table in ("contracts", "activities"):
        assert tables[1][table].to_pylist() == tables[0][table].to_pylist()
