"""Quarter ends and dates of deals from a timing that can be reckoned by hand."""

import numpy as np
import pytest

from serving.scoring.close_dates import CLOSE_COLUMNS, close_columns
from training.close_timing import CloseTiming

EVEN = tuple((np.arange(101) / 100).tolist())
TIMING = CloseTiming((0.0,), (EVEN,), (EVEN,))


def test_by_the_end_of_this_and_the_next_quarter():
    found = close_columns(
        TIMING, np.array([0.5, 0.5]), ["2025-03-11", "2025-01-01T13:00"], np.array([0.0, 7.0])
    )
    assert set(found) == set(CLOSE_COLUMNS)
    assert found["by_quarter_end"] == pytest.approx([0.5 * 0.20, 0.5 * 0.89])
    assert found["by_next_quarter_end"] == pytest.approx([0.5, 0.5])
    assert found["close_date"] == ["2025-04-30", "2025-02-20"]
    assert found["close_date_low"] == ["2025-03-16", "2025-01-06"]
    assert found["close_date_high"] == ["2025-06-14", "2025-04-06"]


def test_without_a_score_or_a_moment_nothing_is_told():
    found = close_columns(TIMING, np.array([np.nan, 0.5]), ["2025-03-11", None], np.array([0.0, np.nan]))
    assert all(values == [None, None] for values in found.values())
