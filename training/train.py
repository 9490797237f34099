"""From a CRM to a registered model and its card: build, guard, select, judge, register."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.errors import RenewalError
from features.progress import Say, silent
from features.scratch import passing, scratch
from features.settings import Settings
from training import card, model_versions, registry
from training.card import Trained
from training.card_figures import save_reference
from training.dataset import UNITS, Dataset, build
from training.fairness.mitigation import Case, mend
from training.fairness.mitigation_price import in_words, option_row
from training.fairness.parity import load_parity, parity, save_parity, segment_rows, segments_of, threshold
from training.fairness.proxies import proxies
from training.gates import Gate, against_champion, gates, may_lead
from training.given_away import in_a_sentence, price_of, without_proxies
from training.leakage import guard
from training.leakage_evidence import beside
from training.model_versions import Record, Version
from training.registry import MODEL_FOLDER, RESULT_FILE, champion, register
from training.rejudge import recipe_facts
from training.same_customers import counted_once
from training.select import select
from training.selection_figures import Selection

if TYPE_CHECKING:
    from features.crm.crm import Crm

TRIALS = 40
PROUD_AUC = 0.9
FEW = 600
WORTH_TELLING = 0.2
"""Log-odds by which a base rate must move to be warned of: some three points at 80 %."""
DEFAULT_XGBOOST = "xgboost default"


@dataclass(frozen=True)
class TrainOptions:
    """What may be asked of a training.

    Attributes:
        trials: of the search.
        minutes: time for the search; None for as long as it takes.
        bar: columns to leave out.
        allow: columns to use whatever the guard says.
        waivers: `parity` → a written reason to pass that gate.
        allow_proxies: column → a written reason to use it though it alone gives a segment away.
        mitigate: a mitigation of unequal treatment (`fairness.mitigation`); its price and gain are in the
            result, the card, the gates and the registry.
        promote: whether it may become champion; it does if every gate passes, that against the champion so
            far, on the same rows, among them.
    """

    trials: int = TRIALS
    minutes: float | None = None
    bar: Sequence[str] = ()
    allow: Sequence[str] = ()
    waivers: Mapping[str, str] = field(default_factory=dict)
    allow_proxies: Mapping[str, str] = field(default_factory=dict)
    mitigate: str | None = None
    promote: bool = True

    def as_params(self) -> dict[str, Any]:
        """As JSON values, the same for the same wishes."""
        return {**asdict(self), "bar": sorted(self.bar), "allow": sorted(self.allow)}


def train(
    kind: str, crm: "Crm", settings: Settings, options: TrainOptions | None = None, *, say: Say = silent
) -> dict[str, Any]:
    """Train, judge on later data and register a model; champion if every gate passes, else challenger.

    The same data, code and arguments are the same version: what was trained before is returned as it was.

    Args:
        kind: `renewal` or `win`.
        crm: the cleaned CRM.
        settings: seed, threads, home and the least number of outcomes.
        options: what is asked for; None for what is usual.
        say: called with each line of progress.

    Returns:
        model, version, alias, rows, snapshots, positives, forward, random, baselines, served, barred, period,
        gates, warnings, card (path), horizon_days and more; JSON values only.

    Raises:
        RenewalError: too few outcomes, no such table, or an unknown column in `bar` or `allow`.
    """
    options = options or TrainOptions()
    arguments = {**_settings_of(settings), **options.as_params()}
    fingerprint = model_versions.fingerprint_of(
        kind, crm.fingerprint, crm.until, model_versions.code_version(), model_versions.lock_hash(), arguments
    )
    if (before := registry.made_before(kind, fingerprint, settings)) is not None:
        say(f"{before.name} version {before.version} was made of these very data, code and settings")
        return _as_before(before, settings)
    trained = learn(kind, crm, settings, options, say)
    result = summary(trained, crm)
    lead = options.promote and may_lead(trained.gates)
    with scratch(passing()) as folder:
        about = {key: result[key] for key in ("period", "until")} | {"data_fingerprint": crm.fingerprint}
        about |= {"mitigation": options.mitigate, "recipe": recipe_facts(trained.selection.recipe)}
        about["unspoken"] = sorted(options.allow_proxies)
        replace(trained.selection.model, about=about).save(folder / MODEL_FOLDER)
        record = _record(trained, crm, settings, result, options.trials, fingerprint)
        say("writing the card")
        card.write(folder, plain({**card.card(trained, result, crm, settings), "making": record.params}))
        stored = {k: v for k, v in result.items() if k not in ("parity", "proxies")}
        (folder / RESULT_FILE).write_text(json.dumps(stored))
        save_parity(folder, result["parity"], result["proxies"])
        save_reference(folder, trained.ds, trained.selection.test, settings.seed)
        version = register(kind, folder, record, settings, lead=lead)
    say(f"registered {version.name} version {version.version} as {version.alias}")
    return _summary(version, result, registry.files_of(version, settings))


def _summary(version: Version, result: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    named = {"model": version.name, "version": version.version, "alias": version.alias}
    return {**named, **result, "card": str(folder / card.HTML)}


def _as_before(version: Version, settings: Settings) -> dict[str, Any]:
    """What the training that made a version returned."""
    folder = registry.files_of(version, settings)
    return _summary(version, json.loads((folder / RESULT_FILE).read_text()) | load_parity(folder), folder)


def _settings_of(settings: Settings) -> dict[str, Any]:
    return {"seed": settings.seed, "min_positives": settings.min_positives}


def learn(kind: str, crm: "Crm", settings: Settings, options: TrainOptions, say: Say) -> Trained:
    """Everything but keeping it."""
    from features.snapshots import win_horizon_days

    horizon = win_horizon_days(crm) if kind == "win" and crm.dated(kind) else None
    if horizon is not None:
        say(f"a deal counts as won if it is won within {horizon} days")
    ds = build(crm, kind, settings, say)
    decided = ds.decided()
    guarded = guard(decided, beside(crm, decided, settings), bar=options.bar, allow=options.allow)
    for column, reason in guarded.barred.items():
        say(f"barred {column}: {reason}")
    once, same = counted_once(guarded.apply(ds))
    clean, given_away = without_proxies(once, crm, settings, options.allow_proxies, say)
    each = None if options.minutes is None else options.minutes / (2 if options.mitigate else 1)
    choose = partial(
        select, settings=settings, trials=options.trials, minutes=each, horizon_days=horizon, say=say
    )
    selection = choose(clean)
    mitigation = None
    if options.mitigate:
        case = Case(clean, segments_of(crm), selection, choose)
        mended = mend(options.mitigate, case, settings, say)
        clean, selection = mended.ds, mended.selection
        mitigation = {"before": option_row(case, None), "after": option_row(case, mended)}
    checks = parity_of_test(crm, clean, selection)
    proxy_rows = proxies(
        clean.X, clean.snapshots, segments_of(crm), seed=settings.seed, threads=settings.threads
    )
    judged = gates(clean, selection.test, guarded, checks, options.waivers)
    if mitigation is not None:
        judged["mitigation"] = Gate(True, in_words(mitigation))
    barred = frozenset(guarded.barred) | {row["column"] for row in given_away if not row["allowed"]}
    if (gate := _champion_gate(kind, _rows_of(ds, once), selection, barred, settings)) is not None:
        judged["not worse than the champion"] = gate
    for name, gate in judged.items():
        say(f"{name}: {_PASSED[gate.passed]} ({gate.why})")
    given_away = [{**row, "price": price_of(row, once, clean, selection, settings)} for row in given_away]
    return Trained(kind, clean, guarded, selection, checks, judged, proxy_rows, mitigation, given_away, same)


def _rows_of(ds: Dataset, once: Dataset) -> Dataset:
    """The rows of contracts that are counted, with every column."""
    if len(once) == len(ds):
        return ds
    return ds.take(np.flatnonzero(ds.snapshots["subject_id"].isin(once.snapshots["subject_id"])))


def _champion_gate(
    kind: str, ds: Dataset, selection: Selection, barred: frozenset[str], settings: Settings
) -> Gate | None:
    """The newcomer against the champion on the same rows; None: nobody leads yet."""
    try:
        rival = champion(kind, settings)
    except RenewalError as error:  # kept by another version: it says itself that it is to be trained again
        return Gate(None, f"unknown: the champion cannot be read ({error})")
    if rival is None or rival.alias != registry.CHAMPION:
        return None
    return against_champion(ds, selection, rival, barred, settings)


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
            "rows": len(np.unique(ds.subjects[ds.is_known])),
            "still_open": len(np.unique(ds.subjects)) - len(np.unique(ds.subjects[ds.is_known])),
            "snapshots": int(ds.is_known.sum()),
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
            "ranking": asdict(selection.ranking) | {"words": selection.ranking.in_words()},
            "calibration": selection.adjustment.in_words(),
            "judged_calibration": selection.judged.in_words(),
            "adjustment": asdict(selection.adjustment),
            "barred": trained.guard.barred,
            "allowed": trained.guard.allowed,
            "suspected": trained.guard.suspected,
            "parity": trained.parity,
            "proxies": trained.proxies,
            "mitigation": trained.mitigation,
            "given_away": trained.given_away,
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
    if abs(moved := selection.adjustment.moved) > WORTH_TELLING:
        notes.append(
            f"The base rate drifts: the next span is expected {moved:+.2f} log-odds from the mean of those "
            "before; see the levels on this card."
        )
    if min(ds.outcome_counts()) < FEW / 4 or sum(ds.outcome_counts()) < FEW:
        notes.append("Little data: intervals are wide, and small differences mean nothing.")
    for row in trained.given_away:
        notes.append(in_a_sentence(row))
    if trained.mitigation is not None:
        notes.append(f"Mitigation {in_words(trained.mitigation)}.")
    if repeated := trained.same_customers.in_words(UNITS[ds.kind]):
        notes.append(repeated)
    if doubted := trained.guard.suspected:
        each = "; ".join(f"{column}: {why}" for column, why in doubted.items())
        notes.append(
            f"Without dates nothing shows when these were written. Bar with --bar what is entered after the "
            f"outcome. {each}."
        )
    if trained.guard.allowed:
        notes.append(f"Allowed by hand: {', '.join(trained.guard.allowed)}.")
    return notes


def _record(
    trained: Trained,
    crm: "Crm",
    settings: Settings,
    result: Mapping[str, Any],
    trials: int,
    fingerprint: str,
) -> Record:
    params = {
        **_settings_of(settings),
        "trials": trials,
        "data_fingerprint": crm.fingerprint,
        "dataset_fingerprint": trained.ds.fingerprint,
        "code_version": model_versions.code_version(),
        "lock_hash": model_versions.lock_hash(),
        "until": str(crm.until),
        "served": trained.selection.served,
        "calibration": trained.selection.adjustment.in_words(),
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
        fingerprint=fingerprint,
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
