"""Amounts in several currencies are never added: they become amounts in the home currency, or are refused.

An amount's currency is its row's `currency`, a code or sign in the cells or the columns' headers, or that of
the deal or contract it belongs to. The table `currencies` says what one unit of each is worth (`rate`), and
from when (`from`): each amount is converted at the rate of its row's own time, so that nothing later is used.
"""

from collections.abc import Mapping

import duckdb
import pyarrow as pa

from features.crm.contract import TABLES, Column, Kind
from features.crm.currency_codes import called, meant_by, named_in, of_header
from features.crm.known_until import value_of
from features.crm.quality import Quality
from features.crm.redraft import rewrite
from features.crm.validate import Draft
from features.crm.values import is_text, literal, quoted
from features.errors import RenewalError

RATES = "currencies"
_CURRENCY = "currency"
_MOSTLY = 0.5
"""From this share of amounts that name a currency on, a column counts as naming them."""
_BELONGS_TO = {"opportunity_id": "opportunities", "contract_id": "contracts"}


def convert_money(
    connection: duckdb.DuckDBPyConnection,
    drafts: Mapping[str, Draft],
    home: str | None,
    folder: str,
    quality: Quality,
) -> None:
    """Rewrite the drafts' amounts in one currency, and say in the report which.

    Args:
        connection: with the drafted views and the macros of `features.crm.values`.
        drafts: by table.
        home: the currency to convert to; None: the only one there is, or the one whose rate is 1.
        folder: for the drafts that are rewritten.
        quality: gets the currency, and what was converted.

    Raises:
        RenewalError: amounts are in several currencies, or another than `home`, and a rate is missing.
    """
    money = {
        name: _amounts(drafted) for name, drafted in drafts.items() if name != RATES and _amounts(drafted)
    }
    by_table = {
        name: _named_by_row(connection, drafts[name], columns, quality) for name, columns in money.items()
    }
    naming = {name: select for name, select in by_table.items() if select}
    if naming:
        for name in money:
            _make_codes(connection, drafts, name, naming)
        counts = {name: _counts(connection, name, columns) for name, columns in money.items()}
        rates = _rates(connection, drafts)
        used = {code for each in counts.values() for code in each if code}
        base = home.upper() if home else _home(used, rates)
        spoken = {code: meant_by(code, base) for code in used}
        if used and (base is None or set(spoken.values()) - {base}):
            _check(counts, spoken, base, rates)
            _convert(connection, drafts, money, counts, spoken, str(base), rates, folder, quality)
        quality.currency = base
    elif home:
        quality.currency = home.upper()
    for name in money:
        drafts[name].readings = [each for each in drafts[name].readings if each.column.name != _CURRENCY]


def _amounts(drafted: Draft) -> list[Column]:
    return [column for column in drafted.columns if column.kind is Kind.MONEY]


def _named_by_row(
    connection: duckdb.DuckDBPyConnection, drafted: Draft, columns: list[Column], quality: Quality
) -> str | None:
    """A SELECT of (__row, code) for rows that name a currency themselves, None where the table names none."""
    ways = []
    if any(column.name == _CURRENCY for column in drafted.columns):
        raw = next(each.raw for each in drafted.readings if each.column.name == _CURRENCY)
        text = f"CAST({quoted(raw)} AS VARCHAR)"
        ways.append(f"coalesce({called(text)}, {named_in(text)}, nullif(upper(trim({text})), ''))")
    for reading in drafted.readings:
        if reading.column in columns and is_text(reading.type):
            text = f"CAST({quoted(reading.raw)} AS VARCHAR)"
            if _column_names_currencies(connection, drafted, reading.raw, text, quality):
                ways.append(named_in(text))
    ways += _named_in_headers(drafted, columns)
    if not ways:
        return None
    return f"SELECT __row, coalesce({', '.join(ways)}, NULL) AS code FROM {drafted.source}"


def _named_in_headers(drafted: Draft, columns: list[Column]) -> list[str]:
    """The currency that headers of a table name, as SQL; none where no header does.

    Raises:
        RenewalError: they name several.
    """
    by_header = {each.raw: of_header(each.raw) for each in drafted.readings if each.column in columns}
    codes = sorted({code for code in by_header.values() if code})
    if len(codes) > 1:
        raise RenewalError(
            expected=f"one currency in the headers of {drafted.table.name}",
            found=", ".join(header for header, code in by_header.items() if code),
            do="Convert the columns to one, or leave some out in the mapping.",
        )
    return [literal(code) for code in codes]


