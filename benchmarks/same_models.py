"""What is stated of the models, wherever it is shown: verdicts, checks, figures, versions, waivers, data."""

import json
import re
from collections import Counter
from typing import Any

from benchmarks.statements import Facts, Page, Source
from features.settings import Settings
from monitoring.checks import label, waiver_words
from monitoring.store import open_store
from serving.pages.view import number, sentence

KINDS = ("renewal", "win")
FIGURES = {"auc": "AUC", "log_loss": "Log loss", "brier": "Brier", "ece": "ECE"}
GAUGES = {"ok": 0.0, "alert": 1.0, "unknown": -1.0}
MOST_OF_A_FAMILY = 30
"""Checks that the page shows of one family."""


def compare_models(source: Source, facts: Facts) -> None:
    """Models as they were looked at last: the commands, the page, the cards and the gauges."""
    listed = source.command("models", "list")["models"]
    versions = source.json("/readyz")["models"]
    page = source.html("/models")
    for kind in KINDS:
        if versions.get(kind) is None:
            continue
        shown = source.command("models", "show", kind)
        facts.same(f"version of {kind} that serves", "/readyz", str(shown["version"]), str(versions[kind]))
        of_kind = [row for row in listed if row["model"].endswith(kind)]
        alias = next(row["alias"] for row in of_kind if str(row["version"]) == str(shown["version"]))
        facts.same(f"alias of {kind}", "perennial models list", shown["alias"], alias)
        section = page.partition(f'id="k{kind}"')[2].partition("</section>")[0]
        _figures(source, facts, kind, shown, Page(section))
        _waivers(source, facts, kind, shown, Page(section).text)
        facts.same(f"versions of {kind}", "/models", len(of_kind), section.count(f'href="/models/{kind}/') - (
            section.count(">Model card<") + section.count(">Drift report<")
        ))  # fmt: skip
    compare_verdicts(source, facts)
    _data_quality(source, facts)


def _figures(source: Source, facts: Facts, kind: str, shown: dict[str, Any], page: Page) -> None:
    """How good the model was: on the page, on its card, beside itself."""
    version = str(shown["version"])
    rows = {row[""]: row for row in page.rows if row.get("")}
    card = _card(source, kind, version)
    for name, words in (("forward", "On later data"), ("random", "On random folds")):
        judged = shown["result"].get(name) or {}
        for figure, heading in FIGURES.items():
            if judged.get(figure) is not None:
                stated = rows.get(words, {}).get(heading)
                facts.same(f"{name} {figure} of {kind}", "/models", number(judged[figure]), stated)
        if card is not None and judged.get("auc") is not None:
            place = f"/models/{kind}/{version}/card"
            facts.same(f"{name} AUC of {kind}", place, True, number(judged["auc"]) in card)
    same = source.command("models", "compare", kind, version, version)["metrics"]
    for name, row in same.items():
        facts.same(f"{name} of {kind}", "perennial models compare", shown["metrics"].get(name), row["other"])


def _waivers(source: Source, facts: Facts, kind: str, shown: dict[str, Any], text: str) -> None:
    """A gate that somebody waived is named with who and why wherever the model is."""
    card = _card(source, kind, str(shown["version"]))
    for one in shown.get("waived", ()):
        stated = f"{one['gate']} , by {one['by']}" in text and one["reason"] in text
        facts.same(f"waived gate {one['gate']} of {kind}", "/models", True, stated)
        if card is not None:
            place = f"/models/{kind}/{shown['version']}/card"
            facts.same(f"waived gate {one['gate']} of {kind}", place, True, waiver_words(one) in card)


def _card(source: Source, kind: str, version: str) -> str | None:
    """The words of a version's card; None where it was registered without one."""
    path = f"/models/{kind}/{version}/card"
    return source.page(path).text if source.client.get(path).status_code == 200 else None


def compare_verdicts(source: Source, facts: Facts) -> None:
    """The newest look at each model: on the page, in the report, as a gauge."""
    store, page = open_store(Settings(home=source.home)), source.html("/models")
    gauges = source.client.get("/metrics").text
    for kind in KINDS:
        looks = store.runs("monitor", kind, limit=1)
        if not looks:
            continue
        verdict, checks = looks[0]["summary"]["verdict"], looks[0]["summary"]["checks"]
        section = page.partition(f'id="k{kind}"')[2].partition("</section>")[0]
        shown = re.search(r'Verdict <b class="verdict-(\w+)"', section)
        facts.same(f"verdict of {kind}", "/models", verdict, shown[1] if shown else None)
        gauge = re.search(rf'monitor_verdict{{family="all",kind="{kind}"[^}}]*}} (\S+)', gauges)
        facts.same(f"verdict of {kind}", "/metrics", GAUGES[verdict], float(gauge[1]) if gauge else None)
        worst = "alert" if any(check["verdict"] == "alert" for check in checks) else verdict
        facts.same(f"verdict of {kind} and its checks", "/models", worst, verdict)
        _checks(facts, kind, checks, Page(section))
        if looks[0]["summary"].get("reports"):
            _report(facts, kind, checks, source.html(f"/models/{kind}/report"))


