"""Facts of the ingested CRM that scopes and pages go by: teams, names of owners, the currency."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from features.crm.crm import read_crm
from features.crm.load import current_folder
from features.errors import RenewalError
from features.owners import owner_names, teams
from features.settings import Settings


class CrmFacts(NamedTuple):
    """What is known of owners and money.

    Attributes:
        teams: manager → all who report to them, themselves included.
        names: owner → name.
        currency: ISO code that all amounts are in; empty: the data don't say.
    """

    teams: dict[str, frozenset[str]]
    names: dict[str, str]
    currency: str


def facts_of(settings: Settings) -> CrmFacts:
    """The facts of the present CRM; empty where none was ingested."""
    folder = current_folder(settings)
    facts = CrmFacts({}, {}, "") if folder is None else _read(folder)
    return facts._replace(currency=facts.currency or settings.currency.upper())


def team_of(settings: Settings, manager: str) -> frozenset[str]:
    """A manager and all who report to them; the manager alone where the CRM knows of no reports."""
    return facts_of(settings).teams.get(manager, frozenset({manager}))


@lru_cache(maxsize=4)
def _read(folder: Path) -> CrmFacts:
    """A folder is named by what it holds, so what was read of it stays true."""
    try:
        crm = read_crm(folder)
        return CrmFacts(teams(crm), owner_names(crm), crm.quality.currency or "")
    except (OSError, RenewalError):  # another ingest has just taken its place
        return CrmFacts({}, {}, "")
