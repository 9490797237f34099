"""Looks at one contract: those at which nothing has happened since the one before are no rows of their own.

A contract is looked at up to seven times before its end. Where its columns never change, seven looks are one
row: counted seven times they make a model seven times as sure, and contracts that are decided late
count more than others. Such repeats are judged like any look, but not trained on: each contract's first
look is there whatever its outcome, so that leaving repeats out does not prefer any.
"""

import numpy as np
import pandas as pd

DAY = np.timedelta64(1, "D")
ROUNDING_DAYS = 1.0
"""Columns that count days are cut to whole ones, so two of them may move by a day more or less."""


def repeats(X: pd.DataFrame, snapshots: pd.DataFrame) -> np.ndarray:
    """(n,) whether a row is a later look at which every column is as before, or has moved with the days
    alone.

    Args:
        X: (n, k) features.
        snapshots: (n, …) with `subject_id` and `as_of`.
    """
    as_of = snapshots["as_of"].to_numpy("datetime64[us]")
    subject = pd.factorize(snapshots["subject_id"])[0]
    order = np.lexsort((as_of, subject))
    same = np.concatenate([[False], subject[order][1:] == subject[order][:-1]])
    days = np.concatenate([[0.0], np.diff(as_of[order]) / DAY])
    for name in X:
        if not same.any():
            break
        values = _numbers(X[name])[order]
        moved = np.abs(np.concatenate([[np.nan], np.diff(values)]))
        both_missing = np.concatenate([[False], np.isnan(values[1:]) & np.isnan(values[:-1])])
        still = both_missing | (moved == 0)
        if pd.api.types.is_numeric_dtype(X[name]):
            still |= np.abs(moved - days) <= ROUNDING_DAYS
        same &= still
    repeated = np.empty(len(X), dtype=bool)
    repeated[order] = same
    return repeated


def _numbers(column: pd.Series) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(float, na_value=np.nan)
    codes = pd.factorize(column)[0].astype(float)
    return np.where(codes < 0, np.nan, codes)
