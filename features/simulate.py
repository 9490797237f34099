"""A CRM whose truth is known: every table of the contract, and beside it what was planted and what is knowable.

Effects are planted as potential outcomes: each contract has a fixed luck, and its renewal under any other
window of first contact, discount or number of calls is defined. Worry comes and goes, shows in recorded
signals, makes people call and customers leave; so raw rates mislead, and `truth.json` says by how much.
"""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.progress import Say, silent
from features.simulation import contract_events, deal_events
from features.simulation.deals import Deals, business, expansions
from features.simulation.frames import Frame, ids, keep, moments, stack, write_csv
from features.simulation.oracle import AGES, LEADS, renewal_probability, win_probability
from features.simulation.people import account_frames, campaign_frame, people
from features.simulation.plan import DAY, Options, Timing
from features.simulation.renewals import contracts
from features.simulation.truth import truth_of
from features.tables import TABLES

UNTIL = date(2026, 1, 1)
EPOCH = date(1970, 1, 1)


def simulate(
    out: Path | str,
    *,
    accounts: int = 2000,
    seed: int = 0,
    signal: bool = True,
    hidden_worry: bool = False,
    years: int = 4,
    icp: bool = True,
    unfair: bool = True,
    timing: Timing = "peaked",
    until: date = UNTIL,
    faults: bool = True,
    draws: int = 32,
    say: Say = silent,
) -> dict:
    """Write a CRM folder with its truth, and return that truth.

    Args:
        out: the folder; made if it is not there. Files of the same names are replaced.
        accounts: how many companies, customers and prospects together.
        seed: the same seed gives the same bytes.
        signal: False makes every outcome a coin flip at a constant rate, independent of everything.
        hidden_worry: True hides half of the worry's variance from every recorded signal.
        years: how long before `until` the data begin.
        icp: plant an ideal customer profile.
        unfair: qualify leads of one segment less often at equal merit.
        timing: 'peaked' (a best window about 8 points above the next), 'mild' (about 4) or 'none'.
        until: as if this day were today: nothing known on it or later is written.
        faults: plant a few dirty rows, listed under `planted_faults`.
        draws: how many futures the oracle averages over for each snapshot; 0 leaves the oracle out.
        say: told what is being done.

    Returns:
        What truth.json holds. Beside it lie truth_renewals.parquet (contract_id, lead_days, as_of, oracle,
        label) and truth_wins.parquet (opportunity_id, age_days, as_of, oracle, oracle_ever, label, label_ever).

    Raises:
        RenewalError: a switch has a value that does not fit.
    """
    until_day = (until - EPOCH).days
    options = Options(
        accounts, seed, signal, hidden_worry, icp, unfair, timing, until_day - 365 * years, until_day, draws
    )
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    say("drawing companies, leads and deals")
    who = people(options)
    leads, deals = business(who, options)
    won = deals.won == 1
    rng = options.rng(10)
    first = np.flatnonzero(who.is_customer)
    start = options.first_day - 180 + rng.integers(0, 365, first.size)
    gained = deals.created_day[won] + deals.length[won] + rng.integers(3, 20, won.sum())
    say("living through the contracts")
    terms = contracts(
        who, np.concatenate([first, deals.account[won]]), np.concatenate([start, gained]), options
    )
    deals = _together(deals, expansions(who, terms, options))
    created = moments(deals.created_day, options.rng(11), 8, 12)
    say("writing down what the CRM records")
    frames = account_frames(who, options)
    frames["campaigns"], campaign_day, channel = campaign_frame(options)
    frames["contracts"] = contract_events.contract_frame(who, terms, options)
    frames["history"] = contract_events.forecast_history(terms, frames["contracts"], options)
    frames["opportunities"] = deal_events.deal_frame(who, deals, created, options)
    frames["stage_history"], slips = deal_events.stage_frame(deals, created, options)
    contact, logged_at = contract_events.contacts_made(who, terms, options)
    calls, marks = deal_events.deal_activities(who, deals, created, options)
    others = contract_events.contract_activities(who, terms, options)
    frames["activities"] = deal_events.all_activities([contact, *others, *calls])
    frames["quotes"] = _keyed(
        "quote_id",
        "Q",
        stack(
            [contract_events.renewal_quotes(terms, options), deal_events.deal_quotes(deals, created, options)]
        ),
        "quoted_at",
    )
    frames["leads"] = deal_events.lead_frame(leads, created, options)
    frames["touches"] = deal_events.touch_frame(who, leads, campaign_day, channel, options)
    frames["usage"] = contract_events.usage_frame(terms, options)
    frames["cases"] = _keyed("case_id", "K", contract_events.case_frame(terms, options), "opened_at")
    frames["surveys"] = _keyed("response_id", "R", contract_events.survey_frame(terms, options), "asked_at")
    frames["invoices"] = _keyed("invoice_id", "I", contract_events.invoice_frame(terms, options), "issued_at")
    rows = {}
    for table in TABLES:
        rows[table] = write_csv(folder, table, _cut(table, frames[table], options.until_day * DAY))
    truth = truth_of(who, leads, deals, terms, options)
    truth["rows"] = rows
    if draws:
        say("asking the oracle")
        _renewal_truth(folder, who, terms, frames["contracts"], logged_at, options)
        truth["win_horizon_days"] = _win_truth(
            folder, who, deals, frames["opportunities"], created, marks, slips, options
        )
    (folder / "truth.json").write_text(json.dumps(truth, indent=1, sort_keys=True) + "\n")
    return truth


