"""The profiles page: which kinds of customers are worth the effort, their cards, and the targeting list."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from serving.api.problems import ProblemError
from serving.api.target_accounts import Wanted, of_kind, save_list, weights_of
from serving.pages.spreadsheet import TYPES
from serving.pages.view import Marketer, chosen, number, percent, render, url
from serving.security.auth import list_for, profiles_for
from serving.state import running_of
from training.icp.fit_score import Fit
from training.icp.grades import GRADES, at_least
from training.icp.prospect_outcomes import DEFAULT_WEIGHTS
from training.icp.weights import PARTS, reordered, reweighted

PAGE_ROWS = 50
OUTCOMES = {
    "win": "Wins",
    "effort": "Hours of effort",
    "discount": "Discount",
    "renews without contact": "Renews without contact",
}
LESS_IS_BETTER = ("effort", "discount")
KINDS = {"lead": "Leads", "prospect": "Prospects", "account": "Customers"}
SLIDERS = {
    "win": "Winning",
    "effort": "Little effort",
    "discount": "Little discount",
    "renewal": "Renewing without contact",
}
CARD = {
    "who": "Who they are",
    "buys": "What they buy",
    "channels": "What answers them",
    "when": "When (UTC)",
    "support": "The support they need",
    "values": "What they value in surveys",
}

router = APIRouter()


@router.get("/profiles")
async def profiles(request: Request, principal: Marketer) -> Response:
    """Profiles with their lifts, and the first of the list."""
    return await run_in_threadpool(_page, request, principal)


def _page(request: Request, principal: Any) -> Response:
    weights_text = _asked(request.query_params)
    weights = weights_of(weights_text)
    result = running_of(request).worked_out.ask("icp")
    if result.value is None:
        return render(request, "profiles.html", found=None, why=result.why, comes=result.comes)
    visible = profiles_for(principal, result.value["profiles"])
    listed = list_for(principal, result.value["list"])
    shown = visible["profiles"] if weights is None else reordered(visible["profiles"], weights)
    if weights is not None:
        listed = reweighted(listed, Fit.from_dict(result.value["fit"]), weights)
    cards = {card["rule"]: card for card in result.value["personas"]}
    grade = chosen(request, "grade", tuple(GRADES), "")
    graded = at_least(listed["rows"], grade)
    counts = Counter(row["kind"] for row in graded)
    kind = chosen(request, "kind", KINDS, "")
    rows = of_kind(graded, kind)
    return render(
        request,
        "profiles.html",
        found=visible,
        shown=shown,
        cards=cards,
        card_parts=CARD,
        outcomes=OUTCOMES,
        less_is_better=LESS_IS_BETTER,
        limits=_limits(visible["profiles"]),
        sliders=_sliders(weights or DEFAULT_WEIGHTS),
        is_weighed=weights is not None,
        places=[_drawn(place) for place in visible["places"]],
        listed=None if principal.is_scoped else listed,
        rows=rows[:PAGE_ROWS],
        count=len(rows),
        kind=kind,
        kinds={"": len(graded), **{name: counts[name] for name in KINDS if counts[name]}},
        kind_words=KINDS,
        grade=grade,
        asked={"weights": weights_text, "grade": grade},
        figure=_figure,
        beyond=_beyond,
        export=lambda ending, platform="": url(
            f"/profiles/targets.{ending}",
            {"weights": weights_text, "kind": kind, "grade": grade, "for": platform},
        ),
    )


def _figure(outcome: str, value: float | None) -> str:
    """An outcome as people say it: hours, else per cent."""
    return f"{number(value, 1)} h" if outcome == "effort" and value is not None else percent(value)


def _beyond(outcome: str, each: Mapping[str, Any]) -> str:
    """The CSS class of an interval: better or worse than everybody beyond chance, or neither."""
    if each["low"] <= 1.0 <= each["high"]:
        return ""
    return "is-high" if (each["low"] > 1.0) != (outcome in LESS_IS_BETTER) else "is-low"


def _asked(query: Mapping[str, str]) -> str | None:
    """The sliders as weights in words; None where none was sent."""
    terms = [f"{part}={query[part]}" for part in PARTS if query.get(part)]
    return ",".join(terms) or query.get("weights") or None


def _sliders(weights: Mapping[str, float]) -> list[tuple[str, str, int]]:
    """(name, label, value of 100) of each weight."""
    return [(part, SLIDERS[part], round(100 * weights[outcome])) for part, outcome in PARTS.items()]


def _drawn(place: dict[str, Any]) -> dict[str, Any]:
    """A place chart with the scale its bars share, from the lowest limit to the highest."""
    lows, highs = ([row[name] for row in place["rows"]] for name in ("low", "high"))
    low, high = min(0.0, *lows) if min(lows) > 0 else min(lows), max(highs)
    return {**place, "limits": (low, high if high > low else low + 1)}


def _limits(profile_rows: list[dict[str, Any]]) -> tuple[float, float]:
    """From zero to the highest upper limit of any lift, and at least to 1.5: one scale for all bars."""
    highs = [
        outcome["high"]
        for profile in profile_rows
        for outcome in profile["outcomes"].values()
        if outcome["high"] is not None
    ]
    return 0.0, min(max([1.5, *highs]), 5.0)


@router.get("/profiles/targets.{ending}")
async def targets(ending: str, request: Request, principal: Marketer) -> Response:
    """The targeting list as a file, in the order the page shows."""
    if ending not in TYPES:
        raise ProblemError(404, f"The list comes as {', '.join(TYPES)}, not {ending!r}.")
    query = request.query_params
    wanted = Wanted(_asked(query), query.get("kind"), query.get("grade"))
    return await run_in_threadpool(
        save_list, running_of(request), principal, ending, wanted, query.get("for")
    )
