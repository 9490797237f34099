"""Scores while somebody waits: stored subjects, the caller's own rows, accounts where something happened."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
from pydantic_core import from_json, to_json

from features.crm.contract import SUBJECTS
from features.crm.load import from_rows, opened
from features.errors import RenewalError
from features.moments import moment_of
from features.renewal_opportunities import renewed_by
from features.settings import Settings
from features.snapshots import impossible, snapshots_for, to_score
from monitoring.store import Store
from monitoring.store.database import records as plain_rows
from serving.api.problems import ProblemError
from serving.api.shapes import MAX_RECORDS
from serving.live.events import Arrivals
from serving.live.model_cache import HeldModels
from serving.live.score_cache import KeptScores, Ready, ready
from serving.scoring.scored_rows import as_opportunity, features_of, renewals_scored, scored
from serving.scoring.subject_details import ID_COLUMNS, about
from serving.security.auth import Principal
from training.registry import Loaded

log = logging.getLogger("perennial.serving")
NOUN = {"renewal": "contract", "win": "opportunity"}


class Live:
    """Answers one request at a time from the store, the ingested CRM and the held models."""

    def __init__(self, settings: Settings, store: Store, models: HeldModels) -> None:
        self.settings, self.store, self.models = settings, store, models
        self.score_cache = KeptScores(store)
        self.arrivals = Arrivals(settings, store, models, self.score_cache)
        self.score_cache.look()
        try:
            self.arrivals.look()
        except Exception:  # perhaps replaced or erased while it was read: logged, and tried again
            log.exception("the CRM ingested last could not be made ready")

    def stored(
        self, kind: str, ids: Sequence[str], principal: Principal, as_of: datetime | None = None
    ) -> list[bytes]:
        """Scores of stored subjects as JSON, in the order asked for.

        Args:
            kind: `renewal` or `win`.
            ids: contract or opportunity ids.
            principal: whose scope holds; what lies outside it is answered as if it were not there.
            as_of: default: the current scores; else the ids are scored as things stood then.

        Raises:
            ProblemError: 409 where there is no model.
        """
        loaded = self.models.need(kind)
        if as_of is None:
            rows_by_id = self.score_cache.ready(kind, ids, loaded)
            if kind == "win":
                rows_by_id |= self._renewals([one for one in ids if one not in rows_by_id])
        else:
            rows_by_id = self._as_they_stood(kind, ids, moment_of(as_of, "as_of"), loaded)
        then = "" if as_of is None else " at that moment, at which it must have begun and be undecided"
        return [
            rows_by_id[one].body
            if one in rows_by_id and principal.sees(rows_by_id[one]._asdict())
            else _unknown(kind, one, then)
            for one in ids
        ]

    def _renewals(self, ids: Sequence[str]) -> dict[str, Ready]:
        """Those of these opportunities that renew a listed contract, with its current score."""
        loaded, links = self.models.get("renewal"), self.arrivals.renewals()
        subjects = {one: links[one] for one in ids if one in links}
        if loaded is None or not subjects:
            return {}
        contracts = self.score_cache.ready(
            "renewal", [row["renewal_of"] for row in subjects.values()], loaded
        )
        return {
            one: ready(as_opportunity(from_json(contracts[row["renewal_of"]].body), row))
            for one, row in subjects.items()
            if row["renewal_of"] in contracts
        }

    def _as_they_stood(
        self, kind: str, ids: Sequence[str], as_of: pd.Timestamp, loaded: Loaded
    ) -> dict[str, Ready]:
        with opened(self.settings) as crm:
            wanted = pd.DataFrame({ID_COLUMNS[kind]: list(dict.fromkeys(ids))})
            wanted["as_of"] = pd.Series([as_of] * len(wanted), dtype="datetime64[us]")
            snapshots = snapshots_for(crm, kind, wanted)
            snapshots = snapshots[snapshots["problem"].isna()]
            rows = self._scored(kind, crm, snapshots[impossible(crm, kind, snapshots).isna()], loaded)
        return {row[ID_COLUMNS[kind]]: ready(row) for row in rows}

    def _scored(self, kind: str, crm: Any, snapshots: pd.DataFrame, loaded: Loaded) -> list[dict[str, Any]]:
        renewal = self.models.get("renewal") if kind == "win" else None
        contract = renewed_by(crm, snapshots) if renewal else pd.Series(pd.NA, snapshots.index)
        deals = snapshots[contract.isna()]
        features = features_of(crm, deals, kind, self.settings)
        rows = plain_rows(scored(loaded, deals, features, about(crm, kind, deals), self.settings))
        if renewal is None or contract.isna().all():
            return rows
        linked = snapshots[contract.notna()]
        return rows + plain_rows(renewals_scored(crm, linked, contract.dropna(), renewal, self.settings))

    def records(
        self, kind: str, crm: Mapping[str, list[dict[str, Any]]], as_of: datetime | None
    ) -> list[dict[str, Any]]:
        """Scores of the caller's own rows: every running contract or open opportunity among them.

        Raises:
            ProblemError: 409 without a model, 413 for more rows than fit one request.
            RenewalError: the rows do not hold to the CRM data contract.
        """
        loaded = self.models.need(kind)
        subjects = crm.get(SUBJECTS[kind], [])
        if not subjects:
            raise RenewalError(
                expected=f"rows of {SUBJECTS[kind]} in crm", found="none", do="Send the rows to score."
            )
        if len(subjects) > MAX_RECORDS:
            raise ProblemError(413, f"Send at most {MAX_RECORDS:,} {SUBJECTS[kind]} in one request.")
        until = None if as_of is None else moment_of(as_of, "as_of")
        cleaned = from_rows(crm, until)
        rows = self._scored(kind, cleaned, to_score(cleaned, kind, until), loaded)
        scored_ids = {row[ID_COLUMNS[kind]] for row in rows}
        asked_ids = [str(one[ID_COLUMNS[kind]]) for one in subjects if one.get(ID_COLUMNS[kind]) is not None]
        return rows + [_unscorable(kind, one) for one in asked_ids if one not in scored_ids]


def _unknown(kind: str, subject: str, then: str) -> bytes:
    problem = f"There is no {NOUN[kind]} {subject!r} to score{then}."
    return to_json({ID_COLUMNS[kind]: subject, "reasons": [], "problem": problem})


def _unscorable(kind: str, subject: str) -> dict[str, Any]:
    problem = "Not open at that moment: ended, decided, not begun, or put aside because it does not fit."
    return {ID_COLUMNS[kind]: subject, "reasons": [], "problem": problem}