def _verdict(check: dict[str, Any]) -> str:
    return label(check["verdict"], check["value"], check["threshold"], check["name"])


def _checks(facts: Facts, kind: str, checks: list[dict[str, Any]], page: Page) -> None:
    """Each check on the page: its verdict, value and limit."""
    expected, most = Counter[tuple[str, ...]](), Counter[str]()
    for check in checks:
        name = f"{check['name'].partition(': ')[2] or check['name']} {check['segment']}".strip()
        figures = number(check["value"]), number(check["threshold"])
        expected[(name, _verdict(check), *figures, sentence(check["why"]))] += 1
        most[check["name"].partition(":")[0].partition(" (")[0]] += 1
    shown: Counter[tuple[str, ...]] = Counter(
        (row[""], row["Verdict"], row["Value"], row["Limit"], row.get("Why", ""))
        for row in page.rows
        if {"Verdict", "Value", "Limit"} <= set(row)
    )
    facts.same(f"checks of {kind} not as they are", "/models", [], sorted((shown - expected).elements()))
    listed = sum(min(count, MOST_OF_A_FAMILY) for count in most.values())
    facts.same(f"number of checks of {kind}", "/models", listed, sum(shown.values()))


def _report(facts: Facts, kind: str, checks: list[dict[str, Any]], html: str) -> None:
    """Each check in the Evidently report's table."""
    for check in checks:
        figures = [_as_reported(check[name]) for name in ("value", "threshold")]
        line = json.dumps([check["name"], check["segment"], *figures, _verdict(check), check["why"]])
        facts.same(
            f"{check['name']} {check['segment']}: {line}", f"/models/{kind}/report", True, line in html
        )


def _as_reported(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _data_quality(source: Source, facts: Facts) -> None:
    """Rows and rows in quarantine: the command and the page."""
    quality = source.command("check")
    rows = {row[""]: row for row in source.page("/models").rows if "Quarantined" in row}
    for name, table in quality["tables"].items():
        for part, heading in (("rows", "Rows"), ("kept", "Kept"), ("quarantined", "Quarantined")):
            shown = rows.get(name, {}).get(heading)
            facts.same(f"{part} of {name}", "/models", f"{table[part]:,}", shown)
    facts.same("tables", "perennial check", len(quality["tables"]), len(rows))


def compare_looks(source: Source, facts: Facts) -> None:
    """A look at the models by the command, beside what is kept of it; and who was right."""
    looked = source.command("monitor")
    store = open_store(Settings(home=source.home))
    for kind in KINDS:
        if not (looks := store.runs("monitor", kind, limit=1)):
            continue
        of_kind = [check for check in looked["checks"] if check["kind"] == kind]
        stored = looks[0]["summary"]["checks"]
        facts.same(f"checks of {kind}", "perennial monitor", len(stored), len(of_kind))
        for check, other in zip(stored, of_kind, strict=False):
            for name in ("name", "segment", "verdict", "value", "threshold", "why"):
                facts.same(f"{name} of {check['name']}", "perennial monitor", check[name], other[name])
        waived = [one for one in looked["waived"] if one["kind"] == kind]
        expected = source.command("models", "show", kind)["waived"]
        facts.same(f"gates waived of {kind}", "perennial monitor", len(expected), len(waived))
    compare_verdicts(source, facts)
    _who_was_right(source, facts)


def _who_was_right(source: Source, facts: Facts) -> None:
    compared = source.command("judged")["compared"]
    rows = [row for row in source.page("/models").rows if {"Nearer", "Model", "People"} <= set(row)]
    facts.same("comparisons", "/models", len(compared), len(rows))
    for row, shown in zip(compared, rows, strict=False):
        losses = row.get("log_loss") or {}
        facts.same(f"log loss of {row['who']}", "/models", number(losses.get(row["who"])), shown["People"])
        facts.same(f"log loss beside {row['who']}", "/models", number(losses.get("model")), shown["Model"])
    facts.same("comparisons", "perennial judged", len(rows), len(compared))
