"""The same customer under several ids: rows alike in all that is known of them, counted once.

Exports and merged CRMs repeat customers. Their copies would stand on both sides of a fold, and a model that
remembers rows would look as if it had found something out.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from training.dataset import Dataset, is_by_chance

MOST_CONFLICTS = 0.05
"""Copies end alike. Different contracts that look alike do not always; from this share of pairs on that end
differently, likeness is taken for coincidence."""


@dataclass(frozen=True)
class SameCustomers:
    """Contracts or deals of different accounts that are alike in every column at every look.

    Attributes:
        alike: how many there are beyond the first of each kind.
        pairs, conflicts: pairs of them, and how many of these ended differently.
        copies: left out for being counted already: id → the id that stays.
    """

    alike: int = 0
    pairs: int = 0
    conflicts: int = 0
    copies: dict[str, str] | None = None

    def in_words(self, unit: str) -> str | None:
        """A sentence for the card; None where nobody is alike. `unit`: contracts or deals."""
        if self.copies:
            copy, first = next(iter(self.copies.items()))
            return (
                f"{len(self.copies):,} {unit} repeat another one under other ids, alike in every column and "
                f"in how they ended ({copy} is {first}, for example): each is counted once."
            )
        if self.alike:
            return (
                f"{self.alike:,} {unit} are alike to another one in every column, but {self.conflicts:,} of "
                f"{self.pairs:,} pairs ended differently: taken for different ones, and kept in one fold."
            )
        return None


def counted_once(ds: Dataset) -> tuple[Dataset, SameCustomers]:
    """The dataset without copies, and what was found.

    What is alike but ended differently stays, and no random fold parts it.
    """
    codes = _content(ds)
    if is_by_chance(codes):
        return ds, SameCustomers()
    _, first, again = np.unique(ds.subjects, return_index=True, return_inverse=True)
    is_decided = np.bincount(again, ds.is_known) > 0
    table = pd.DataFrame(
        {
            "subject": ds.snapshots["subject_id"].to_numpy()[first],
            "account": ds.snapshots["account_id"].to_numpy()[first],
            "y": ds.y[first],
            "content": codes,
        }
    )[is_decided]
    groups = table.groupby("content").agg(n=("y", "size"), good=("y", "sum"), accounts=("account", "nunique"))
    groups = groups[(groups["n"] > 1) & (groups["n"] == groups["accounts"])]
    pairs = int((groups["n"] * (groups["n"] - 1) // 2).sum())
    conflicts = int((groups["good"] * (groups["n"] - groups["good"])).sum())
    repeats = SameCustomers(int((groups["n"] - 1).sum()), pairs, conflicts)
    if not pairs:
        return ds, repeats
    if conflicts > MOST_CONFLICTS * pairs:
        return replace(ds, alike=codes[ds.subjects]), repeats
    return _without_copies(ds, table[table["content"].isin(groups.index)], codes, repeats)


def _without_copies(
    ds: Dataset, table: pd.DataFrame, codes: np.ndarray, repeats: SameCustomers
) -> tuple[Dataset, SameCustomers]:
    first = table.groupby(["content", "y"])["subject"].transform("first")
    repeated = table["subject"] != first
    copies = dict(zip(table["subject"][repeated], first[repeated], strict=True))
    stays = ~ds.snapshots["subject_id"].isin(copies.keys()).to_numpy()
    once = replace(ds, alike=codes[ds.subjects]).take(np.flatnonzero(stays))
    return once, replace(repeats, copies={str(copy): str(one) for copy, one in copies.items()})


def _content(ds: Dataset) -> np.ndarray:
    """(subjects,) codes such that contracts alike in every column, at the same looks, share one."""
    frames = (ds.X, ds.snapshots[["as_of", "lead_days"]])
    hashed = sum(pd.util.hash_pandas_object(frame, index=False).to_numpy() for frame in frames)
    # The same look again is mixed anew, so that sums of different looks do not meet.
    mixed = pd.util.hash_array(np.asarray(hashed, dtype=np.uint64))
    total = np.zeros(ds.subjects.max(initial=-1) + 1, dtype=np.uint64)
    np.add.at(total, ds.subjects, mixed)
    return np.unique(total, return_inverse=True)[1]
