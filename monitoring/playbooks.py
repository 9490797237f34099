"""Playbooks as data: which alert leads to which steps, who takes them, by when, and who hears if nobody does.

Some are shipped; `playbooks.yaml` of the home replaces them, in the same form.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from features.errors import RenewalError
from features.settings import Settings

FILE = "playbooks.yaml"
OWNER = "owner"
"""Who looks after the customer."""


@dataclass(frozen=True)
class Step:
    """What is to be done, by whom (`owner`, or a name), within how many hours of the step before."""

    do: str
    within_hours: float
    who: str = OWNER


@dataclass(frozen=True)
class Playbook:
    """The steps an alert leads to.

    Args:
        name: of the playbook, also in experiments.
        rules: the alert rules that lead to it.
        steps: in order; the next begins when one is done.
        escalate_to: who is alerted to a step that is overdue.
        escalate_after_hours: how long after it was due, and again each time that has passed.
    """

    name: str
    rules: tuple[str, ...]
    steps: tuple[Step, ...]
    escalate_to: str = "manager"
    escalate_after_hours: float = 24.0


SHIPPED = (
    Playbook(
        "unhappy answer",
        ("low survey score",),
        (
            Step("Call the customer, listen, thank them for the answer", 24),
            Step("Put right what they named, or say by when", 72),
            Step("Ask whether it is settled, and note what was learned", 168),
        ),
        escalate_after_hours=12,
    ),
    Playbook(
        "renewal in danger",
        ("jump in risk",),
        (
            Step("Read the reasons of the score and make contact", 48),
            Step("Agree with the customer on what has to change", 168),
            Step("Check that it did change", 336),
        ),
    ),
)


def playbooks_of(settings: Settings) -> tuple[Playbook, ...]:
    """The playbooks of the home, else those shipped.

    Raises:
        RenewalError: the file cannot be read, or a playbook lacks something.
    """
    path = settings.home / FILE
    if not path.is_file():
        return SHIPPED
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or []
        books = tuple(_playbook(one) for one in values)
    except (OSError, yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError, ValueError) as error:
        raise RenewalError(
            expected=f"{path} to be a list of playbooks with name, rules and steps (do, within_hours, who)",
            found=str(error).splitlines()[0],
            do="Correct the file.",
        ) from error
    if len({one.name for one in books}) < len(books):
        raise RenewalError(
            expected=f"{path} to name each playbook once", found="a name twice", do="Rename one of them."
        )
    return books


def playbook_for(rule: str, playbooks: tuple[Playbook, ...]) -> Playbook | None:
    """The first playbook that an alert's rule leads to; None: nothing is to be done by the book."""
    return next((one for one in playbooks if rule in one.rules), None)


def _playbook(values: Mapping[str, Any]) -> Playbook:
    steps = tuple(Step(**step) for step in values["steps"])
    if not steps or any(step.within_hours <= 0 for step in steps):
        raise ValueError(f"{values['name']}: a step takes some hours, and there has to be one")
    return Playbook(**{**values, "rules": tuple(values["rules"]), "steps": steps})
