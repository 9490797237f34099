"""Groups an effect is asked for: an attribute of accounts, contracts or opportunities, numbers in bands."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from features.crm import Crm
from features.errors import RenewalError

MOST_GROUPS = 20
BANDS = 4
NO_GROUP = ("_id", "_at", "_date", "renewed", "is_won", "lost_reason", "name", "domain")
KEY = {"accounts": "account_id", "contracts": "contract_id", "opportunities": "opportunity_id"}


def groups_by(crm: Crm, by: str | None, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Name → (n,) bool over `rows`, largest group first; nothing if `by` is None.

    Args:
        crm: the CRM.
        by: a column name, `industry` or `contracts.product`; looked for in accounts, contracts,
        opportunities.
        rows: with account_id and contract_id or opportunity_id.

    Raises:
        RenewalError: no such column.
    """
    if by is None:
        return {}
    values = attribute(crm, by, rows)
    counts = values.value_counts()
    return {str(name): (values == name).to_numpy(bool, na_value=False) for name in counts.index[:MOST_GROUPS]}


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
        if name in tables and crm.has(name, column) and column not in KEY.values():
            return name, column
    known: Mapping[str, tuple[str, ...]] = crm.tables
    offered = sorted({c for t in tables for c in known[t] if not c.endswith(NO_GROUP)})
    raise RenewalError(
        expected="--by to name an attribute of accounts, contracts or opportunities",
        found=repr(by),
        do=f"Choose one of: {', '.join(offered[:20])}.",
    )
