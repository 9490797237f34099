"""Removing a customer everywhere (kept CRM, arrivals, scores, logs, alerts), and showing that it is done."""

from typing import Any

from features.erase import erase_account
from features.settings import Settings
from monitoring.store import open_store
from serving.worked_out import forget


def erase(account_id: str, settings: Settings) -> dict[str, Any]:
    """Remove an account from all that Perennial keeps.

    The source CRM is not Perennial's to change: an account that is still there returns with the next ingest.

    Returns:
        `account`, `removed` (place → rows) and `left` (place → rows found by looking again; all 0).
    """
    store = open_store(settings)
    removed = {f"crm.{table}": count for table, count in erase_account(account_id, settings).items()}
    removed |= {f"store.{table}": count for table, count in store.erase(account_id).items()}
    removed["answers worked out"] = forget(settings)
    again = {f"crm.{table}": count for table, count in erase_account(account_id, settings).items()}
    again |= {f"store.{table}": count for table, count in store.erase(account_id).items()}
    return {"account": account_id, "removed": removed, "left": again}
