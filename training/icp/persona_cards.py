"""Personas: one page a profile – who they are, what they buy, how to reach them, what support they need.

A card shows what differs from all other accounts beyond chance (Holm 1979 over the whole card), each figure
beside everybody's with the number it rests on; what the rule itself says and figures of fewer than 20 are
left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from features.catalog.contact import CALL_WORDS, EMAIL_WORDS, MEETING_WORDS, UNANSWERED_WORDS
from features.crm.crm import Crm
from training.effects.contacts import plain
from training.icp.differences import p_of_difference
from training.icp.prospects import NUMBERS, Observed
from training.icp.rules import Rule, attribute_words
from training.metrics import holm

LEAST = 20
MOST_LEVELS = 3
ALPHA = 0.05
"""Chance of any figure on a card that does not differ."""

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
PARTS_OF_DAY = ((6, "morning"), (12, "afternoon"), (18, "evening"))
CONTACTS = {"calls": CALL_WORDS, "meetings": MEETING_WORDS, "mails": EMAIL_WORDS}

SECTIONS = ("who", "buys", "channels", "when", "support", "values")

Figure = dict[str, Any]


def persona(crm: Crm, observed: Observed, rule: Rule) -> dict[str, Any]:
    """What is known of a profile's accounts beside everybody's.

    Returns:
        `accounts`, `share`, and `who`, `buys`, `channels`, `when`, `support`, `values`: lists of figures that
        differ (words, inside, everyone as text, n, p corrected); `compared`: figures looked at by section.
    """
    inside = set(observed.account_id[rule.covers(observed.frame)])
    everyone = set(observed.account_id)
    looked_at = {
        "who": _who(crm, observed, rule, inside),
        "buys": _buys(crm, inside),
        "channels": _channels(crm, inside),
        "when": _when(crm, inside),
        "support": _support(crm, inside, everyone),
        "values": _values(crm, inside),
    }
    return {
        "rule": rule.words,
        "accounts": len(inside),
        "share": len(inside) / max(len(everyone), 1),
        **distinctive(looked_at),
        "compared": {section: len(figures) for section, figures in looked_at.items()},
    }


def distinctive(looked_at: dict[str, list[Figure]]) -> dict[str, list[Figure]]:
    """The figures that differ from everybody's beyond chance, over all sections together."""
    figures = [figure for section in looked_at.values() for figure in section]
    corrected = iter(holm([figure["p"] for figure in figures]))
    judged = {
        section: [{**figure, "p": float(next(corrected))} for figure in figures]
        for section, figures in looked_at.items()
    }
    return {
        section: [one for one in figures if one["p"] <= ALPHA and one["inside"] != one["everyone"]]
        for section, figures in judged.items()
    }


def figures_of(personas: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a figure, for files: the profile, the section of its card, and the figure."""
    return [
        {"rule": one["rule"], "section": section, **figure}
        for one in personas
        for section in SECTIONS
        for figure in one[section]
    ]


def page(personas: Iterable[dict[str, Any]]) -> str:
    """Cards as one HTML page that stands alone and prints a profile a page.

    Args:
        personas: as `persona` gives them, each with the profile's `outcomes` where known.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parents[1] / "templates"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
    )
    return environment.get_template("personas.html").render(personas=list(personas))


def _figure(words: str, inside: str, everyone: str, n: int, p: float) -> Figure:
    return {"words": words, "inside": inside, "everyone": everyone, "n": n, "p": p}


@dataclass(frozen=True)
class Rows:
    """Rows of a table: whose they are, and which are of the profile's accounts."""

    account_id: pd.Series
    is_in: np.ndarray

    def of(self, present: np.ndarray) -> "Rows":
        """Some of them."""
        return Rows(self.account_id[present], self.is_in[present])


