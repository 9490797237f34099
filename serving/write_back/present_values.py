"""What stands to be written of each record: likelihood, band, reasons; of customers held out, nothing."""

from collections.abc import Iterator, Mapping
from typing import Any

from monitoring.store import Store
from serving.scoring.scored_rows import hide_held_out
from serving.write_back.written_log import Values

KINDS = {"contracts": "renewal", "opportunities": "win"}
_REASONS, _LONGEST = 3, 255
_PAGE = 1_000


def present_values(table: str, store: Store, wanted: set[str]) -> dict[str, Values]:
    """Record id → what is written → its value, as of the last scoring run.

    Args:
        table: `contracts` or `opportunities`.
        store: with the scores.
        wanted: of `likelihood` (per cent, one decimal), `band`, `reasons` (text); None where there is none.
    """
    values = {row["subject_id"]: _of_score(row) for row in _scores(KINDS[table], store)}
    return {id: {name: each.get(name) for name in wanted} for id, each in values.items()}


def _scores(kind: str, store: Store) -> Iterator[dict[str, Any]]:
    cursor = None
    while True:
        page = store.scores.page(kind, limit=_PAGE, cursor=cursor)
        yield from (hide_held_out(row) for row in page.rows)
        cursor = page.cursor
        if cursor is None:
            return


def _of_score(row: Mapping[str, Any]) -> Values:
    probability = row.get("probability")
    words = "; ".join(reason["words"] for reason in (row.get("reasons") or [])[:_REASONS])
    return {
        "likelihood": None if probability is None else round(100 * probability, 1),
        "band": row.get("band"),
        "reasons": words[:_LONGEST] or None,
    }
