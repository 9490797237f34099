"""Removing a customer everywhere: CRM, arrivals, scores, logs, alerts, reports; and showing it."""

import re
from pathlib import Path
from typing import Any

from features.crm.erase_from_crm import erase_account, known_ids
from features.identity.links import forget_links
from features.scratch import discard
from features.settings import Settings
from features.sources.connection_file import PULLED
from monitoring.store import open_store
from serving.api.list_filters import of_account
from serving.precompute import forget
from serving.write_back.written_log import forget_written


def erase(account_id: str, settings: Settings) -> dict[str, Any]:
    """Remove an account from all that Perennial keeps.

    The source CRM is not Perennial's to change: an account that is still there returns with the next ingest.

    Returns:
        `account`, `removed` (place → rows) and `left` (place → rows found by looking again; all 0).
    """
    store = open_store(settings)
    subjects = {row["subject_id"] for row in of_account(store, account_id)}
    ids = [account_id, *sorted(subjects | set(known_ids(account_id, settings)) - {account_id})]
    # Files that name contracts alone go first: once data and store are without them, nobody knows the names.
    removed = {"reports": _remove(_naming(settings.home / "reports", ids))}
    removed["answers worked out"] = forget(settings) + _remove(sorted((settings.home / "effects").glob("*")))
    removed["written into systems"] = forget_written(settings.home, ids)
    removed["identity links"] = forget_links(settings.home, ids)
    removed["pulled from systems"] = _forget_pulled(settings.home)
    removed |= {f"crm.{table}": count for table, count in erase_account(account_id, settings).items()}
    removed |= {f"store.{table}": count for table, count in store.erase(account_id).items()}
    again = {f"crm.{table}": count for table, count in erase_account(account_id, settings).items()}
    again |= {f"store.{table}": count for table, count in store.erase(account_id).items()}
    again["reports"] = len(_naming(settings.home / "reports", ids))
    return {"account": account_id, "removed": removed, "left": again}


def _forget_pulled(home: Path) -> int:
    """Remove all that was pulled from systems: it is read again from there, without the customer."""
    pulled = home / PULLED
    count = sum(path.suffix == ".parquet" for path in pulled.rglob("*"))
    if pulled.exists():
        discard(pulled)
    return count


def _naming(folder: Path, ids: list[str]) -> list[Path]:
    """The files below a folder in which one of these ids stands as a word."""
    word = re.compile(rb"(?<![\w-])(" + b"|".join(re.escape(one.encode()) for one in ids) + rb")(?![\w-])")
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and word.search(path.read_bytes())]


def _remove(paths: list[Path]) -> int:
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)
