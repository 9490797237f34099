"""Scores a whole list at once: snapshots → features → model → store; what `perennial score` runs."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pandas as pd

from features.crm.contract import SUBJECTS
from features.crm.crm import Crm
from features.errors import NothingDoneError, RenewalError
from features.progress import Say, silent
from features.renewal_opportunities import renewed_by
from features.settings import Settings
from features.snapshots import impossible, snapshots_for, to_score
from monitoring.store import open_store
from monitoring.store.predictions import Shadow
from serving.scoring.scored_rows import HELD_OUT, features_of, renewals_scored, scored, shown
from serving.scoring.subject_details import ID_COLUMNS, about
from training.registry import Loaded, champion, former

MOST_ABSENT = 0.8
"""With so much of what a model uses not in the data at all, nothing is scored."""


def score(
    kind: str,
    crm: Crm,
    settings: Settings,
    *,
    as_of: pd.Timestamp | None = None,
    rows: pd.DataFrame | None = None,
    model: Loaded | None = None,
    say: Say = silent,
) -> pd.DataFrame:
    """Score contracts or opportunities, and keep the scores, the log and the features in one transaction.

    A run is named by what it scores (model version, moment, data, rows asked for): killed and started again
    it writes the same rows once.

    Args:
        kind: `renewal` or `win`.
        crm: the cleaned CRM.
        settings: where the model and the store are.
        as_of: naive UTC; default: the end of the data. Earlier moments are logged, not shown as current.
        rows: instead of all open subjects these: ids, each with its own `as_of` (see `asked_rows`).
        model: a loaded model; default: the champion, or else the challenger.
        say: called with each line of progress.

    Returns:
        One row a subject, riskiest money first, or in the order asked for: the columns of the command line's
        `score`. A row that cannot be scored keeps its line with `problem`.

    Raises:
        RenewalError: there is no model, the rows cannot be read, or the data lack nearly all the model uses.
    """
    crm.need(kind)
    loaded = model or champion(kind, settings)
    if loaded is None:
        raise RenewalError(
            expected=f"a trained {kind} model", found="none", do=f"Run `perennial train {kind}` first."
        )
    moment = crm.until if as_of is None else as_of
    snapshots = to_score(crm, kind, moment) if rows is None else _asked_for(crm, kind, rows)
    contract = renewed_by(crm, snapshots) if kind == "win" else pd.Series(pd.NA, snapshots.index)
    deals = snapshots[contract.isna()]
    say(f"{len(deals):,} {SUBJECTS[kind]} to score with model {loaded.version} ({loaded.alias})")
    if linked := len(snapshots) - len(deals):
        say(f"{linked:,} more renew a contract and are scored as that (`perennial score renewal`)")
    features = features_of(crm, deals, kind, settings)
    if absent := loaded.model.absent(features):
        _need_features(loaded, absent)
        say(f"{len(absent)} features of the model are not in this data and count as missing: {absent[:5]} …")
    frame = scored(loaded, deals, features, about(crm, kind, deals), settings, say)
    is_current = rows is None and (as_of is None or as_of >= crm.until)
    shadow = _shadow(kind, loaded, features, settings, say) if rows is None else None
    run = run_id(kind, loaded, moment, crm, rows)
    _keep(frame, features, kind, loaded, settings, run, is_current, shadow)
    if linked and rows is not None:
        frame = _with_renewals(frame, crm, snapshots, contract, loaded, settings)
    return shown(frame, kind, ranked=rows is None)


def _with_renewals(
    frame: pd.DataFrame,
    crm: Crm,
    snapshots: pd.DataFrame,
    contract: pd.Series,
    loaded: Loaded,
    settings: Settings,
) -> pd.DataFrame:
    """Deals' rows, and those of the renewals somebody asked for by id: not kept, their contract's score.

    Without a renewal model nothing else is known of them than what the win model says.
    """
    linked = snapshots[contract.notna()]
    renewal = champion("renewal", settings)
    if renewal is None:
        features = features_of(crm, linked, "win", settings)
        more = scored(loaded, linked, features, about(crm, "win", linked), settings)
        more["renewal_of"] = contract
    else:
        more = renewals_scored(crm, linked, contract.dropna(), renewal, settings)
    return pd.concat([part for part in (frame, more) if len(part)]).loc[snapshots.index]


def _asked_for(crm: Crm, kind: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The snapshots asked for; with a problem too where nobody could have asked at that moment."""
    snapshots = snapshots_for(crm, kind, rows)
    why = impossible(crm, kind, snapshots)
    return snapshots.assign(problem=snapshots["problem"].where(snapshots["problem"].notna(), why))


