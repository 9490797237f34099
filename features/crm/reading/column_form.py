"""How each column of a table is read: decided on the whole column, and said where there was a choice.

A column that is written as the contract writes it is read at once. Of any other its shapes are looked at, and
what one value shows holds for all of them. Rows that come one by one have no column: `strict` reads what
is clear by itself, and nothing by custom.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb

from features.crm.contract import Kind
from features.crm.reading.categories import category_form, set_step
from features.crm.reading.code_form import id_form, postal_form, spoilt_ids
from features.crm.reading.column_words import (
    says_each,
    says_flags,
    says_moments,
    says_numbers,
    says_periods,
)
from features.crm.reading.duration_form import DURATION_MACROS, duration_steps, needs_units
from features.crm.reading.flag_words import flag_of, flags_of
from features.crm.reading.moment_form import (
    MOMENT_MACROS,
    MomentForm,
    Order,
    Written,
    moment_form,
    moment_steps,
    order_of,
    pooled_orders,
)
from features.crm.reading.nothing import is_nothing
from features.crm.reading.number_form import (
    NUMBER_MACROS,
    NumberForm,
    band_value,
    decided,
    number_form,
    number_steps,
    pooled,
)
from features.crm.reading.period_words import A_YEAR, period_of, term_in_months
from features.crm.reading.plain_columns import Plain, plain_columns
from features.crm.reading.value_shapes import Look, Shapes, shapes_from
from features.crm.values import (
    TEXT_MACROS,
    WORDY,
    Form,
    Reading,
    braced,
    is_milli,
    is_outcome,
    is_text,
    quoted,
    replaced,
    typed_steps,
    word_step,
)

NUMBERS = (Kind.NUMBER, Kind.WHOLE, Kind.MONEY, Kind.DURATION)
MOMENTS = (Kind.TIME, Kind.DATE)
_ANNUAL = ("annual_value", "list_value")
_FROM_THE_FIRST = ("start_date", "from")
"""Days that a period begins with, where all others are known once it is over."""
_SHARES = ("forecast",)
"""Columns that are shares of one: where they go beyond it, they are per cent."""


def add_macros(connection: duckdb.DuckDBPyConnection) -> None:
    """Teach the connection the readings that the expressions call."""
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(TEXT_MACROS + NUMBER_MACROS + DURATION_MACROS + MOMENT_MACROS)


@dataclass(frozen=True)
class Table:
    """What the columns of a table show together, and where a form is sought from.

    Args:
        name: of the table.
        look: at its columns; None where rows came one by one.
        numbers: of all columns of numbers.
        orders: of all columns of days.
        strict: read what is clear by itself, and nothing by custom or by other values.
    """

    name: str
    look: Look | None
    numbers: NumberForm
    orders: Mapping[str, Order]
    strict: bool


def with_forms(look: Look, table: str, readings: Sequence[Reading], *, strict: bool = False) -> list[Reading]:
    """The readings, each with its form.

    Args:
        look: at the raw rows.
        table: its name, for what is said.
        readings: of its columns.
        strict: nothing is read by custom, nor by what other values show.
    """
    text = [each for each in readings if is_text(each.type)]
    plain = plain_columns(look.connection, look.source, text)
    numbers = {
        each.raw: number_form(look.shapes(each.raw).given)
        for each in text
        if each.column.kind in NUMBERS and each.raw not in plain
    }
    moments = {
        each.raw: moment_form(look.connection, look.source, each.raw, look.shapes(each.raw).given)
        for each in text
        if each.column.kind in MOMENTS and each.raw not in plain
    }
    within = Table(table, look, pooled(numbers.values()), pooled_orders(moments.values()), strict)
    words = look.nothing([each.raw for each in text if each.column.kind in WORDY])
    formed = [
        replace(each, form=_form(within, each, plain.get(each.raw), numbers, moments, words))
        for each in readings
    ]
    return formed if strict else _unspoilt(look, table, formed)


def _unspoilt(look: Look, table: str, readings: list[Reading]) -> list[Reading]:
    """The readings, those of ids and postal codes that a spreadsheet took for numbers as they were before."""
    text = [each for each in readings if is_text(each.type)]
    spoilt = spoilt_ids(look, text)
    country = next((each.raw for each in readings if each.column.name == "country"), None)
    forms: dict[str, Form] = {}
    for each in text:
        name = f"{table}.{each.column.name}"
        if each.form is not None and each.raw in spoilt:
            forms[each.raw] = id_form(name, spoilt[each.raw], each.form.nothing)
        elif each.form is not None and each.column.name == "postal_code":
            forms[each.raw] = postal_form(look, name, each.raw, country, each.form)
    return [replace(each, form=forms.get(each.raw, each.form)) for each in readings]


def _form(
    within: Table,
    reading: Reading,
    plain: Plain | None,
    numbers: Mapping[str, NumberForm],
    moments: Mapping[str, MomentForm],
    words: Mapping[str, tuple[str, ...]],
) -> Form | None:
    kind, raw, look = reading.column.kind, reading.raw, within.look
    assert look is not None
    if not is_text(reading.type):
        return _typed_share(within, reading)
    if kind in WORDY:
        return _words(within, reading, words[raw])
    if kind is Kind.FLAG:
        values = look.values(raw)
        return _flags(within, reading, values if values is not None else {})
    if plain is not None:
        return _plain(within, reading, plain)
    shapes = look.shapes(raw)
    if kind in NUMBERS:
        values = look.values(raw) if numbers[raw].bands or numbers[raw].terms else {}
        return number_column(within, reading, shapes, numbers[raw], values or {})
    values = look.values(raw) if "other" in moments[raw].rows else {}
    return moment_column(within, reading, shapes, moments[raw], values or {})


def strict_form(reading: Reading, values: Sequence[str]) -> Form:
    """The form of a few values that come without their column.

    Args:
        reading: of the column.
        values: trimmed.
    """
    within = Table("", None, NumberForm(), {}, strict=True)
    shapes, kind = shapes_from(values), reading.column.kind
    if kind in WORDY:
        hollow = tuple(value for value in values if value != "NA" and is_nothing(value))
        if kind is Kind.CATEGORY and any(";" in value for value in values):
            return Form((set_step(";"),), hollow)
        return Form((word_step(reading.column, reading.type),), hollow)
    counted = dict.fromkeys(values, 1)
    if kind is Kind.FLAG:
        return _flags(within, reading, counted)
    if kind in NUMBERS:
        return number_column(within, reading, shapes, number_form(shapes.given), counted)
    return moment_column(within, reading, shapes, moment_form(None, "", "", shapes.given), counted)


def _plain(within: Table, reading: Reading, plain: Plain) -> Form:
    kind = reading.column.kind
    if kind in MOMENTS:
        day = "CAST(TRY_CAST({v} AS DATE) AS TIMESTAMP)"
        day = day if kind is Kind.DATE else f"end_of({day})"
        moment = "TRY_CAST({v} AS TIMESTAMP)"
        moment = f"date_trunc('day', {moment})" if kind is Kind.DATE else moment
        step = day if plain.days else f"CASE WHEN length({{v}}) = 10 THEN {day} ELSE {moment} END"
        return Form((step, "real_day({v})"), bare=True)
    percent = reading.column.name in _SHARES and (plain.greatest or 0) > 1
    says = (_share_says(within, reading),) if percent else ()
    return Form(_number_tail(reading, percent), bare=True, says=says)


def _share_says(within: Table, reading: Reading) -> str:
    return f"{within.name}.{reading.column.name}: values go beyond 1, so all are per cent: 90 is 0.9"


def _typed_share(within: Table, reading: Reading) -> Form | None:
    """The form of typed numbers that are shares of one in per cent; None where there is nothing to say."""
    is_number = Kind.MONEY in typed_steps(reading.type)
    if reading.column.name not in _SHARES or not is_number or within.look is None:
        return None
    row = within.look.connection.execute(
        f"SELECT max(CAST({quoted(reading.raw)} AS DOUBLE)) FROM {within.look.source}"
    ).fetchone()
    if not row or row[0] is None or not 1 < row[0] <= 100:
        return None
    step = "CASE WHEN isfinite(CAST({v} AS DOUBLE)) THEN CAST({v} AS DOUBLE) / 100 END"
    return Form((step,), says=(_share_says(within, reading),))


def _words(within: Table, reading: Reading, nothing: tuple[str, ...]) -> Form:
    column = reading.column
    if column.kind is Kind.CATEGORY and within.look is not None:
        return category_form(within.name, column.name, within.look.values(reading.raw), nothing)
    return Form((word_step(column, reading.type),), nothing)


def _flags(within: Table, reading: Reading, values: Mapping[str, int]) -> Form:
    outcome = is_outcome(reading.column)
    hollow = [value for value in values if is_nothing(value)]
    header = (reading.raw.lower(), reading.column.name)
    words = [
        value
        for value in values
        if value not in hollow
        and (value.lower() not in header or flag_of(value, outcome=outcome) is not None)
    ]
    flags = flags_of(words, outcome=outcome)
    lists = {flag: [value for value in flags if flags[value] is flag] for flag in (True, False)}
    cases = [
        f"WHEN {{v}} IN ({', '.join(map(braced, listed))}) THEN {str(flag).lower()}"
        for flag, listed in lists.items()
        if listed
    ]
    step = f"CASE {' '.join(cases)} END" if cases else "CAST(NULL AS BOOLEAN)"
    opened = [value for value, flag in flags.items() if flag == "open"]
    says, doubts = says_flags(within.name, reading.column.name, reading.raw, flags, values, outcome=outcome)
    rows = sum(values[value] for value in flags if value not in opened)
    return Form((step,), (*hollow, *opened), rows=rows, says=says, doubts=doubts)


def number_column(
    within: Table, reading: Reading, shapes: Shapes, evidence: NumberForm, values: Mapping[str, int]
) -> Form:
    """The form of a column of numbers."""
    kind = reading.column.kind
    shares = evidence.percent and kind is not Kind.NUMBER
    if shares:  # a share is no amount
        evidence = replace(evidence, percent=0)
    form = evidence if within.strict else decided(evidence, kind, within.numbers)
    comma = form.comma and not within.strict
    steps = number_steps(comma, bool(form.multiples), form.per)
    if shares:
        steps = ("CASE WHEN NOT contains({v}, '%') THEN {v} END", *steps)
    bands: dict[str, str] = {}
    if form.bands and kind is not Kind.DURATION:
        bands = {value: read for value in values if _is_band(value) and (read := band_value(value, comma))}
    months = reading.carried and form.terms > 0
    if months:
        bands |= {value: f"{term:.2f}" for value in values if (term := term_in_months(value)) is not None}
    if bands:
        steps = (replaced(bands), *steps)
    if kind is Kind.DURATION:
        steps = duration_steps(steps, units=needs_units(shapes.given))
    else:
        times = 1 if within.strict else _times_a_year(reading, form)
        steps += _number_tail(reading, bool(form.percent), times, strict=within.strict)
    from_table = (
        within.numbers.example if not (evidence.points or evidence.commas) and not within.strict else ""
    )
    name = f"{within.name}.{reading.column.name}"
    says, doubts = says_numbers(name, kind, evidence, form, bands, from_table)
    if form.per and kind is not Kind.DURATION:
        says_per, doubts_per = says_each(name, form, times)
        says, doubts = (*says, *says_per), (*doubts, *doubts_per)
    return Form(steps, shapes.nothing, rows=shapes.rows, says=says, doubts=doubts)


def _times_a_year(reading: Reading, form: NumberForm) -> int:
    """How often an amount counts in a column of annual ones: all have to say that they are a month's."""
    unit = next(iter(form.per), "year")
    all_alike = form.per.get(unit) == form.numbers
    return A_YEAR[unit] if reading.column.name in _ANNUAL and all_alike else 1


