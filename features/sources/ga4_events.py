"""Google Analytics 4's events in the schema of its BigQuery export: files `events_YYYYMMDD`.

JSON lines or Parquet. Follows "BigQuery Export schema" of Google's Analytics help: `event_timestamp` in
microseconds, `event_params` and `user_properties` as lists of key and typed value. A day's `events_intraday_`
gives way to its `events_`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from features.crm.values import literal

NAME = "Google Analytics 4"
_FILE = re.compile(r"events_(intraday_)?(\d{8})\D?.*", re.IGNORECASE)
_LISTS = ("event_params", "user_properties", "collected_traffic_source")
_PLAIN = (
    "event_timestamp",
    "event_name",
    "user_id",
    "user_pseudo_id",
    "event_bundle_sequence_id",
    "batch_event_index",
)
_FORM = (
    '[{"key": "VARCHAR", "value": {"string_value": "VARCHAR", "int_value": "VARCHAR",'
    ' "float_value": "VARCHAR", "double_value": "VARCHAR"}}]'
)


def recognises(path: Path, first: Mapping[str, Any] | None) -> bool:
    """Whether a file, by its name and its first line as JSON (None: there is none), holds such events."""
    if first is not None:
        return "event_name" in first and "event_timestamp" in first
    return path.name.lower().endswith(".parquet") and _FILE.fullmatch(path.name) is not None


def events(connection: duckdb.DuckDBPyConnection, files: Sequence[Path], name: str) -> str:
    """SQL of events as `product_events` takes them; `name` is the property that identifies the account."""
    rows = " UNION ALL ".join(_rows(connection, path) for path in _whole_days(files))
    direct = name if name in ("user_id", "user_pseudo_id") else "NULL"
    seconds = f"TRY_CAST({_param('event_params', 'engagement_time_msec')} AS DOUBLE) / 1000"

    def traffic(key: str, param: str) -> str:
        manual = f"json_extract_string(collected_traffic_source, '$.{key}')"
        return f"coalesce({manual}, {_param('event_params', param)})"

    once = "user_pseudo_id, event_timestamp, event_name, event_bundle_sequence_id, batch_event_index"
    return (
        "SELECT event_name AS event, coalesce(user_id, user_pseudo_id) AS user_id,"
        " make_timestamp(TRY_CAST(event_timestamp AS BIGINT)) AS moment,"
        f" coalesce({direct}, {_param('user_properties', name)}, {_param('event_params', name)}) AS hint,"
        f" {_param('event_params', 'ga_session_id')} AS session, {seconds} AS engaged_seconds,"
        f" {traffic('manual_campaign_name', 'campaign')} AS campaign,"
        f" {traffic('manual_source', 'source')} AS source, {traffic('manual_medium', 'medium')} AS medium"
        f" FROM ({rows}) QUALIFY row_number() OVER (PARTITION BY {once}) = 1"
    )


def properties(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> list[str]:
    """Names of the properties and parameters of the first file's first events."""
    rows = f"FROM ({_rows(connection, files[0])}) LIMIT 1000"
    names = connection.execute(
        f"SELECT unnest(from_json(user_properties, {literal(_FORM)})).key FROM ({rows})"
        f" UNION SELECT unnest(from_json(event_params, {literal(_FORM)})).key FROM ({rows}) ORDER BY 1"
    ).fetchall()
    return ["user_id", *(row[0] for row in names)]


def _whole_days(files: Sequence[Path]) -> list[Path]:
    """The files, without those of a day under way whose whole day is there."""
    matches = {path: _FILE.fullmatch(path.name) for path in files}
    whole = {match[2] for match in matches.values() if match and not match[1]}
    return [path for path, match in matches.items() if not (match and match[1] and match[2] in whole)]


def _rows(connection: duckdb.DuckDBPyConnection, path: Path) -> str:
    """SQL of a file's events: plain columns as text, lists as JSON, whatever the file's own types."""
    if not path.name.lower().endswith(".parquet"):
        types = dict.fromkeys(_PLAIN, "VARCHAR") | dict.fromkeys(_LISTS, "JSON")
        columns = ", ".join(f"{name}: '{type}'" for name, type in types.items())
        return f"FROM read_json({literal(path)}, format = 'newline_delimited', columns = {{{columns}}})"
    read = f"read_parquet({literal(path)})"
    there = {row[0] for row in connection.execute(f"DESCRIBE FROM {read}").fetchall()}
    plain = [f"{f'{name}::VARCHAR' if name in there else 'NULL'} AS {name}" for name in _PLAIN]
    lists = [f"{f'to_json({name})' if name in there else 'NULL::JSON'} AS {name}" for name in _LISTS]
    return f"SELECT {', '.join([*plain, *lists])} FROM {read}"


def _param(of: str, key: str) -> str:
    """SQL of the value of a key in a list of typed values, as text."""
    first = f"[p.value for p in from_json({of}, {literal(_FORM)}) if p.key = {literal(key)}][1]"
    kinds = ("string_value", "int_value", "float_value", "double_value")
    return f"coalesce({', '.join(f'({first}).{kind}' for kind in kinds)})"
