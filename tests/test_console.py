"""The command line's tables."""

from serving.console import scores


def _row(contract_id: str, problem: object) -> dict[str, object]:
    figures = {"probability": 0.6, "low": 0.5, "high": 0.7, "band": "watch", "amount": 100.0, "at_risk": 40.0}
    return {"contract_id": contract_id, "account_id": "A", **figures, "reasons": [], "problem": problem}


def test_rows_without_a_problem_are_listed_beside_one_with_a_problem(capsys):
    """A column of problems reads NaN where there is none, as pandas fills it in."""
    rows = [_row("C-1", float("nan")), _row("C-2", None), _row("C-3", "no such contract")]
    scores.scored({"kind": "renewal", "rows": rows})
    shown = capsys.readouterr().out
    assert "first 2 of 2" in shown
    assert "not scored C-3: no such contract" in shown
    assert "not scored C-1" not in shown
