"""Whether data are usable: each answer ready, ready with limits or not yet, and what to mend first."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from features.crm.contract import TABLES, Kind
from features.crm.crm import Crm
from features.crm.known_until import RENEWAL_KNOWN_AFTER_DAYS
from features.crm.values import quoted
from features.errors import RenewalError
from features.settings import Settings
from training.data_facts import LATE_DAYS, DataFacts, facts_of, history_days
from training.effects.contacts import human_contacts
from training.effects.deal_questions import LEAST_ROWS, decided_deals
from training.effects.timing_trial import LEAST_CONTRACTS, matured_contracts
from training.fairness.parity import MIN_SIZE
from training.icp.prospects import LEAST_OUTCOMES

READY, LIMITS, NOT_YET = "ready", "with limits", "not yet"
_YEAR = 365
_MOST_LATE = 0.2
_LEAST_COVERED = 0.5
_ROWS_SHOWN = 5
_ADD = {
    "contracts": "add contracts with their start and end dates",
    "opportunities": "add opportunities",
    "activities": "add activities: calls, meetings and mails, each with its account and time",
}
_DATES = {
    "renewal": "give start_date and end_date of contracts",
    "win": "give created_at and closed_at of opportunities",
}
_WORDS = {"renewal": ("renewed", "lost", "contracts"), "win": ("won", "lost", "deals")}


@dataclass
class Verdict:
    """What the data can answer to one question.

    Args:
        answer: renewal, win, timing, calls, discount, icp or parity.
        counted: what there is, in words.
        need: the least there must be, in words.
        missing: why it can't be answered yet, each with what to do; empty: it can.
        limits: what makes the answer less than it could be, each with what to do.
    """

    answer: str
    counted: str
    need: str
    missing: list[tuple[str, str]] = field(default_factory=list)
    limits: list[tuple[str, str]] = field(default_factory=list)

    @property
    def state(self) -> str:
        """`ready`, `with limits` or `not yet`."""
        return NOT_YET if self.missing else LIMITS if self.limits else READY

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "answer": self.answer,
            "state": self.state,
            "found": self.counted,
            "need": self.need,
            "why": [why for why, _ in (*self.missing, *self.limits)],
        }


def readiness(crm: Crm, settings: Settings) -> dict[str, Any]:
    """Whether each answer can be had of these data.

    Returns:
        `usable` (any answer is ready or ready with limits), `answers`, `mend` (what to do, the most useful
        first), `freshness` (table → days it ends before the rest), `coverage`, `late_logging`,
        `history_days`, `spans`, `understood` (five rows of each table).
    """
    facts = facts_of(crm, settings)
    verdicts = [judge(facts) for judge in _JUDGES]
    return {
        "usable": any(verdict.state != NOT_YET for verdict in verdicts),
        "answers": [verdict.as_dict() for verdict in verdicts],
        "mend": _mend(verdicts),
        "freshness": facts.late,
        "coverage": {name: round(share, 4) for name, share in facts.covered.items()},
        "late_logging": None if facts.logged_late is None else round(facts.logged_late, 4),
        "history_days": history_days(crm),
        "spans": facts.span_days,
        "understood": understood(crm),
    }


def _model(facts: DataFacts, kind: str) -> Verdict:
    good_word, bad_word, unit = _WORDS[kind]
    least, table = facts.settings.min_positives, "contracts" if kind == "renewal" else "opportunities"
    need = f"{least} {good_word} and {least} {bad_word} {unit} with a matured outcome"
    if kind not in facts.outcomes:
        verdict = Verdict(kind, f"no table {table}", need)
        verdict.missing.append((f"there is no table {table}", _ADD[table]))
        return verdict
    good, bad, without = facts.outcomes[kind]
    verdict = Verdict(kind, f"{good:,} {good_word}, {bad:,} {bad_word}", need)
    if kind in facts.outcome_columns:
        outcome = "renewed" if kind == "renewal" else "is_won"
        column, shown = facts.outcome_columns[kind]
        verdict.missing.append(
            (
                f"{without}, but {column} holds it ({shown})",
                f"map {outcome} from {column}: `perennial map` drafts it",
            )
        )
        return verdict
    for n, word in ((good, good_word), (bad, bad_word)):
        if n < least:
            why = f"{least - n:,} more {word} {unit} are needed"
            verdict.missing.append(
                (why, f"add history with more {word} {unit}, or wait until more are decided")
            )
    if without and kind == "win":
        verdict.missing.append((without, "map is_won of opportunities"))
    elif without:
        verdict.limits.append(
            (f"{without}: a following contract counts as renewal", "give `renewed` of contracts")
        )
    _time_limits(facts, kind, verdict)
    return verdict


def _time_limits(facts: DataFacts, kind: str, verdict: Verdict) -> None:
    crm, table = facts.crm, "contracts" if kind == "renewal" else "opportunities"
    if not crm.dated(kind):
        verdict.limits.append((f"{_undated(crm, kind)}: nothing can be judged on later data", _DATES[kind]))
        return
    if facts.span_days[kind] < _YEAR:
        what = f"{table} span {facts.span_days[kind]} days: no season comes twice"
        verdict.limits.append((what, f"add older {table}"))
    if not crm.has("activities"):
        verdict.limits.append(
            ("there are no activities: only what stands on record counts", _ADD["activities"])
        )
    elif facts.covered[kind] < _LEAST_COVERED:
        what = f"{facts.covered[kind]:.0%} of {table} have any activity"
        verdict.limits.append((what, "link activities to accounts, or export all of them"))
    for name, days in facts.late.items():
        verdict.limits.append(
            (f"{name} ends {days:,} days before the rest", f"export {name} again, up to the present")
        )
    if facts.logged_late is not None and facts.logged_late > _MOST_LATE:
        what = f"{facts.logged_late:.0%} of activities were written down over {LATE_DAYS} days late"
        verdict.limits.append((what, "log activities within a week"))
    if kind == "renewal" and not crm.has(table, "decided_at"):
        what = f"no decided_at: outcomes count as known {RENEWAL_KNOWN_AFTER_DAYS} days after the end"
        verdict.limits.append((what, "give decided_at of contracts"))


def _undated(crm: Crm, kind: str) -> str:
    """Why subjects can't be put in order of time: too few of their dates are given, or all are the same."""
    table, column = ("contracts", "end_date") if kind == "renewal" else ("opportunities", "created_at")
    if not crm.has(table, column):
        return f"{table} have no {column}"
    missing = crm.quality.of(table).null_share.get(column, 0.0)
    return (
        f"{missing:.0%} of {table} have no {column}"
        if missing > 0.5
        else f"all {table} have the same {column}"
    )


