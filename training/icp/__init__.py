"""Ideal customer profiles: which kinds of customers win with little effort and discount and renew uncalled.

Four outcomes count (design, section 8). Rules are found on the earlier period and judged on the later one
(`profiles.discover`); a score for any prospect (`profiles.fit`) ranks the targeting list.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from features.crm.crm import Crm
from features.progress import Say, silent
from features.settings import Settings
from training.icp.fit_learning import SHARE_LISTED
from training.icp.fit_score import Fit
from training.icp.reach import gives_away, places, reach, without_proxies
from training.icp.study import LIFT_IS, Study, flat_rows, notes_of, period_facts, profile_facts, study
from training.icp.target_list import (
    IDENTITY,
    MOST_REASONED,
    from_crm,
    from_file,
    listed_of,
    order_of,
    prospect_rows,
    ranked,
)

Weights = Mapping[str, float] | None


def profiles(
    crm: Crm,
    settings: Settings,
    *,
    weights: Weights = None,
    prepared: Study | None = None,
    say: Say = silent,
) -> dict[str, Any]:
    """The profiles that hold up, best first.

    Args:
        crm: the CRM.
        settings: seed and threads.
        weights: of `win`, `effort`, `discount`, `renews without contact`; those not given keep their default.
        prepared: a study of this CRM made before (`profiles.study`), to save the work.
        say: called with each line of progress.

    Returns:
        `profiles` (rule, conditions, n, accounts, share, outcomes → value, everyone, lift, low, high, n,
        unit, spread; score → lift, low, high; proxies → warnings), `rows` (the same flat, for files),
        `places` (each outcome place by place), `carried`, `period`, `weights`, `notes`, `lift_is`.

    Raises:
        RenewalError: accounts have no column that describes a prospect, too few outcomes, or weights that
        make no sense.
    """
    prepared = prepared or study(crm, settings, weights, say)
    observed, findings = prepared.observed, prepared.findings
    warnings = gives_away(crm, prepared.profiles, observed.frame, observed.account_id)
    shown = [
        {**profile_facts(judged, observed, findings), "proxies": words}
        for judged, words in zip(findings.claimed, warnings, strict=True)
    ]
    proxy_notes = dict.fromkeys(word for words in warnings for word in words)
    return {
        "profiles": shown,
        "rows": flat_rows(shown),
        "places": places(observed),
        "carried": len(findings.candidates),
        "period": period_facts(observed, findings),
        "weights": prepared.weights,
        "notes": [*observed.notes, *notes_of(findings), *proxy_notes],
        "lift_is": LIFT_IS,
    }


def fit(crm: Crm, settings: Settings, *, weights: Weights = None, say: Say = silent) -> Fit:
    """A score for any prospect: `fit_rows` answers records, `Fit.read` and `Fit.score` a million of them.

    It is kept as JSON by `Fit.as_dict`. Raises as `profiles` does.
    """
    return study(crm, settings, weights, say).fit


def fit_rows(scorer: Fit, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each record (attributes by name, any may be missing; its id or name comes back) with its fit."""
    frame = pd.DataFrame(records, index=range(len(records)))
    ids = frame.index.to_series()
    ids = next((frame[name] for name in ("id", "account_id", "name") if name in frame), ids)
    who = pd.DataFrame({"id": ids.astype(object), "name": frame.get("name"), "kind": "company"})
    who = who.join(frame[[name for name in IDENTITY if name in frame and name not in who]])
    return prospect_rows(scorer, who, scorer.read(frame))


def personas(
    crm: Crm,
    settings: Settings,
    *,
    weights: Weights = None,
    prepared: Study | None = None,
    say: Say = silent,
) -> dict[str, Any]:
    """A card for each profile that holds up: who they are, what they buy, how to reach and support them.

    Returns:
        `personas`: dicts of `profiles.personas.persona`, each with the profile's `outcomes`; `rows`: their
        figures, one a row; `weights` and `notes`; `html`: all of them as a page. Raises as `profiles` does.
    """
    from training.icp.persona_cards import figures_of, page, persona

    prepared = prepared or study(crm, settings, weights, say)
    cards = []
    for judged in prepared.findings.claimed:
        outcomes = profile_facts(judged, prepared.observed, prepared.findings)["outcomes"]
        cards.append({**persona(crm, prepared.observed, judged.rule), "outcomes": outcomes})
    return {
        "personas": cards,
        "rows": figures_of(cards),
        "weights": prepared.weights,
        "notes": [*prepared.observed.notes, *notes_of(prepared.findings)],
        "html": page(cards),
    }