def _together(one: Deals, two: Deals) -> Deals:
    return Deals(**{name: np.concatenate([getattr(one, name), getattr(two, name)]) for name in vars(one)})


def _keyed(key: str, prefix: str, frame: Frame, time: str) -> Frame:
    order = np.argsort(frame[time], kind="stable")
    return {key: ids(prefix, np.arange(order.size)), **keep(frame, order)}


def _cut(table: str, frame: Frame, until: int) -> Frame:
    """Leave out what is first known at `until` (seconds) or later, and empty second moments that late."""
    declared = TABLES[table]
    frame = dict(frame)
    for moment in declared.seconds:
        frame[moment] = np.where(frame[moment] >= until, -1, frame[moment])
        for column in declared.columns:
            if column.known_with == moment and column.name in frame:
                frame[column.name] = _emptied(frame[column.name], frame[moment] < 0)
    if not declared.time:
        return frame
    first = frame["recorded_at"] if table == "activities" else frame[declared.time]
    if table in ("usage", "contracts"):
        first = first * DAY
    return keep(frame, first < until)


def _emptied(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "U":
        return np.where(mask, "", values)
    return np.where(mask, np.nan if values.dtype.kind == "f" else -1, values).astype(values.dtype)


def _renewal_truth(folder: Path, who, terms, frame: Frame, logged_at: np.ndarray, options: Options) -> None:
    parts = []
    for lead in LEADS:
        as_of = terms.end_day - lead
        mask = (terms.start_day < as_of) & (terms.decided_lead <= lead) & (as_of <= options.until_day)
        rows = np.flatnonzero(mask)
        parts.append(
            {
                "contract_id": frame["contract_id"][rows],
                "lead_days": np.full(rows.size, lead),
                "as_of": as_of[rows] * DAY,
                "oracle": renewal_probability(who, terms, rows, lead, logged_at, options),
                "label": terms.renewed[rows].astype(np.float64),
            }
        )
    _write_truth(folder / "truth_renewals.parquet", stack(parts))


def _win_truth(
    folder: Path, who, deals, frame: Frame, created: np.ndarray, marks, slips, options: Options
) -> int:
    closed = created // DAY + deals.length < options.until_day
    lengths_won = deals.length[(deals.won == 1) & closed]
    horizon = int(np.ceil(np.quantile(lengths_won, 0.9) / 30) * 30) if lengths_won.size else 90
    parts = []
    for age in AGES:
        as_of = created + age * DAY
        rows = np.flatnonzero((deals.length > age) & (as_of <= options.until_day * DAY))
        seen = deal_events.seen_at(deals, rows, as_of[rows], marks, slips)
        within, ever = win_probability(who, deals, rows, age, seen, horizon, options)
        won = deals.won[rows] == 1
        parts.append(
            {
                "opportunity_id": frame["opportunity_id"][rows],
                "age_days": np.full(rows.size, age),
                "as_of": as_of[rows],
                "oracle": within,
                "oracle_ever": ever,
                "label": (won & (deals.length[rows] <= age + horizon)).astype(np.float64),
                "label_ever": won.astype(np.float64),
            }
        )
    _write_truth(folder / "truth_wins.parquet", stack(parts))
    return horizon


def _write_truth(path: Path, frame: Frame) -> None:
    table = pa.table(
        {
            name: pa.array(values.tolist() if values.dtype.kind == "U" else values)
            for name, values in frame.items()
        }
    )
    index = table.schema.get_field_index("as_of")
    table = table.set_column(index, "as_of", table["as_of"].cast(pa.timestamp("s")).cast(pa.timestamp("us")))
    pq.write_table(table, path)