def _renewal(facts: DataFacts) -> Verdict:
    return _model(facts, "renewal")


def _win(facts: DataFacts) -> Verdict:
    return _model(facts, "win")


def _counted(count: Callable[[], pd.DataFrame]) -> tuple[pd.DataFrame | None, tuple[str, str] | None]:
    """The rows, or why there are none and what to do."""
    try:
        return count(), None
    except RenewalError as error:
        return None, (f"{error.found}", error.do.rstrip(".")[0].lower() + error.do.rstrip(".")[1:])


def _contacts(facts: DataFacts, verdict: Verdict) -> None:
    """Calls and meetings are there, and cover what is asked about."""
    if not facts.crm.has("activities"):
        verdict.missing.append(("there are no activities: no calls, no meetings", _ADD["activities"]))
        return
    contacts, why = _counted(lambda: human_contacts(facts.crm))
    if contacts is None and why is not None:
        verdict.missing.append((f"calls and meetings: {why[0]}", why[1]))
        return
    if not facts.crm.has("activities", "direction"):
        what = "activities have no direction: calls that customers made count as ours"
        verdict.limits.append((what, "give direction of activities"))


def _timing(facts: DataFacts) -> Verdict:
    verdict = Verdict(
        "timing", "no dated contracts", f"{LEAST_CONTRACTS} decided contracts, renewed and lost"
    )
    if "renewal" not in facts.outcomes:
        verdict.missing.append(("there is no table contracts", _ADD["contracts"]))
        return verdict
    if not facts.crm.dated("renewal"):
        verdict.missing.append((_undated(facts.crm, "renewal"), _DATES["renewal"]))
        return verdict
    decided, why = _counted(lambda: matured_contracts(facts.crm)[0])
    n = 0 if decided is None else len(decided)
    verdict.counted = f"{n:,} decided contracts"
    if decided is None and why is not None:
        verdict.missing.append(why)
    elif n < LEAST_CONTRACTS or (decided is not None and decided["label"].nunique() < 2):
        what = f"{n:,} decided contracts" + ("" if n < LEAST_CONTRACTS else ", all of one outcome")
        verdict.missing.append((what, "add older contracts, or wait until more are decided"))
    _contacts(facts, verdict)
    verdict.limits += _shared_limits(facts, "renewal")
    return verdict


