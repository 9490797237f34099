"""Can the served models still be trusted, and by everybody? Runs every check, keeps and sends the alerts."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sqlalchemy import select

from features.errors import RenewalError
from features.progress import Say, silent
from features.settings import Settings
from monitoring.alerts import champion_alert, send_due, settle
from monitoring.checks import SCORE, Check, Verdict, drift_name, overall, waived_checks
from monitoring.drift import ALPHA, LEAST_EFFECT, Shift, shifts
from monitoring.forecasters import former_checks
from monitoring.live_parity import live_rows, parity_by_segment, parity_table, proxy_checks
from monitoring.matured import judged, with_actions
from monitoring.performance import OK_WITHIN, performance
from monitoring.store import Store, open_store
from monitoring.store.tables import prediction_log
from monitoring.windows import LEAST_ACCOUNTS, Windows, windows
from training.card_figures import load_reference
from training.explain import contributions
from training.fairness.parity import declared, load_parity, threshold
from training.registry import Loaded, champion, show

if TYPE_CHECKING:
    from features.crm.crm import Crm

WINDOW_DAYS = 90
"""Without `since`, drift looks at scores of the newest 90 days; performance at all there are."""

ALPHA_SCORES = 0.005
LEAST_OF_SCORES = 0.15
"""Scores of rows trained on are a little sharper than of new ones; that much is no drift."""

NEGLIGIBLE = 0.02
"""A column that carries less than 2 % of the score may move: it is shown, and no alert."""

MOST_QUARANTINED = 0.1
_SAMPLE = 300
_VANISHED = 0.5


def monitor(
    crm: "Crm",
    settings: Settings,
    kind: str | None = None,
    *,
    since: pd.Timestamp | None = None,
    say: Say = silent,
) -> dict[str, Any]:
    """Check drift, data quality, performance and parity of the served models.

    Args:
        crm: what became of the subjects scored, and their segments; not looked at where `nothing_logged`.
        settings: where store, registry and reports are.
        kind: `renewal` or `win`; None: each there is a model of.
        since: look at scores of an `as_of` from then on.
        say: called with each line of progress.

    Returns:
        `verdict`, `waived` (kind, gate, by, reason, why of each gate that a served model did not pass),
        `checks` (kind, name, segment, value, threshold, verdict, why), `parity` (kind → every
        metric of every segment on test and live data), `declared` (kind → what fairness means), `html` (path
        of the Evidently report; None where nothing could be compared), `reports` by kind, `alerts` (opened,
        grown, standing, closed, sent, failed, and as `figures` how many there are and how long they take to
        close).

    Raises:
        RenewalError: there is no model.
    """
    store = open_store(settings)
    models = {each: champion(each, settings) for each in ([kind] if kind else ["renewal", "win"])}
    served = {each: loaded for each, loaded in models.items() if loaded is not None}
    if not served:
        raise RenewalError(
            expected="a trained model", found="none", do=f"Run `perennial train {kind or 'renewal'}` first."
        )
    looked = [Look(each, loaded, crm, settings, store, since, say) for each, loaded in served.items()]
    results = [_of_kind(look) for look in looked]
    changed = [alert for look in looked for alert in champion_alert(store, settings, look.kind, look.version)]
    sent = send_due(store, settings, say=say)
    checks = [check for result in results for check in result["checks"]]
    reports = {
        look.kind: result["paths"] for look, result in zip(looked, results, strict=True) if result["paths"]
    }
    return {
        "verdict": str(min((result["verdict"] for result in results), key=_WORST_FIRST.index)),
        "waived": [
            {"kind": look.kind, "version": look.version, **one} for look in looked for one in look.waived
        ],
        "checks": checks,
        "parity": {look.kind: result["parity"] for look, result in zip(looked, results, strict=True)},
        "declared": {look.kind: declared(look.kind, threshold(look.loaded.model)) for look in looked},
        "html": next((paths["html"] for paths in reports.values()), None),
        "reports": reports,
        "alerts": {
            "opened": [*changed, *(alert for result in results for alert in result["alerts"]["opened"])],
            "grown": [alert for result in results for alert in result["alerts"]["grown"]],
            "standing": sum(result["alerts"]["standing"] for result in results),
            "closed": sum(result["alerts"]["closed"] for result in results),
            **sent,
            "figures": store.alerts.figures(kind),
        },
    }


_WORST_FIRST = [Verdict.ALERT, Verdict.UNKNOWN, Verdict.OK]


def nothing_logged(settings: Settings, kind: str | None = None) -> bool:
    """Whether no prediction was ever logged: `monitor` says so without looking at the CRM."""
    query = select(prediction_log.c.prediction_id).limit(1)
    if kind is not None:
        query = query.where(prediction_log.c.kind == kind)
    with open_store(settings).engine.connect() as connection:
        return connection.execute(query).first() is None


@dataclass(frozen=True)
class Look:
    """What one look at one model needs."""

    kind: str
    loaded: Loaded
    crm: "Crm"
    settings: Settings
    store: Store
    since: pd.Timestamp | None
    say: Say

    @property
    def version(self) -> str:
        """The served model's version."""
        return str(self.loaded.version)

    @cached_property
    def details(self) -> dict[str, Any]:
        """All that the registry keeps of it."""
        return show(self.kind, self.settings, self.version)

    @property
    def waived(self) -> list[dict[str, str]]:
        """Gates that the version did not pass, with who let it serve all the same, and why."""
        return list(self.details["waived"])


