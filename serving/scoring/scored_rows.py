"""Rows of scores: of contracts, of deals, and of opportunities that renew a contract; kept nowhere."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from features.crm.crm import Crm
from features.engine import feature_rows
from features.holdout import held_out
from features.progress import Say, silent, stoppable
from features.settings import Settings
from features.snapshots import snapshots_for
from serving.scoring.close_dates import CLOSE_COLUMNS, close_columns
from serving.scoring.subject_details import ID_COLUMNS, about
from training.encode import Rows
from training.explain import judged
from training.model import Model
from training.registry import Loaded

ROWS_AT_ONCE = 5_000

MONEY = {"renewal": "at_risk", "win": "expected"}
"""What a score makes of the money; see `money_of`."""
Values = TypeVar("Values", np.ndarray, pd.Series)


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
        say: called with a line for each ten thousand rows.

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
    """Rows about subjects, as the store gives them or `subject_rows` makes them, scored or rescored.

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
        (n) rows as `scored` gives of deals, `renewal_of` the contract; bands are those of renewals.
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
