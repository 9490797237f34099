"""How one raw value becomes a value of the contract: DuckDB expressions for each `Kind`.

Nothing is rounded but to the stored unit, halves to even. Empty text is missing; so are `null`, `nan`, `n/a`
and the like where a number, a flag or a moment is expected. What is neither missing nor readable is a fault.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import duckdb
import pyarrow as pa

from features.crm.contract import Column, Kind

WORDS = {
    Kind.NUMBER: "a number",
    Kind.WHOLE: "a whole number",
    Kind.MONEY: "an amount of money",
    Kind.DURATION: "a duration in minutes",
    Kind.FLAG: "yes or no",
    Kind.TIME: "a date or time (YYYY-MM-DD[ HH:MM[:SS]])",
    Kind.DATE: "a date (YYYY-MM-DD)",
}
STORED_AS = {
    Kind.ID: "VARCHAR",
    Kind.TEXT: "VARCHAR",
    Kind.CATEGORY: "VARCHAR",
    Kind.NUMBER: "DOUBLE",
    Kind.WHOLE: "BIGINT",
    Kind.MONEY: "BIGINT",
    Kind.DURATION: "BIGINT",
    Kind.FLAG: "BOOLEAN",
    Kind.TIME: "TIMESTAMP",
    Kind.DATE: "TIMESTAMP",
}
_WORDY = (Kind.ID, Kind.TEXT, Kind.CATEGORY)
_END_OF_DAY = "INTERVAL '23 hours 59 minutes 59.999999 seconds'"

_MACROS = r"""
CREATE TEMP MACRO text_of(v) AS nullif(trim(v, ' ' || chr(9) || chr(10) || chr(13) || chr(160)), '');
CREATE TEMP MACRO given(v) AS CASE WHEN lower(text_of(v)) IN
    ('null', 'none', 'nan', 'nat', 'n/a', 'na', '\n', '-') THEN NULL ELSE text_of(v) END;
CREATE TEMP MACRO plain(v) AS CASE
    WHEN regexp_full_match(v, '[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?') THEN v
    WHEN regexp_full_match(v, '[+-]?\d{1,3}([,\x27’  ]\d{3})+(\.\d+)?')
        THEN regexp_replace(v, '[,\x27’  ]', '', 'g')
    WHEN regexp_full_match(v, '[+-]?(\d{1,3}([. ]\d{3})+|\d+),\d+')
        THEN replace(regexp_replace(v, '[. ]', '', 'g'), ',', '.')
    END;
CREATE TEMP MACRO bare_money(v) AS trim(regexp_replace(
    CASE WHEN regexp_full_match(v, '\(.+\)') THEN '-' || v[2:-2] ELSE v END,
    '\p{Sc}|^[A-Z]{3}\b|\b[A-Z]{3}$', '', 'g'));