def _of_kind(look: Look) -> dict[str, Any]:
    """All checks of one model, its report, and the alerts that follow."""
    log = look.store.predictions.read(look.kind, look.since)
    log = log[log["model_version"] == look.version]
    look.say(f"{look.kind}: {len(log):,} predictions of model {look.version}")
    nothing = [_nothing_logged(look), *waived_checks(look.waived)]
    checks, table, paths = _looked_at(look, log) if len(log) else (nothing, [], {})
    verdict = overall(checks)
    alerts = settle(look.store, look.settings, look.kind, checks)
    check_rows = [{"kind": look.kind, **check.as_dict()} for check in checks]
    summary = {"verdict": str(verdict), "version": look.version, "checks": check_rows, "reports": paths}
    look.store.record_run(_report_name(look, log), "monitor", look.kind, summary)
    return {"verdict": verdict, "checks": check_rows, "parity": table, "paths": paths, "alerts": alerts}


def _looked_at(look: Look, log: pd.DataFrame) -> tuple[list[Check], list[dict[str, Any]], dict[str, str]]:
    """The checks of a model that has scored, parity by segment, and the report's paths where there is one."""
    details = look.details
    compared, tested, checks = _drift(look, load_reference(Path(details["folder"])), log)
    outcomes = judged(look.crm, look.kind, log, look.store.outcomes.read(look.kind))
    outcomes = with_actions(outcomes, look.store.judgements.actions(look.kind))
    checks += performance(outcomes, (details["result"].get("forward") or {}).get("auc"), look.settings.seed)
    before = details.get("previous_champion")
    checks += waived_checks(details["waived"])
    checks += former_checks(look.kind, look.version, before, look.crm, look.store, look.settings.seed)
    checks += _quality(look.crm)
    tables = live_rows(look.loaded.model, look.crm, outcomes)
    stored = load_parity(Path(details["folder"]))
    checks += parity_by_segment(look.kind, stored["parity"], tables) + proxy_checks(stored["proxies"])
    table = parity_table(look.kind, stored["parity"], tables)
    if compared is None:
        return checks, table, {}
    from monitoring.evidently_report import drift_report

    look.say("writing the Evidently report")
    into = look.settings.home / "reports" / _report_name(look, log)
    return checks, table, drift_report(look.kind, compared, tested, ALPHA, checks, tables, into)


