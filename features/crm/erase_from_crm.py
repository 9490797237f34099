"""Taking one account out of the kept CRM."""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.crm.crm import MANIFEST
from features.crm.load import current_folder, make_current
from features.settings import Settings

_REFERS_TO_ACCOUNTS = "parent_account_id"
_OWN = {
    "contracts": "contract_id",
    "opportunities": "opportunity_id",
    "leads": "lead_id",
    "contacts": "contact_id",
}


def erase_account(account_id: str, settings: Settings) -> dict[str, int]:
    """Rewrite the kept CRM without an account; the copies kept before go, as they hold it too.

    What was put into quarantine is searched in every column, for the account and for its contracts, deals,
    leads and contacts. The source itself is not touched.

    Returns:
        Rows removed by table (`quarantine.<table>` for what was put aside), none where nothing was.
    """
    folder = current_folder(settings)
    if folder is None:
        return {}
    crm_home = folder.parent
    with tempfile.TemporaryDirectory(prefix=".load-", dir=crm_home) as work:
        without = Path(work) / "crm"
        shutil.copytree(folder, without)
        removed = {}
        ids = _ids_of(account_id, without)
        for path in sorted(without.rglob("*.parquet")):
            name = ".".join(path.relative_to(without).with_suffix("").parts)
            if count := _filter(path, ids, anywhere=path.parent != without):
                removed[name] = count
        if not removed:
            return {}
        manifest = json.loads((without / MANIFEST).read_text())
        manifest["fingerprint"] = hashlib.sha256(
            f"{manifest['fingerprint']} less {account_id}".encode()
        ).hexdigest()
        manifest["quality"] = _without_examples(manifest["quality"])
        (without / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
        place = make_current(without, settings)
    for old in crm_home.iterdir():
        if old.is_dir() and old != place:
            shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(settings.home / "features", ignore_errors=True)  # feature rows that Spark left
    return removed


def _ids_of(account_id: str, folder: Path) -> list[str]:
    """The account's id, then those of what is the account's alone."""
    ids = [account_id]
    for table, key in _OWN.items():
        path = folder / f"{table}.parquet"
        if path.is_file():
            rows = pq.read_table(path, columns=[key, "account_id"])
            account_rows = rows.filter(pc.fill_null(pc.equal(rows["account_id"], account_id), False))
            ids += account_rows[key].drop_null().to_pylist()
    return ids


def _filter(path: Path, ids: list[str], anywhere: bool) -> int:
    """Remove an account's rows from one file; returns how many went.

    Args:
        path: the file.
        ids: the account's first.
        anywhere: rows with any of the ids in any column, not only those of the account.
    """
    account_id = ids[0]
    table = pq.read_table(path)
    text = [f.name for f in table.schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
    columns = text if anywhere else [name for name in ("account_id",) if name in text]
    gone = pa.chunked_array([pa.repeat(False, table.num_rows)])
    for name in columns:
        gone = pc.or_(gone, pc.is_in(table[name], pa.array(ids if anywhere else [account_id], pa.string())))
    if path.name == "history.parquet" and not anywhere:
        gone = pc.or_(gone, pc.fill_null(pc.equal(table["value"], account_id), False))
    if not anywhere and _REFERS_TO_ACCOUNTS in text:
        place = table.schema.get_field_index(_REFERS_TO_ACCOUNTS)
        is_parent = pc.fill_null(pc.equal(table[_REFERS_TO_ACCOUNTS], account_id), False)
        cleared = pc.if_else(is_parent, pa.scalar(None, table.schema.field(place).type), table.column(place))
        table = table.set_column(place, table.schema.field(place), cleared)
    count = pc.sum(gone).as_py() or 0
    pq.write_table(table.filter(pc.invert(gone)), path, compression="zstd")
    return count


def _without_examples(quality: dict) -> dict:
    """The quality report keeps its counts; its examples may quote the account."""
    for table in quality["tables"].values():
        for reason in table["reasons"].values():
            reason["examples"] = []
    return quality
