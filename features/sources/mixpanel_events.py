"""Mixpanel's events, as its Raw Event Export API gives them: JSON, an event a line.

`{"event": "Opened report", "properties": {"time": 1704103200, "distinct_id": "u1", "$insert_id": "…", …}}`;
the time is in seconds. The same event sent twice has the same `$insert_id` and counts once, as in Mixpanel.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from features.crm.values import literal

NAME = "Mixpanel"


def recognises(path: Path, first: Mapping[str, Any] | None) -> bool:
    """Whether a file, by its first line as JSON (None: it is Parquet or no JSON), holds such events."""
    return first is not None and "event" in first and isinstance(first.get("properties"), dict)


def events(connection: duckdb.DuckDBPyConnection, files: Sequence[Path], name: str) -> str:
    """SQL of events as `product_events` takes them; `name` is the property that identifies the account."""
    listed = ", ".join(literal(path) for path in files)
    read = (
        f"read_json([{listed}], format = 'newline_delimited',"
        " columns = {event: 'VARCHAR', properties: 'JSON'})"
    )

    def value(key: str) -> str:
        place = f'$."{key}"'
        return f"json_extract_string(properties, {literal(place)})"

    stamp = f"TRY_CAST({value('time')} AS DOUBLE)"
    seconds = f"CASE WHEN {stamp} > 1e11 THEN {stamp} / 1000 ELSE {stamp} END"
    once = f"coalesce({value('$insert_id')}, properties::VARCHAR), event, {value('distinct_id')}, {stamp}"
    return (
        f"SELECT event, {value('distinct_id')} AS user_id,"
        f" to_timestamp({seconds}) AT TIME ZONE 'UTC' AS moment,"
        f" {value(name)} AS hint, NULL AS session, NULL AS engaged_seconds,"
        f" {value('utm_campaign')} AS campaign, {value('utm_source')} AS source,"
        f" {value('utm_medium')} AS medium FROM {read}"
        f" QUALIFY row_number() OVER (PARTITION BY {once}) = 1"
    )


def properties(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> list[str]:
    """Names of the properties of the first file's first events."""
    columns = "columns = {properties: 'JSON'}"
    read = f"read_json({literal(files[0])}, format = 'newline_delimited', {columns})"
    rows = connection.execute(
        f"SELECT DISTINCT unnest(json_keys(properties)) FROM (FROM {read} LIMIT 1000) ORDER BY 1"
    ).fetchall()
    return [row[0] for row in rows if row[0] not in ("time", "$insert_id")]
