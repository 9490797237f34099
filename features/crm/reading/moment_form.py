"""How a column writes its days and moments: the order of day and month, clocks, zones, serial numbers.

The order is one for the whole column, shown by the days that fit only one reading; where both fit, by the
other columns of the table, and else by custom (month first after a slash, else day first), which is said.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import duckdb

from features.crm.reading.moment_tidy import tidied, tidied_sql
from features.crm.reading.moment_words import ENGLISH, MONTHS, WEEKDAYS, ZONES
from features.crm.reading.value_shapes import Shape
from features.crm.values import literal, quoted

_WORD = r"[A-Za-zÀ-ÿ]+\.?"
_WRITTEN = re.compile(
    rf"(?P<weekday>{_WORD},?\s+)?(?P<a>9{{1,4}}|{_WORD})(?P<ab>[-/., ]+(?:de )?)"
    rf"(?P<b>9{{1,2}}|{_WORD})(?P<bc>[-/., ]+(?:de )?)(?P<c>9{{1,4}})"
    r"(?:(?P<gap>T| at |, ?| +)(?P<clock>99?:99(?P<seconds>:99(?P<fraction>\.9+)?)?)"
    r"(?P<half> ?[AaPp](?:\. ?[Mm]\.|[Mm]))?)?"
    r"(?P<zone> ?(?:[+-]99:?99|[+-]99|[A-Z]{2,5}|Z|[A-Z][A-Za-z_]+/[A-Za-z_/]+))?"
)
_ISO = re.compile(
    r"9999[-/]99?[-/]99?"
    r"(?:[T ]99?:99(?::99(?:\.9+)?)?(?: ?(?:Z|UTC|GMT|[+-]99(?::?99)?|[A-Z][A-Za-z_]+/[A-Za-z_/]+))?)?"
)
_PLACE = re.compile(r"[A-Z][A-Za-z_]+/[A-Za-z_/]+$")
_IN_JSON = re.compile(r"/Date\(9{9,13}(?:[+-]9999)?\)/")
"""Milliseconds since 1970 as Microsoft's services write them in JSON."""
_DIGITS = re.compile(r"9+(\.9+)?")
FAMILIES = "/.-"
_ORDERS = {"dmy": ("%d", "%m", "%Y"), "mdy": ("%m", "%d", "%Y"), "ymd": ("%Y", "%m", "%d")}


@dataclass(frozen=True)
class Order:
    """Days written as numbers, the year last, with one sign between them.

    Args:
        first: rows in which only the first number can be the day.
        second: rows in which only the second can.
        rows: all of them.
        turned: rows whose first number can only be a year of two digits.
        example: one of what shows the order.
    """

    first: int = 0
    second: int = 0
    rows: int = 0
    turned: int = 0
    example: str = ""


@dataclass(frozen=True)
class Written:
    """One shape of moments.

    Args:
        kind: `iso`, `format`, `numeric` (a format whose order is still open), `compact`, `serial`, `epoch`
            or `json`.
        is_day: no clock.
        form: for `strptime`; of a numeric one, with `{0}`, `{1}`, `{2}` for its numbers.
        sign: between the numbers of a numeric one.
        short: its year has two digits.
        minutes: of its zone, east of Greenwich.
        words: month names that are not English, and other words to be replaced before.
        untidy: `form` is of the text as `features.crm.reading.moment_tidy` leaves it.
    """

    kind: str
    is_day: bool
    form: str = ""
    sign: str = ""
    short: bool = False
    minutes: int = 0
    words: tuple[tuple[str, str], ...] = ()
    untidy: bool = False


@dataclass(frozen=True)
class MomentForm:
    """What the shapes of a column's moments show.

    Args:
        written: its shapes' forms, each once.
        rows: by what `Written.kind` says, and `days`, `moments`, `other`, `zones`.
        orders: of numeric days, by the sign between the numbers.
        examples: a value of each of `rows`.
    """

    written: tuple[Written, ...]
    rows: dict[str, int]
    orders: dict[str, Order] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)


def moment_form(
    connection: duckdb.DuckDBPyConnection | None, source: str, column: str, shapes: Iterable[Shape]
) -> MomentForm:
    """What a column's shapes show of its days and moments; without a connection, of the shapes alone."""
    rows: dict[str, int] = {}
    examples: dict[str, str] = {}
    written: dict[Written, None] = {}
    for shape in shapes:
        each = written_as(shape)
        facts = ["other"] if each is None else [each.kind, "days" if each.is_day else "moments"]
        if each is not None:
            written[each] = None
            facts += ["zones"] if each.minutes or _PLACE.search(shape.text) else []
        for fact in facts:
            rows[fact] = rows.get(fact, 0) + shape.rows
            examples.setdefault(fact, shape.least)
    signs = sorted({each.sign for each in written if each.kind == "numeric"})
    orders = {sign: _order(connection, source, column, sign) for sign in signs} if connection else {}
    return MomentForm(tuple(written), rows, orders, examples)


