"""From a CRM to a registered model and its card: build, guard, select, judge, register."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.progress import Say, silent
from features.settings import Settings
from training import card, model_versions, registry
from training.card_figures import save_reference
from training.dataset import Dataset, build
from training.fairness.mitigation import Case, mend
from training.fairness.mitigation_price import in_words, option_row
from training.fairness.parity import parity, save_parity, segment_rows, segments_of, threshold
from training.fairness.proxies import proxies
from training.gates import Gate, against_champion, gates, may_lead
from training.leakage import Guard, guard
from training.leakage_evidence import beside
from training.model_versions import Record
from training.registry import MODEL_FOLDER, RESULT_FILE, Loaded, register
from training.select import Selection, no_worse_than_base_rate, select

if TYPE_CHECKING:
    from features.crm.crm import Crm

TRIALS = 40
PROUD_AUC = 0.9
FEW = 600
DEFAULT_XGBOOST = "xgboost default"


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


def train(
    kind: str,
    crm: "Crm",
    settings: Settings,
    *,
    trials: int | None = None,
    minutes: float | None = None,
    bar: Sequence[str] = (),
    allow: Sequence[str] = (),
    waivers: Mapping[str, str] | None = None,
    rival: Loaded | None = None,
    mitigate: str | None = None,
    say: Say = silent,
) -> dict[str, Any]:
    """Train, judge on later data and register a model; champion if every gate passes, else challenger.

    Args:
        kind: `renewal` or `win`.
        crm: the cleaned CRM.
        settings: seed, threads, home and the least number of outcomes.
        trials: of the search (default 40).
        minutes: time for the search.
        bar: columns to leave out.
        allow: columns to use whatever the guard says.
        waivers: `parity` → a written reason to pass that gate.
        rival: the model served so far, which the new one must not be worse than on outcomes new to both.
        mitigate: a mitigation of unequal treatment (`fairness.mitigation`); its price and gain are in the
            result, the card, the gates and the registry.
        say: told of progress.

    Returns:
        model, version, alias, rows, snapshots, positives, forward, random, baselines, served, barred, period,
        gates, warnings, card (path), horizon_days and more; JSON values only.

    Raises:
        RenewalError: too few outcomes, no such table, or an unknown column in `bar` or `allow`.
    """
    trained = learn(
        kind,
        crm,
        settings,
        trials=trials,
        minutes=minutes,
        bar=bar,
        allow=allow,
        waivers=waivers,
        rival=rival,
        mitigate=mitigate,
        say=say,
    )
    result = summary(trained, crm)
    lead = may_lead(trained.gates)
    with tempfile.TemporaryDirectory(prefix="perennial-") as work:
        folder = Path(work)
        about = {key: result[key] for key in ("period", "until")} | {"data_fingerprint": crm.fingerprint}
        about["mitigation"] = mitigate
        replace(trained.selection.model, about=about).save(folder / MODEL_FOLDER)
        record = _record(trained, crm, settings, result, trials)
        say("writing the card")
        card.write(folder, plain({**card.card(trained, result, crm, settings), "making": record.params}))
        stored = {k: v for k, v in result.items() if k not in ("parity", "proxies")}
        (folder / RESULT_FILE).write_text(json.dumps(stored))
        save_parity(folder, result["parity"], result["proxies"])
        save_reference(folder, trained.ds, trained.selection.test, settings.seed)
        version = register(kind, folder, record, settings, lead=lead)
    path = registry.files_of(version, settings) / card.HTML
    say(f"registered {version.name} version {version.version} as {version.alias}")
    return {
        "model": version.name,
        "version": version.version,
        "alias": version.alias,
        **result,
        "card": str(path),
    }


def learn(
    kind: str,
    crm: "Crm",
    settings: Settings,
    *,
    trials: int | None,
    minutes: float | None,
    bar: Sequence[str],
    allow: Sequence[str],
    waivers: Mapping[str, str] | None,
    rival: Loaded | None,
    mitigate: str | None,
    say: Say,
) -> Trained:
    """Everything but keeping it."""
    from features.snapshots import win_horizon_days

    horizon = win_horizon_days(crm) if kind == "win" and crm.dated(kind) else None
    if horizon is not None:
        say(f"a deal counts as won if it is won within {horizon} days")
    ds = build(crm, kind, settings, say)
    guarded = guard(ds, beside(crm, ds, settings), bar=bar, allow=allow)
    for column, reason in guarded.barred.items():
        say(f"barred {column}: {reason}")
    clean = guarded.apply(ds)
    each = None if minutes is None else minutes / (2 if mitigate else 1)
    choose = partial(choice, settings=settings, trials=trials, minutes=each, horizon_days=horizon, say=say)
    selection = choose(clean)
    mitigation = None
    if mitigate:
        case = Case(clean, segments_of(crm), selection, choose)
        mended = mend(mitigate, case, settings, say)
        clean, selection = mended.ds, mended.selection
        mitigation = {"before": option_row(case, None), "after": option_row(case, mended)}
    checks = parity_of_test(crm, clean, selection)
    proxy_rows = proxies(
        clean.X, clean.snapshots, segments_of(crm), seed=settings.seed, threads=settings.threads
    )
    judged = gates(clean, selection.test, guarded, checks, waivers)
    if mitigation is not None:
        judged["mitigation"] = Gate(True, in_words(mitigation))
    if rival is not None:
        judged["not worse than the champion"] = against_champion(ds, selection.test, rival)
    for name, gate in judged.items():
        say(f"{name}: {_PASSED[gate.passed]} ({gate.why})")
    return Trained(kind, clean, guarded, selection, checks, judged, proxy_rows, mitigation)


def choice(
    ds: Dataset,
    settings: Settings,
    *,
    trials: int | None,
    minutes: float | None,
    horizon_days: int | None,
    say: Say = silent,
) -> Selection:
    """What is served of a dataset: the selection, or the base rate where that is better."""
    selection = select(
        ds, settings, trials=trials or TRIALS, minutes=minutes, say=say, horizon_days=horizon_days
    )
    selection = no_worse_than_base_rate(ds, selection, settings)
    say(f"served: {selection.served} ({selection.why})")
    return selection


_PASSED = {True: "passed", False: "failed", None: "unknown"}


def parity_of_test(crm: "Crm", ds: Dataset, selection: Selection) -> list[dict[str, Any]]:
    """Parity of the test rows; none where the CRM has no segments."""
    if (all_segments := segments_of(crm)).empty:
        return []
    rows = selection.test["row"].to_numpy()
    segments = segment_rows(ds.snapshots["account_id"].iloc[rows], all_segments)
    p, cut = selection.test["probability"].to_numpy(), threshold(selection.model)
    return parity(ds.y[rows], p, cut, segments, kind=ds.kind, subjects=ds.subjects[rows])


def summary(trained: Trained, crm: "Crm") -> dict[str, Any]:
    """What a training found, as JSON values."""
    ds, selection = trained.ds, trained.selection
    good, bad = ds.outcome_counts()
    dates = ds.snapshots["as_of"].dropna()
    return plain(
        {
            "kind": trained.kind,
            "rows": len(np.unique(ds.subjects)),
            "snapshots": len(ds),
            "positives": good,
            "negatives": bad,
            "base_rate": ds.base_rate,
            "period": {"from": str(dates.min().date()), "to": str(dates.max().date())}
            if len(dates)
            else None,
            "until": str(crm.until.date()),
            "horizon_days": selection.model.horizon_days,
            "forward": selection.forward,
            "random": selection.random,
            "gap": selection.gap,
            "by_lead_time": selection.by_lead_time,
            "unseen_accounts": selection.unseen_accounts,
            "baselines": selection.baselines,
            "served": selection.served,
            "why": selection.why,
            "calibration": selection.calibration,
            "barred": trained.guard.barred,
            "allowed": trained.guard.allowed,
            "parity": trained.parity,
            "proxies": trained.proxies,
            "mitigation": trained.mitigation,
            "gates": {name: asdict(gate) for name, gate in trained.gates.items()},
            "warnings": warnings(trained),
        }
    )


def warnings(trained: Trained) -> list[str]:
    """What a reader of the figures should know before believing them."""
    ds, selection = trained.ds, trained.selection
    shown = selection.forward or selection.random
    notes = []
    if selection.forward is None:
        notes.append("No usable dates: judged on grouped folds, not on later data; life may be harder.")
    if shown["auc"] > PROUD_AUC:
        notes.append(f"AUC {shown['auc']:.2f} is unusually high: look for a column that knows the end.")
    if selection.served == "base rate":
        notes.append("No signal found: everybody gets the base rate.")
    elif selection.served == "logistic":
        notes.append("The boosted trees did not win; the regression is served.")
    if selection.gap is not None and selection.gap > 0.05:
        notes.append(f"A random split would have promised an AUC higher by {selection.gap:.2f}.")
    if (level := selection.model.calibration.level) != 0:
        side = "above" if level > 0 else "below"
        notes.append(
            f"Outcomes of late lie {side} what models trained on earlier ones said: all probabilities are moved by "
            f"{level:+.2f} log-odds."
        )
    if min(ds.outcome_counts()) < FEW / 4 or len(np.unique(ds.subjects)) < FEW:
        notes.append("Little data: intervals are wide, and small differences mean nothing.")
    if trained.mitigation is not None:
        notes.append(f"Mitigation {in_words(trained.mitigation)}.")
    if trained.guard.allowed:
        notes.append(f"Allowed by hand: {', '.join(trained.guard.allowed)}.")
    return notes


def _record(
    trained: Trained, crm: "Crm", settings: Settings, result: Mapping[str, Any], trials: int | None
) -> Record:
    code, lock = model_versions.code_version(), model_versions.lock_hash()
    options = {"seed": settings.seed, "trials": trials or TRIALS, "min_positives": settings.min_positives}
    params = {
        **options,
        "data_fingerprint": crm.fingerprint,
        "dataset_fingerprint": trained.ds.fingerprint,
        "code_version": code,
        "lock_hash": lock,
        "until": str(crm.until),
        "served": trained.selection.served,
        "calibration": trained.selection.calibration,
        "features": len(trained.selection.model.features),
        "barred": ", ".join(trained.guard.barred),
        "allowed": ", ".join(trained.guard.allowed),
        "mitigation": trained.mitigation["after"]["option"] if trained.mitigation else "none",
        **{f"best_{k}": v for k, v in (trained.selection.study.get("best") or {}).items()},
    }
    return Record(
        params=params,
        metrics=_metrics(result),
        gates=result["gates"],
        fingerprint=model_versions.fingerprint_of(trained.kind, trained.ds.fingerprint, code, lock, options),
        tags={
            "served": trained.selection.served,
            "data_fingerprint": crm.fingerprint,
            "mitigation": params["mitigation"],
        },
    )


def _metrics(result: Mapping[str, Any]) -> dict[str, float]:
    parts = {"forward": result["forward"], "random": result["random"]}
    parts |= {f"baseline.{name}": figures for name, figures in result["baselines"].items()}
    parts |= {f"lead_{row['lead_days']}": row for row in result["by_lead_time"]}
    return {
        f"{part}.{name}": float(value)
        for part, figures in parts.items()
        if figures
        for name, value in figures.items()
        if value is not None and name != "lead_days"
    }


def plain(value: Any) -> Any:
    """JSON values only: numpy's numbers made Python's, what is not finite made null."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
