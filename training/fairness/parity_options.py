"""Parity of the model that a training would give, its proxies, and what could be done, at what price."""

from functools import partial
from typing import TYPE_CHECKING, Any

from features.errors import RenewalError
from features.progress import Say, silent
from features.settings import Settings
from training.fairness.mitigation import MITIGATIONS, Case, mend
from training.fairness.mitigation_price import option_row
from training.fairness.parity import declared, segments_of, verdict_of
from training.select import select
from training.train import TRIALS, TrainOptions, learn, plain

if TYPE_CHECKING:
    from features.crm.crm import Crm


def parity_options(
    kind: str,
    crm: "Crm",
    settings: Settings,
    *,
    trials: int | None = None,
    minutes: float | None = None,
    say: Say = silent,
) -> dict[str, Any]:
    """Train as it is and under each mitigation, and lay the options side by side; nothing is registered.

    Args:
        kind: `renewal` or `win`.
        crm: the cleaned CRM, with `segments`.
        settings: as for training.
        trials: of each of the searches.
        minutes: for all of them together.
        say: called with each line of progress.

    Returns:
        kind, `declared` (favourable, positive, primary, threshold), `verdict`, `rows` (an option each, as
        `mitigation_price.option_row`, with `problem` where it could not be done), `parity` and
        `proxies` of the model as it is.

    Raises:
        RenewalError: no segments, or too few outcomes to train at all.
    """
    if segments_of(crm).empty:
        raise RenewalError(
            expected="a table segments, which says who is to be treated alike",
            found="none",
            do="Add segments.csv to the CRM folder, or make one with `perennial population join`.",
        )
    each = None if minutes is None else minutes / (1 + len(MITIGATIONS))
    options = TrainOptions(trials=trials or TRIALS, minutes=each)
    trained = learn(kind, crm, settings, options, say)
    horizon = trained.selection.model.horizon_days
    choose = partial(
        select, settings=settings, trials=options.trials, minutes=each, horizon_days=horizon, say=say
    )
    case = Case(trained.ds, segments_of(crm), trained.selection, choose)
    rows = [option_row(case, None), *[_option(name, case, settings, say) for name in MITIGATIONS]]
    return plain(
        {
            "kind": kind,
            "declared": declared(kind, case.threshold),
            "verdict": verdict_of(trained.parity),
            "rows": rows,
            "parity": trained.parity,
            "proxies": trained.proxies,
        }
    )


def _option(name: str, case: Case, settings: Settings, say: Say) -> dict[str, Any]:
    say(f"{name}: training again")
    try:
        return option_row(case, mend(name, case, settings, say))
    except RenewalError as error:
        return {"option": name, "what": "could not be done", "problem": str(error)}