def written_as(shape: Shape) -> Written | None:
    """How values of this shape write moments, None where they write none."""
    if _ISO.fullmatch(shape.text):
        return Written("iso", ":" not in shape.text)
    if _IN_JSON.fullmatch(shape.text):
        return Written("json", False)
    if _DIGITS.fullmatch(shape.text):
        return _number(shape)
    written, tidy = _in_words(shape.text), tidied(shape.text)
    if written is None and tidy != shape.text and (written := _in_words(tidy)) is not None:
        return replace(written, untidy=True)
    return written


def _in_words(text: str) -> Written | None:
    match = _WRITTEN.fullmatch(text)
    if match is None or not (match["weekday"] is None or _plain(match["weekday"]) in WEEKDAYS):
        return None
    clock, zone = match["clock"], (match["zone"] or "").strip()
    if zone and not clock:
        return None
    ending, minutes = _ending(match, zone)
    if minutes is None:
        return None
    words = [(match["weekday"], "")] if match["weekday"] else []
    if match["half"] and "." in match["half"]:
        words.append((match["half"].strip(), "".join(filter(str.isalpha, match["half"]))))
    a, b, c = match.group("a", "b", "c")
    ab, bc = match["ab"], match["bc"]
    if a[0] == "9" and b[0] == "9":
        return _numbers((a, c), ab, bc, ending, minutes, not clock, tuple(words))
    name, day = (b, a) if a[0] == "9" else (a, b)
    if _plain(name) not in MONTHS or day[0] != "9" or len(day) > 2 or len(c) not in (2, 4):
        return None
    word, month = _month(name)
    words += [word] if word else []
    year = "%Y" if len(c) == 4 else "%y"
    parts = ("%d", ab, month, bc, year) if day == a else (month, ab, "%d", bc, year)
    return Written("format", not clock, "".join(parts) + ending, "", False, minutes, tuple(words))


def _plain(word: str) -> str:
    return word.strip(" ,.").lower()


def _numbers(
    numbers: tuple[str, str],
    ab: str,
    bc: str,
    ending: str,
    minutes: int,
    is_day: bool,
    words: tuple[tuple[str, str], ...],
) -> Written | None:
    a, c = numbers
    if len(a) == 4 and len(c) <= 2:
        return Written("format", is_day, f"%Y{ab}%m{bc}%d{ending}", "", False, minutes, words)
    sign = ab.strip()
    if len(a) > 2 or len(c) not in (2, 4) or sign not in tuple(FAMILIES) or bc.strip() != sign:
        return None
    return Written("numeric", is_day, f"{{0}}{ab}{{1}}{bc}{{2}}{ending}", sign, len(c) == 2, minutes, words)


def _month(name: str) -> tuple[tuple[str, str] | None, str]:
    """What to replace in the text, if the name is not English, and the month's part of the format."""
    bare = name.rstrip(".")
    dot = name[len(bare) :]
    if bare.lower() in ENGLISH:
        return None, ("%b" if len(bare) == 3 else "%B") + dot
    return (bare, f"{MONTHS[bare.lower()]:02d}"), "%m" + dot


def _ending(match: re.Match[str], zone: str) -> tuple[str, int | None]:
    """The format of clock and zone, and the zone's minutes; None where the zone is not one of ours."""
    if not match["clock"]:
        return "", 0
    hours = "%I" if match["half"] else "%H"
    ending = (
        f"{match['gap']}{hours}:%M"
        + (":%S" if match["seconds"] else "")
        + (".%f" if match["fraction"] else "")
    )
    if match["half"]:
        ending += " " * match["half"].startswith(" ") + "%p"
    if not zone:
        return ending, 0
    if zone[0] in "+-":
        return ending + match["zone"].replace(zone, "%z"), 0
    if "/" in zone:
        return ending, None
    return ending + match["zone"], ZONES.get(zone)


def _number(shape: Shape) -> Written | None:
    low, high = float(shape.least), float(shape.greatest)
    whole = shape.least.isdigit()
    if whole and len(shape.least) == 8 and low >= 1900_01_01 and high <= 2200_12_31:
        return Written("compact", True)
    if low >= 20_000 and high <= 80_000:
        return Written("serial", whole)
    if whole and len(shape.least) >= 9 and _is_epoch(low) and _is_epoch(high):
        return Written("epoch", False)
    return None


def _is_epoch(number: float) -> bool:
    """Seconds, milliseconds or microseconds from 1976 to 2099."""
    return any(2e8 <= number / unit <= 4.1e9 for unit in (1, 1e3, 1e6))