def _column_names_currencies(
    connection: duckdb.DuckDBPyConnection, drafted: Draft, raw: str, text: str, quality: Quality
) -> bool:
    """Whether most amounts of the column name their currency; a few that do are reported if they differ."""
    worded = f"{text} IS NOT NULL AND NOT regexp_full_match({text}, '[-+\\d.,\\s]*')"
    # To plan the search for every currency there is takes longer than to see that nothing names one.
    if connection.execute(f"SELECT 1 FROM {drafted.source} WHERE {worded} LIMIT 1").fetchone() is None:
        return False
    rows = connection.execute(
        f"SELECT code, count(*) FROM (SELECT {named_in(text)} AS code FROM {drafted.source} WHERE {worded})"
        " WHERE code IS NOT NULL GROUP BY ALL ORDER BY 2 DESC, 1"
    ).fetchall()
    counts = dict(rows)
    if not counts:
        return False
    ((amounts,),) = connection.execute(
        f"SELECT count(*) FROM {drafted.source} WHERE regexp_matches({text}, '\\d')"
    ).fetchall()
    if sum(counts.values()) >= _MOSTLY * amounts:
        return True
    if len(counts) > 1:
        quality.warn(
            f"{drafted.table.name}.{raw}: some amounts name a currency ({_listed(counts)}), most name"
            " none: they"
            " are read as one. If they are in several, name each row's in a column `currency`"
        )
    return False


def _make_codes(
    connection: duckdb.DuckDBPyConnection, drafts: Mapping[str, Draft], name: str, naming: dict[str, str]
) -> None:
    """Make `code_<table>` (__row, code): the currency of each row's amounts, null where nothing names it."""
    drafted = drafts[name]
    ways, joins = [], []
    if name in naming:
        joins.append(f"LEFT JOIN ({naming[name]}) own USING (__row)")
        ways.append("own.code")
    for column, owner in _BELONGS_TO.items():
        is_link = column in drafted.stored and column != drafted.table.key
        if (
            is_link
            and owner in naming
            and owner in drafts
            and drafts[owner].table.key in drafts[owner].stored
        ):
            of_owner = f"SELECT {value_of(column)} AS id, any_value(o.code) AS code FROM draft_{owner}"
            joins.append(
                f"LEFT JOIN ({of_owner} JOIN ({naming[owner]}) o USING (__row) GROUP BY ALL) {owner}"
                f" ON {owner}.id = d.{value_of(column)}"
            )
            ways.append(f"{owner}.code")
    code = f"coalesce({', '.join([*ways, 'NULL'])})"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE code_{name} AS"
        f" SELECT d.__row, CAST({code} AS VARCHAR) AS code FROM draft_{name} d {' '.join(joins)}"
    )


def _counts(connection: duckdb.DuckDBPyConnection, name: str, columns: list[Column]) -> dict[str | None, int]:
    """How many rows hold an amount in each currency; None: not named."""
    given = " OR ".join(f"{value_of(column.stored)} IS NOT NULL" for column in columns)
    rows = connection.execute(
        f"SELECT code, count(*) FROM draft_{name} JOIN code_{name} USING (__row) WHERE {given} GROUP BY ALL"
        " ORDER BY 2 DESC, 1"
    ).fetchall()
    return dict(rows)


Rates = dict[str, list[tuple[object, float]]]


def _rates(connection: duckdb.DuckDBPyConnection, drafts: Mapping[str, Draft]) -> Rates:
    """Code → (from when, what one unit is worth), the oldest first.

    Raises:
        RenewalError: a rate is not above zero, or there are two for one day.
    """
    if RATES not in drafts:
        return {}
    since = value_of("from") if "from" in drafts[RATES].stored else "CAST(NULL AS TIMESTAMP)"
    rows = connection.execute(
        f"SELECT upper(trim(__code)), {since}, __rate FROM draft_{RATES} ANTI JOIN bad_{RATES} USING (__row)"
        " GROUP BY ALL ORDER BY 1, 2 NULLS FIRST, 3"
    ).fetchall()
    rates: Rates = {}
    for code, moment, rate in rows:
        if rate <= 0:
            raise RenewalError(
                expected=f"rates above zero in {RATES}", found=f"{rate} for {code}", do="Correct it."
            )
        if rates.get(code) and rates[code][-1][0] == moment:
            raise RenewalError(
                expected=f"one rate of {code} from {moment or 'the beginning'} on in {RATES}",
                found=f"{rates[code][-1][1]:g} and {rate:g}",
                do="Remove one, or date them in the column `from`.",
            )
        rates.setdefault(code, []).append((moment, rate))
    return rates


def _home(used: set[str], rates: Rates) -> str | None:
    """The only currency there is, else the one that all rates are given in."""
    if len(used) == 1:
        (only,) = used
        return meant_by(only, None)
    ones = [code for code, dated_rates in rates.items() if all(rate == 1 for _, rate in dated_rates)]
    return ones[0] if len(ones) == 1 else None


def _check(
    counts: Mapping[str, Mapping[str | None, int]], spoken: Mapping[str, str], base: str | None, rates: Rates
) -> None:
    missing = sorted(set(spoken.values()) - set(rates) - {base})
    if base is not None and not missing:
        return
    listed = "; ".join(f"{name}: {_listed(each)}" for name, each in counts.items() if set(each) - {None})
    if base is None:
        do = (
            "Set PERENNIAL_CURRENCY to the one to convert to, and add a table currencies (code, rate:"
            " what one unit"
            " is worth in it, from: since when)."
        )
    else:
        do = (
            f"Add {', '.join(missing)} to a table currencies (code, rate: what one unit is worth in"
            f" {base}, from:"
            " since when), or leave those rows out in the mapping."
        )
    wanted = f"amounts in one currency{f' ({base})' if base else ''}, or a rate for each"
    raise RenewalError(expected=wanted, found=listed, do=do)


