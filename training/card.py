"""The model card: one HTML file for people and the same content as JSON, from what a training found."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.settings import Settings
from training import card_charts as charts
from training import card_figures
from training.base_rate import MONTH_DAYS
from training.dataset import OUTCOMES, UNITS, Dataset, renewals_left_out
from training.fairness.parity import declared, segments_of, threshold
from training.gates import Gate
from training.leakage import Guard
from training.metrics import to_probability
from training.same_customers import SameCustomers
from training.selection_figures import Selection

if TYPE_CHECKING:
    from features.crm.crm import Crm

HTML, JSON = "card.html", "card.json"
MONEY = frozenset({"amount", "annual_value"})
"""Barred, they were written at the close, and no money can be summed by them."""
SHOWN_FEATURES, SHOWN_GROUPS, SHOWN_PARITY = 12, 16, 40
COLUMNS = ("accounts.industry", "accounts.region", "contracts.product", "opportunities.lead_source")
LIMITS = (
    "The owners' own forecasts are no input: the model is compared with them.",
    "Scores describe customers like those in the data; a new product, market or price list is not in it.",
    "Reasons say what counted for or against a customer in the data, not causes; see `perennial effects`.",
    "Scores change what people do, and so the outcomes of later data; keep a hold-out to judge that.",
    "Free text (comments, mails) is not read.",
)


@dataclass(frozen=True)
class Trained:
    """Everything a training found out, for the card."""

    kind: str
    ds: Dataset
    guard: Guard
    selection: Selection
    parity: list[dict[str, Any]]
    gates: dict[str, Gate]
    proxies: list[dict[str, Any]] = field(default_factory=list)
    mitigation: dict[str, Any] | None = None
    given_away: list[dict[str, Any]] = field(default_factory=list)
    same_customers: SameCustomers = field(default_factory=SameCustomers)


def card(trained: Trained, result: Mapping[str, Any], crm: "Crm", settings: Settings) -> dict[str, Any]:
    """The card's content, JSON values only: what `result` holds, and all that is drawn and listed.

    Args:
        trained: what a training found out.
        result: its summary.
        crm: for stated reasons of losses.
        settings: cores used for explanations.
    """
    ds, selection = trained.ds, trained.selection
    model = selection.model
    judged = card_figures.judged_rows(ds, selection.test)
    listed = card_figures.one_list(ds, judged)
    if not MONEY.isdisjoint(trained.guard.barred):
        listed = replace(listed, money=np.full(len(listed.y), np.nan))
    is_known = selection.served != "base rate"
    importance = card_figures.importance(model, ds.X.iloc[judged.rows], settings.threads) if is_known else []
    return {
        **result,
        "intervals": card_figures.intervals(judged),
        "reliability": card_figures.reliability(judged),
        "bands": card_figures.by_band(model, judged),
        "lead_times": card_figures.by_lead(ds, judged) if ds.dated else [],
        "groups": [
            *card_figures.by_segment(ds, judged, segments_of(crm))[:SHOWN_GROUPS],
            *card_figures.by_column(ds, judged, COLUMNS)[:SHOWN_GROUPS],
        ],
        "gains": card_figures.gains(listed),
        "importance": importance[:SHOWN_FEATURES],
        "losses": _losses(trained, crm, settings) if is_known else None,
        "guard": trained.guard.evidence,
        "study": {k: v for k, v in selection.study.items() if k != "history"},
        "history": selection.study.get("history", []),
        "declared": declared(trained.kind, threshold(model)),
        "features": len(model.features),
        "limits": [*_renewals_apart(trained, crm), *LIMITS],
    }


def _renewals_apart(trained: Trained, crm: "Crm") -> list[str]:
    count = renewals_left_out(crm, trained.kind, trained.ds)
    if not count:
        return []
    return [
        f"{count:,} opportunities renew a contract: this model neither trains on them nor scores them, "
        "their likelihood is the contract's, by the renewal model."
    ]


def _losses(trained: Trained, crm: "Crm", settings: Settings) -> dict[str, Any]:
    """Drivers of the test rows' losses, one row a contract or deal, with what was stated."""
    from training.churn_drivers import drivers_by_group, groups_of, stated_reasons

    ds, selection = trained.ds, trained.selection
    listed = card_figures.one_list(ds, card_figures.judged_rows(ds, selection.test))
    rows = listed.rows[listed.y == 0]
    lost = ds.snapshots.iloc[rows]
    everybody = groups_of(crm, lost, None)
    return {
        "n": len(rows),
        "drivers": drivers_by_group(selection.model, ds.X.iloc[rows], lost, everybody, settings.threads),
        "stated": stated_reasons(crm, trained.kind, lost, everybody),
    }


