"""Gates: what a model must show before it may be champion. One that fails is registered as challenger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from features.settings import Settings
from training.baselines import has_team_rule
from training.dataset import Dataset
from training.fairness.parity import verdict_of
from training.leakage import Guard
from training.metrics import bootstrap_gain, bootstrap_slope, losses
from training.registry import WAIVED_IN_TRAINING

if TYPE_CHECKING:
    from training.registry import Loaded
    from training.selection_figures import Selection

LEVEL = 0.95
UNNOTICED = 0.002
"""Log loss by which a newcomer may lie above the champion: the same recipe searched anew differs as much."""
SLOPE_LIMITS = (0.8, 1.25)
BASE_RATE, TEAM_RULE = "base rate", "heuristic baseline"


@dataclass(frozen=True)
class Gate:
    """`passed` is None where it could not be decided; that does not block and is printed."""

    passed: bool | None
    why: str


def gates(
    ds: Dataset,
    test: pd.DataFrame,
    guard: Guard,
    parity_checks: Sequence[dict[str, Any]],
    waivers: Mapping[str, str] | None = None,
) -> dict[str, Gate]:
    """Judge what is served on rows not trained on.

    Args:
        ds: the rows.
        test: `row` (position in ds), `probability` (of what is served) and a column for each baseline,
            `base rate` and `heuristic baseline` among them.
        guard: the leakage guard's verdicts.
        parity_checks: of the test rows, as `training.fairness.parity.parity` gives them.
        waivers: gate → written reason for passing it all the same; only for `parity`.
    """
    rows = test["row"].to_numpy()
    y, accounts = ds.y[rows], ds.groups[rows]
    served = test["probability"].to_numpy(dtype=float)
    others = {str(name): test[name].to_numpy(float) for name in test.columns.drop(["row", "probability"])}
    best = min(others, key=lambda name: losses(y, others[name]).mean())
    verdicts = {
        "beats the base rate": _beats(y, served, others[BASE_RATE], accounts, "the base rate"),
        "beats the heuristic baseline": _beats_rule(ds, y, served, others[TEAM_RULE], accounts),
        "not worse than the best baseline": _not_worse(y, served, others[best], accounts, best),
        "calibration slope": _slope(y, served, accounts),
        "parity": _parity(parity_checks),
        "leakage guard": _clean(guard),
    }
    waiver = (waivers or {}).get("parity")
    if waiver and verdicts["parity"].passed is False:
        verdicts["parity"] = Gate(True, f"{verdicts['parity'].why}{WAIVED_IN_TRAINING}{waiver}")
    return verdicts


def against_champion(
    ds: Dataset, selection: "Selection", rival: "Loaded", columns: frozenset[str], settings: Settings
) -> Gate:
    """Whether what would be served is no worse than the champion on the same rows.

    The champion has trained on most rows the newcomer was judged on, so its recipe is fitted again on the
    rows the newcomer's judged model trained on (`training.rejudge`).

    Args:
        ds: all rows, with every column the champion may use.
        selection: of the newcomer.
        rival: the champion.
        columns: what may not be read any more, such as a proxy of a segment; the champion goes without.
        settings: seed and threads.
    """
    from training.rejudge import recipe_of, rejudged

    facts = rival.model.about.get("recipe")
    if facts is None:
        return Gate(None, f"unknown: champion {rival.version} was registered without its recipe")
    read = [name for name in rival.model.features if name in ds.X.columns and name not in columns]
    if not read:
        return Gate(None, f"unknown: no column that champion {rival.version} reads is left")
    readable = ds.without(set(map(str, ds.X.columns)) - set(read))
    champion = rejudged(readable, selection, recipe_of(facts), settings)
    rows = selection.test["row"].to_numpy()
    newcomer = selection.test["probability"].to_numpy(float)
    gain, low, high = _gain(ds.y[rows], newcomer, champion, ds.groups[rows])
    than = f"the recipe of champion {rival.version} on the same {len(rows)} rows"
    return Gate(bool(gain >= -UNNOTICED), _in_words(gain, low, high, than))


def may_lead(verdicts: Mapping[str, Gate]) -> bool:
    """Whether a model with these gates may become champion unasked."""
    return all(gate.passed is not False for gate in verdicts.values())


def _gain(
    y: np.ndarray, served: np.ndarray, other: np.ndarray, groups: np.ndarray
) -> tuple[float, float, float]:
    return bootstrap_gain(losses(y, other) - losses(y, served), groups, level=LEVEL)


def _in_words(gain: float, low: float, high: float, than: str) -> str:
    way = "lower" if gain >= 0 else "higher"
    return f"log loss {abs(gain):.4f} {way} than {than} ({LEVEL:.0%} interval {low:+.4f} to {high:+.4f})"


def _beats(y: np.ndarray, served: np.ndarray, other: np.ndarray, groups: np.ndarray, than: str) -> Gate:
    gain, low, high = _gain(y, served, other, groups)
    return Gate(bool(low > 0), _in_words(gain, low, high, than))


def _beats_rule(
    ds: Dataset, y: np.ndarray, served: np.ndarray, other: np.ndarray, groups: np.ndarray
) -> Gate:
    """A rule a team would use must be beaten; one column picked from the data itself must not beat us."""
    if has_team_rule(ds):
        return _beats(y, served, other, groups, "the heuristic baseline")
    gain, low, high = _gain(y, served, other, groups)
    why = _in_words(
        gain, low, high, "the best single column (there is nothing here to make a heuristic baseline of)"
    )
    return Gate(bool(high >= 0), why)


def _not_worse(y: np.ndarray, served: np.ndarray, other: np.ndarray, groups: np.ndarray, than: str) -> Gate:
    gain, low, high = _gain(y, served, other, groups)
    return Gate(bool(gain >= 0 or high >= 0), _in_words(gain, low, high, f"the best baseline, {than}"))


def _slope(y: np.ndarray, served: np.ndarray, groups: np.ndarray) -> Gate:
    """Inside the limits: passed; the whole interval outside them: failed; else unknown."""
    slope, low, high = bootstrap_slope(y, served, groups, level=LEVEL)
    least, most = SLOPE_LIMITS
    if np.isnan(slope):
        return Gate(None, "everybody gets the same probability, so there is no slope")
    why = f"{slope:.2f} ({LEVEL:.0%} interval {low:.2f} to {high:.2f}), wanted {least} to {most}"
    if least <= slope <= most:
        return Gate(True, why)
    if high < least or low > most:
        return Gate(False, why)
    return Gate(None, f"{why}: too little data to decide")


def _parity(checks: Sequence[dict[str, Any]]) -> Gate:
    if not checks:
        return Gate(None, "unknown: the data has no segments to compare")
    decisive = [check for check in checks if check["primary"]]
    by = {v: [c["segment"] for c in decisive if c["verdict"] == v] for v in ("alert", "ok", "unknown")}
    verdict = verdict_of(checks)
    counts = f"{len(by['ok'])} segments ok, {len(by['unknown'])} unknown, {len(by['alert'])} with a gap"
    if verdict == "alert":
        return Gate(False, f"{counts}: {', '.join(by['alert'][:5])}")
    return Gate(True if verdict == "ok" else None, counts if verdict == "ok" else f"unknown: {counts}")


def _clean(guard: Guard) -> Gate:
    against = [e["column"] for e in guard.evidence if e["verdict"] == "allowed" and e["why"]]
    if against:
        return Gate(False, f"allowed against the evidence: {', '.join(against)}")
    barred = f", barred: {', '.join(guard.barred)}" if guard.barred else ""
    return Gate(True, f"{len(guard.evidence)} columns judged{barred}")
