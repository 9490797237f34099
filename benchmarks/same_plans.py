"""What marketing and planning state, wherever it is shown: answers that take minutes, worked out twice.

Routes and pages answer from what was worked out ahead, commands work it out anew; both must be the same.
"""

from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.statements import Facts, Source
from features.crm.load import opened
from features.settings import Settings
from serving.pages.effects_page import FEWEST_RAW
from serving.pages.view import money, number, percent
from serving.precompute import usual, work_out
from training.fairness.parity import load_parity
from training.model_versions import code_version
from training.registry import champion

ANSWERS = {
    ("kpis",): "/v1/kpis",
    ("icp", "profiles"): "/v1/icp/profiles",
    ("icp", "list"): "/v1/icp/list",
    ("icp", "reach"): "/v1/icp/reach",
}
"""Command → the route that answers the same."""
FILES = {"/profiles/targets": "/v1/icp/list", "/v1/icp/list": "/v1/icp/list"}
LOST = {"renewal": "decided", "win": "decided"}


def compare_plans(source: Source, facts: Facts) -> None:
    """Routes against commands, files against routes, pages against commands."""
    settings = Settings(home=source.home)
    models = {kind: champion(kind, settings) for kind in LOST}
    for name in usual({kind: str(model.version) if model else None for kind, model in models.items()}):
        work_out(name, settings)
    for command, route in ANSWERS.items():
        shown, answer = source.json(route), source.command(*command)
        _leaves(facts, f"perennial {' '.join(command)}", shown, answer)
        _leaves(facts, route, answer, shown)
    cards = source.command("icp", "personas")["personas"]
    _leaves(facts, "perennial icp personas", source.json("/v1/icp/profiles")["personas"], cards)
    for path, route in FILES.items():
        rows = source.json(route)["rows"]
        for ending in ("csv", "xlsx", "parquet"):
            saved = source.file(f"{path}.{ending}")
            place = f"{path}.{ending}"
            facts.same("targets", place, [row["id"] for row in rows], list(saved["id"]))
            for row, fit in zip(rows, saved["fit"], strict=True):
                facts.same(f"fit of {row['id']}", place, row["fit"], fit)
    _plan(source, facts)
    _curves(source, facts)
    _experiment_design(source, facts)
    for kind, model in models.items():
        if model is not None:
            _parity(source, facts, kind)
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

    value, page = source.command("effects", "value"), source.page("/effects")
    tiles = page.tiles
    worth = "can’t tell" if value["money"] is None else money(value["money"])
    facts.same("worth of the plan", "/effects", worth, tiles.get("Worth of following the advice"))
    facts.same("renewals gained", "/effects", number(value["gain"], 1), tiles.get("More renewals"))
    facts.same(
        "contracts with advice", "/effects", f"{value['advised']:,}", tiles.get("Contracts with advice")
    )
    advised = sum(row["window"] is not None for row in rows.values())
    facts.same("contracts with advice", "perennial effects value", advised, value["advised"])
    for line in (line for line in value["rows"] if line["window"] is not None):
        stated = any(row.get("Worth", "").startswith(money(line["money"])) for row in page.rows)
        facts.same(f"worth of {line['window']} in {line['group']}", "/effects", True, stated)


def _curves(source: Source, facts: Facts) -> None:
    """Each choice's adjusted and raw rate: the commands and the page, for everybody and by industry."""
    for what in ("timing", "calls", "discount"):
        for by in ("all", "industry"):
            words = ("effects", what) if by == "all" else ("effects", what, "--by", by)
            rows = source.command(*words)["rows"]
            rows = [row for row in rows if (row["group"] == "all") == (by == "all")]
            page = source.page(f"/effects?what={what}&by={by}")
            shown = Counter((row["Adjusted"], row["Raw"], row["n"]) for row in page.rows if "Adjusted" in row)
            expected = Counter(
                (
                    percent(row["estimate"], 1),
                    percent(row["raw"] if row["n"] >= FEWEST_RAW else None, 1),
                    f"{row['n']:,}",
                )
                for row in rows
            )
            differ = sorted((shown - expected).elements()) + sorted((expected - shown).elements())
            facts.same(f"rates of {what} by {by}", "/effects", [], differ)
            facts.same(f"choices of {what} by {by}", f"perennial effects {what}", len(rows), shown.total())


def _experiment_design(source: Source, facts: Facts) -> None:
    """How many contracts an experiment draws; the page designs one where there is advice to check."""
    rows = [row for row in source.page("/effects").rows if "To enrol" in row]
    if not rows:
        return
    design = source.command("effects", "experiment")
    stated = rows[0].get("Contracts")
    facts.same("contracts in each half", "/effects", f"{design['contracts_each']:,}", stated)
    facts.same(
        "contracts in each half", "perennial effects experiment", stated, f"{design['contracts_each']:,}"
    )


def _parity(source: Source, facts: Facts, kind: str) -> None:
    """What fairness means and, where a model is trained as the served one was, how segments fare."""
    served = source.command("models", "show", kind)
    params, place = served["params"], f"perennial parity {kind}"
    options = source.command("parity", kind, "--trials", params["trials"])
    meant = source.command("monitor", kind)["declared"][kind]
    for name in ("favourable", "positive", "primary", "selected"):
        facts.same(f"{name} of {kind}", place, meant[name], options["declared"][name])
    with opened(Settings(home=source.home)) as crm:
        is_same = params["until"] == str(crm.until) and params["data_fingerprint"] == crm.fingerprint
    is_same &= params["code_version"] == code_version() and params["mitigation"] == "none"
    if is_same:
        stored = load_parity(Path(served["folder"]))["parity"]
        _leaves(facts, place, stored, options["parity"])


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
