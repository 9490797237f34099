"""Scores a whole list at once: snapshots → features → model → store; what `perennial score` runs."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from features.crm.contract import SUBJECTS
from features.crm.crm import Crm
from features.engine import feature_rows
from features.errors import NothingDoneError, RenewalError
from features.holdout import held_out
from features.progress import Say, silent, stoppable
from features.renewal_opportunities import renewed_by
from features.settings import Settings
from features.snapshots import impossible, snapshots_for, to_score
from monitoring.store import open_store
from monitoring.store.predictions import Shadow
from serving.scoring.close_dates import CLOSE_COLUMNS, close_columns
from serving.scoring.subject_details import ID_COLUMNS as ID_COLUMNS
from serving.scoring.subject_details import about as about
from training.encode import Rows
from training.explain import judged
from training.model import Model
from training.registry import Loaded, champion, former

ROWS_AT_ONCE = 5_000
MOST_ABSENT = 0.8
"""With so much of what a model uses not in the data at all, nothing is scored."""

MONEY = {"renewal": "at_risk", "win": "expected"}
"""What a score makes of the money; see `money_of`."""
Values = TypeVar("Values", np.ndarray, pd.Series)


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
        say: told of each step.

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
    """What the former champion would say of these rows, so that outcomes can tell who was right."""
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


def features_of(crm: Crm, snapshots: pd.DataFrame, kind: str, settings: Settings) -> pd.DataFrame:
    """Feature rows of the snapshots that can be looked at, index kept; the others' are missing."""
    can = _scorable(snapshots)
    return feature_rows(crm, snapshots[can], kind, settings).frame


def _scorable(snapshots: pd.DataFrame) -> np.ndarray:
    return snapshots["problem"].isna().to_numpy() if "problem" in snapshots else np.ones(len(snapshots), bool)


def scored(
    loaded: Loaded,
    snapshots: pd.DataFrame,
    features: pd.DataFrame,
    details: pd.DataFrame,
    settings: Settings,
    say: Say = silent,
) -> pd.DataFrame:
    """Snapshots with their scores and reasons.

    Args:
        loaded: the model, its version and alias.
        snapshots: (n) rows of `features.snapshots`; `problem` where a row cannot be looked at.
        features: (m, k) feature rows of those without a problem, by the same index.
        details: (n) further columns of the subjects (names, dates), same index.
        settings: the share held out.
        say: told of each ten thousand rows.

    Returns:
        (n) rows: ids, `as_of`, `lead_days`, the score's columns in units of money, then `details`.
    """
    frame = subject_rows(snapshots, details, loaded.model.kind)
    starts = range(0, max(len(features), 1), ROWS_AT_ONCE)
    with ThreadPoolExecutor(settings.threads) as pool:
        part = stoppable(
            lambda at: _scored_part(loaded.model, features.iloc[at : at + ROWS_AT_ONCE], at, say)
        )
        parts = pool.map(part, starts)
        frame = frame.join(pd.concat(parts))
    frame["reasons"] = [reasons if isinstance(reasons, list) else [] for reasons in frame["reasons"]]
    frame["band"] = frame["band"].astype(object).where(frame["band"].notna(), None)
    kind = loaded.model.kind
    frame[MONEY[kind]] = money_of(kind, frame["probability"], frame["amount"])
    if (timing := loaded.model.timing) is not None:
        age = frame["lead_days"].to_numpy(float)
        more = close_columns(timing, frame["probability"].to_numpy(float), frame["as_of"].tolist(), age)
        frame = frame.assign(**more)
    frame["model_version"], frame["alias"] = str(loaded.version), loaded.alias
    frame["held_out"] = held_out(frame["account_id"], settings)
    return frame


def money_of(kind: str, probability: Values, amount: Values) -> Values:
    """Of a renewal the money at risk, (1 − probability) × annual value; of a deal what is expected; (n,)."""
    share = 1 - probability if kind == "renewal" else probability
    return (share * amount).round(2)


