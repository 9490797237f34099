"""Taking one account out of the kept CRM."""

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.account_store import PREFIX
from features.crm.crm import MANIFEST, read_crm
from features.crm.load import changing, current_folder, make_current
from features.crm.quality import Quality
from features.scratch import discard, scratch, sweep_home
from features.settings import Settings

_REFERS_TO_ACCOUNTS = "parent_account_id"
_OWN = {
    "contracts": "contract_id",
    "opportunities": "opportunity_id",
    "leads": "lead_id",
    "contacts": "contact_id",
}


def erase_account(account_id: str, settings: Settings) -> dict[str, int]:
    """Rewrite the kept CRM without an account, and remove every copy kept before that holds it.

    What was put into quarantine is searched in every column, for the account and for its contracts, deals,
    leads and contacts. What killed runs have left is removed first. The source itself is not touched.
    Killed at any moment and run again it ends the same.

    Returns:
        Rows removed by table (`quarantine.<table>` for what was put aside), none where nothing was.
    """
    sweep_home(settings.home)
    with changing(settings):
        folder = current_folder(settings)
        if folder is None:
            return {}
        copies = _copies(settings)
        ids = ids_of(account_id, copies)
        removed = _without(folder, ids, settings)
        stays = current_folder(settings)
        for copy in copies:
            if copy != stays and _holds(copy, ids):
                discard(copy)
        _forget_derived(folder.parent, settings)
    return removed


def _without(folder: Path, ids: list[str], settings: Settings) -> dict[str, int]:
    """Make a copy of the current CRM without an account the current one; returns rows removed by table."""
    with scratch(folder.parent) as work:
        copy = work / "crm"
        shutil.copytree(folder, copy)
        removed: dict[str, int] = {}
        for path in sorted(copy.rglob("*.parquet")):
            name = ".".join(path.relative_to(copy).with_suffix("").parts)
            gone, cleared = _filter(path, ids, anywhere=path.parent != copy)
            removed |= {name: gone} if gone else {}
            removed |= {f"{name}.{_REFERS_TO_ACCOUNTS}": cleared} if cleared else {}
        if not removed:
            return {}
        manifest = json.loads((copy / MANIFEST).read_text())
        less = f"{manifest['fingerprint']} less {ids[0]}"
        quality = Quality.from_dict(_without_examples(manifest["quality"]))
        crm = replace(read_crm(copy), fingerprint=hashlib.sha256(less.encode()).hexdigest(), quality=quality)
        crm.write_manifest()
        make_current(crm, settings)
    return removed


def _forget_derived(crm_home: Path, settings: Settings) -> None:
    """Remove what was made from CRM copies that are gone: rows by account, feature rows that Spark left."""
    for derived in crm_home.glob(f"{PREFIX}*"):
        if not (crm_home / derived.name.removeprefix(PREFIX).rpartition("-")[0]).is_dir():
            discard(derived)
    shutil.rmtree(settings.home / "features", ignore_errors=True)


def known_ids(account_id: str, settings: Settings) -> list[str]:
    """The account's id, then those of its contracts, deals, leads and contacts in any copy kept."""
    return ids_of(account_id, _copies(settings))


def _copies(settings: Settings) -> list[Path]:
    """The CRM folders of a home, the current one and those before it."""
    crm_home = settings.home / "crm"
    entries = crm_home.iterdir() if crm_home.is_dir() else ()
    return [path for path in entries if path.is_dir() and not path.name.startswith((".", PREFIX))]


def ids_of(account_id: str, folders: Iterable[Path]) -> list[str]:
    """The account's id, then those of what is the account's alone in any of these CRM folders."""
    ids: dict[str, None] = {account_id: None}
    for folder in folders:
        for table, key in _OWN.items():
            path = folder / f"{table}.parquet"
            if path.is_file() and {key, "account_id"} <= set(pq.read_schema(path).names):
                rows = pq.read_table(path, columns=[key, "account_id"])
                account_rows = rows.filter(pc.fill_null(pc.equal(rows["account_id"], account_id), False))
                ids |= dict.fromkeys(account_rows[key].drop_null().to_pylist())
    return list(ids)


def _holds(folder: Path, ids: list[str]) -> bool:
    """Whether any table of a CRM folder, or what it put into quarantine, names the account.

    What is not a finished CRM (its removal was cut short) counts as if it did.
    """
    return not (folder / MANIFEST).is_file() or any(
        pc.any(_naming(pq.read_table(path), _searched(path, path.parent != folder), ids)).as_py()
        for path in folder.rglob("*.parquet")
    )


def _searched(path: Path, anywhere: bool) -> list[str]:
    """The text columns of a file that can name an account: in quarantine any, in a table these."""
    schema = pq.read_schema(path)
    text = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
    referring = {"account_id", _REFERS_TO_ACCOUNTS} | ({"value"} if path.name == "history.parquet" else set())
    return text if anywhere else [name for name in text if name in referring]


def _naming(table: pa.Table, columns: list[str], ids: list[str]) -> pa.ChunkedArray:
    """Which rows hold one of the ids in one of the columns."""
    names_account = pa.chunked_array([pa.repeat(False, table.num_rows)])
    for name in columns:
        names_account = pc.or_(names_account, pc.is_in(table[name], pa.array(ids, pa.string())))
    return names_account


def _filter(path: Path, ids: list[str], anywhere: bool) -> tuple[int, int]:
    """Remove an account's rows from one file; returns how many went, and in how many the parent was cleared.

    Args:
        path: the file.
        ids: the account's first.
        anywhere: rows with any of the ids in any column, not only those of the account.
    """
    table, account = pq.read_table(path), ids[:1]
    searched = [name for name in _searched(path, anywhere) if anywhere or name != _REFERS_TO_ACCOUNTS]
    gone = _naming(table, searched, ids if anywhere else account)
    others = table.filter(pc.invert(gone))
    cleared = 0
    if not anywhere and _REFERS_TO_ACCOUNTS in others.column_names:
        place = others.schema.get_field_index(_REFERS_TO_ACCOUNTS)
        refers = others.column(place)
        is_parent = pc.is_in(refers, pa.array(account, pa.string()))
        cleared = pc.sum(is_parent).as_py() or 0
        without = pc.if_else(is_parent, pa.scalar(None, refers.type), refers)
        others = others.set_column(place, others.schema.field(place), without)
    if others.num_rows < table.num_rows or cleared:
        pq.write_table(others, path, compression="zstd")
    return table.num_rows - others.num_rows, cleared


def _without_examples(quality: dict) -> dict:
    """The quality report keeps its counts; its examples may quote the account."""
    for table in quality["tables"].values():
        for reason in table["reasons"].values():
            reason["examples"] = []
    return quality