def _shares(values: pd.Series, rows: Rows, what: str) -> list[Figure]:
    """The commonest levels inside, with their share inside and among all."""
    present = values.notna().to_numpy(bool)
    some_rows, everyone = rows.of(present), values[present]
    inside = everyone[some_rows.is_in]
    if len(inside) < LEAST:
        return []
    shares = inside.value_counts(normalize=True)
    figures = []
    for level, share in shares.iloc[:MOST_LEVELS].items():
        is_level = (everyone == level).astype(float)
        p = p_of_difference(is_level, some_rows.is_in, some_rows.account_id)
        shown = (f"{share:.0%}", f"{is_level.mean():.0%}")
        figures.append(_figure(f"{what}: {level}", shown[0], shown[1], len(inside), p))
    return figures


def _median(values: pd.Series, rows: Rows, words: str, digits: int = 0) -> list[Figure]:
    present = values.notna().to_numpy(bool)
    some_rows, everyone = rows.of(present), values[present].astype(float)
    inside = everyone[some_rows.is_in]
    if len(inside) < LEAST:
        return []
    p = p_of_difference(everyone, some_rows.is_in, some_rows.account_id, ranked=True)
    shown = [f"{part.median():,.{digits}f}" for part in (inside, everyone)]
    return [_figure(words, shown[0], shown[1], len(inside), p)]


def _mean(values: pd.Series, rows: Rows, words: str, form: str) -> list[Figure]:
    present = values.notna().to_numpy(bool)
    some_rows, everyone = rows.of(present), values[present].astype(float)
    inside = everyone[some_rows.is_in]
    if len(inside) < LEAST:
        return []
    p = p_of_difference(everyone, some_rows.is_in, some_rows.account_id)
    return [_figure(words, format(inside.mean(), form), format(everyone.mean(), form), len(inside), p)]


def _who(crm: Crm, observed: Observed, rule: Rule, inside: set[str]) -> list[Figure]:
    first = ~pd.Series(observed.account_id).duplicated().to_numpy(bool)
    accounts = Rows(pd.Series(observed.account_id)[first], rule.covers(observed.frame)[first])
    in_the_rule = {condition.attribute for condition in rule.conditions}
    figures: list[Figure] = []
    for name, kind in observed.kinds.items():
        column, words = observed.frame[name][first], attribute_words(name)
        if name in in_the_rule:
            continue
        if kind in NUMBERS:
            figures += _median(column, accounts, f"{words}, median")
        else:
            figures += _shares(column.astype(object), accounts, words)[:2]
    if crm.has("contacts", "seniority"):
        rows = crm.frame("contacts", ["account_id", "seniority"])
        figures += _shares(rows["seniority"], _is_in(rows, inside), "contact")
    return figures


def _is_in(rows: pd.DataFrame, inside: set[str]) -> Rows:
    return Rows(rows["account_id"], rows["account_id"].isin(inside).to_numpy(bool))


def _frame(crm: Crm, table: str, *columns: str) -> pd.DataFrame | None:
    """The table's account_id and those of the columns that are there; None without the table."""
    if not crm.has(table, "account_id"):
        return None
    return crm.frame(table, ["account_id", *(c for c in columns if crm.has(table, c))])


def _buys(crm: Crm, inside: set[str]) -> list[Figure]:
    rows = _frame(crm, "contracts", "product", "annual_value", "start_date", "end_date")
    if rows is None:
        return []
    is_in, figures = _is_in(rows, inside), []
    if "product" in rows:
        figures += _shares(rows["product"], is_in, "product")
    if "annual_value" in rows:
        value = rows["annual_value"].astype("Float64") / 100
        figures += _median(value, is_in, "annual value, median")
    if "start_date" in rows and "end_date" in rows:
        months = (rows["end_date"] - rows["start_date"]).dt.days / 30.44
        figures += _median(months, is_in, "term in months, median")
    return figures


