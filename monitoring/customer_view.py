"""The customer's KPIs as one answer: over time, by persona and segment, and which touchpoints move them.

The page, the command and the route all give what is worked out here.
"""

from typing import Any

from features.crm.crm import Crm
from features.progress import Say, silent
from features.settings import Settings
from monitoring.customer_kpis import customer_kpis
from monitoring.kpi_movers import movers
from training.icp.persona_members import personas_on_record


def customer_view(crm: Crm, settings: Settings, say: Say = silent) -> dict[str, Any]:
    """What `customer_kpis` and `movers` return, with `notes` of both.

    Args:
        crm: any CRM.
        settings: seed.
        say: told each step.
    """
    say("finding personas")
    personas, why = personas_on_record(crm, settings)
    say("counting KPIs")
    figures = customer_kpis(crm, personas)
    say("estimating what moves them")
    moved = movers(crm, personas, settings.seed)
    missing = [f"{row['kpi']}: {row['why']}" for row in figures["kpis"] if row["why"]]
    notes = [*([why] if why else []), *missing, *moved["notes"]]
    return {**figures, "movers": moved["movers"], "notes": list(dict.fromkeys(notes))}
