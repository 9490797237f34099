"""A handful of dirty rows, as every real CRM has them, appended to the written files."""

from pathlib import Path

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
