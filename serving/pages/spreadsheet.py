"""Lists as files for spreadsheets and programs, with columns that stay."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from fastapi.responses import Response

from features.scratch import passing, scratch
from monitoring.store import Store
from monitoring.store.list_filter import Wanted
from serving.api.problems import ProblemError
from serving.scoring.answer_tables import reason_columns
from serving.scoring.export import write
from serving.scoring.scored_rows import hide_held_out
from serving.scoring.subject_details import ID_COLUMNS
from serving.security.auth import Principal

MOST_ROWS = 200_000
TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "parquet": "application/vnd.apache.parquet",
}
_NAMES = ("account_id", "account_name", "owner_id", "owner_name", "region")
_SCORE = ("as_of", "probability", "low", "high", "band", "amount")
COLUMNS = {
    "renewal": ("contract_id", *_NAMES, "product", "end_date", *_SCORE, "at_risk"),
    "win": ("opportunity_id", *_NAMES, "deal_kind", "created_at", *_SCORE, "expected", "forecast"),
}
_REASONS = tuple(f"reason_{at}{more}" for at in (1, 2, 3) for more in ("", "_direction"))
_LAST = (*_REASONS, "model_version", "alias", "problem")
_OVERRIDE = ("override", "override_reason", "override_by", "override_at")
_OWN = {"renewal": ("forecast", *_OVERRIDE), "win": ()}
"""The owner's forecast in the CRM, and the probability the team noted last beside the score."""

_MOMENTS = ("as_of", "created_at", "end_date", "override_at")
_NUMBERS = ("probability", "low", "high", "amount", "at_risk", "expected", "forecast", "override")


def sheet(rows: list[dict[str, Any]], kind: str) -> pd.DataFrame:
    """Score rows in the documented columns, reasons in words and their direction in columns of their own."""
    reasons = reason_columns(pd.Series([row.get("reasons") for row in rows], dtype="object"))
    frame = pd.DataFrame(rows).assign(**reasons)
    frame = plain_sheet(frame, (*COLUMNS[kind], *_LAST, *_OWN[kind]))
    for name in frame.columns:  # an empty column has its type too: the next file is read like this one
        if name in _MOMENTS:
            frame[name] = pd.to_datetime(frame[name], format="ISO8601").astype("datetime64[us]")
        else:
            frame[name] = frame[name].astype("float64" if name in _NUMBERS else "string")
    return frame


def plain_sheet(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """These columns in this order; those that are not there are empty."""
    return frame.reindex(columns=list(columns))


def download(
    store: Store, kind: str, wanted: Wanted, ending: str, principal: Principal, sort: dict[str, Any]
) -> Response:
    """The list as a file to save, narrowed and ordered as on the page; noted in the audit.

    Raises:
        ProblemError: 404 for another ending than csv, xlsx or parquet.
    """
    if ending not in TYPES:
        raise ProblemError(404, f"Lists come as {', '.join(TYPES)}, not {ending!r}.")
    rows = [hide_held_out(row) for row in store.scores.page(kind, limit=MOST_ROWS, **sort, **wanted).rows]
    overrides = newest_overrides(store, kind)
    rows = [{**row, **overrides.get(row["subject_id"], {})} for row in rows]
    noted = {
        name: ", ".join(sorted(wanted["owners"] or ())) if name == "owners" else str(value)
        for name, value in wanted.items()
    }
    store.audit.record(
        principal.label or principal.key_id, "export", kind, {**noted, "rows": len(rows), "as": ending}
    )
    name = "renewals" if ID_COLUMNS[kind] == "contract_id" else "pipeline"
    return attachment(sheet(rows, kind), name, ending)


def newest_overrides(store: Store, kind: str) -> dict[str, dict[str, Any]]:
    """Subject → `override`, `override_reason`, `override_by`, `override_at` of what the team noted last."""
    overrides = store.judgements.overrides(kind).drop_duplicates("subject_id", keep="last")
    names = dict(zip(("probability", "reason", "made_by", "made_at"), _OVERRIDE, strict=True))
    rows = overrides[["subject_id", *names]].rename(columns=names).to_dict("records")
    return {
        row["subject_id"]: {str(name): value for name, value in row.items() if name != "subject_id"}
        for row in rows
    }


def attachment(frame: pd.DataFrame, name: str, ending: str, *, currency: str | None = None) -> Response:
    """A table as a file to save, in one of `TYPES`."""
    with scratch(passing()) as folder:
        path = folder / f"list.{ending}"
        write(path, {}, frame, currency=currency)
        body = path.read_bytes()
    headers = {"content-disposition": f'attachment; filename="{name}.{ending}"'}
    return Response(body, media_type=TYPES[ending], headers=headers)