def write(folder: Path, content: Mapping[str, Any]) -> Path:
    """Write card.json and card.html into a folder, and give the latter's path."""
    (folder / JSON).write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
    path = folder / HTML
    path.write_text(html(content), encoding="utf-8")
    return path


def html(content: Mapping[str, Any]) -> str:
    """The card as one self-contained page: no script, no font, no link to elsewhere."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "figure": _figure, "money": _money, "whole": _whole}
    environment.filters |= {"month": _month, "rate": _rate}
    kind = content["kind"]
    good, bad = OUTCOMES[kind]
    wanted = f"{bad} {UNITS[kind]}" if kind == "renewal" else f"{good} {UNITS[kind]}"
    return environment.get_template("card.html").render(
        card=content,
        kind=kind,
        units=UNITS[kind],
        good=good,
        bad=bad,
        wanted=wanted,
        headline=headline(content, wanted),
        shown=content["forward"] or content["random"],
        parity=_worth_showing(content["parity"]),
        proxies=content.get("proxies", [])[:SHOWN_PARITY],
        charts=_charts(content, good, wanted),
    )


def _charts(content: Mapping[str, Any], good: str, wanted: str) -> dict[str, str]:
    from markupsafe import Markup

    drawn = {
        "reliability": charts.reliability_chart(content["reliability"], f"{good} in fact"),
        "gains": charts.gains_chart(content["gains"], wanted),
        "lead": charts.lead_chart(content["lead_times"], content["kind"]) if content["lead_times"] else "",
        "importance": charts.bars_chart(
            [(row["words"], row["log_odds"]) for row in content["importance"]], "Mean size of contributions"
        ),
        **_search_charts(content),
    }
    return {name: Markup(svg) for name, svg in drawn.items()}


def _search_charts(content: Mapping[str, Any]) -> dict[str, str]:
    if sum(row["state"] == "complete" for row in content["history"]) < 2:
        return {}
    mattered = sorted(content["study"].get("importance", {}).items(), key=lambda item: -item[1])
    return {
        "search": charts.search_chart(content["history"]),
        "settings": charts.bars_chart(mattered, "What mattered in the search") if mattered else "",
    }


def headline(content: Mapping[str, Any], wanted: str) -> list[str]:
    """What a sales manager should take away, in two or three sentences."""
    kind, gains = content["kind"], content["gains"]
    top = gains["top"][1]
    if content["served"] == "base rate":
        return [
            f"No signal here: every {UNITS[kind][:-1]} gets the same probability, "
            f"{content['base_rate']:.0%}.",
            "Use it as a baseline, not to rank customers.",
        ]
    when = "90 days before the end" if kind == "renewal" and content["forward"] else "at a first look"
    sentences = [f"The first fifth of the list, made {when}, holds {top['caught']:.0%} of the {wanted}."]
    if top["lift"] is not None:
        sentences.append(f"That is {top['lift']:.1f} times what a list in random order would hold.")
    if top["money_caught"] is not None:
        sentences.append(
            f"Ordered by money at stake it holds {top['money_caught']:.0%} of their money; "
            f"ordered by amount alone it would hold {top['money_by_amount']:.0%}."
        )
    off = max((abs(row["said"] - row["seen"]) for row in content["bands"]), default=0.0)
    sentences.append(
        f"Probability and outcomes differ by at most {100 * off:.0f} points in any band of the list."
    )
    return sentences


def _worth_showing(checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Alerts first, then the primary metric, then the rest; not more than can be read."""
    order = {"alert": 0, "ok": 1, "unknown": 2}
    ranked = sorted(
        checks,
        key=lambda c: (
            order[c["verdict"]] != 0,
            not c["primary"],
            " & " in c["segment"],
            order[c["verdict"]],
        ),
    )
    return ranked[:SHOWN_PARITY]


def _percent(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def _figure(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _whole(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _month(month: float) -> str:
    """Months since 1970 as year and month."""
    return str(np.datetime64(int(month * MONTH_DAYS), "D"))[:7]


def _rate(level: float) -> str:
    return _percent(float(to_probability(np.array(level))))


def _money(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"
