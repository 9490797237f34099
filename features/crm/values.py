"""How one raw value becomes a value of the contract: DuckDB expressions for each `Kind`.

Typed values are read here; how a column of text is read is decided on all of it (`features.crm.reading`).
Nothing is rounded but to the stored unit, halves to even.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

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
WORDY = (Kind.ID, Kind.TEXT, Kind.CATEGORY)

_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00a0\u202f\u2009\u2007"
TEXT_MACROS = rf"""
CREATE TEMP MACRO text_of(v) AS CASE WHEN v[1] BETWEEN '!' AND '~' AND v[-1] BETWEEN '!' AND '~' THEN v
    ELSE nullif(trim(v, ' ' || chr(0) || chr(9) || chr(10) || chr(13) || '{_INVISIBLE}'), '') END;
CREATE TEMP MACRO visible(v) AS CASE WHEN strlen(v) = length(v) THEN v ELSE
    nullif(regexp_replace(v, '^[\p{{Z}}\s\p{{Cf}}]+|[\p{{Z}}\s\p{{Cf}}]+$|\p{{Cf}}', '', 'g'), '') END;
CREATE TEMP MACRO micro_of(v) AS CAST(TRY_CAST(v AS DECIMAL(30, 6)) * 1000000 AS HUGEINT);
CREATE TEMP MACRO half_even(n, d) AS TRY_CAST(sign(n) * (abs(n) // d + CASE
    WHEN 2 * (abs(n) % d) > d OR (2 * (abs(n) % d) = d AND (abs(n) // d) % 2 = 1) THEN 1 ELSE 0
    END) AS BIGINT);
"""

# Each reading is a row of steps: `{v}` is the step before, `{g}` the given value. The steps become columns of
# nested SELECTs, because one expression of it all doubles at every use and takes DuckDB seconds to plan.
_WHOLE = "CASE WHEN {v} = trunc({v}) THEN TRY_CAST({v} AS BIGINT) END"
_SECONDS = "half_even({v} * 60, 1000000)"
_COMPACT = "try_strptime(CAST(TRY_CAST({v} AS BIGINT) AS VARCHAR), '%Y%m%d')"
_DAY_NUMBER = f"CASE WHEN {{v}} BETWEEN 19000101 AND 22001231 THEN {_COMPACT} ELSE from_serial({{v}}) END"
_FROM_NUMBER = {
    Kind.NUMBER: ("CAST({v} AS DOUBLE)", "CASE WHEN isfinite({v}) THEN {v} END"),
    Kind.WHOLE: (_WHOLE,),
    Kind.MONEY: ("micro_of({v})", "half_even({v}, 10000)"),
    Kind.DURATION: ("micro_of({v})", _SECONDS),
    Kind.FLAG: ("CASE {v} WHEN 1 THEN true WHEN 0 THEN false END",),
    Kind.TIME: (
        f"CASE WHEN {{v}} >= 2e8 THEN from_epoch({{v}}) WHEN {{v}} = trunc({{v}}) THEN end_of({_DAY_NUMBER})"
        f" ELSE {_DAY_NUMBER} END",
        "real_day({v})",
    ),
    Kind.DATE: (
        f"date_trunc('day', CASE WHEN {{v}} >= 2e8 THEN from_epoch({{v}}) ELSE {_DAY_NUMBER} END)",
        "real_day({v})",
    ),
}
_FROM_INTEGER = _FROM_NUMBER | {
    Kind.NUMBER: ("CAST({v} AS DOUBLE)",),
    Kind.WHOLE: ("TRY_CAST({v} AS BIGINT)",),
    Kind.MONEY: ("TRY_CAST(CAST({v} AS HUGEINT) * 100 AS BIGINT)",),
    Kind.DURATION: ("TRY_CAST(CAST({v} AS HUGEINT) * 60 AS BIGINT)",),
}
_FROM_MOMENT = {
    Kind.TIME: ("CAST({v} AS TIMESTAMP)", "real_day({v})"),
    Kind.DATE: ("date_trunc('day', CAST({v} AS TIMESTAMP))", "real_day({v})"),
}
_FROM_ZONED = {
    Kind.TIME: ("timezone('UTC', {v})", "real_day({v})"),
    Kind.DATE: ("date_trunc('day', timezone('UTC', {v}))", "real_day({v})"),
}
_FROM_DAY = {
    Kind.TIME: ("end_of(CAST({v} AS TIMESTAMP))", "real_day({v})"),
    Kind.DATE: ("CAST({v} AS TIMESTAMP)", "real_day({v})"),
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


def trimmed_text(text: str) -> str:
    """The text as `text_of` in SQL gives it, empty where that is null."""
    return text.strip(f" \0\t\n\r{_INVISIBLE}")


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: object) -> str:
    """An SQL string."""
    return "'" + str(text).replace("'", "''") + "'"


def braced(text: str) -> str:
    """An SQL string inside a step, which is a format."""
    return literal(text).replace("{", "{{").replace("}", "}}")


def replaced(texts: Mapping[str, str]) -> str:
    """The step that reads a few values as other texts."""
    pairs = ", ".join(f"{braced(given)}: {braced(text)}" for given, text in texts.items())
    return f"coalesce(MAP {{{{{pairs}}}}}[{{v}}], {{v}})" if pairs else "{v}"


@dataclass(frozen=True)
class Form:
    """How a column of text is read.

    Args:
        steps: from the given text to the value, one after the other; null where it cannot be read.
        nothing: trimmed values that stand for nothing.
        bare: values stand without spaces around them, and none of them is nothing.
        rows: rows with a value, where they were counted.
        says: what was decided, with what showed it; empty where there was nothing to decide.
        doubts: what was decided though another reading fits as well.
    """

    steps: tuple[str, ...]
    nothing: tuple[str, ...] = ()
    bare: bool = False
    rows: int | None = None
    says: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """One raw column read as one column of the contract.

    Args:
        column: what it becomes.
        raw: its name in the source.
        type: its Arrow type in the source.
        form: how its text is read, or its numbers where they need more than their type says.
        carried: the contract does not know it.
    """

    column: Column
    raw: str
    type: pa.DataType
    form: Form | None = None
    carried: bool = False

    @property
    def given(self) -> str:
        """The raw value, null where it counts as missing."""
        name = quoted(self.raw)
        if is_text(self.type):
            text = f"CAST({name} AS VARCHAR)"
            if self.form is not None and self.form.bare:
                return text
            nothing = ", ".join(map(literal, self.form.nothing)) if self.form is not None else ""
            text = f"text_of({text})"
            return f"CASE WHEN {text} NOT IN ({nothing}) THEN {text} END" if nothing else text
        if pa.types.is_floating(self.type):
            # Not isnan: DuckDB folds it to false from Parquet's statistics, which leave NaN out.
            return f"CASE WHEN isfinite({name}) OR isinf({name}) THEN {name} END"
        return name

    @property
    def steps(self) -> tuple[str, ...]:
        """What to do with the given value, one step after the other; null where it cannot be read."""
        kind = self.column.kind
        if self.form is not None:
            return self.form.steps
        if kind in WORDY:
            return (word_step(self.column, self.type),)
        readings = typed_steps(self.type)
        if kind not in readings:
            return (f"CAST(NULL AS {STORED_AS[kind]})",)
        if is_milli(self.column):
            return ("micro_of({v})", "half_even({v}, 1000)")
        return readings[kind]

    @property
    def can_fail(self) -> bool:
        """Whether a value that cannot be read costs the row: where it must be there, and of an outcome."""
        return self.column.kind not in WORDY and (self.column.required or is_outcome(self.column))


def is_milli(column: Column) -> bool:
    """Whether a number is stored in thousandths."""
    return column.kind is Kind.NUMBER and column.stored != column.name


def is_outcome(column: Column) -> bool:
    """Whether a column says how something ended; missing means undecided there, a word not known does not."""
    return column.kind is Kind.FLAG and column.known_with is not None


def word_step(column: Column, type: pa.DataType) -> str:
    """The step that reads words: ids lose invisible characters, and the `.0` that a spreadsheet added."""
    if column.kind is Kind.ID and is_text(type):
        whole = r"regexp_replace({v}, '^(\d+)\.0$', '\1')"
        return f"visible(CASE WHEN suffix({{v}}, '.0') THEN {whole} ELSE {{v}} END)"
    if column.kind is Kind.ID and pa.types.is_floating(type):
        whole = "CAST(TRY_CAST({v} AS BIGINT) AS VARCHAR)"
        return f"CASE WHEN {{v}} = trunc({{v}}) THEN {whole} ELSE CAST({{v}} AS VARCHAR) END"
    return "CAST({v} AS VARCHAR)"


def is_text(type: pa.DataType) -> bool:
    """Whether raw values of this type are words, whatever they mean."""
    if pa.types.is_dictionary(type):
        return is_text(type.value_type)
    return pa.types.is_string(type) or pa.types.is_large_string(type) or pa.types.is_string_view(type)


def typed_steps(type: pa.DataType) -> Mapping[Kind, tuple[str, ...]]:
    """The steps for values of a type other than text, by what they become."""
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
        start = f"{literal(name + ': ')} || chr(39) || left(CAST(__g{i} AS VARCHAR), 60) || chr(39)"
        word = literal(f" is not {WORDS[reading.column.kind]}")
        faults.append(f"WHEN __v{i} IS NULL AND __g{i} IS NOT NULL THEN {start} || {word}")
    if reading.column.required:
        faults.append(f"WHEN __v{i} IS NULL THEN {literal(name + ': is missing')}")
    return f"CASE {' '.join(faults)} END" if faults else None