def _calls(facts: DataFacts) -> Verdict:
    verdict = Verdict(
        "calls", "no dated deals", f"{LEAST_ROWS} decided deals, won and lost, and calls or meetings"
    )
    if "win" not in facts.outcomes:
        verdict.missing.append(("there is no table opportunities", _ADD["opportunities"]))
        return verdict
    deals, why = _counted(lambda: decided_deals(facts.crm)[0])
    if deals is None and why is not None:
        verdict.missing.append(why)
        return verdict
    assert deals is not None
    verdict.counted = f"{len(deals):,} decided deals"
    if len(deals) < LEAST_ROWS:
        verdict.missing.append((verdict.counted, "add older deals, or wait until more are decided"))
    _contacts(facts, verdict)
    verdict.limits += _shared_limits(facts, "win")
    return verdict


def _shared_limits(facts: DataFacts, kind: str) -> list[tuple[str, str]]:
    """Limits of a model that bind an effect as well."""
    verdict = Verdict(kind, "", "")
    if kind in facts.outcomes:
        _time_limits(facts, kind, verdict)
    return [limit for limit in verdict.limits if "decided_at" not in limit[0] or kind == "renewal"]


def _discount(facts: DataFacts) -> Verdict:
    need = f"{LEAST_ROWS} first quotes linked to decided deals or contracts"
    verdict = Verdict("discount", "no quotes", need)
    if not facts.crm.has("quotes"):
        verdict.missing.append(("there are no quotes", "add quotes with list and net amounts"))
        return verdict
    linked = 0
    for link, table, outcome in (
        ("opportunity_id", "opportunities", "is_won"),
        ("contract_id", "contracts", "renewed"),
    ):
        if facts.crm.has("quotes", link) and facts.crm.has(table, outcome):
            rows = facts.crm.sql(
                f"SELECT count(DISTINCT q.{link}) AS n FROM quotes q JOIN {table} s USING ({link})"
                f" WHERE s.{outcome} IS NOT NULL"
            )
            linked += rows["n"][0].as_py()
    verdict.counted = f"{linked:,} decided deals and contracts with a quote"
    if linked < LEAST_ROWS:
        verdict.missing.append((verdict.counted, "fill opportunity_id or contract_id of quotes"))
    return verdict


def _icp(facts: DataFacts) -> Verdict:
    verdict = Verdict("icp", "no dated deals", f"{LEAST_OUTCOMES} decided deals, and what accounts are")
    deals, why = _counted(lambda: decided_deals(facts.crm)[0])
    n = 0 if deals is None else len(deals)
    if "win" in facts.outcomes or "renewal" not in facts.outcomes:
        verdict.counted = f"{n:,} decided deals"
        if deals is None and why is not None:
            verdict.missing.append(why)
        elif n < LEAST_OUTCOMES:
            verdict.missing.append((verdict.counted, "add older deals, or wait until more are decided"))
    else:
        decided = sum(facts.outcomes["renewal"][:2])
        verdict.counted = f"no deals, {decided:,} decided contracts"
        if decided < LEAST_OUTCOMES:
            verdict.missing.append((verdict.counted, "add opportunities"))
        verdict.limits.append(("there are no deals: only renewals speak of fit", "add opportunities"))
    attributes = _attributes(facts.crm)
    if not attributes:
        verdict.missing.append(("accounts have no attributes", "give industry, country or size of accounts"))
    thin = [name for name, share in attributes.items() if share > 0.5]
    if thin:
        shown = ", ".join(f"{name} {attributes[name]:.0%}" for name in thin[:4])
        verdict.limits.append((f"missing for many accounts: {shown}", f"fill {thin[0]} of accounts"))
    return verdict


def _attributes(crm: Crm) -> dict[str, float]:
    """Attribute of accounts → the share that lacks it."""
    kinds = {column.name: column.kind for column in TABLES["accounts"].columns} | crm.carried.get(
        "accounts", {}
    )
    useful = (Kind.CATEGORY, Kind.WHOLE, Kind.MONEY, Kind.NUMBER, Kind.FLAG)
    missing = crm.quality.of("accounts").null_share
    return {
        name: missing.get(name, 0.0)
        for name in crm.tables["accounts"]
        if kinds.get(name) in useful and missing.get(name, 0.0) < 1
    }


