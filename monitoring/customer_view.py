"""The customer's KPIs as one answer: over time, by persona and segment, and which touchpoints move them.

The page, the command and the route all give what is worked out here.
"""

from typing import Any

from features.crm.crm import Crm
from features.progress import Say, silent
from features.settings import Settings
from monitoring.customer_kpis import customer_kpis
from monitoring.journey_map import journey_map
from monitoring.kpi_movers import movers
from training.icp.persona_members import personas_on_record


def mapped_journey(crm: Crm, settings: Settings, say: Say = silent) -> dict[str, Any]:
    """The journey map by itself: `map`, and `notes` (why there are no personas)."""
    say("finding personas")
    personas, why = personas_on_record(crm, settings)
    return {
        "map": journey_map(crm, customer_kpis(crm, personas), personas),
        "notes": [why] if why else [],
    }


def customer_view(crm: Crm, settings: Settings, say: Say = silent) -> dict[str, Any]:
    """What `customer_kpis` and `movers` return, `map` of `journey_map`, and `notes` of all.

    Args:
        crm: any CRM.
        settings: seed.
        say: called with each line of progress.
    """
    say("finding personas")
    personas, why = personas_on_record(crm, settings)
    say("counting KPIs")
    figures = customer_kpis(crm, personas)
    say("estimating what moves them")
    moved = movers(crm, personas, settings.seed)
    missing = [f"{row['kpi']}: {row['why']}" for row in figures["kpis"] if row["why"]]
    notes = [*([why] if why else []), *missing, *moved["notes"]]
    mapped = journey_map(crm, figures, personas)
    return {**figures, "movers": moved["movers"], "map": mapped, "notes": list(dict.fromkeys(notes))}
