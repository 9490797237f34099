"""From a CRM to the trial of contact timing: who was in it, when met or decided, what was known.

The trial starts 180 days before each contract's end as it was known then (later, where most contracts are
shorter than that). In it are contracts whose outcome has matured, that had begun and were undecided at the
start, and whose run-up lies wholly inside the logged activities. Windows go by calendar days: day 0 is the
end date itself. A window of 30 days or more is cut into stages of about 15 where contacts are many enough,
because worry does not wait for the next window.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from features.crm.crm import Crm
from features.errors import RenewalError
from features.kernel import DAY, MISSING, Ints
from features.progress import Say, silent
from features.settings import Settings
from features.snapshots import snapshots_for
from training.effects.contacts import (
    FOREVER,
    contact_words,
    first_contacts,
    human_contacts,
    logged_from,
    micros,
)
from training.effects.trial_arrays import NONE, Clock, Window, encode

BUCKETS = (
    ("121-180", 121, 180),
    ("91-120", 91, 120),
    ("61-90", 61, 90),
    ("31-60", 31, 60),
    ("15-30", 15, 30),
    ("0-14", 0, 14),
)
NAMES = (*(name for name, _, _ in BUCKETS), NONE)
STAGE_DAYS = 15
LEAST_STAGE_CONTACTS = 50
LEAST_SHARE_BEGUN = 0.5
LEAST_CONTRACTS = 50
MOST_NAME_CONTRACT = 0.5


@dataclass(frozen=True)
class Stage:
    """Days `low` to `high` before the end, both included, of one bucket."""

    bucket: str
    low: int
    high: int


@dataclass(frozen=True)
class Trial:
    """The timing trial: contracts (n rows; contract_id, account_id, end, entry, …), windows, outcomes, words.

    `missing` says why buckets that lie before the trial have no estimate.
    """

    contracts: pd.DataFrame
    windows: list[Window]
    stages: list[Stage]
    y: np.ndarray
    missing: dict[str, str]
    notes: list[str]
    columns: list[str]

    @property
    def cluster(self) -> np.ndarray:
        """(n,) account codes; contracts without one stand alone."""
        return accounts_as_codes(self.contracts)


def accounts_as_codes(rows: pd.DataFrame) -> np.ndarray:
    """(n,) a code for each account; rows without an account get one of their own."""
    codes = pd.factorize(rows["account_id"])[0].astype(np.int64)
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(int(alone.sum()))
    return codes


def with_account(rows: pd.DataFrame, key: str, notes: list[str]) -> pd.DataFrame:
    """Rows that name an account, where some do; notes gain how many do not.

    Contacts of an account can't be found for a row that names none: it would count as never contacted.
    """
    named = (rows["account_id"].notna() & (rows["account_id"] != rows[key])).to_numpy(bool, na_value=False)
    if named.all() or not named.any():
        return rows
    notes.append(
        f"{int((~named).sum()):,} are left out: they name no account, and contacts name nothing else"
    )
    return rows[named].reset_index(drop=True)


def timing_trial(crm: Crm, settings: Settings, say: Say = silent) -> Trial:
    """The trial of contact timing that this CRM holds.

    Raises:
        RenewalError: contracts have no dates, there are no calls or meetings, or too few contracts are left.
    """
    contacts = human_contacts(crm, contact_words(settings))
    decided, notes = matured_contracts(crm)
    if contacts["contract_id"].notna().mean() < MOST_NAME_CONTRACT:
        decided = with_account(decided, "contract_id", notes)
    first, missing = _first_bucket(decided)
    trial = _eligible(crm, decided, BUCKETS[first][2], notes)
    any_at, out_at = first_contacts(trial, contacts)
    if not crm.has("activities", "direction"):
        notes.append(
            "activities give no direction: every call or meeting counts as ours, and a customer gone quiet "
            "looks like one not called"
        )
    stages = _stages(trial, out_at, BUCKETS[first:])
    say(f"{len(trial):,} contracts, {len(stages)} stages")
    windows = [_window(trial, stage, any_at, out_at) for stage in stages]
    X, columns, barred = _known(crm, trial, stages, windows, settings)
    notes += [f"not adjusted for {column}: {reason}" for column, reason in barred.items()]
    windows = [
        Window(w.name, x, w.at_risk, w.any_contact, w.outbound) for w, x in zip(windows, X, strict=True)
    ]
    return Trial(trial, windows, stages, trial["label"].to_numpy(float), missing, notes, columns)


def matured_contracts(crm: Crm) -> tuple[pd.DataFrame, list[str]]:
    """Matured contracts: ids, label, begin, decided, and end as known 180 days before it (µs); and notes."""
    crm.need("renewal")
    if not crm.dated("renewal"):
        raise RenewalError(
            expected="contracts with end dates that differ",
            found="contracts without usable dates",
            do="Map end_date (and start_date, decided_at) of contracts: timing needs them.",
        )
    columns = [c for c in ("contract_id", "start_date", "decided_at", "end_date") if crm.has("contracts", c)]
    contracts = crm.frame("contracts", columns).reset_index(drop=True)
    entry = contracts["end_date"] - pd.Timedelta(days=180)
    at_entry = snapshots_for(crm, "renewal", contracts[["contract_id"]].assign(as_of=entry.fillna(crm.until)))
    end = at_entry["ends_at"].fillna(contracts["end_date"])
    none = pd.Series(pd.NaT, index=contracts.index, dtype="datetime64[us]")
    frame = at_entry[["contract_id", "account_id", "label", "amount", "owner_id"]].assign(
        contract_id=contracts["contract_id"],
        end=micros(end),
        begin=micros(contracts.get("start_date", none)),
        decided=micros(contracts.get("decided_at", none)),
        matured=micros(at_entry["matured_at"]),
    )
    until = micros(pd.Series([crm.until]))[0]
    matured = frame["label"].notna() & (frame["end"] != MISSING) & (frame["matured"] <= until)
    notes = [f"{int(matured.sum()):,} of {len(frame):,} contracts have a matured outcome"]
    if not crm.has("contracts", "decided_at"):
        notes.append(
            "contracts give no decided_at: every contact up to the end counts as before the decision"
        )
    return frame[matured].reset_index(drop=True), notes


def _first_bucket(decided: pd.DataFrame) -> tuple[int, dict[str, str]]:
    """The first bucket at whose start most contracts had begun, and what to say of those before it."""
    days = (decided["end"] - decided["begin"]).to_numpy() // DAY
    days = days[decided["begin"].to_numpy() != MISSING]
    missing: dict[str, str] = {}
    for position, (name, _, high) in enumerate(BUCKETS):
        begun = float((days >= high).mean()) if len(days) else 1.0
        if begun >= LEAST_SHARE_BEGUN or position == len(BUCKETS) - 1:
            return position, missing
        missing[name] = (
            f"can't tell: only {begun:.0%} of the contracts had begun {high} days before their end"
        )
    raise AssertionError("the last bucket always returns")


def _eligible(crm: Crm, decided: pd.DataFrame, days: int, notes: list[str]) -> pd.DataFrame:
    """The contracts in the trial, with entry and stop (µs); notes gain who was left out."""
    entry = decided["end"] - days * DAY
    begun = (decided["begin"] == MISSING) | (decided["begin"] <= entry)
    has_decision = decided["decided"] != MISSING
    early = has_decision & (decided["decided"] < entry)
    covered = entry >= logged_from(crm)
    keep = begun & ~early & covered
    for count, words in (
        (int((~begun).sum()), f"had not begun {days} days before their end"),
        (int((begun & early).sum()), f"were decided more than {days} days before their end"),
        (int((begun & ~early & ~covered).sum()), "ended before activities had been logged that long"),
    ):
        if count:
            notes.append(f"{count:,} contracts are left out: they {words}")
    stop = np.minimum(decided["end"] + DAY, np.where(has_decision, decided["decided"], FOREVER))
    trial = decided.assign(entry=entry, stop=stop)[keep].reset_index(drop=True)
    if len(trial) < LEAST_CONTRACTS or trial["label"].nunique() < 2:
        raise RenewalError(
            expected=f"at least {LEAST_CONTRACTS} decided contracts, renewed and lost, seen {days} days long",
            found=f"{len(trial)}, {int(trial['label'].sum())} of them renewed",
            do="Add older contracts and activities, or wait until more are decided.",
        )
    return trial


def _stages(trial: pd.DataFrame, out_at: Ints, buckets: Sequence[tuple[str, int, int]]) -> list[Stage]:
    """Buckets cut into stages of about 15 days where each would hold at least 50 first outbound contacts."""
    lead = (trial["end"].to_numpy() // DAY) - out_at // DAY
    lead = lead[out_at != FOREVER]
    stages: list[Stage] = []
    for name, low, high in buckets:
        parts = max((high - low + 1) // STAGE_DAYS, 1)
        edges = np.linspace(low - 1, high, parts + 1).round().astype(int)
        cut = [Stage(name, int(a) + 1, int(b)) for a, b in pairwise(edges)]
        fewest = min(int(((lead >= s.low) & (lead <= s.high)).sum()) for s in cut)
        stages += reversed(cut if fewest >= LEAST_STAGE_CONTACTS else [Stage(name, low, high)])
    return stages


def _window(trial: pd.DataFrame, stage: Stage, any_at: Ints, out_at: Ints) -> Window:
    """Who was at risk in a stage and what ended their wait; X is filled in later."""
    start = trial["end"].to_numpy() - stage.high * DAY
    length = (stage.high - stage.low + 1) * DAY
    decided = np.where(trial["decided"] == MISSING, FOREVER, trial["decided"]).astype(np.int64)
    at_risk = (any_at >= start) & (decided >= start)
    clocks = [_clock(at, decided, start, length, at_risk) for at in (any_at, out_at)]
    return Window(stage.bucket, np.empty((len(trial), 0)), at_risk, *clocks)


def _clock(at: Ints, decided: Ints, start: Ints, length: int, at_risk: np.ndarray) -> Clock:
    came, gone = (at - start) / length, (decided - start) / length
    hit = at_risk & (came < 1) & (came < gone)
    over = at_risk & (gone < 1) & ~hit
    return Clock(hit, over, np.clip(np.where(hit, came, np.where(over, gone, 1.0)), 0.0, 1.0))


def _known(
    crm: Crm, trial: pd.DataFrame, stages: list[Stage], windows: list[Window], settings: Settings
) -> tuple[list[np.ndarray], list[str], dict[str, str]]:
    """What was known of those at risk at each stage's start: an (n, d) array a stage, and its columns."""
    rows = [np.flatnonzero(w.at_risk) for w in windows]
    parts = [
        snapshots_at(trial.iloc[r], trial["end"].to_numpy()[r] - s.high * DAY)
        for r, s in zip(rows, stages, strict=True)
    ]
    X, columns, barred = covariates_of(crm, pd.concat(parts, ignore_index=True), "renewal", settings)
    cuts = np.cumsum([0, *map(len, rows)])
    full = []
    for r, low, high in zip(rows, cuts[:-1], cuts[1:], strict=True):
        spread = np.full((len(trial), X.shape[1]), np.nan)
        spread[r] = X[low:high]
        full.append(spread)
    return full, columns, barred


