"""What stands to be written of each record, as of the last scoring run; of customers held out, nothing."""

from collections.abc import Iterator, Mapping
from typing import Any

from features.settings import Settings
from monitoring.store import Store
from serving.scoring.scored_rows import hide_held_out
from serving.write_back.advice_values import account_fits, contact_dates
from serving.write_back.written_log import Values

WRITTEN: Mapping[str, tuple[str, ...]] = {
    "contracts": ("likelihood", "band", "reasons", "contact_from", "contact_by"),
    "opportunities": ("likelihood", "band", "reasons"),
    "accounts": ("fit", "grade"),
}
"""Contract table → what can be written of its records."""
KINDS = {"contracts": "renewal", "opportunities": "win"}
_REASONS, _LONGEST = 3, 255
_PAGE = 1_000


def present_values(table: str, store: Store, settings: Settings, wanted: set[str]) -> dict[str, Values]:
    """Record id → what is written → its value, as of the last scoring run.

    Args:
        table: of `WRITTEN`.
        store: with the scores.
        settings: where advice and profiles are kept; they are worked out only where they are wanted.
        wanted: of what the table has: `likelihood` and `fit` in per cent with one decimal, days as ISO text;
            None where there is none.
    """
    if table == "accounts":
        values = account_fits(settings)
    else:
        values = {row["subject_id"]: score_values(row) for row in open_scores(KINDS[table], store)}
        advised = contact_dates(store, settings) if wanted & {"contact_from", "contact_by"} else {}
        values = {id: {**each, **advised.get(id, {})} for id, each in values.items()}
    return {id: {name: each.get(name) for name in wanted} for id, each in values.items()}


def open_scores(kind: str, store: Store) -> Iterator[dict[str, Any]]:
    """The scores of the last runs as people may see them, of all that is open."""
    cursor = None
    while True:
        page = store.scores.page(kind, limit=_PAGE, cursor=cursor)
        yield from (hide_held_out(row) for row in page.rows)
        cursor = page.cursor
        if cursor is None:
            return


def score_values(row: Mapping[str, Any]) -> Values:
    """`likelihood`, `band` and `reasons` of a score, as fields take them."""
    probability = row.get("probability")
    words = "; ".join(reason["words"] for reason in (row.get("reasons") or [])[:_REASONS])
    return {
        "likelihood": None if probability is None else round(100 * probability, 1),
        "band": row.get("band"),
        "reasons": words[:_LONGEST] or None,
    }
