"""Charts as SVG: where marks stand, what is read aloud, and what happens where there is no estimate."""

import re
from datetime import datetime

import pytest

from serving.pages.chart_axes import buckets, limits_of, lines_over_time, odds_over_time, rounded, scaled
from serving.pages.charts import bars_by_month, force_bar, odds_bar, rates_by_month, spark, weight_bar

MOMENTS = [datetime(2026, month, 1) for month in (1, 2, 3)]


def numbers(name: str, drawn: str) -> list[float]:
    """Every value of an attribute, in order."""
    return [float(text) for text in re.findall(rf'\b{name}="(-?[\d.]+)', drawn)]


def test_every_chart_has_a_name_and_a_description_and_no_two_share_an_id():
    points = [
        {"as_of": at, "probability": p, "low": p - 0.1, "high": p + 0.1}
        for at, p in zip(MOMENTS, (0.4, 0.5, 0.6), strict=True)
    ]
    drawn = [odds_over_time(points), odds_over_time(points[:2])]
    ids = [re.findall(r'id="(\w+)"', each) for each in drawn]
    assert not set(ids[0]) & set(ids[1])
    for each, (title, desc) in zip(drawn, ids, strict=True):
        assert f'aria-labelledby="{title} {desc}"' in each
        assert "1 Jan 26: 40 % (30–50)" in each


def test_odds_over_time_put_later_to_the_right_and_likelier_higher():
    points = [
        {"as_of": at, "probability": p, "low": p, "high": p}
        for at, p in zip(MOMENTS, (0.1, 0.9, 0.5), strict=True)
    ]
    x, y = numbers("cx", odds_over_time(points)), numbers("cy", odds_over_time(points))
    assert x == sorted(x)
    assert y[1] < y[2] < y[0]


def test_a_bucket_that_cannot_be_told_has_words_in_place_of_a_mark():
    known = {"bucket": "1-2", "estimate": 0.4, "low": 0.3, "high": 0.5, "raw": 0.6}
    unknown = {"bucket": "8+", "estimate": None, "low": None, "high": None, "raw": 0.9}
    drawn = buckets([known, unknown], "Calls", "calls")
    assert drawn.count('class="at"') == 1
    assert drawn.count('class="raw"') == 2
    assert "8+: can’t tell." in drawn


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        ([0.42, 0.58], (0.4, 0.6)),
        ([0.0, 1.0], (0.0, 1.0)),
        ([0.81, 0.835], (0.81, 0.835)),
        ([0.002, 0.004], (0.002, 0.004)),
        ([0.5, 1.9], (0.5, 2.0)),
        ([0.7], (0.7, 0.702)),
        ([], (0.0, 1.0)),
    ],
)
def test_axes_have_round_limits_that_hold_every_value(values, limits):
    assert limits_of(values) == pytest.approx(limits)
    assert rounded(values)[0] <= min(values, default=0.0)


def test_a_value_beyond_the_axis_is_drawn_at_its_end():
    y = scaled(0.0, 1.0)
    assert y(2.0) == y(1.0) < y(0.5) < y(0.0) == y(-1.0)


def test_months_past_have_no_interval_and_months_to_come_do():
    past = {
        "label": "Jan 26",
        "up": 100.0,
        "decided": 80.0,
        "expected": 80.0,
        "low": None,
        "high": None,
        "own": None,
    }
    coming = {
        **past,
        "label": "Feb 26",
        "decided": 0.0,
        "expected": 70.0,
        "low": 50.0,
        "high": 90.0,
        "own": 95.0,
    }
    drawn = bars_by_month([past, coming], "Money", str)
    assert drawn.count("whisker") == 1
    assert drawn.count('class="own"') == 1
    assert numbers("height", drawn) == pytest.approx([200, 160, 160, 200, 140])
    rates = [
        {"label": "Jan 26", "gross": 0.8, "net": None, "gross_low": None, "gross_high": None},
        {"label": "Feb 26", "gross": 0.7, "net": 0.9, "gross_low": 0.5, "gross_high": 0.9},
    ]
    drawn = rates_by_month(rates, "Rates")
    assert drawn.count("whisker") == 1
    assert drawn.count("<circle") == 3


def test_the_line_of_an_alert_lies_where_its_threshold_is():
    series = {"name": "moved", "css": "", "points": [(MOMENTS[0], 0.0), (MOMENTS[1], 0.4)]}
    drawn = lines_over_time([series], "Drift", limit=0.2)
    dots, line = numbers("cy", drawn), re.search(r'class="limit"[^>]*y1="([\d.]+)"', drawn).group(1)
    assert float(line) == pytest.approx(sum(dots) / 2, abs=0.1)


def test_small_charts_say_in_words_what_they_show():
    assert "62 per cent, interval 50 to 71" in odds_bar(0.62, 0.5, 0.71)
    assert odds_bar(None, None, None) == ""
    points = [{"as_of": at, "probability": p} for at, p in zip(MOMENTS, (0.8, 0.7, 0.5), strict=True)]
    assert "3 scores, from 80 to 50 per cent" in spark(points)
    assert 'class="down"' in force_bar(-0.4, 0.8)
    assert "-0.40 in log-odds" in weight_bar(-0.4, 0.8)