def _shadow(kind: str, loaded: Loaded, features: pd.DataFrame, settings: Settings, say: Say) -> Shadow | None:
    """What the former champion would predict for these rows, so that outcomes can show which was right."""
    if loaded.alias != "champion":
        return None
    try:
        before = former(kind, settings)
    except RenewalError as error:
        say(f"the former champion is not followed: {error}")
        return None
    if before is None or before.version == str(loaded.version):
        return None
    return Shadow(before.version, pd.Series(before.model.probability(features), features.index))


def _need_features(loaded: Loaded, absent: list[str]) -> None:
    """Scores of a model that sees hardly anything it has trained on are one number for everybody."""
    used = len(loaded.model.features)
    if loaded.model.served != "base rate" and len(absent) >= MOST_ABSENT * used:
        raise RenewalError(
            expected=f"data with most of the {used} features that model {loaded.version} uses",
            found=f"{len(absent)} of them absent, such as {', '.join(absent[:3])}",
            do="Add the tables and columns it was trained on (`perennial check`), or train on these data.",
        )


def run_id(
    kind: str, loaded: Loaded, as_of: pd.Timestamp | None, crm: Crm, wanted: pd.DataFrame | None
) -> str:
    """The name of a run: equal for equal work, so that a repeated run replaces itself."""
    asked_for = "" if wanted is None else hashlib.sha256(wanted.to_csv(index=False).encode()).hexdigest()
    content = f"score {kind} {loaded.version} {as_of} {crm.fingerprint} {asked_for}"
    return f"score-{kind}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def _keep(
    frame: pd.DataFrame,
    features: pd.DataFrame,
    kind: str,
    loaded: Loaded,
    settings: Settings,
    run: str,
    is_current: bool,
    shadow: Shadow | None = None,
) -> None:
    """Write a run to the store; a subject asked for at several moments makes a part for each."""
    store = open_store(settings)
    is_known = frame[ID_COLUMNS[kind]].notna() & frame["account_id"].notna() & frame["problem"].isna()
    turn = frame[is_known].groupby("subject_id").cumcount()
    for number in sorted(turn.unique()):
        part = frame[is_known][turn == number]
        store.scores.write(
            kind,
            part,
            features.loc[part.index].reindex(columns=list(loaded.model.features)),
            run_id=run if number == 0 else f"{run}-{number}",
            model_version=str(loaded.version),
            complete=is_current,
            current=is_current,
            shadow=shadow and replace(shadow, probability=shadow.probability.reindex(part.index)),
        )


def require_some(frame: pd.DataFrame, kind: str) -> None:
    """Refuse rows asked for of which not one could be scored.

    Raises:
        NothingDoneError: with the rows to show, and the first problem in its words.
    """
    problems = frame["problem"]
    if len(frame) and (problems.notna() & (problems != HELD_OUT)).all():
        raise NothingDoneError(
            {"kind": kind, "rows": frame.to_dict("records")},
            expected="at least one row that can be scored",
            found=f"a problem in each of {len(frame)}, such as: {problems.iloc[0]}",
            do="Correct the file.",
        )


def asked_rows(path: Path, kind: str) -> pd.DataFrame:
    """The rows of a CSV file that asks for scores: the id as text, and `as_of` as written, where it is given.

    In a file with that column an empty `as_of` is a mistake in its row, never today.

    Raises:
        RenewalError: no such file, no CSV, or the id's column is missing, or there are no rows.
    """
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:  # pandas' parser and decoding errors are ValueErrors
        raise RenewalError(
            expected=f"a CSV file of {ID_COLUMNS[kind]} and as_of at {path}",
            found=" ".join(str(error).split()),
            do="Check the path and the file.",
        ) from error
    if ID_COLUMNS[kind] not in rows:
        raise RenewalError(
            expected=f"a column {ID_COLUMNS[kind]} in {path}",
            found=", ".join(map(str, rows.columns)),
            do="Rename the columns.",
        )
    if rows.empty:
        raise RenewalError(expected=f"rows in {path}", found="only its header", do="Add the rows to score.")
    wanted = rows[[name for name in (ID_COLUMNS[kind], "as_of") if name in rows]]
    return wanted.fillna({"as_of": ""})
