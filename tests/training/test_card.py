"""The card: one file without links, figures that add up, charts that say in words what they show."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from model_data import undated

from training import card, card_charts
from training.card_figures import Judged, by_segment, gains, reliability


def judged(n=400, seed=0, kind="renewal"):
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.05, 0.95, n)
    y = (rng.random(n) < p).astype(float)
    return Judged(y, p, np.arange(n), rng.uniform(10, 20, n), np.arange(n), kind)


def content(**changed):
    rows = judged()
    figures = {"auc": 0.8, "log_loss": 0.5, "brier": 0.2, "ece": 0.02, "n": 400}
    power = {"auc": 0.99, "separation": 0.97}
    made = {
        "kind": "renewal",
        "rows": 400,
        "period": {"from": "2021-01-01", "to": "2024-01-01"},
        "base_rate": 0.5,
        "horizon_days": None,
        "served": "blend",
        "why": "blend",
        "calibration": "slope 1.02",
        "judged_calibration": "slope 0.97",
        "ranking": {
            "auc": 0.7,
            "low": 0.6,
            "high": 0.8,
            "words": "AUC among what was open then 0.700",
        },
        "adjustment": {
            "slope": 1.02,
            "level": 1.0,
            "variance": 0.04,
            "spans": [[624.5, 0.0, 0.1, 80], [627.5, 1.1, 0.2, 60]],
        },
        "forward": figures,
        "random": figures,
        "gap": 0.0,
        "baselines": {"base rate": figures},
        "unseen_accounts": None,
        "warnings": ["AUC is <high>"],
        "gates": {"parity": {"passed": None, "why": "unknown"}},
        "parity": [],
        "declared": {"favourable": "f", "positive": "p", "primary": "m"},
        "intervals": {"auc": [0.7, 0.9], "log_loss": [0.4, 0.6], "brier": [0.1, 0.3], "slope": 1.0},
        "reliability": reliability(rows),
        "bands": [
            {"band": "safe", "n": 9, "contracts": 9, "said": 0.8, "seen": 0.7, "low": 0.6, "high": 0.9}
        ],
        "lead_times": [],
        "groups": [],
        "gains": gains(rows),
        "importance": [{"group": "g", "words": "calls & visits", "log_odds": 0.4}],
        "losses": {"n": 3, "drivers": [], "stated": []},
        "guard": [
            {
                "column": "contracts.close_value",
                "verdict": "barred",
                "why": ["near copy of the outcome"],
                "power": power,
                "filled_good": 1.0,
                "filled_bad": 1.0,
                "filled_open": None,
                "n": 400,
            }
        ],
        "study": {"name": None},
        "history": [],
        "making": {"seed": 0},
        "limits": ["a limit"],
    }
    return {**made, **changed}


def test_it_is_one_file_that_needs_nothing_else():
    page = card.html(content())
    assert "as judged: slope 0.97. As served: slope 1.02" in page
    assert "<td>2022-01</td>" in page
    assert '<td>expected next</td><td class="n">–</td><td class="n">73 %</td><td class="n">0.20</td>' in page
    assert not re.findall(r"(?:src|href)=|@import|url\(|<script", page)
    assert page.count("<svg") == 3
    assert "of the lost contracts are in the first" in page
    assert "AUC is &lt;high&gt;" in page
    assert "contracts.close_value" in page


def test_the_search_is_shown_with_its_best_so_far():
    history = [{"number": at, "state": "complete", "log_loss": 0.5 - 0.01 * (at % 4)} for at in range(12)]
    history += [{"number": 12, "state": "pruned", "log_loss": None}]
    study = {"name": "s", "storage": "memory", "best": {"max_depth": 3}, "importance": {"max_depth": 0.7}}
    page = card.html(content(history=history, study=study))
    assert page.count("<svg") == 5
    assert "12 of 13 trials finished; best log loss 0.4700" in page
    assert "max_depth 3" in page


def test_without_dates_or_signal_it_says_so():
    page = card.html(content(forward=None, period=None, gap=None))
    assert "No usable dates" in page
    page = card.html(content(served="base rate", importance=[], losses=None))
    assert "No signal here: every contract gets the same probability, 50%" in page
    assert "of the lost contracts are in the first" not in page


@pytest.mark.parametrize("kind", ["renewal", "win"])
def test_gains_of_a_perfect_and_of_a_blind_list(kind):
    y = np.array([0.0, 1.0] * 100)
    good = Judged(y, y * 0.8 + 0.1, np.arange(200), np.ones(200), np.arange(200), kind)
    assert [round(top["caught"], 6) for top in gains(good)["top"]] == [0.2, 0.4, 0.6]
    assert gains(good)["top"][0]["lift"] == 2.0
    assert gains(good)["top"][2]["money_caught"] == pytest.approx(0.6)
    assert gains(good)["curve"][-1] == [1.0, 1.0]


def test_money_unknown_is_not_money_nought():
    rows = judged()
    unknown = Judged(rows.y, rows.p, rows.rows, np.full(400, np.nan), rows.subjects, "renewal")
    assert gains(unknown)["top"][0]["money_caught"] is None
    assert "their money" not in " ".join(card.headline(content(gains=gains(unknown)), "lost contracts"))


def test_reliability_covers_every_row_once_and_intervals_hold_what_was_seen():
    rows = reliability(judged(1000))
    assert sum(row["n"] for row in rows) == 1000
    assert all(row["low"] <= row["seen"] <= row["high"] for row in rows)
    assert np.mean([row["low"] <= row["said"] <= row["high"] for row in rows]) >= 0.6


def test_reliability_within_segments_counts_only_those_known_to_be_in_them():
    rows, ds = judged(400), undated(400)
    ids = ds.snapshots["account_id"]
    value = np.where(np.arange(400) < 20, "few", np.where(np.arange(400) % 2, "x", "y"))
    known = pd.DataFrame({"account_id": ids, "attribute": "group", "value": value, "share": 1.0})
    shared = known.assign(attribute="area", share=0.5)
    found = by_segment(ds, rows, pd.concat([known, shared]))
    assert [(row["column"], row["value"], row["n"]) for row in found] == [
        ("group", "x", 190),
        ("group", "y", 190),
    ]
    assert found[0]["seen"] == pytest.approx(rows.y[value == "x"].mean())


def test_snapshots_of_one_contract_do_not_narrow_the_intervals():
    once = judged(200)
    often = Judged(
        *(np.repeat(v, 7) for v in (once.y, once.p, once.rows, once.money, once.subjects)), "renewal"
    )
    assert reliability(often)[0]["low"] == pytest.approx(reliability(once)[0]["low"], abs=0.02)


def test_charts_say_in_words_what_they_show():
    svg = card_charts.bars_chart([("days since <call>", 0.5)], "sizes")
    assert 'aria-label="sizes: days since &lt;call&gt; 0.50"' in svg


def test_the_json_holds_the_same(tmp_path):
    path = card.write(tmp_path, content())
    assert path.read_text().startswith("<!doctype html>")
    assert json.loads((tmp_path / card.JSON).read_text())["served"] == "blend"
