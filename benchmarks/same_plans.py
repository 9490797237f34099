"""What marketing and planning state, wherever it stands: answers that take minutes, worked out twice.

Routes and pages answer from what was worked out ahead, commands work it out anew; both must be the same.
"""

from typing import Any

from benchmarks.statements import Facts, Source
from features.settings import Settings
from serving.pages.view import money, number
from serving.precompute import usual, work_out
from training.registry import champion

ANSWERS = {
    "/v1/kpis": ("kpis",),
    "/v1/icp/profiles": ("icp", "profiles"),
    "/v1/icp/list": ("icp", "list"),
    "/v1/icp/reach": ("icp", "reach"),
}
FILES = {"/profiles/targets": "/v1/icp/list", "/v1/icp/list": "/v1/icp/list"}
LOST = {"renewal": "decided", "win": "decided"}


def compare_plans(source: Source, facts: Facts) -> None:
    """Routes against commands, files against routes, pages against commands."""
    settings = Settings(home=source.home)
    models = {kind: champion(kind, settings) for kind in LOST}
    for name in usual({kind: str(model.version) if model else None for kind, model in models.items()}):
        work_out(name, settings)
    for route, command in ANSWERS.items():
        _leaves(facts, f"perennial {' '.join(command)}", source.json(route), source.command(*command))
    for path, route in FILES.items():
        rows = source.json(route)["rows"]
        for ending in ("csv", "xlsx", "parquet"):
            saved = source.file(f"{path}.{ending}")
            place = f"{path}.{ending}"
            facts.same("targets", place, [row["id"] for row in rows], list(saved["id"]))
            for row, fit in zip(rows, saved["fit"], strict=True):
                facts.same(f"fit of {row['id']}", place, row["fit"], fit)
    _plan(source, facts)
    _churn_drivers(source, facts)
    _voice(source, facts)


def _leaves(facts: Facts, place: str, expected: Any, stated: Any, at: str = "") -> None:
    """Every value that both answers have a name for, however deep."""
    if isinstance(expected, dict) and isinstance(stated, dict):
        for name in expected.keys() & stated.keys():
            _leaves(facts, place, expected[name], stated[name], f"{at}.{name}")
    elif isinstance(expected, list) and isinstance(stated, list):
        facts.same(f"length of {at}", place, len(expected), len(stated))
        for place_at, (one, other) in enumerate(zip(expected, stated, strict=False)):
            _leaves(facts, place, one, other, f"{at}[{place_at}]")
    else:
        facts.same(at, place, expected, stated)


def _plan(source: Source, facts: Facts) -> None:
    rows = {row["contract_id"]: row for row in source.command("effects", "plan")["rows"]}
    for ending in ("csv", "xlsx", "parquet"):
        saved = source.file(f"/effects/plan.{ending}")
        place = f"/effects/plan.{ending}"
        facts.same("contracts of the plan", place, sorted(rows), sorted(saved["contract_id"]))
        for line in saved.to_dict("records"):
            for name in set(line) & {"window", "act_by", "gain", "low", "high", "at_risk", "worth"}:
                stated = line[name] if line[name] == line[name] else None
                expected = rows[line["contract_id"]].get(name)
                facts.same(f"{name} of {line['contract_id']}", place, expected, _plain(stated))


def _plain(value: Any) -> Any:
    """A day as the command writes it."""
    return str(value.date()) if hasattr(value, "date") else value


def _churn_drivers(source: Source, facts: Facts) -> None:
    for kind in LOST:
        answer = source.command("churn-drivers", kind)
        text = source.page(f"/churn-drivers?kind={kind}&by=all").text
        for row in answer["lost"]:
            stated = f"{money(row['money'])} lost · {row['subjects']:,} of" in text
            facts.same(f"lost {kind}: {money(row['money'])}", "/churn-drivers", True, stated)
        words = [row["words"] for row in answer["drivers"][:3]]
        facts.same(f"drivers of {kind}", "/churn-drivers", words, [each for each in words if each in text])


def _voice(source: Source, facts: Facts) -> None:
    rows = [row for row in source.command("voice", "kpis")["rows"] if row["dimension"] == "all"]
    shown = [row for row in source.page("/voice").rows if "KPI" in row]
    facts.same("KPIs of the voice", "/voice", len(rows), len(shown))
    for row, line in zip(rows, shown, strict=False):
        digits = 0 if row["kpi"] == "NPS" else 2
        estimate = line["Everybody"].split()[0]
        facts.same(f"{row['kpi']} of everybody", "/voice", number(row["estimate"], digits), estimate)
