"""A table of which not one row could be read: that is a fault of the export, not of its rows."""

import re

from features.errors import RenewalError
from features.quality import Quality, TableQuality

FEWEST_ROWS = 10
"""A few bad rows may be just that."""
_FAULT = re.compile(r"(?P<column>\w+): '(?P<value>.*?)' is not a date")
_DAY = re.compile(r"(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})(?:[ T](\d{1,2}:\d{2}(:\d{2})?))?")


def check_rows_left(quality: Quality) -> None:
    """Refuse tables of which every row was put aside for the same fault in its own values.

    Raises:
        RenewalError: names the column, what it holds and what to do.
    """
    for name, told in quality.tables.items():
        if told.rows >= FEWEST_ROWS and told.quarantined >= told.rows and not told.orphans:
            raise _refusal(name, told)


def _refusal(name: str, told: TableQuality) -> RenewalError:
    reason, most = max(told.reasons.items(), key=lambda item: item[1]["count"])
    examples = [str(text) for text in most["examples"]]
    formats = formats_of(
        [(fault["column"], fault["value"]) for text in examples for fault in _FAULT.finditer(text)]
    )
    do = "Correct the export, or say in mapping.yaml how it is to be read."
    if formats:
        read = ", ".join(f"strptime({column}, '{form}') AS {column}" for column, form in formats.items())
        source = f"read_csv('{name}.csv', all_varchar = true)"
        do = (
            "Export dates as YYYY-MM-DD, or say in mapping.yaml how they are read:"
            f' `{name}: "SELECT * REPLACE ({read}) FROM {source}"`.'
        )
    return RenewalError(
        expected=f"rows of {name} that can be read",
        found=f"all {told.rows:,} put aside, {most['count']:,} of them alike: {(examples or [reason])[0]}",
        do=do,
    )


def formats_of(faults: list[tuple[str, str]]) -> dict[str, str]:
    """Column → how its days are written, for `strptime`; nothing where it does not show.

    Args:
        faults: columns and values of theirs that are no ISO dates. All are taken to have the same order:
            where no number is over 12, day before month, but after a slash month before day.
    """
    days = [(column, _DAY.fullmatch(value)) for column, value in faults]
    found = [(column, day) for column, day in days if day and len(day[3]) <= 2]
    signs = {day[2] for _, day in found}
    if len(found) < len(days) or len(signs) != 1:
        return {}
    (sign,) = signs
    if all(len(day[1]) == 4 for _, day in found):
        if sign != ".":
            return {}  # as it should be: something else is wrong with them
        order = ["%Y", "%m", "%d"]
    else:
        year = "%Y" if all(len(day[4]) == 4 for _, day in found) else "%y"
        first, second = (max(int(day[part]) for _, day in found) for part in (1, 3))
        month_first = second > 12 or (sign == "/" and first <= 12)
        order = ["%m", "%d", year] if month_first else ["%d", "%m", year]
    return {column: sign.join(order) + _clock(day[5]) for column, day in found}


def _clock(text: str | None) -> str:
    return "" if text is None else " %H:%M:%S" if text.count(":") == 2 else " %H:%M"
