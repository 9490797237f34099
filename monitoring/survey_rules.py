"""What a customer is asked about, when, and how often at most: rules as data, in `voice.yaml` of the home.

Nothing is asked without that file. `send` in it names where requests go, as Apprise URLs: a webhook
(`jsons://host/path`) or mail (`mailtos://user:password@host?to={email}`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from features.errors import RenewalError
from features.settings import Settings

FILE = "voice.yaml"
SCALES = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7)}
SUBJECT = "How was it?"
TEXT = "One question about {touchpoint}: it takes ten seconds.\n{link}"


@dataclass(frozen=True)
class Trigger:
    """An event that leads to a question.

    Args:
        name: of the rule.
        table: of the CRM data contract.
        filled: a column that has to be filled, such as closed_at.
        kinds: values of the column `kind` that count; none named: all.
        survey: nps, csat or ces.
        touchpoint: what the answer will be about.
    """

    name: str
    table: str
    survey: str
    touchpoint: str
    filled: str | None = None
    kinds: tuple[str, ...] = ()

    def fits(self, table: str, row: Mapping[str, Any]) -> bool:
        """Whether a row that arrived in a table is such an event."""
        if table != self.table or (self.filled and row.get(self.filled) in (None, "")):
            return False
        kind = " ".join(str(row.get("kind") or "").lower().replace("_", " ").replace("-", " ").split())
        return not self.kinds or kind in self.kinds


DEFAULT = (
    Trigger("case closed", "cases", "csat", "case", filled="closed_at"),
    Trigger("contact", "activities", "ces", "contact", kinds=("meeting", "support call", "visit")),
    Trigger("delivery", "activities", "csat", "delivery", kinds=("delivery", "onboarding", "go live")),
    Trigger("renewal", "contracts", "nps", "renewal", filled="decided_at"),
)


@dataclass(frozen=True)
class Rules:
    """What is asked, and how often at most.

    Args:
        send: Apprise URLs; `{email}` in one is the contact's.
        address: where this service is reached from outside, for the link in the request.
        triggers: the events that lead to a question.
        contact_days: nobody is asked again within so many days.
        account_days: the span in which an account is asked at most `account_most` times.
        account_most: see there.
        subject: of the request.
        text: of the request; `{link}`, `{touchpoint}` and `{kind}` are filled in.
    """

    send: tuple[str, ...] = ()
    address: str = "http://127.0.0.1:3000"
    triggers: tuple[Trigger, ...] = DEFAULT
    contact_days: int = 30
    account_days: int = 30
    account_most: int = 2
    subject: str = SUBJECT
    text: str = TEXT

    def fired(self, table: str, row: Mapping[str, Any]) -> list[Trigger]:
        """The triggers that a row fires; none where nobody is to be asked."""
        return [trigger for trigger in self.triggers if trigger.fits(table, row)] if self.send else []


def rules_of(settings: Settings) -> Rules:
    """The rules of `voice.yaml` in the home; without that file nothing is asked.

    Raises:
        RenewalError: the file cannot be read, or says something unknown.
    """
    path = settings.home / FILE
    if not path.is_file():
        return Rules()
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise _wrong(path, "YAML", str(error).splitlines()[0]) from error
    if not isinstance(values, dict):
        raise _wrong(path, "names and values", type(values).__name__)
    names = {one.name: one for one in fields(Rules)}
    if strange := sorted(set(values) - set(names)):
        raise _wrong(path, f"only {', '.join(names)}", ", ".join(map(str, strange)))
    triggers = tuple(_trigger(path, one) for one in values.pop("triggers", [])) or DEFAULT
    send = values.pop("send", [])
    whole = {
        name: values[name] for name in ("contact_days", "account_days", "account_most") if name in values
    }
    if any(not isinstance(value, int) or value < 0 for value in whole.values()):
        raise _wrong(path, f"whole numbers for {', '.join(whole)}", str(whole))
    rules = Rules(send=tuple([send] if isinstance(send, str) else send), triggers=triggers, **values)
    try:
        rules.text.format(link="", touchpoint="", kind="")
    except (KeyError, IndexError, ValueError) as error:
        raise _wrong(path, "a text with {link}, {touchpoint} and {kind} at most", repr(error)) from error
    return rules


def _trigger(path: Path, values: Any) -> Trigger:
    if not isinstance(values, dict) or not {"name", "table", "survey", "touchpoint"} <= set(values):
        raise _wrong(path, "triggers with name, table, survey and touchpoint", repr(values))
    if values["survey"] not in SCALES:
        raise _wrong(path, f"a survey of {', '.join(SCALES)}", repr(values["survey"]))
    try:
        return Trigger(**{**values, "kinds": tuple(values.get("kinds", ()))})
    except TypeError as error:
        raise _wrong(
            path, "triggers with name, table, survey, touchpoint, filled, kinds", str(error)
        ) from error


def _wrong(path: Path, expected: str, value_found: str) -> RenewalError:
    return RenewalError(expected=f"{path} to hold {expected}", found=value_found, do="Correct the file.")