def subject_rows(snapshots: pd.DataFrame, details: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Rows that lack but their scores: what snapshots and `details` say, `amount` in units of money."""
    frame = snapshots[_kept_columns(snapshots)].drop(columns="owner_id", errors="ignore").join(details)
    frame["amount"] = snapshots["amount"].astype("Float64").to_numpy(float, na_value=np.nan) / 100
    frame[ID_COLUMNS[kind]] = frame["subject_id"]
    if "problem" not in frame:
        frame["problem"] = None
    return frame


def _scored_part(model: Model, features: pd.DataFrame, start: int, say: Say) -> pd.DataFrame:
    if start and start % 10_000 == 0:
        say(f"{start:,} scored")
    return pd.DataFrame(_score_columns(model, features), index=features.index)


def _score_columns(model: Model, X: Rows) -> dict[str, Any]:
    probability, why = judged(model, X)
    low, high = model.interval(probability)
    band = model.band(probability)
    return {"probability": probability, "low": low, "high": high, "band": band, "reasons": why}


def scored_rows(loaded: Loaded, rows: list[dict[str, Any]], X: Rows) -> list[dict[str, Any]]:
    """Rows about subjects, as the store gives them or `subject_rows` makes them, scored (anew).

    Args:
        loaded: the model.
        rows: (n) with `amount` in units.
        X: (n, k) their feature rows, same order.
    """
    score_columns = _score_columns(loaded.model, X)
    amount = np.array([row["amount"] for row in rows], dtype=float)
    name, values = MONEY[loaded.model.kind], money_of(loaded.model.kind, score_columns["probability"], amount)
    money = [None if np.isnan(value) else value for value in values.tolist()]
    columns = {
        key: values.tolist() if isinstance(values, np.ndarray) else values
        for key, values in score_columns.items()
    }
    if (timing := loaded.model.timing) is not None:
        age = np.array([row.get("lead_days") for row in rows], dtype=float)
        columns |= close_columns(
            timing, score_columns["probability"], [row.get("as_of") for row in rows], age
        )
    fixed = {"model_version": str(loaded.version), "alias": loaded.alias}
    parts = zip(*columns.values(), money, strict=True)
    return [
        {**row, **dict(zip((*columns, name), part, strict=True)), **fixed}
        for row, part in zip(rows, parts, strict=True)
    ]


HELD_OUT = "held out: one of the customers left unscored, so that the model can be judged on them later"


def hide_held_out(row: dict[str, Any]) -> dict[str, Any]:
    """A row as people may see it: held-out customers without score, band and reasons."""
    if not row.get("held_out"):
        return row
    scored = ("probability", "low", "high", "band", "at_risk", "expected", "previous_probability")
    blank = dict.fromkeys((*scored, *CLOSE_COLUMNS))
    return {**row, **{name: None for name in blank if name in row}, "reasons": [], "problem": HELD_OUT}


def shown(frame: pd.DataFrame, kind: str, ranked: bool) -> pd.DataFrame:
    """The rows as a caller gets them: held-out ones without a score, most money first where `ranked`."""
    value = MONEY[kind]
    hidden = frame["held_out"].to_numpy(bool)
    result = frame.copy()
    if hidden.any():
        result.loc[hidden, ["probability", "low", "high", value]] = np.nan
        for name in ("band", *CLOSE_COLUMNS):
            if name in result:
                result[name] = result[name].astype(object).where(~hidden, None)
        result.loc[hidden, "problem"] = HELD_OUT
        result["reasons"] = [
            [] if gone else reasons for gone, reasons in zip(hidden, result["reasons"], strict=True)
        ]
    if ranked:
        result = result.sort_values([value, ID_COLUMNS[kind]], ascending=[False, True], na_position="last")
    first = [ID_COLUMNS[kind], "account_id", "as_of", "probability", "low", "high", "band", "amount", value]
    first += ["reasons", "model_version", "alias", "problem"]
    return result[first + [name for name in result if name not in {*first, *_INTERNAL}]].reset_index(
        drop=True
    )


_INTERNAL = ("subject_id", "held_out")


OF_CONTRACT = ("probability", "low", "high", "band", "reasons", "model_version", "alias", "held_out")
"""What such an opportunity's row takes over from its contract's."""


def renewals_scored(
    crm: Crm, snapshots: pd.DataFrame, contract: pd.Series, loaded: Loaded, settings: Settings
) -> pd.DataFrame:
    """Rows of opportunities with their contracts' scores.

    Args:
        crm: the cleaned CRM.
        snapshots: (n) looks at opportunities, of `features.snapshots`.
        contract: (n) the contract each renews, same index.
        loaded: the renewal model.
        settings: the share held out.

    Returns:
        (n) rows as `batch.scored` gives of deals, `renewal_of` the contract; bands are those of renewals.
    """
    rows = pd.DataFrame({"contract_id": contract})
    if snapshots["as_of"].notna().any():
        rows["as_of"] = snapshots["as_of"]
    looks = snapshots_for(crm, "renewal", rows)
    details = about(crm, "renewal", looks)
    of_contract = scored(loaded, looks, features_of(crm, looks, "renewal", settings), details, settings)
    frame = subject_rows(snapshots, about(crm, "win", snapshots), "win")
    frame = frame.assign(**{name: of_contract[name] for name in OF_CONTRACT}, renewal_of=contract)
    frame["expected"] = money_of("win", frame["probability"], frame["amount"])
    return frame.assign(**dict.fromkeys(CLOSE_COLUMNS))


def as_opportunity(contract_row: dict[str, object], subject: dict[str, object]) -> dict[str, object]:
    """An opportunity's row from its contract's current row, whatever is held back there held back here."""
    amount, probability = subject.get("amount"), contract_row.get("probability")
    taken = {name: contract_row.get(name) for name in (*OF_CONTRACT, "as_of", "problem")}
    money = None
    if isinstance(amount, float) and isinstance(probability, float):
        money = round(amount * probability, 2)
    return {**subject, **taken, "renewal_of": contract_row.get("contract_id"), "expected": money}


def run_id(
    kind: str, loaded: Loaded, as_of: pd.Timestamp | None, crm: Crm, wanted: pd.DataFrame | None
) -> str:
    """The name of a run: equal for equal work, so that a repeated run replaces itself."""
    asked_for = "" if wanted is None else hashlib.sha256(wanted.to_csv(index=False).encode()).hexdigest()
    content = f"score {kind} {loaded.version} {as_of} {crm.fingerprint} {asked_for}"
    return f"score-{kind}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def _kept_columns(snapshots: pd.DataFrame) -> list[str]:
    wanted = (
        "subject_id",
        "contract_id",
        "opportunity_id",
        "account_id",
        "owner_id",
        "as_of",
        "lead_days",
        "problem",
    )
    return [name for name in wanted if name in snapshots]


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
