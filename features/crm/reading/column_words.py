"""What was decided about a column, in a sentence each: the reading, and what showed it."""

from collections.abc import Mapping
from datetime import date, timedelta

from features.crm.contract import Kind
from features.crm.reading.moment_form import MomentForm, Order, order_of
from features.crm.reading.number_form import NumberForm, number_of
from features.crm.reading.period_words import FISCAL
from features.crm.values import literal

_ORDERS = {"dmy": "day before month", "mdy": "month before day", "ymd": "year, month, day"}
Said = tuple[tuple[str, ...], tuple[str, ...]]
"""What was decided, and what was decided though another reading fits as well."""


def says_numbers(
    name: str, kind: Kind, evidence: NumberForm, form: NumberForm, bands: Mapping[str, str], from_table: str
) -> Said:
    """What is said of numbers.

    Args:
        name: `table.column`.
        kind: of the column.
        evidence: what its values show.
        form: what was decided.
        bands: band → what it is read as.
        from_table: a value of another column that showed the decimal sign, if one did.
    """
    says: list[str] = []
    doubts: list[str] = []
    unclear = sum(evidence.unclear.values())
    sign = "comma" if form.comma else "point"
    if form.comma and evidence.commas:
        says.append(f"{name}: the decimal sign is the comma, as {form.example} shows")
    elif unclear and evidence.points:
        says.append(f"{name}: the decimal sign is the point, as {form.example} shows")
    if evidence.points and evidence.commas and unclear:
        doubts.append(
            f"{name}: {evidence.points:,} values have a decimal point and {evidence.commas:,} a decimal"
            f" comma; {unclear:,} that could be either are read with the {sign}"
        )
    elif unclear and not evidence.points and not evidence.commas:
        example = _unclear_example(form, evidence)
        if from_table:
            says.append(f"{name}: the decimal sign is the {sign}, as {from_table} shows in another column")
        else:
            doubts.append(f"{name}: nothing shows what the sign in {example}; say otherwise in mapping.yaml")
    if form.percent:
        rest = evidence.numbers - form.percent
        share = f"{form.percent:,} of {evidence.numbers:,}"
        text = f"{name}: {share} values have a per-cent sign, so all are per cent"
        (doubts if rest else says).append(f"{text}: 10 is 0.1" + (" with or without it" if rest else ""))
    if form.multiples:
        says.append(f"{name}: {form.multiples:,} values are in thousands or millions (K, M)")
    if bands and form.terms:
        term, months = next(iter(bands.items()))
        says.append(f"{name}: {form.terms:,} values are terms, read in months ({term} is {months})")
    elif bands:
        band, value = next(iter(bands.items()))
        says.append(
            f"{name}: {form.bands:,} values are bands, read as the geometric mean of their ends"
            f" ({band} is {value})"
        )
    return tuple(says), tuple(doubts)


def says_each(name: str, form: NumberForm, times: int) -> Said:
    """What is said of amounts a month or a year.

    Args:
        name: `table.column`.
        form: of the column.
        times: how often each counts.
    """
    amounts = " and ".join(f"{rows:,} a {unit}" for unit, rows in form.per.items())
    if times > 1:
        return (f"{name}: all amounts are a {next(iter(form.per))}'s, and count {times} times a year",), ()
    if list(form.per) == ["year"]:
        return (f"{name}: {_values(form.per['year'])} amounts a year",), ()
    return (), (f"{name}: amounts are {amounts}; they are read as the numbers they are, none is converted",)


def says_periods(name: str, periods: Mapping[str, str], values: Mapping[str, int], *, is_first: bool) -> Said:
    """What is said of days that are given as periods, and of fiscal ones, which are not read.

    Args:
        name: `table.column`.
        periods: period → the day it is read as.
        values: of the column, with their rows.
        is_first: that day is the period's first, else its last.
    """
    says: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    if periods:
        text, day = next(iter(periods.items()))
        end = "first" if is_first else "last"
        rows = _values(sum(values[period] for period in periods))
        says = (f"{name}: {rows} months, quarters or weeks, read as their {end} day ({text} is {day})",)
    fiscal = [value for value in values if value not in periods and FISCAL.fullmatch(value)]
    if fiscal:
        doubts = (
            f"{name}: {_values(sum(values[value] for value in fiscal))} of a fiscal year ({fiscal[0]}), which"
            " begins when a firm says so: not read. Export days instead",
        )
    return says, doubts