def _is_band(value: str) -> bool:
    return number_form(shapes_from([value]).all).bands > 0


def _number_tail(reading: Reading, percent: bool, times: int = 1, *, strict: bool = False) -> tuple[str, ...]:
    """The steps from a plain number, as text, to what is stored; money `times` over."""
    kind = reading.column.kind
    if kind is Kind.MONEY:
        return ("micro_of({v})", f"half_even({{v}}{f' * {times}' * (times > 1)}, 10000)")
    if kind is Kind.DURATION:
        return ("micro_of({v})", "half_even({v} * 60, 1000000)", "CASE WHEN {v} >= 0 THEN {v} END")
    if is_milli(reading.column):
        return ("micro_of({v})", f"half_even({{v}}, {100_000 if percent else 1000})")
    number = "TRY_CAST({v} AS DOUBLE)"
    if percent and strict:
        number = rf"CASE WHEN suffix({{g}}, '%') THEN {number} / 100 ELSE {number} END"
    elif percent:
        number = f"{number} / 100"
    whole = ("CASE WHEN {v} = trunc({v}) THEN TRY_CAST({v} AS BIGINT) END",)
    return (number, *(whole if kind is Kind.WHOLE else ()))


def moment_column(
    within: Table, reading: Reading, shapes: Shapes, form: MomentForm, values: Mapping[str, int]
) -> Form:
    """The form of a column of days or moments; `values` are looked at for what is neither."""
    at = 0 if reading.column.name in _FROM_THE_FIRST else 1
    periods = {value: days[at].isoformat() for value in values if (days := period_of(value))}
    if periods:
        form = replace(form, written=tuple(dict.fromkeys((*form.written, Written("iso", True)))))
    shorts = {(each.sign, each.short) for each in form.written if each.kind == "numeric"}
    if within.strict:
        written = tuple(each for each in form.written if each.kind not in ("serial", "numeric"))
        form = replace(form, written=written)
        orders: dict[tuple[str, bool], str | None] = {}
    else:
        orders = {
            (sign, short): order_of(sign, form.orders.get(sign, Order()), within.orders.get(sign), short)[0]
            for sign, short in shorts
        }
    steps = moment_steps(reading.column.kind is Kind.DATE, form, orders)
    steps = (replaced(periods), *steps) if periods else steps
    name = f"{within.name}.{reading.column.name}"
    says, doubts = says_moments(name, form, within.orders, shorts)
    says_more, doubts_more = says_periods(name, periods, values, is_first=at == 0)
    says, doubts = (*says, *says_more), (*doubts, *doubts_more)
    return Form((*steps, "real_day({v})"), shapes.nothing, rows=shapes.rows, says=says, doubts=doubts)