def snapshots_at(rows: pd.DataFrame, as_of: Ints) -> pd.DataFrame:
    """Snapshots of contracts (contract_id, end) or deals (opportunity_id, created) at own moments (µs).

    `rows` also hold account_id and label, and owner_id where known.
    """
    renewal = "end" in rows
    key = "contract_id" if renewal else "opportunity_id"
    nothing = pd.Series(pd.NA, index=range(len(rows)), dtype="string")
    ids = {"contract_id": nothing, "opportunity_id": nothing, key: rows[key].to_numpy(object)}
    end = rows["end"].to_numpy() if renewal else np.full(len(rows), MISSING)
    lead = end - as_of if renewal else as_of - rows["created"].to_numpy()
    return pd.DataFrame(
        {
            "subject_id": rows[key].to_numpy(object),
            "account_id": rows["account_id"].to_numpy(object),
            **ids,
            "as_of": as_of.astype("datetime64[us]"),
            "lead_days": np.floor(lead / DAY),
            "ends_at": end.astype("datetime64[us]"),
            "label": rows["label"].to_numpy(float),
            "owner_id": rows["owner_id"].to_numpy(object) if "owner_id" in rows else nothing,
        }
    )


def covariates_of(
    crm: Crm, snapshots: pd.DataFrame, kind: str, settings: Settings
) -> tuple[np.ndarray, list[str], dict[str, str]]:
    """Feature rows of snapshots as a matrix (n, d) and its columns, without what the leakage guard excludes.

    Adjusting for a column written after the outcome would hide every effect.
    """
    from features.engine import feature_rows
    from training.dataset import dataset
    from training.leakage import guard

    features = feature_rows(crm, snapshots, kind, settings)
    whole = dataset(
        features.frame, snapshots["label"].to_numpy(float), snapshots, dict(features.infos), kind, True
    )
    judged = guard(whole)
    X, columns = encode(whole.without(judged.dropped).X)
    return X, columns, judged.barred