def _unclear_example(form: NumberForm, evidence: NumberForm) -> str:
    sign = next(iter(evidence.unclear))
    value = f"12{sign}000"
    read = number_of(value, form.comma)
    return f"{value} means: it is read as {read:g}"


def says_moments(
    name: str, form: MomentForm, table: Mapping[str, Order], shorts: set[tuple[str, bool]]
) -> Said:
    """What is said of days and moments."""
    says: list[str] = []
    doubts: list[str] = []
    for sign, short in sorted(shorts):
        column = form.orders.get(sign, Order())
        order, where = order_of(sign, column, table.get(sign), short)
        if order is None:
            doubts.append(f"{name}: nothing shows the order of day, month and year of two digits; not read")
        elif where == "":
            other = "month first" if order == "dmy" else "day first"
            doubts.append(
                f"{name}: {column.rows:,} dates fit both day first and month first; they are read as"
                f" {_ORDERS[order]}. If they are {other}, say so in mapping.yaml with strptime"
            )
        else:
            shown = column if where == "column" else table[sign]
            place = "" if where == "column" else " in another column"
            says.append(f"{name}: {_ORDERS[order]}, as {shown.example or 'its years'} shows{place}")
            against = shown.second if order == "dmy" else shown.first
            if against:
                doubts.append(f"{name}: {against:,} dates fit the other order alone, and are not read")
    if "serial" in form.rows:
        example = form.examples["serial"]
        says.append(
            f"{name}: {_values(form.rows['serial'])} Excel's day numbers ({example} is {_serial(example)})"
        )
    if "epoch" in form.rows:
        says.append(f"{name}: {_values(form.rows['epoch'])} seconds or milliseconds since 1970, in UTC")
    if "zones" in form.rows:
        zone = f"in a named time zone ({form.examples['zones']}), made UTC"
        says.append(f"{name}: {_values(form.rows['zones'])} {zone}")
    return tuple(says), tuple(doubts)


def _values(count: int) -> str:
    return f"{count:,} value{' is' if count == 1 else 's are'}"


def _serial(text: str) -> str:
    return (date(1899, 12, 30) + timedelta(days=int(float(text)))).isoformat()


def says_flags(
    table: str,
    name: str,
    raw: str,
    flags: Mapping[str, bool | str | None],
    values: Mapping[str, int],
    *,
    outcome: bool,
) -> Said:
    """What is said of yes and no: words beyond the plain ones, and those not known, with a mapping line."""
    says: list[str] = []
    doubts: list[str] = []
    plain = {"true", "false", "yes", "no", "1", "0", "t", "f", "y", "n"}
    if any(value.lower() not in plain for value, flag in flags.items() if flag is not None):
        parts = []
        for flag, word in ((True, "yes"), (False, "no"), ("open", "not decided yet")):
            listed = [value for value in flags if flags[value] is not None and flags[value] == flag]
            if listed:
                parts.append(f"{', '.join(listed[:6])}{' …' if len(listed) > 6 else ''} as {word}")
        says.append(f"{table}.{name}: {'; '.join(parts)}")
    unknown = [value for value, flag in flags.items() if flag is None]
    if unknown:
        words = ", ".join(unknown[:6]) + (" …" if len(unknown) > 6 else "")
        cost = "put aside with its row" if outcome else "missing"
        column = f'\\"{raw}\\"'
        case = f"CASE WHEN {column} = {literal(unknown[0])} THEN 'true' ELSE {column} END AS {column}"
        means = "won or renewed" if outcome else "yes"
        doubts.append(
            f"{table}.{name}: {_values(sum(values[value] for value in unknown))} neither yes nor no as far as"
            f" is known ({words}), and {cost}. If {unknown[0]} means {means}, say so in mapping.yaml:"
            f" `{table}: \"SELECT * REPLACE ({case}) FROM '{table}.csv'\"`"
        )
    return tuple(says), tuple(doubts)
