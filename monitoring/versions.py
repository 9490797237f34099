"""Two versions of a model on the same matured outcomes: the champion beside the one it replaced.

The former champion goes on scoring every list, unseen (`Store.shadows`), so that after some months the
outcomes themselves tell whether the promotion was right.
"""

from typing import TYPE_CHECKING, Any

import pandas as pd

from features.settings import Settings
from monitoring.checks import Check, Verdict
from monitoring.judged import judged
from monitoring.store import Store, open_store
from monitoring.versus import Versus, versus
from training.registry import show

if TYPE_CHECKING:
    from features.crm import Crm

WORTH_IT = 0.01
"""A log loss lower by less than 1 % is no reason to go back."""

_KEY = ["subject_id", "as_of"]


def on_outcomes(
    kind: str, one: str | int, other: str | int, crm: "Crm | None", settings: Settings
) -> dict[str, Any]:
    """Compare two versions on rows both have scored and whose outcome has matured.

    Args:
        kind: `renewal` or `win`.
        one: a version, by its number or alias.
        other: likewise.
        crm: what became of the subjects; None: only the outcomes told to the store.
        settings: where the store is.
    """
    a, b = (str(show(kind, settings, version)["version"]) for version in (one, other))
    found = compared(kind, a, b, crm, open_store(settings), settings.seed)
    return found.as_dict(f"version {a}", f"version {b}")


def compared(kind: str, one: str, other: str, crm: "Crm | None", store: Store, seed: int) -> Versus:
    """As `on_outcomes`, as it is."""
    log = store.predictions(kind)
    said = _said(kind, one, log, store).rename("one"), _said(kind, other, log, store).rename("other")
    known = log.drop_duplicates(_KEY, keep="last")
    both = known.merge(said[0].reset_index(), on=_KEY).merge(said[1].reset_index(), on=_KEY)
    return versus(judged(crm, kind, both, store.outcomes(kind)).decided, seed=seed)


def former_checks(
    kind: str, served: str, before: str | None, crm: "Crm", store: Store, seed: int
) -> list[Check]:
    """Whether the former champion would have done better; no check where there is none.

    Args:
        kind: `renewal` or `win`.
        served: the champion's version.
        before: the former champion's, as the registry has it.
        crm: what became of the subjects.
        store: of the log and the shadow scores.
        seed: of the bootstrap.
    """
    if before is None:
        return []
    return [former_check(kind, served, before, compared(kind, served, before, crm, store, seed))]


def former_check(kind: str, served: str, before: str, found: Versus) -> Check:
    """The verdict on a comparison of the champion (`one`) with the champion before it (`other`)."""
    name, why = "former champion: log loss", f"version {served} beside version {before}: {found.why}"
    if found.gain is None or found.log_loss is None:
        return Check(name, "", None, None, Verdict.UNKNOWN, why)
    least = WORTH_IT * found.log_loss[0]
    is_better = found.closer == "other" and found.gain >= least
    if is_better:
        why += f"; `perennial models rollback {kind}` brings version {before} back"
    verdict, cause = Verdict.ALERT if is_better else Verdict.OK, "former champion: would have done better"
    return Check(name, "", found.gain, least, verdict, why, cause=cause)


def _said(kind: str, version: str, log: pd.DataFrame, store: Store) -> pd.Series:
    """(subject, moment) → what a version said, served or not."""
    served = log.loc[log["model_version"] == version, [*_KEY, "probability"]]
    unseen = store.shadows(kind, version)[[*_KEY, "probability"]]
    both = pd.concat([part for part in (served, unseen) if len(part)] or [served])
    return both.drop_duplicates(_KEY).set_index(_KEY)["probability"]
