"""Small CRMs full of ties, gaps, late records and leap days, as Arrow tables of the contract."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.crm.contract import TABLES, Kind

HOUR = 3_600_000_000
CENTRE = int(np.datetime64("2024-02-29T00:00:00", "us").astype(np.int64))
WORDS = {
    ("activities", "kind"): ["call", "Call", "meeting", "e-mail", "webinar"],
    ("activities", "direction"): ["inbound", "outbound"],
    ("activities", "outcome"): ["reached", "no answer", "voicemail"],
    ("surveys", "kind"): ["nps", "csat", "ces"],
    ("cases", "priority"): ["urgent", "low"],
    ("opportunities", "kind"): ["new", "expansion"],
    ("usage", "metric"): ["logins", "api calls"],
    ("history", "table"): ["contracts", "accounts", "opportunities"],
}
HISTORY = {
    "contracts": [
        ("annual_value", "1200.5"),
        ("auto_renew", "true"),
        ("product", "plus"),
        ("forecast", "0.4"),
    ],
    "accounts": [("region", "south"), ("employees", "40")],
    "opportunities": [("amount", "77"), ("lead_source", "fair")],
}
IDS = {
    "account_id": 4,
    "contract_id": 6,
    "opportunity_id": 6,
    "contact_id": 4,
    "owner_id": 3,
    "lead_id": 5,
    "campaign_id": 3,
}
SIZES = {
    "accounts": 4,
    "contracts": 6,
    "opportunities": 6,
    "contacts": 4,
    "leads": 5,
    "campaigns": 3,
    "owners": 3,
}


def random_tables(seed: int, events: int = 24) -> dict[str, pa.Table]:
    """Every table of the contract, the same for the same seed."""
    draw = np.random.default_rng(seed)
    tables = {}
    for name, table in TABLES.items():
        if name in ("segments", "population", "history"):
            continue
        size = SIZES.get(name, int(draw.integers(0, events)))
        columns = {column.stored: _column(draw, name, column, size) for column in table.columns}
        if name == "stage_history":
            columns["account_id"] = pa.array(_ids(draw, "account_id", size, 0), pa.string())
        for second in table.seconds:
            columns[second] = pc.max_element_wise(columns[second], columns[table.time], skip_nulls=False)
        tables[name] = pa.table(columns)
    tables["history"] = _history(draw, int(draw.integers(0, events)))
    return tables


def _ids(draw, name: str, size: int, share_null: float) -> list:
    ids = [f"{name[0]}{name[3]}{number}" for number in draw.integers(0, IDS.get(name, 5), size)]
    return [
        None if missing else value for value, missing in zip(ids, draw.random(size) < share_null, strict=True)
    ]


def moments(draw, size: int) -> np.ndarray:
    """Moments on a coarse grid around a leap day, some a microsecond off: many ties, many bounds hit
    exactly."""
    days = draw.choice([-400, -365, -180, -91, -90, -60, -31, -30, -29, -7, -1, 0, 1, 30], size)
    return CENTRE + days * 24 * HOUR + draw.choice([0, 0, 0, 1, -1, 5 * HOUR], size)


def _column(draw, table: str, column, size: int) -> pa.Array:
    if column.name == TABLES[table].key and column.kind == Kind.ID:
        prefix = f"{column.name[0]}{column.name[3]}"
        return pa.array([f"{prefix}{number}" for number in draw.permutation(size)], pa.string())
    gone = np.zeros(size, bool) if column.required else draw.random(size) < 0.2
    match column.kind:
        case Kind.ID:
            return pa.array(_ids(draw, column.name, size, 0 if column.required else 0.3), pa.string())
        case Kind.TEXT | Kind.CATEGORY:
            words = WORDS.get((table, column.name), ["alpha", "beta", "gamma"])
            return pa.array(draw.choice(words, size), pa.string(), mask=gone)
        case Kind.NUMBER if column.stored != column.name:
            return pa.array(draw.integers(-2, 900, size), pa.int64(), mask=gone)
        case Kind.NUMBER:
            return pa.array(draw.integers(0, 20, size) / 2, pa.float64(), mask=gone)
        case Kind.WHOLE | Kind.MONEY | Kind.DURATION:
            return pa.array(draw.integers(0, 90, size) * 7, pa.int64(), mask=gone)
        case Kind.FLAG:
            return pa.array(draw.random(size) < 0.5, pa.bool_(), mask=gone)
        case Kind.DATE:
            return pa.array(CENTRE + draw.integers(-400, 60, size) * 24 * HOUR, mask=gone).cast(
                pa.timestamp("us")
            )
    return pa.array(moments(draw, size), mask=gone).cast(pa.timestamp("us"))


def _history(draw, size: int) -> pa.Table:
    rows = []
    for at in moments(draw, size):
        table = str(draw.choice(WORDS["history", "table"]))
        column, value = HISTORY[table][int(draw.integers(len(HISTORY[table])))]
        key = {"contracts": "ct", "accounts": "ao", "opportunities": "or"}[table]
        rows.append((table, f"{key}{draw.integers(SIZES[table])}", int(at), column, value))
    table, row, at, column, value = zip(*rows, strict=True) if rows else ([], [], [], [], [])
    text = pa.string()
    return pa.table(
        {
            "table": pa.array(table, text),
            "id": pa.array(row, text),
            "changed_at": pa.array(at, pa.int64()).cast(pa.timestamp("us")),
            "column": pa.array(column, text),
            "value": pa.array(value, text),
        }
    )


def random_snapshots(seed: int, size: int = 8) -> pa.Table:
    """Snapshots of those accounts (and one account that has no events)."""
    draw = np.random.default_rng([seed, 1])
    columns = {name: _ids(draw, name, size, 0.1) for name in ("contract_id", "opportunity_id", "owner_id")}
    account = _ids(draw, "account_id", size, 0)
    account[-1] = "nobody"
    times = {name: pa.array(moments(draw, size)).cast(pa.timestamp("us")) for name in ("as_of", "ends_at")}
    return pa.table(
        {
            "account_id": pa.array(account, pa.string()),
            **{name: pa.array(values, pa.string()) for name, values in columns.items()},
            **times,
            "lead_days": pa.array(draw.integers(0, 180, size).astype(float)),
        }
    )