def _nothing_logged(look: Look) -> Check:
    """The one check of a model whose scores nobody has asked for yet."""
    when = "" if look.since is None else f" from {look.since:%Y-%m-%d} on"
    why = (
        f"version {look.version} has logged no scores{when}, so there is nothing to judge; "
        f"run `perennial score {look.kind}`"
    )
    return _unknown("predictions: logged", why)


def _drift(
    look: Look, reference: pd.DataFrame | None, log: pd.DataFrame
) -> tuple[Windows | None, list[Shift], list[Check]]:
    """Compare features and scores logged lately with the rows the model was judged on."""
    if reference is None:
        why = f"model {look.version} was kept without reference rows; train again"
        return None, [], _unknown_drift(why)
    current = _logged(look, log)
    if current.empty:
        return None, [], _unknown_drift(f"no features of the scores of model {look.version} are logged")
    is_judged = reference[SCORE].notna()
    # The test rows' own scores are of a model fitted on earlier rows only; what is served was fitted on all.
    reference = reference.assign(**{SCORE: look.loaded.model.probability(reference)})
    history = reference[~is_judged]
    compared = windows(reference[is_judged], current, look.kind, look.settings.seed, history)
    if compared.accounts < LEAST_ACCOUNTS:
        why = (
            f"{len(compared.current)} accounts scored and {len(compared.reference)} to compare with, "
            f"{LEAST_ACCOUNTS} of each are needed"
        )
        return None, [], _unknown_drift(why)
    columns = [name for name in look.loaded.model.features if name in reference]
    encoding = look.loaded.model.encoding
    reference_levels = {name: set(encoding.levels_of(name)) for name in columns if encoding.is_category(name)}
    weights = importance(look.loaded, compared.reference)
    tested = shifts(compared, columns, importance=weights, reference_levels=reference_levels)
    scores = shifts(compared, [SCORE], alpha=ALPHA_SCORES)
    accounts = compared.accounts
    return compared, [*scores, *tested], [*drift_checks(tested, accounts), *score_checks(scores, accounts)]


def _logged(look: Look, log: pd.DataFrame) -> pd.DataFrame:
    """Feature rows of the served model with the score each got."""
    rows = look.store.predictions.features(look.kind, look.since)
    rows = rows[rows["model_version"] == look.version]
    if look.since is None and rows["as_of"].notna().any():
        rows = rows[rows["as_of"] > rows["as_of"].max() - pd.Timedelta(days=WINDOW_DAYS)]
    rows = rows.drop_duplicates(["subject_id", "as_of"], keep="last")
    return rows.merge(log[["subject_id", "as_of", SCORE]], on=["subject_id", "as_of"])


def importance(loaded: Loaded, rows: pd.DataFrame) -> dict[str, float]:
    """Column → mean |contribution| to the score, in log-odds, over a sample of rows."""
    sample = rows.iloc[np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows))).astype(int)]
    explanation = contributions(loaded.model, sample)
    return dict(zip(explanation.names, np.abs(explanation.values).mean(axis=0).tolist(), strict=True))


def least_seen(accounts: int, alpha: float) -> float:
    """The smallest Kolmogorov-Smirnov distance that two samples of so many accounts show as significant."""
    return float(np.sqrt(-np.log(alpha / 2) / accounts))


def drift_checks(tested: Sequence[Shift], accounts: int) -> list[Check]:
    """One check for the whole and one for each column that moved; an alert where the score rests on it.

    A column mostly gone or a category never seen is a fault of the data, whatever it carries. Where a move of
    twice the limit would not be significant among so many columns, the whole is unknown.
    """
    moved = [shift for shift in tested if shift.has_moved]
    grave = [shift for shift in moved if _is_grave(shift)]
    columns = len({shift.column for shift in tested})
    share = len({shift.column for shift in grave}) / columns if columns else None
    why = f"{len({shift.column for shift in moved})} of {columns} columns moved, {len(grave)} of weight"
    restless = len({shift.column for shift in tested if np.isinf(shift.least)})
    why += f"; {restless} move too much by themselves to be judged" if restless else ""
    seen_from = least_seen(accounts, ALPHA / max(len(tested), 1))
    verdict = Verdict.ALERT if grave else Verdict.OK
    if not grave and seen_from > OK_WITHIN * LEAST_EFFECT["values"]:
        verdict = Verdict.UNKNOWN
        why += f"; with {accounts} accounts a side only a move of {seen_from:.2f} would be seen"
    whole = Check("drift: features", "", share, 0.0, verdict, why, is_essential=True)
    return [whole, *[_moved_check(shift) for shift in moved]]