def targets(
    crm: Crm,
    settings: Settings,
    *,
    companies: Path | None = None,
    weights: Weights = None,
    limit: int | None = None,
    prepared: Study | None = None,
    say: Say = silent,
) -> dict[str, Any]:
    """The targeting list: who is worth most for each hour of effort, as weighted, first.

    Args:
        crm: the CRM.
        settings: seed and threads.
        companies: a file of companies to rank in place of the CRM's leads, prospects and accounts.
        weights, prepared: as in `profiles`.
        limit: at most so many rows.
        say: called with each line of progress.

    Returns:
        `rows` (id, name, kind, account_id, domain, industry, country, employees, annual_revenue, owner_id,
        owner_name, contacts_allowed, profile, reasons, grade, fit, expected_value, expected_effort_hours,
        value_per_hour, win, amount, discount, renewal, listed; customers after all others), `share_listed`,
        `conversions_caught`, `value_caught`, `band_ratio`, `win_ratio` (on later deals; None where too few),
        `grades` (what each has meant on later deals), `reach` and `without_proxies` (where segments are
        given), `left_out`, `weights`, `notes`, `currency`.

    Raises:
        RenewalError: as `profiles` does, or the file of companies can't be used.
    """
    prepared = prepared or study(crm, settings, weights, say)
    scorer, observed = prepared.fit, prepared.observed
    may = from_file(companies, crm, scorer) if companies else from_crm(crm, observed.today, scorer.attributes)
    say(f"ranking {len(may.who):,}")
    listed = listed_of(order_of(scorer, may), may)
    before = prepared.hindsight(seed=settings.seed)
    reached = reach(crm, may.who["account_id"], listed)
    bare = without_proxies(crm, prepared, may, listed, seed=settings.seed)
    audit: dict[str, Any] = {"reach": reached, "without_proxies": bare}
    return {
        "rows": ranked(scorer, may, limit),
        "share_listed": SHARE_LISTED,
        "conversions_caught": before.conversions_caught,
        "value_caught": before.value_caught,
        "band_ratio": before.band_ratio,
        "win_ratio": before.win_ratio,
        "later_deals": before.deals,
        "grades": list(before.grades),
        **audit,
        "left_out": may.left_out,
        "weights": prepared.weights,
        "currency": crm.quality.currency,
        "notes": [
            *may.notes,
            *_reasoned_words(len(may.who), limit),
            *scorer.notes,
            *observed.notes,
            *segment_notes(audit),
        ],
    }


def _reasoned_words(count: int, limit: int | None) -> list[str]:
    shown = count if limit is None else min(count, limit)
    return [f"reasons are given for the first {MOST_REASONED:,}"] if shown > MOST_REASONED else []


def segment_notes(result: Mapping[str, Any]) -> list[str]:
    """The notes of a targeting list that name segments, or what stands for them."""
    return [*_left_out_words(result["reach"]), *_bare_words(result["without_proxies"])]


def _left_out_words(reached: list[dict[str, Any]]) -> list[str]:
    return [
        f"the list leaves out {row['attribute']} {row['value']}: {row['why']}"
        for row in reached
        if row["verdict"] == "alert"
    ]


def _bare_words(bare: dict[str, Any] | None) -> list[str]:
    if bare is None:
        return []
    out = ", ".join(bare["taken_out"])
    stand = "stands for a segment" if len(bare["taken_out"]) == 1 else "stand for segments"
    return [f"without {out}, which {stand}, {bare['list_kept']:.0%} of the list would be the same"]