def _order(connection: duckdb.DuckDBPyConnection, source: str, column: str, sign: str) -> Order:
    pattern = rf"^(?:\D+ )?(\d{{1,2}})[{sign}] ?(\d{{1,2}})[{sign}] ?(\d{{4}}|\d{{2}})(?:\D|$)"
    # Between dashes a year of two digits may come first, so that what looks like a day may be one.
    clear = "(length(c) = 4 OR CAST(c AS INTEGER) > 31)" if sign == "-" else "true"
    first, second = f"a BETWEEN 13 AND 31 AND b < 13 AND {clear}", f"b > 12 AND a < 13 AND {clear}"
    row = connection.execute(
        f"SELECT coalesce(sum(n) FILTER ({first}), 0), coalesce(sum(n) FILTER ({second}), 0),"
        " coalesce(sum(n), 0), coalesce(sum(n) FILTER (a > 31 AND length(c) = 2), 0),"
        f" min(v) FILTER ({first}), min(v) FILTER ({second}) FROM ("
        "SELECT v, n, CAST(p.a AS INTEGER) AS a, CAST(p.b AS INTEGER) AS b, p.c AS c FROM ("
        f"SELECT v, n, regexp_extract(v, {literal(pattern)}, ['a', 'b', 'c']) AS p FROM ("
        f"SELECT text_of(CAST({quoted(column)} AS VARCHAR)) AS v, count(*) AS n FROM {source} GROUP BY ALL)"
        f" WHERE regexp_matches(v, {literal(pattern)})))"
    ).fetchone() or (0, 0, 0, 0, None, None)
    days, months, rows, turned, day_first, month_first = row
    example = (day_first if days >= months else month_first) or ""
    return Order(int(days), int(months), int(rows), int(turned), example)


def pooled_orders(forms: Iterable[MomentForm]) -> dict[str, Order]:
    """The orders that a table's columns show together."""
    pool: dict[str, Order] = {}
    for form in forms:
        for sign, order in form.orders.items():
            base = pool.get(sign, Order())
            pool[sign] = Order(
                base.first + order.first,
                base.second + order.second,
                base.rows + order.rows,
                base.turned + order.turned,
                base.example or order.example,
            )
    return pool


def order_of(sign: str, column: Order, table: Order | None, short: bool) -> tuple[str | None, str]:
    """`dmy`, `mdy`, `ymd` or None (unclear), and what shows it: `column`, `table` or nothing (custom).

    Args:
        sign: between the numbers.
        column: what the column shows.
        table: what the columns of its table show together.
        short: years have two digits, so that with dashes the year may come first.
    """
    for shown, where in ((column, "column"), (table or column, "table")):
        if short and shown.turned and not shown.first and not shown.second:
            return "ymd", where
        if shown.first != shown.second:
            return ("dmy" if shown.first > shown.second else "mdy"), where
    if sign == "-" and short:
        return None, ""
    return ("mdy" if sign == "/" else "dmy"), ""


MOMENT_MACROS = r"""
CREATE TEMP MACRO is_day(v) AS length(v) <= 10 AND regexp_full_match(v, '\d{4}[-/]\d{1,2}[-/]\d{1,2}');
CREATE TEMP MACRO day_of(v) AS CAST(TRY_CAST(v AS DATE) AS TIMESTAMP);
CREATE TEMP MACRO iso_moment(v) AS CASE
    WHEN (length(v) = 19 OR length(v) = 20 AND v[20] = 'Z') AND v[5] = '-' AND v[14] = ':' AND v[17] = ':'
        AND v[18] < '6' THEN TRY_CAST(v AS TIMESTAMP)
    WHEN regexp_matches(v, '^\d{4}[-/]\d{1,2}[-/]\d{1,2}[ T].*:60') THEN
        timezone('UTC', TRY_CAST(regexp_replace(regexp_replace(v, ' ?(Z|UTC|GMT)$', 'Z'), ':60', ':59')
            AS TIMESTAMPTZ)) + INTERVAL 1 SECOND
    WHEN regexp_matches(v, '^\d{4}[-/]\d{1,2}[-/]\d{1,2}[ T]')
        THEN timezone('UTC', TRY_CAST(regexp_replace(regexp_replace(v, ' ?(Z|UTC|GMT)$', 'Z'),
            ' ([+-][0-9])', '\1') AS TIMESTAMPTZ)) END;
CREATE TEMP MACRO from_epoch(n) AS CASE
    WHEN n BETWEEN 2e8 AND 4.1e9 THEN make_timestamp(CAST(n * 1000000 AS BIGINT))
    WHEN n BETWEEN 2e11 AND 4.1e12 THEN make_timestamp(CAST(n * 1000 AS BIGINT))
    WHEN n BETWEEN 2e14 AND 4.1e15 THEN make_timestamp(CAST(n AS BIGINT)) END;
CREATE TEMP MACRO from_serial(n) AS CASE WHEN n BETWEEN 20000 AND 80000 THEN
    TIMESTAMP '1899-12-30' + to_microseconds(CAST(round(n * 86400) AS BIGINT) * 1000000) END;
CREATE TEMP MACRO is_no_day(t) AS t < TIMESTAMP '1900-01-02' OR t >= TIMESTAMP '2200-01-01'
    OR date_trunc('day', t) = DATE '2099-12-31'
    OR t IN (TIMESTAMP '1970-01-01', TIMESTAMP '1970-01-01 23:59:59.999999');
CREATE TEMP MACRO real_day(t) AS CASE WHEN NOT (is_no_day(t)) THEN t END;
CREATE TEMP MACRO end_of(t) AS t + INTERVAL '23 hours 59 minutes 59.999999 seconds';
"""


