"""monitoring/forecasters.py: the champion beside the one before it, on matured outcomes."""

import pytest
from decided_case import SCORED_ON, decided

from monitoring.checks import Verdict
from monitoring.forecasters import compared, former_checks


def checked(case, before="1"):
    return former_checks("renewal", "2", before, case.crm, case.store, 0)


def test_a_former_champion_that_would_have_done_better_alerts_and_says_how_to_go_back(tmp_path):
    case = decided(tmp_path)
    case.log(case.blurred(1.5), shadow=case.blurred(0.1))
    (check,) = checked(case)
    assert check.verdict is Verdict.ALERT
    assert "`perennial models rollback renewal` brings version 1 back" in check.why
    assert check.value > check.threshold > 0


def test_the_better_champion_is_ok_and_equals_do_not_alert(tmp_path):
    case = decided(tmp_path)
    case.log(case.blurred(0.1), shadow=case.blurred(1.5))
    assert checked(case)[0].verdict is Verdict.OK
    case.log(case.blurred(0.5, seed=1), shadow=case.blurred(0.5, seed=2))
    assert checked(case)[0].verdict is Verdict.OK


def test_few_outcomes_are_unknown_and_without_a_former_champion_there_is_no_check(tmp_path):
    case = decided(tmp_path, n=80)
    case.log(case.truth, shadow=case.truth)
    assert checked(case)[0].verdict is Verdict.UNKNOWN
    assert checked(case, None) == []


def test_what_the_former_champion_served_itself_counts_too_but_only_where_both_spoke(tmp_path):
    case = decided(tmp_path)
    case.log(case.blurred(0.1), version="1")
    assert compared("renewal", "2", "1", case.crm, case.store, 0).rows == 0
    case.log(case.blurred(1.5), version="2", as_of=SCORED_ON)
    found = compared("renewal", "2", "1", case.crm, case.store, 0)
    assert (found.rows, found.closer) == (600, "other")


def test_outcomes_told_to_the_store_are_enough(tmp_path):
    import pandas as pd

    case = decided(tmp_path)
    case.log(case.blurred(1.5), shadow=case.blurred(0.1))
    assert compared("renewal", "2", "1", None, case.store, 0).closer == "unknown"
    answer = pd.DataFrame({"contract_id": case.ids, "outcome": case.renewed.astype(int)})
    case.store.outcomes.record(answer.assign(decided_at="2024-11-01"))
    assert compared("renewal", "2", "1", None, case.store, 0).closer == "other"


@pytest.mark.parametrize("kind", ["win"])
def test_another_kind_has_nothing(tmp_path, kind):
    case = decided(tmp_path)
    assert compared(kind, "2", "1", case.crm, case.store, 0).closer == "unknown"