def _parity(facts: DataFacts) -> Verdict:
    verdict = Verdict(
        "parity", "no segments", f"an attribute of which two groups have {MIN_SIZE} decided accounts"
    )
    if not facts.crm.has("segments"):
        verdict.missing.append(("there are no segments", "add segments, or `perennial population join`"))
        return verdict
    parts = [
        f"SELECT account_id FROM {table} WHERE {outcome} IS NOT NULL"
        for table, outcome in (("contracts", "renewed"), ("opportunities", "is_won"))
        if facts.crm.has(table, outcome)
    ]
    decided = " UNION ".join(parts) or "SELECT account_id FROM accounts WHERE false"
    share = "coalesce(share, 1)" if facts.crm.has("segments", "share") else "1"
    rows = facts.crm.sql(
        f"SELECT attribute, count(*) FILTER (n >= {MIN_SIZE}) AS large FROM (SELECT attribute, value,"
        f" sum({share}) AS n"
        f" FROM segments JOIN ({decided}) USING (account_id) GROUP BY ALL) GROUP BY ALL ORDER BY 2 DESC, 1"
    ).to_pylist()
    fit = [row["attribute"] for row in rows if row["large"] >= 2]
    verdict.counted = f"{len(fit)} of {len(rows)} attributes have two groups of {MIN_SIZE} decided accounts"
    if not fit:
        verdict.missing.append((verdict.counted, "add segments of more accounts"))
    elif len(fit) < len(rows):
        small = [row["attribute"] for row in rows if row["large"] < 2]
        verdict.limits.append(
            (f"too few accounts by {', '.join(small[:4])}", "add segments of more accounts")
        )
    return verdict


_JUDGES = (_renewal, _win, _timing, _calls, _discount, _icp, _parity)


def _mend(verdicts: list[Verdict]) -> list[dict[str, Any]]:
    """What to do: first what the data hold already, then by how many answers it makes possible or better."""
    opens: dict[str, list[str]] = defaultdict(list)
    betters: dict[str, list[str]] = defaultdict(list)
    for verdict in verdicts:
        for _, do in dict.fromkeys(verdict.missing):
            # Where several things are missing, one of them alone opens nothing.
            (opens if len(verdict.missing) == 1 else betters)[do].append(verdict.answer)
        for _, do in dict.fromkeys(verdict.limits):
            betters[do].append(verdict.answer)
    every = dict.fromkeys([*opens, *betters])
    listed = [
        {"do": do, "opens": sorted(set(opens[do])), "helps": sorted(set(betters[do]) - set(opens[do]))}
        for do in every
    ]
    is_there = {do: do.startswith("map ") for do in every}
    return sorted(
        listed, key=lambda each: (not is_there[each["do"]], -len(each["opens"]), -len(each["helps"]))
    )


def understood(crm: Crm) -> dict[str, list[dict[str, Any]]]:
    """Five rows of each table that has any, those of which most is given, in the contract's units."""
    shown: dict[str, list[dict[str, Any]]] = {}
    for name in TABLES:
        if name not in crm.tables:
            continue
        kinds = {column.stored: column for column in TABLES[name].columns}
        columns = crm.sql(f'SELECT * FROM "{name}" LIMIT 0').column_names
        given = " + ".join(f"CAST({quoted(column)} IS NOT NULL AS INTEGER)" for column in columns)
        first = ", ".join(quoted(column) for column in columns[:3])
        rows = crm.sql(
            f'SELECT * FROM "{name}" ORDER BY {given} DESC, {first} LIMIT {_ROWS_SHOWN}'
        ).to_pylist()
        shown[name] = [
            {_called(kinds, key): _value(kinds, key, value) for key, value in row.items()} for row in rows
        ]
    return {name: rows for name, rows in shown.items() if rows}


def _called(kinds: dict[str, Any], name: str) -> str:
    return kinds[name].name if name in kinds else name


def _value(kinds: dict[str, Any], name: str, value: Any) -> Any:
    column = kinds.get(name)
    if value is not None and column is not None:
        if column.kind is Kind.MONEY:
            return value / 100
        if column.kind is Kind.DURATION:
            return value / 60
        if column.stored != column.name:
            return value / 1000
        if column.kind is Kind.DATE:
            return value.date().isoformat()
    return _moment(value) if hasattr(value, "isoformat") else value


def _moment(value: Any) -> str:
    """A moment as text; a day without a time stands at its last microsecond."""
    return str(value.isoformat()).removesuffix("T23:59:59.999999").removesuffix("T00:00:00")
