"""By which day a deal will be won: by the end of this and the next quarter, and the expected date."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from training.close_timing import HIGH, LOW, MEDIAN, CloseTiming

CLOSE_COLUMNS = ("by_quarter_end", "by_next_quarter_end", "close_date", "close_date_low", "close_date_high")


def close_columns(
    timing: CloseTiming, probability: np.ndarray, as_of: Sequence[Any], age_days: np.ndarray
) -> dict[str, list[Any]]:
    """What deals' scores say of time, None where there is no score or no moment.

    Args:
        timing: the model's.
        probability: (n,) to be won within the model's horizon.
        as_of: (n,) moments the deals were scored at.
        age_days: (n,) days since creation then.

    Returns:
        `by_quarter_end`, `by_next_quarter_end`: (n,) probabilities to be won by the last day of the quarter
        of `as_of` and of the next; `close_date`, `close_date_low`, `close_date_high`: (n,) ISO days by which
        half, 5 % and 95 % of such deals are won, of those that are.
    """
    moment = pd.Series(
        pd.to_datetime(pd.Series(list(as_of), dtype=object), errors="coerce", format="ISO8601")
    )
    has_score = (moment.notna() & ~np.isnan(probability)).to_numpy()
    day = moment.dt.normalize()
    quarter = pd.PeriodIndex(day, freq="Q")
    columns: dict[str, list[Any]] = {}
    for name, ahead in (("by_quarter_end", 0), ("by_next_quarter_end", 1)):
        end = (quarter + ahead).to_timestamp(how="end").normalize()
        days = ((end - pd.DatetimeIndex(day)) / pd.Timedelta(days=1)).to_numpy(float)
        by = timing.won_by(probability, age_days, np.nan_to_num(days))
        columns[name] = [
            float(value) if scored else None for value, scored in zip(by, has_score, strict=True)
        ]
    for name, share in (("close_date", MEDIAN), ("close_date_low", LOW), ("close_date_high", HIGH)):
        dates = day + pd.to_timedelta(timing.days_to_win(age_days, share), unit="D")
        columns[name] = [
            str(date.date()) if scored else None for date, scored in zip(dates, has_score, strict=True)
        ]
    return columns
