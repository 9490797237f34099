"""Tables as dictionaries of arrays, and how they become CSV files: the same arrays, the same bytes.

A handful of dirty rows, as every real CRM has them, appended to the written files.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from features.crm.contract import TABLES, Kind
from features.simulation.planted import DAY, LATE_DAYS, LATE_SHARE

Frame = dict[str, np.ndarray]
"""Column name → values; moments are seconds since 1970 (int64), dates days since 1970, -1 means none."""


def ids(prefix: str, numbers: np.ndarray, width: int = 6) -> np.ndarray:
    """Keys such as A000012 from whole numbers (n,); an empty string where the number is negative."""
    numbers = np.asarray(numbers)
    if not numbers.size:
        return np.empty(0, dtype=f"U{len(prefix) + width}")
    texts = np.char.add(prefix, np.char.zfill(np.maximum(numbers, 0).astype(str), width))
    return np.where(numbers < 0, "", texts)


def moments(
    day: np.ndarray, rng: np.random.Generator, first_hour: int = 8, last_hour: int = 18
) -> np.ndarray:
    """A second within the working hours of each day (n,)."""
    return np.asarray(day, dtype=np.int64) * DAY + rng.integers(
        first_hour * 3600, last_hour * 3600, np.shape(day)
    )


def recorded(occurred: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """When each activity (n,) was logged: mostly within minutes, some of them days to weeks later."""
    prompt = occurred + rng.integers(60, 3600, occurred.size)
    delay = ((1.0 + rng.exponential(LATE_DAYS, occurred.size)) * DAY).astype(np.int64)
    return np.where(rng.random(occurred.size) < LATE_SHARE, occurred + delay, prompt)


def stack(frames: list[Frame]) -> Frame:
    """Frames with the same columns under one another."""
    return {name: np.concatenate([frame[name] for frame in frames]) for name in frames[0]}


def keep(frame: Frame, mask: np.ndarray) -> Frame:
    """The rows of a frame where mask is true (or in the order given by an index array)."""
    return {name: values[mask] for name, values in frame.items()}


def to_arrow(table: str, frame: Frame) -> pa.Table:
    """A frame with the types the CSV writer needs; empty strings and -1 moments become null."""
    return pa.table({name: _arrow(table, name, values) for name, values in frame.items()})


def _arrow(table: str, name: str, values: np.ndarray) -> pa.Array:
    column = TABLES[table].by_name.get(name)
    kind = column.kind if column else None
    if kind is Kind.TIME and name != "used_on":
        return pa.array(values, pa.int64(), mask=values < 0).cast(pa.timestamp("s"))
    if kind is Kind.DATE or name == "used_on":
        return pa.array(values.astype(np.int32), pa.int32(), mask=values < 0).cast(pa.date32())
    if values.dtype.kind == "U":
        return pa.array(values.tolist(), pa.string(), mask=values == "")
    if values.dtype.kind == "f":
        return pa.array(values, mask=np.isnan(values))
    if values.dtype == np.int8:
        return pa.array(values == 1, pa.bool_(), mask=values < 0)
    return pa.array(values)


def write_csv(folder: Path, table: str, frame: Frame) -> int:
    """Write one table; returns its number of rows."""
    arrow = to_arrow(table, frame)
    pa_csv.write_csv(arrow, folder / f"{table}.csv", pa_csv.WriteOptions(quoting_style="needed"))
    return arrow.num_rows


FAULTS = (
    ("contacts", "P000000", "duplicate key", {"contact_id": "P000000", "account_id": "A000001"}),
    (
        "activities",
        "V9999991",
        "malformed date",
        {"activity_id": "V9999991", "account_id": "A000000", "occurred_at": "2025-13-45", "kind": "call"},
    ),
    (
        "cases",
        "K9999992",
        "orphan account",
        {"case_id": "K9999992", "account_id": "A999999", "opened_at": "2025-03-01 10:00:00"},
    ),
    (
        "contracts",
        "C999993",
        "end before start",
        {
            "contract_id": "C999993",
            "account_id": "A000002",
            "start_date": "2025-06-01",
            "end_date": "2024-06-01",
        },
    ),
    (
        "invoices",
        "I9999994",
        "amount is not a number",
        {
            "invoice_id": "I9999994",
            "account_id": "A000003",
            "issued_at": "2025-05-01 09:00:00",
            "due_at": "2025-05-31",
            "amount": "n/a",
        },
    ),
)


def plant_faults(folder: Path) -> list[dict[str, str]]:
    """Append the dirty rows to the CSV files in `folder`; returns table, key and fault of each."""
    for table, _, _, row in FAULTS:
        path = folder / f"{table}.csv"
        with path.open(encoding="utf-8", newline="") as lines:
            names = [name.strip('"') for name in lines.readline().rstrip("\n").split(",")]
        with path.open("a", encoding="utf-8", newline="") as lines:
            lines.write(",".join(row.get(name, "") for name in names) + "\n")
    return [{"table": table, "key": key, "fault": fault} for table, key, fault, _ in FAULTS]
