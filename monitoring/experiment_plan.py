"""How an experiment is to be run: what is asked for, what the data allow, and how many it takes."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.crm.crm import Crm
from features.errors import RenewalError
from features.progress import Say
from features.settings import Settings
from monitoring.playbooks import playbooks_of
from training.effects.always_valid import inflation
from training.effects.deal_questions import decided_deals
from training.effects.enrolment import PLAYBOOK, SCORES, TIMING, Question
from training.effects.experiment import contracts_each, designed
from training.effects.timing_trial import matured_contracts

DEFAULT_GAP, LEVEL, POWER, FOLLOWED = 0.05, 0.05, 0.8, 0.8


@dataclass(frozen=True)
class Plan:
    """How an experiment is to be run.

    Args:
        question: `timing`, `calls`, `discount`, `playbook` or `scores`.
        choice: what the accounts drawn for it are advised; timing's default is the window that looks best.
        name: what to call it; default: the question and the day.
        cluster: `account`, `parent` or `owner`; default: parent where the CRM has parents, else account.
        stratify: columns of accounts within which arms are kept even; None: industry where there is one.
        share: chance of being drawn for the advice.
        gap: the difference of probabilities to find, of being treated.
        level: chance of finding one where there is none, over all looks.
        power: chance of finding `gap` where it is there.
        followed: share of subjects expected to be treated as drawn.
        seed: of the draw; None: one that nobody could know.
        may_mix: let groups of companies have accounts in both arms.
    """

    question: str
    choice: str | None = None
    name: str | None = None
    cluster: str | None = None
    stratify: Sequence[str] | None = None
    share: float = 0.5
    gap: float | None = None
    level: float = LEVEL
    power: float = POWER
    followed: float = FOLLOWED
    seed: int | None = None
    may_mix: bool = False

    def __post_init__(self) -> None:
        """Raises RenewalError for a number out of range."""
        for name, value, low, high in (
            ("--share", self.share, 0.1, 0.9),
            ("--gap", self.gap, 0.005, 0.5),
            ("--level", self.level, 0.001, 0.2),
            ("--power", self.power, 0.5, 0.99),
            ("--followed", self.followed, 0.1, 1.0),
        ):
            if value is not None and not low <= value <= high:
                raise RenewalError(
                    expected=f"{name} from {low:g} to {high:g}", found=f"{value:g}", do="Change the number."
                )


def facts_of(crm: Crm, settings: Settings, plan: Plan, by: str, say: Say) -> dict[str, Any]:
    """The columns of the experiment, defaults filled in."""
    design = _design(crm, settings, plan, say)
    question = Question(plan.question, design["choice"])
    cluster = plan.cluster or ("parent" if crm.has("accounts", "parent_account_id") else "account")
    if question.name == PLAYBOOK:
        _check_playbook(settings, plan.choice)
    if question.name == SCORES:
        if not settings.holdout_share:
            raise RenewalError(
                expected="a share of customers held out of the scores",
                found="PERENNIAL_HOLDOUT_SHARE is 0",
                do="Set PERENNIAL_HOLDOUT_SHARE, such as 0.1: who is held out is drawn by it.",
            )
        cluster = "account"
    stratify = plan.stratify
    if stratify is None:
        stratify = ["industry"] if crm.has("accounts", "industry") and question.name != SCORES else []
    name = plan.name or f"{question.name}-{crm.until:%Y-%m-%d}"
    return {
        "experiment_id": name,
        "question": question.name,
        "choice": question.choice,
        "cluster": cluster,
        "strata": list(stratify),
        "share": 1 - settings.holdout_share if question.name == SCORES else plan.share,
        "seed": settings.seed if question.name == SCORES else _seed(plan.seed),
        "gap": design["gap"],
        "level": plan.level,
        "power": plan.power,
        "followed": plan.followed,
        "needed": design["needed"],
        "as_of": crm.until.to_pydatetime(),
        "started_by": by,
    }


def _check_playbook(settings: Settings, name: str | None) -> None:
    """Raise where there is no playbook of that name."""
    names = [book.name for book in playbooks_of(settings)]
    if name not in names:
        raise RenewalError(
            expected=f"--advice to name a playbook: {', '.join(names)}", found=repr(name), do="Choose one."
        )


def _seed(given: int | None) -> int:
    return secrets.randbelow(2**31) if given is None else given


def _design(crm: Crm, settings: Settings, plan: Plan, say: Say) -> dict[str, Any]:
    """The choice to test, the gap to find, and how many subjects looking all the time takes."""
    choice, gap = plan.choice, plan.gap
    if plan.question == TIMING:
        design = designed(crm, settings, window=choice, gap=gap, say=say)
        choice, gap, usual = design["window"], design["gap"], design["usual"]
    else:
        gap = gap or DEFAULT_GAP
        usual = _usual(crm, Question(plan.question, choice).kind)
    shared = _shared(
        crm, "contracts" if Question(plan.question, choice).kind == "renewal" else "opportunities"
    )
    each = contracts_each(usual, gap * plan.followed, plan.power, plan.level, shared)
    uneven = 1 / (4 * plan.share * (1 - plan.share))
    needed = int(np.ceil(2 * each * inflation(plan.level, plan.power) * uneven))
    return {"choice": choice, "gap": float(gap), "needed": needed}


def _usual(crm: Crm, kind: str) -> float:
    """The share of good outcomes as things are usually done."""
    label = (matured_contracts(crm) if kind == "renewal" else decided_deals(crm))[0]["label"]
    if label.empty:
        raise RenewalError(
            expected="decided contracts or deals, to know what is usual", found="none", do="Load older data."
        )
    return float(np.clip(label.astype(float).mean(), 0.02, 0.98))


def _shared(crm: Crm, table: str) -> float:
    """Subjects to an account."""
    accounts = crm.frame(table, ["account_id"])["account_id"]
    return float(len(accounts) / max(accounts.nunique(), 1))