CREATE TEMP MACRO micro_of(v) AS CAST(TRY_CAST(v AS DECIMAL(30, 6)) * 1000000 AS HUGEINT);
CREATE TEMP MACRO half_even(n, d) AS TRY_CAST(sign(n) * (abs(n) // d + CASE
    WHEN 2 * (abs(n) % d) > d OR (2 * (abs(n) % d) = d AND (abs(n) // d) % 2 = 1) THEN 1 ELSE 0
    END) AS BIGINT);
CREATE TEMP MACRO clock_seconds(v) AS CAST(split_part(v, ':', 1) AS BIGINT) * 3600
    + CAST(split_part(v, ':', 2) AS BIGINT) * 60 + CAST(split_part(v, ':', 3) AS BIGINT);
CREATE TEMP MACRO flag_of(v) AS CASE
    WHEN lower(v) IN ('true', 't', 'yes', 'y', '1', '1.0', 'won', 'renewed') THEN true
    WHEN lower(v) IN ('false', 'f', 'no', 'n', '0', '0.0', 'lost', 'churned') THEN false END;
CREATE TEMP MACRO is_day(v) AS length(v) <= 10 AND regexp_full_match(v, '\d{4}[-/]\d{1,2}[-/]\d{1,2}');
CREATE TEMP MACRO day_of(v) AS CAST(TRY_CAST(v AS DATE) AS TIMESTAMP);
CREATE TEMP MACRO moment_of(v) AS CASE
    WHEN (length(v) = 19 OR length(v) = 20 AND v[20] = 'Z') AND v[5] = '-' AND v[14] = ':' AND v[17] = ':'
        THEN TRY_CAST(v AS TIMESTAMP)
    WHEN regexp_matches(v, '^\d{4}[-/]\d{1,2}[-/]\d{1,2}[ T]')
        THEN timezone('UTC', TRY_CAST(regexp_replace(v, ' ?(Z|UTC|GMT)$', 'Z') AS TIMESTAMPTZ)) END;
"""

# Each reading is a row of steps: `{v}` is the step before, `{g}` the given value. The steps become columns of
# nested SELECTs, because one expression of it all doubles at every use and takes DuckDB seconds to plan.
_UNSIGNED = r"plain(rtrim({v}, '% '))"
_PER_CENT = (
    r"CASE WHEN {g} LIKE '%\%' ESCAPE '\' THEN TRY_CAST({v} AS DOUBLE) / 100 ELSE TRY_CAST({v} AS DOUBLE) END"
)
_WHOLE = "CASE WHEN {v} = trunc({v}) THEN TRY_CAST({v} AS BIGINT) END"
_CLOCK = r"regexp_full_match({g}, '\d+:\d{{2}}:\d{{2}}')"
_SECONDS = "half_even({v} * 60, 1000000)"
_FROM_TEXT = {
    Kind.NUMBER: (_UNSIGNED, _PER_CENT),
    Kind.WHOLE: (_UNSIGNED, _PER_CENT, _WHOLE),
    Kind.MONEY: ("bare_money({v})", "plain({v})", "micro_of({v})", "half_even({v}, 10000)"),
    Kind.DURATION: (
        "plain({v})",
        "micro_of({v})",
        f"CASE WHEN {_CLOCK} THEN clock_seconds({{g}}) ELSE {_SECONDS} END",
    ),
    Kind.FLAG: ("flag_of({v})",),
    Kind.TIME: (f"CASE WHEN is_day({{v}}) THEN day_of({{v}}) + {_END_OF_DAY} ELSE moment_of({{v}}) END",),
    Kind.DATE: ("CASE WHEN is_day({v}) THEN day_of({v}) ELSE date_trunc('day', moment_of({v})) END",),
}
_FROM_NUMBER = {
    Kind.NUMBER: ("CAST({v} AS DOUBLE)", "CASE WHEN isfinite({v}) THEN {v} END"),
    Kind.WHOLE: (_WHOLE,),
    Kind.MONEY: ("micro_of({v})", "half_even({v}, 10000)"),
    Kind.DURATION: ("micro_of({v})", _SECONDS),
    Kind.FLAG: ("CASE {v} WHEN 1 THEN true WHEN 0 THEN false END",),
}
_FROM_INTEGER = _FROM_NUMBER | {
    Kind.NUMBER: ("CAST({v} AS DOUBLE)",),
    Kind.WHOLE: ("TRY_CAST({v} AS BIGINT)",),
    Kind.MONEY: ("TRY_CAST(CAST({v} AS HUGEINT) * 100 AS BIGINT)",),
    Kind.DURATION: ("TRY_CAST(CAST({v} AS HUGEINT) * 60 AS BIGINT)",),
}
_FROM_MOMENT = {
    Kind.TIME: ("CAST({v} AS TIMESTAMP)",),
    Kind.DATE: ("date_trunc('day', CAST({v} AS TIMESTAMP))",),
}
_FROM_ZONED = {
    Kind.TIME: ("timezone('UTC', {v})",),
    Kind.DATE: ("date_trunc('day', timezone('UTC', {v}))",),
}
_FROM_DAY = {
    Kind.TIME: (f"CAST({{v}} AS TIMESTAMP) + {_END_OF_DAY}",),
    Kind.DATE: ("CAST({v} AS TIMESTAMP)",),
}
_FROM_FLAG = {
    Kind.FLAG: ("{v}",),
    Kind.NUMBER: ("CAST({v} AS DOUBLE)",),
    Kind.WHOLE: ("CAST({v} AS BIGINT)",),
}


def as_text(value: object) -> str | None:
    """A value as JSON gives it, as the text a reading takes."""
    if value is None:
        return None
    return value.isoformat() if isinstance(value, date) else str(value)


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: object) -> str:
    """An SQL string."""
    return "'" + str(text).replace("'", "''") + "'"


def add_macros(connection: duckdb.DuckDBPyConnection) -> None:
    """Teach the connection the readings that the expressions below call."""
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(_MACROS)


@dataclass(frozen=True)
class Reading:
    """One raw column read as one column of the contract.

    Args:
        column: what it becomes.
        raw: its name in the source.
        type: its Arrow type in the source.
        lenient: an unreadable value is missing rather than a fault (columns whose kind was only inferred).
    """

    column: Column
    raw: str
    type: pa.DataType
    lenient: bool = False

    @property
    def given(self) -> str:
        """The raw value, null where it counts as missing."""
        name = quoted(self.raw)
        if is_text(self.type):
            missing = "text_of" if self.column.kind in _WORDY else "given"
            return f"{missing}(CAST({name} AS VARCHAR))"
        if pa.types.is_floating(self.type):
            # Not isnan: DuckDB folds it to false from Parquet's statistics, which leave NaN out.
            return f"CASE WHEN isfinite({name}) OR isinf({name}) THEN {name} END"
        return name

    @property
    def steps(self) -> tuple[str, ...]:
        """What to do with the given value, one step after the other; null where it cannot be read."""
        kind = self.column.kind
        if kind in _WORDY:
            return (self._words(),)
        readings = _readings(self.type)
        if kind not in readings:
            return (f"CAST(NULL AS {STORED_AS[kind]})",)
        if kind is Kind.NUMBER and self.column.stored != self.column.name:
            return ("plain({v})" if is_text(self.type) else "{v}", "micro_of({v})", "half_even({v}, 1000)")
        return readings[kind]

    def _words(self) -> str:
        if self.column.kind is Kind.ID and is_text(self.type):
            return r"CASE WHEN suffix({v}, '.0') THEN regexp_replace({v}, '^(\d+)\.0$', '\1') ELSE {v} END"
        if self.column.kind is Kind.ID and pa.types.is_floating(self.type):
            whole = "CAST(TRY_CAST({v} AS BIGINT) AS VARCHAR)"
            return f"CASE WHEN {{v}} = trunc({{v}}) THEN {whole} ELSE CAST({{v}} AS VARCHAR) END"
        return "CAST({v} AS VARCHAR)"

    @property
    def can_fail(self) -> bool:
        """Whether a given value may be unreadable."""
        kind = self.column.kind
        if kind in _WORDY or self.lenient:
            return False
        surely = {Kind.TIME, Kind.DATE} if pa.types.is_temporal(self.type) else set()
        return kind not in surely | ({Kind.FLAG} if pa.types.is_boolean(self.type) else set())


def is_text(type: pa.DataType) -> bool:
    """Whether raw values of this type are words, whatever they mean."""
    if pa.types.is_dictionary(type):
        return is_text(type.value_type)
    return pa.types.is_string(type) or pa.types.is_large_string(type) or pa.types.is_string_view(type)


def _readings(type: pa.DataType) -> Mapping[Kind, tuple[str, ...]]:
    if is_text(type):
        return _FROM_TEXT
    if pa.types.is_boolean(type):
        return _FROM_FLAG
    if pa.types.is_integer(type):
        return _FROM_INTEGER
    if pa.types.is_floating(type) or pa.types.is_decimal(type):
        return _FROM_NUMBER
    if pa.types.is_date(type):
        return _FROM_DAY
    if pa.types.is_timestamp(type):
        return _FROM_MOMENT if type.tz is None else _FROM_ZONED
    return {}


def read_in_layers(readings: list[Reading], source: str) -> str:
    """A SELECT of `source` with the i-th reading's given value as `__g<i>`, its reading as `__v<i>`."""
    query = "SELECT *" + "".join(f", {reading.given} AS __g{i}" for i, reading in enumerate(readings))
    query += f" FROM {source}"
    for depth in range(max((len(reading.steps) for reading in readings), default=0)):
        layer = []
        for i, reading in enumerate(readings):
            steps = reading.steps
            if depth < len(steps):
                name = f"__v{i}" if depth == len(steps) - 1 else f"__s{i}_{depth}"
                before = f"__s{i}_{depth - 1}" if depth else f"__g{i}"
                layer.append(f"{steps[depth].format(v=before, g=f'__g{i}')} AS {name}")
        query = f"SELECT *, {', '.join(layer)} FROM ({query})"
    return query


def fault(reading: Reading, i: int) -> str | None:
    """An SQL expression that says what is wrong with the i-th reading, None where nothing can be."""
    faults = []
    name = reading.column.name
    if reading.can_fail:
        message = f"{literal(name + ': ')} || chr(39) || left(CAST(__g{i} AS VARCHAR), 60) || chr(39)"
        word = literal(f" is not {WORDS[reading.column.kind]}")
        faults.append(f"WHEN __v{i} IS NULL AND __g{i} IS NOT NULL THEN {message} || {word}")
    if reading.column.required:
        faults.append(f"WHEN __v{i} IS NULL THEN {literal(name + ': is missing')}")
    return f"CASE {' '.join(faults)} END" if faults else None
