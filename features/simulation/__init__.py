"""A CRM whose truth is known: every table of the contract, what was planted, and what could be known.

Effects are planted as potential outcomes: each contract has a fixed luck, and its renewal under any other
window of first contact, discount or number of calls is defined. Worry comes and goes, shows in recorded
signals, makes people call and customers leave; so raw rates mislead, and `truth.json` says by how much.
"""

import json
from datetime import date
from pathlib import Path

from features.crm.contract import TABLES
from features.progress import Say, silent
from features.scratch import writable
from features.simulation.csv_tables import plant_faults, write_csv
from features.simulation.oracle_answers import horizon_days, renewal_answers, win_answers, write_answers
from features.simulation.planted import DAY, Options, Timing
from features.simulation.records import known_before, records, world
from features.simulation.truth import truth_of

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
    draws: int = 96,
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
        faults: append a few dirty rows, listed under `planted_faults`.
        draws: how many futures the oracle averages over for each snapshot; 0 leaves the oracle out.
        say: called with each line of progress.

    Returns:
        What truth.json holds. Beside it lie truth_renewals.parquet (contract_id, lead_days, as_of, oracle,
        label) and truth_wins.parquet (opportunity_id, age_days, as_of, oracle, oracle_ever, label,
        label_ever); labels of what was undecided on `until` are what was to come.

    Raises:
        RenewalError: a switch has a value that does not fit.
    """
    last = (until - EPOCH).days
    options = Options(
        accounts, seed, signal, hidden_worry, icp, unfair, timing, last - 365 * years, last, draws
    )
    folder = Path(out)
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    say("living through deals and contracts")
    everything = world(options)
    say("writing down what the CRM records")
    recorded = records(everything)
    written = {
        table: write_csv(folder, table, known_before(table, recorded.frames[table], last * DAY))
        for table in TABLES
        if table in recorded.frames
    }
    truth = truth_of(everything.who, everything.leads, everything.deals, everything.terms, options)
    truth |= {"rows": written, "win_horizon_days": horizon_days(everything, recorded)}
    truth["planted_faults"] = plant_faults(folder) if faults else []
    if draws:
        say("asking the oracle what could be known")
        write_answers(folder / "truth_renewals.parquet", renewal_answers(everything, recorded))
        write_answers(
            folder / "truth_wins.parquet", win_answers(everything, recorded, truth["win_horizon_days"])
        )
    (folder / "truth.json").write_text(json.dumps(truth, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return truth