def _listed(counts: Mapping[str | None, int] | Mapping[str, int]) -> str:
    return ", ".join(f"{code or 'not named'} {n:,}" for code, n in counts.items())


def _convert(
    connection: duckdb.DuckDBPyConnection,
    drafts: Mapping[str, Draft],
    money: Mapping[str, list[Column]],
    counts: Mapping[str, Mapping[str | None, int]],
    spoken: Mapping[str, str],
    base: str,
    rates: Rates,
    folder: str,
    quality: Quality,
) -> None:
    _make_rates(connection, spoken, base, rates)
    for name, columns in money.items():
        if not set(counts[name]) - {None, base}:
            continue
        time = TABLES[name].time
        at = value_of(time) if time in drafts[name].stored else "CAST(NULL AS TIMESTAMP)"
        at = f"coalesce({at}, TIMESTAMP '9999-01-01')"
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE factor_{name} AS SELECT __row, theirs.rate /"
            " coalesce(ours.rate, 1) AS factor"
            f" FROM (SELECT __row, code, {at} AS at FROM draft_{name} JOIN code_{name} USING (__row)"
            f" WHERE code IS NOT NULL) r"
            " ASOF JOIN rate_of theirs ON r.code = theirs.spoken AND r.at >= theirs.since"
            " ASOF LEFT JOIN home_rate ours ON ours.one = theirs.one AND r.at >= ours.since"
        )
        converted = {
            column.stored: f"CAST(round_even({value_of(column.stored)} * coalesce(factor, 1), 0) AS BIGINT)"
            for column in columns
        }
        rewrite(connection, drafts[name], converted, folder, [f"LEFT JOIN factor_{name} f USING (__row)"])
        _convert_history(connection, drafts, name, columns, folder)
        unnamed = counts[name].get(None, 0)
        quality.warn(
            f"{name}: amounts in {_listed({c: n for c, n in counts[name].items() if c})} are converted to"
            f" {base}"
            f" at the rate of each row's own time"
            + (f"; {unnamed:,} that name none count as {base}" if unnamed else "")
        )


def _make_rates(
    connection: duckdb.DuckDBPyConnection, spoken: Mapping[str, str], base: str, rates: Rates
) -> None:
    """Make `rate_of` (spoken, since, rate) and `home_rate`; before the first rate that one holds."""
    beginning = "0001-01-01"

    def dated(code: str) -> list[tuple[str, float]]:
        dated_rates = rates.get(code, [(None, 1.0)])
        return [(beginning if i == 0 else str(moment), rate) for i, (moment, rate) in enumerate(dated_rates)]

    rows = [(written, since, rate) for written, code in spoken.items() for since, rate in dated(code)]
    ours = dated(base)
    for table, columns in (
        (
            "rate_of",
            {"spoken": [r[0] for r in rows], "since": [r[1] for r in rows], "rate": [r[2] for r in rows]},
        ),
        ("home_rate", {"since": [since for since, _ in ours], "rate": [rate for _, rate in ours]}),
    ):
        connection.register("rates_given", pa.table(columns))
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT * REPLACE (CAST(since AS TIMESTAMP) AS"
            " since), 1 AS one"
            " FROM rates_given"
        )
        connection.unregister("rates_given")


def _convert_history(
    connection: duckdb.DuckDBPyConnection,
    drafts: Mapping[str, Draft],
    name: str,
    columns: list[Column],
    folder: str,
) -> None:
    """What `history` holds of a converted column, by the factor of its row."""
    key = TABLES[name].key
    if "history" not in drafts or key is None or key not in drafts[name].stored:
        return
    names = ", ".join(literal(column.name) for column in columns)
    bare = r"regexp_replace(text_of(__value), '\p{Sc}|^[A-Z]{3}\b|\b[A-Z]{3}$|\s', '', 'g')"
    sign = f"CASE WHEN starts_with({bare}, '-') THEN -1 ELSE 1 END"
    amount = f"({sign} * TRY_CAST(plain(ltrim({bare}, '-'), false) AS DOUBLE))"
    factors = (
        f"SELECT {value_of(key)} AS id, any_value(factor) AS factor FROM draft_{name} JOIN factor_{name}"
        " USING (__row)"
        " GROUP BY ALL"
    )
    applies = f"__table = {literal(name)} AND __column IN ({names})"
    applies += f" AND f.factor IS NOT NULL AND {amount} IS NOT NULL"
    rewrite(
        connection,
        drafts["history"],
        {
            "value": f"CASE WHEN {applies} THEN CAST(round_even({amount} * f.factor, 2) AS VARCHAR)"
            " ELSE __value END"
        },
        folder,
        [f"LEFT JOIN ({factors}) f ON f.id = __id AND __table = {literal(name)}"],
    )