def iso_steps(is_day: bool) -> tuple[str, ...]:
    """The steps of a column of ISO days and moments; a moment is wanted, or the day it lies on."""
    if is_day:
        moment = "CASE WHEN is_day({v}) THEN day_of({v}) ELSE date_trunc('day', iso_moment({v})) END"
    else:
        moment = "CASE WHEN is_day({v}) THEN end_of(day_of({v})) ELSE iso_moment({v}) END"
    return (moment,)


def moment_steps(
    is_day: bool, form: MomentForm, orders: dict[tuple[str, bool], str | None]
) -> tuple[str, ...]:
    """The steps of a column of any other shapes, one alternative for each way it is written.

    Args:
        is_day: only the day is wanted.
        form: of the column.
        orders: by sign and whether years are short, what `order_of` found.
    """
    groups: dict[tuple[bool, int, bool], list[str]] = {}
    replaced: dict[tuple[str, str], None] = {}
    kinds = {each.kind for each in form.written}
    for each in form.written:
        layout = each.form
        if each.kind == "numeric":
            order = orders.get((each.sign, each.short))
            if order is None:
                continue
            year = "%y" if each.short else "%Y"
            layout = layout.format(*(part if part != "%Y" else year for part in _ORDERS[order]))
        if layout:
            groups.setdefault((each.is_day, each.minutes, "%z" in layout), []).append(layout)
            replaced.update(dict.fromkeys(each.words))
    text = tidied_sql("{v}") if any(each.untidy for each in form.written) else "{v}"
    for word, by in replaced:
        text = f"replace({text}, {literal(word)}, {literal(by)})"
    if any("%f" in layout for layouts in groups.values() for layout in layouts):
        text = f"regexp_replace({text}, '(\\.\\d{{{{6}}}})\\d+', '\\1')"
    ways = list(iso_steps(is_day)) if "iso" in kinds else []
    ways += [_number_way(kind, is_day) for kind in ("compact", "serial", "epoch", "json") if kind in kinds]
    for (whole, minutes, with_offset), layouts in groups.items():
        # Two digits of a year would pass for the first of four, so short years are tried first.
        listed = ", ".join(map(literal, sorted(layouts, key=lambda layout: "%y" not in layout)))
        moment = f"try_strptime({text}, [{listed}])"
        moment = f"timezone('UTC', {moment})" if with_offset else moment
        moment += f" - to_minutes({minutes})" if minutes else ""
        ways.append(_on(moment, whole, is_day))
    return (f"coalesce({', '.join(ways)})" if ways else "CAST(NULL AS TIMESTAMP)",)


def _number_way(kind: str, is_day: bool) -> str:
    number = "TRY_CAST({v} AS DOUBLE)"
    if kind == "compact":
        return _on("CASE WHEN length({v}) = 8 THEN try_strptime({v}, '%Y%m%d') END", True, is_day)
    if kind == "json":
        return _on("from_epoch(TRY_CAST(regexp_extract({v}, '[0-9]+') AS DOUBLE))", False, is_day)
    if kind == "epoch":
        return _on(f"CASE WHEN length({{v}}) >= 9 THEN from_epoch({number}) END", False, is_day)
    serial = f"CASE WHEN length({{v}}) = 5 OR contains({{v}}, '.') THEN from_serial({number}) END"
    if is_day:
        return _on(serial, False, is_day)
    return f"CASE WHEN contains({{v}}, '.') THEN {serial} ELSE end_of({serial}) END"


def _on(moment: str, whole: bool, is_day: bool) -> str:
    """A day as the moment that ends it, or a moment as the day it lies on, if that is wanted."""
    if is_day:
        return moment if whole else f"date_trunc('day', {moment})"
    return f"end_of({moment})" if whole else moment
