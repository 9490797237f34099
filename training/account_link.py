"""Whether a contract or deal says which account it belongs to, which all features of the account hang on.

Some CRMs link a deal to its account only when it closes. Rows without an account count as an account of their
own, so a missing link shows in every feature of the account, and tells the outcome where it is filled late.
"""

import numpy as np
import pandas as pd

from features.tables import SUBJECTS
from training.dataset import Dataset

OF_THE_ACCOUNT = frozenset({"account", "industry"})
LEAVE_OUT_BELOW = 0.10


def link_column(ds: Dataset) -> str:
    """`contracts.account_id` or `opportunities.account_id`."""
    return f"{SUBJECTS[ds.kind]}.account_id"


def is_linked(ds: Dataset) -> np.ndarray:
    """(n,) whether a row has an account, and not one that the load made of its own id for want of any.

    Ids of contracts and accounts may be equal by chance or by custom. A made account has nothing but its id
    and a single contract or deal.
    """
    account, subject = (ds.snapshots[name].astype("string") for name in ("account_id", "subject_id"))
    described = ds.X[[name for name in ds.X.columns if str(name).startswith("accounts.")]]
    named_by_another = account.isin(set(account[account != subject].dropna()))
    real = (account != subject) | named_by_another | described.notna().any(axis=1).set_axis(account.index)
    return (account.notna() & real.fillna(False)).to_numpy(bool)


def features_of_the_account(ds: Dataset) -> list[str]:
    """The features that are only right where the account is known."""
    from features.catalog import CATALOG

    scopes = {declared.info.name: declared.scope for declared in CATALOG}
    return [
        str(name)
        for name in ds.X.columns
        if scopes.get(str(name)) in OF_THE_ACCOUNT or str(name).startswith("accounts.")
    ]


def is_asked(ds: Dataset) -> bool:
    """Whether some rows have an account and some have not: otherwise the link says nothing."""
    linked = is_linked(ds)
    return bool(linked.any() and not linked.all())


def as_column(ds: Dataset) -> pd.Series:
    """(n,) 1 where the account is known, missing where not."""
    return pd.Series(np.where(is_linked(ds), 1.0, np.nan), index=ds.X.index)
