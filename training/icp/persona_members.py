"""Whose persona is whose: every account's first profile, best first, whose rule it fulfils."""

from collections.abc import Sequence

from features.crm.crm import Crm
from features.errors import RenewalError
from features.settings import Settings
from training.icp.prospects import Observed
from training.icp.rules import Rule
from training.icp.study import study

NO_PERSONA = "no persona"


def persona_of(observed: Observed, rules: Sequence[Rule]) -> dict[str, str]:
    """account_id → the words of the first rule it fulfils, `no persona` where none; empty without rules."""
    if not rules:
        return {}
    members = {str(account): NO_PERSONA for account in observed.account_id}
    for rule in reversed(rules):
        members.update(
            {str(account): rule.words for account in observed.account_id[rule.covers(observed.frame)]}
        )
    return members


def personas_on_record(crm: Crm, settings: Settings) -> tuple[dict[str, str], str]:
    """Every account's persona, and why there are none where there are none."""
    try:
        icp_study = study(crm, settings)
    except RenewalError as error:
        return {}, f"no personas: {error}"
    members = persona_of(icp_study.observed, [judged.rule for judged in icp_study.findings.claimed])
    return members, "" if members else "no personas: no profile holds up on later deals"