def _channels(crm: Crm, inside: set[str]) -> list[Figure]:
    figures: list[Figure] = []
    rows = _frame(crm, "touches", "channel", "responded_at", "clicked_at", "opened_at")
    answer = None if rows is None else next((c for c in ("responded_at", "clicked_at") if c in rows), None)
    if rows is not None and answer and "channel" in rows:
        response = answer.removesuffix("_at")
        for channel, part in rows.groupby("channel"):
            answered = part[answer].notna().astype(float)
            figures += _mean(answered, _is_in(part, inside), f"{response} to {channel}", ".0%")
    rows = _frame(crm, "activities", "kind", "outcome")
    if rows is not None and "outcome" in rows:
        kinds, outcome = plain(rows["kind"]), plain(rows["outcome"])
        for words, kind in CONTACTS.items():
            has_outcome = (kinds.isin(kind) & (outcome != "")).to_numpy(bool)
            reached = (~outcome[has_outcome].isin(UNANSWERED_WORDS)).astype(float)
            figures += _mean(reached, _is_in(rows[has_outcome], inside), f"{words} that reached them", ".0%")
    return sorted(figures, key=lambda figure: -float(figure["inside"].rstrip("%")))


def _when(crm: Crm, inside: set[str]) -> list[Figure]:
    """Day and part of the day (UTC) of their own answers and contacts."""
    moments = []
    for table, column in (("touches", "responded_at"), ("surveys", "answered_at")):
        rows = _frame(crm, table, column)
        if rows is not None and column in rows:
            moments.append(rows.rename(columns={column: "at"}))
    rows = _frame(crm, "activities", "occurred_at", "direction")
    if rows is not None and "direction" in rows:
        inbound = plain(rows["direction"]).isin(["inbound", "in", "incoming"]).to_numpy(bool)
        moments.append(rows[inbound].rename(columns={"occurred_at": "at"}))
    if not moments:
        return []
    events = pd.concat([part[["account_id", "at"]] for part in moments]).dropna().reset_index(drop=True)
    hour = events["at"].dt.hour
    part_of_day = pd.Series("night", index=events.index, dtype=object)
    for begins, words in PARTS_OF_DAY:
        part_of_day[hour >= begins] = words
    days = events["at"].dt.dayofweek.map(dict(enumerate(DAYS)))
    is_in = _is_in(events, inside)
    return (
        _shares(part_of_day, is_in, "they answer in the")[:2] + _shares(days, is_in, "they answer on a")[:2]
    )


def _support(crm: Crm, inside: set[str], everyone: set[str]) -> list[Figure]:
    rows = _frame(crm, "cases", "priority", "escalated", "csat", "opened_at", "closed_at")
    if rows is None or len(rows) < LEAST or not inside:
        return []
    is_in = _is_in(rows, inside)
    if is_in.is_in.sum() < LEAST:
        return []
    years = max((rows["opened_at"].max() - rows["opened_at"].min()).days / 365.25, 0.1)
    counts = rows["account_id"].value_counts().reindex(sorted(everyone), fill_value=0) / years
    who = pd.Series(counts.index, counts.index)
    figures = _mean(counts, Rows(who, who.isin(inside).to_numpy(bool)), "cases an account and year", ".1f")
    if "escalated" in rows:
        figures += _mean(rows["escalated"].astype("Float64"), is_in, "cases escalated", ".0%")
    if "closed_at" in rows:
        days = (rows["closed_at"] - rows["opened_at"]).dt.total_seconds() / 86_400
        figures += _median(days, is_in, "days until a case is closed, median", 1)
    if "csat" in rows:
        figures += _mean(rows["csat"], is_in, "satisfaction after a case", ".1f")
    return figures


def _values(crm: Crm, inside: set[str]) -> list[Figure]:
    """Scores of surveys, by kind and touchpoint; the touchpoints they score highest come first."""
    rows = _frame(crm, "surveys", "kind", "touchpoint", "score")
    if rows is None or "score" not in rows:
        return []
    figures: list[Figure] = []
    for kind, part in rows.groupby("kind"):
        figures += _mean(part["score"], _is_in(part, inside), f"{str(kind).upper()} score", ".1f")
        if "touchpoint" in part and part["touchpoint"].nunique() > 1:
            for touchpoint, held in part.groupby("touchpoint"):
                words = f"{str(kind).upper()} after {touchpoint}"
                figures += _mean(held["score"], _is_in(held, inside), words, ".1f")
    return figures
