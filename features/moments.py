"""A moment that somebody names, read once and the same way everywhere: naive UTC, within living memory."""

from datetime import UTC, datetime
from typing import Any

import pandas as pd

from features.errors import RenewalError

FIRST, LAST = pd.Timestamp("1900-01-01"), pd.Timestamp("2200-01-01")
"""What lies outside is a slip of the pen, and beyond what some of the arithmetic can hold."""


def naive_utc(moment: datetime) -> pd.Timestamp:
    """A moment as naive UTC, in microseconds; without an offset it is UTC."""
    at = pd.Timestamp(moment)
    return (at.tz_convert("UTC").tz_localize(None) if at.tzinfo else at).as_unit("us")


def utc_now() -> pd.Timestamp:
    """This moment, naive UTC in microseconds: for bookkeeping, never an `as_of` by itself."""
    return naive_utc(datetime.now(UTC))


def moment_of(value: str | datetime, what: str, do: str = "Write it as 2025-06-30.") -> pd.Timestamp:
    """A date or moment as naive UTC, in microseconds.

    Args:
        value: text, or a datetime; without an offset it is UTC.
        what: whose value it is, as "--as-of".
        do: what to say beside a value that is none.

    Raises:
        RenewalError: it is no moment, or not between 1900 and 2200.
    """
    read: Any
    try:
        read = pd.Timestamp(value)
        if not pd.isna(read):
            read = naive_utc(read)
        fits = not pd.isna(read) and FIRST <= read < LAST
    except (ValueError, OverflowError, TypeError):
        fits = False
    if not fits:
        shown = value.isoformat() if isinstance(value, datetime) else str(value)
        raise RenewalError(
            expected=f"{what} to be a date between {FIRST.year} and {LAST.year}", found=repr(shown), do=do
        )
    return read
