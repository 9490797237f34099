"""Groups an effect is asked for: an attribute of accounts, contracts or opportunities, numbers in bands."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from features.crm import Crm
from features.errors import RenewalError

MOST_GROUPS = 20
BANDS = 4
MOST_TOLD_OF_OUTCOME = 0.5
OUTCOMES = ("renewed", "is_won", "decided_at", "closed_at", "lost_reason")
NO_GROUP = ("_id", "_at", "_date", "renewed", "is_won", "lost_reason", "name", "domain")
KEY = {"accounts": "account_id", "contracts": "contract_id", "opportunities": "opportunity_id"}


def groups_by(crm: Crm, by: str | None, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Name → (n,) bool over `rows`, largest group first; nothing if `by` is None.

    Args:
        crm: the CRM.
        by: a column name, `industry` or `contracts.product`; looked for in accounts, contracts,
        opportunities.
        rows: with account_id and contract_id or opportunity_id, and label where outcomes are known.

    Raises:
        RenewalError: no such column, or one that is the outcome in other words.
    """
    if by is None:
        return {}
    values = attribute(crm, by, rows)
    if "label" in rows and (told := _told_of_outcome(values, rows["label"])) > MOST_TOLD_OF_OUTCOME:
        raise RenewalError(
            expected="--by to name what was known before the outcome",
            found=f"{by}, which by itself tells {told:.0%} of the outcome",
            do=f"Choose one of: {_offered(crm, rows)}.",
        )
    counts = values.value_counts()
    return {
        f"{by} {name}" if name == "all" else str(name): (values == name).to_numpy(bool, na_value=False)
        for name in counts.index[:MOST_GROUPS]
    }


def _told_of_outcome(values: pd.Series, label: pd.Series) -> float:
    """The share of the outcome's variance between groups, less what as many groups of chance would have."""
    y = label.to_numpy(float)
    by_group = pd.Series(y).groupby(values.fillna("").to_numpy(object))
    within, total = (
        float(by_group.transform(lambda one: (one - one.mean()) ** 2).sum()),
        float(np.var(y) * len(y)),
    )
    free = len(y) - by_group.ngroups
    if total == 0 or free < 1:
        return 0.0
    return 1 - (within / free) / (total / max(len(y) - 1, 1))


def attribute(crm: Crm, by: str, rows: pd.DataFrame) -> pd.Series:
    """(n,) the attribute of each row as words; numbers in four bands of about equal size."""
    table, column = _place(crm, by, rows)
    key = KEY[table]
    values = crm.frame(table, [key, column]).drop_duplicates(key).set_index(key)[column]
    found = rows[key].map(values)
    if pd.api.types.is_datetime64_any_dtype(found):
        found = found.dt.year.astype("Int64")
    is_number = pd.api.types.is_numeric_dtype(found) and not pd.api.types.is_bool_dtype(found)
    if is_number and found.nunique() > 12:
        return pd.qcut(found.astype(float), BANDS, duplicates="drop").astype("string")
    return found.astype("string")


def _place(crm: Crm, by: str, rows: pd.DataFrame) -> tuple[str, str]:
    tables = [table for table, key in KEY.items() if key in rows and crm.has(table, key)]
    table, _, column = by.rpartition(".")
    for name in [table] if table else tables:
        if name in tables and crm.has(name, column) and column not in (*KEY.values(), *OUTCOMES):
            return name, column
    raise RenewalError(
        expected="--by to name an attribute of accounts, contracts or opportunities",
        found=repr(by),
        do=f"Choose one of: {_offered(crm, rows)}.",
    )


def _offered(crm: Crm, rows: pd.DataFrame) -> str:
    """Attributes to choose from, in words."""
    known: Mapping[str, tuple[str, ...]] = crm.tables
    tables = [table for table, key in KEY.items() if key in rows and crm.has(table, key)]
    return ", ".join(sorted({c for t in tables for c in known[t] if not c.endswith(NO_GROUP)})[:20])