def _is_grave(shift: Shift) -> bool:
    """Gone entirely or new is a fault of the data, whatever the column carries; the rest by weight."""
    if shift.aspect == "new category" or (shift.aspect == "missing" and shift.effect >= _VANISHED):
        return True
    return np.isnan(shift.weight) or shift.weight >= NEGLIGIBLE


def _moved_check(shift: Shift) -> Check:
    carried = "" if np.isnan(shift.weight) else f"; it carries {shift.weight:.1%} of the score"
    family = "drift" if shift.aspect == "values" else "data quality"
    name = drift_name(shift.column) if family == "drift" else f"{family}: {shift.column} {shift.aspect}"
    verdict = Verdict.ALERT if _is_grave(shift) else Verdict.OK
    why = f"{shift.detail} (corrected p {shift.p_holm:.1g}){carried}"
    cause = "drift: features" if family == "drift" else f"data quality: {shift.aspect}"
    return Check(name, "", shift.effect, shift.least, verdict, why, cause=cause)


def score_checks(tested: Sequence[Shift], accounts: int) -> list[Check]:
    """Whether the scores themselves moved."""
    values = next((shift for shift in tested if shift.aspect == "values"), None)
    if values is None:
        return [_unknown("drift: scores", "too few scores")]
    if np.isinf(values.least):
        return [_unknown("drift: scores", "scores move too much by themselves to be judged")]
    least, why = max(values.least, LEAST_OF_SCORES), f"{values.detail} (p {values.p:.1g})"
    seen_from = least_seen(accounts, ALPHA_SCORES)
    verdict = Verdict.OK
    if values.effect >= least:
        verdict = Verdict.ALERT if values.has_moved else Verdict.UNKNOWN
        why += "" if values.has_moved else "; more than the limit, but it may be chance"
    elif seen_from > OK_WITHIN * least:
        verdict = Verdict.UNKNOWN
        why += f"; with {accounts} accounts a side only a move of {seen_from:.2f} would be seen"
    return [Check("drift: scores", "", values.effect, least, verdict, why, is_essential=True)]


def _quality(crm: "Crm") -> list[Check]:
    """The share of rows of each table that did not hold to the contract."""
    checks = []
    for name, table in crm.quality.tables.items():
        if table.rows:
            share = table.quarantined / table.rows
            why = f"{table.quarantined:,} of {table.rows:,} rows of {name} are in quarantine"
            verdict = Verdict.ALERT if share > MOST_QUARANTINED else Verdict.OK
            checks.append(Check("data quality: quarantine", name, share, MOST_QUARANTINED, verdict, why))
    return checks


def _report_name(look: Look, log: pd.DataFrame) -> str:
    """Equal for an equal look, so that a repeated run replaces its report."""
    newest = str(log["as_of"].max()) if len(log) else ""
    data = look.crm.fingerprint if len(log) else None
    content = json.dumps([look.kind, look.version, newest, len(log), str(look.since), data])
    return f"monitor-{look.kind}-{look.version}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def _unknown_drift(why: str) -> list[Check]:
    return [_unknown("drift: features", why), _unknown("drift: scores", why)]


def _unknown(name: str, why: str) -> Check:
    return Check(name, "", None, None, Verdict.UNKNOWN, why, is_essential=not name.startswith("parity"))
