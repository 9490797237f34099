"""What monitoring answers with: checks, each `ok`, `alert` or `unknown`; too little data is never `ok`."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """Fine, not fine, or too little data to decide."""

    OK = "ok"
    ALERT = "alert"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Check:
    """One check and its verdict.

    Attributes:
        name: what was checked, such as `drift: calls_90d`.
        segment: the group it is about; empty: everybody.
        value: the figure found; None where there is none.
        threshold: where an alert would begin.
        verdict: of this check.
        why: for people, one sentence; with `unknown`, how much more is needed.
        is_essential: with this one unknown, the whole cannot be ok.
        cause: groups checks into one alert: ten columns that moved are one.
    """

    name: str
    segment: str
    value: float | None
    threshold: float | None
    verdict: Verdict
    why: str
    is_essential: bool = False
    cause: str = ""

    @property
    def alert_as(self) -> str:
        """What an alert is opened about: several checks of one cause share it."""
        return self.cause or f"{self.name} {self.segment}".strip()

    def as_dict(self) -> dict[str, Any]:
        """The check as the command line prints it."""
        row = asdict(self)
        del row["is_essential"], row["cause"]
        return {**row, "verdict": str(self.verdict)}


def label(verdict: str, value: float | None, threshold: float | None, name: str = "") -> str:
    """A verdict for people; `unknown` is too little data, waived, or no verdict (no limit given)."""
    if verdict != Verdict.UNKNOWN:
        return str(verdict)
    if name.startswith(WAIVED):
        return "waived"
    return "no verdict" if value is not None and threshold is None else "too little data"


SCORE = "probability"
"""The column of the scores among those compared."""


def drift_name(column: str) -> str:
    """The name of the check of a column's values, or of the scores."""
    return "drift: scores" if column == SCORE else f"drift: {column}"


WAIVED = "gate waived"
"""Prefix of checks for a gate that a served model did not pass: never ok, and no alert either."""


def waived_checks(waivers: Iterable[Mapping[str, str]]) -> list[Check]:
    """One check for each gate that somebody waived, with who and why (`training.registry.show`)."""
    return [
        Check(
            f"{WAIVED}: {one['gate']}", "", None, None, Verdict.UNKNOWN, waiver_words(one), is_essential=True
        )
        for one in waivers
    ]


def waiver_words(waiver: Mapping[str, str]) -> str:
    """`waived by Ann: reason (what the gate found)`."""
    return f"waived by {waiver['by']}: {waiver['reason']} ({waiver['why']})"


def overall(checks: Iterable[Check]) -> Verdict:
    """Alert if any is; else unknown if an essential one is, or there is none; else ok."""
    checks = list(checks)
    if any(check.verdict is Verdict.ALERT for check in checks):
        return Verdict.ALERT
    essential = [check for check in checks if check.is_essential]
    is_known = essential and all(check.verdict is Verdict.OK for check in essential)
    return Verdict.OK if is_known else Verdict.UNKNOWN
