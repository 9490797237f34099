"""How a foreign column becomes one of the contract, as SQL that reads text and typed values alike."""

from features.crm.contract import TABLES, Kind
from features.crm.values import literal, quoted
from features.mapping_draft.foreign_files import SCALE, TAKEN_AS_IS, ForeignColumn, ForeignFile
from features.mapping_draft.match import LIKELY, SURE, UNSURE, FileMatch, Match
from features.mapping_draft.outcome_words import CHURNED, CHURNED_ON, flag, meaning

_TRUE = ["true", "t", "yes", "y", "1"]
_DYNAMICS = {"1": True, "2": False}


def column_of(column: ForeignColumn) -> str:
    """The column, of the drafted table's own file."""
    return f"t.{quoted(column.name)}"


def is_true(column: ForeignColumn) -> str:
    """Whether a flag of the file is set."""
    words = sorted({word.lower() for word in column.words if flag(word)}) or _TRUE
    return f"lower(CAST({column_of(column)} AS VARCHAR)) IN ({', '.join(map(literal, words))})"


def plain(match: Match, kind: Kind) -> tuple[str, str, str]:
    """(expression, confidence, evidence) of a column taken as it is, its days read where they need it."""
    source, name = match.source, column_of(match.source)
    if kind in (Kind.TIME, Kind.DATE) and source.day_forms and source.day_forms[0] not in TAKEN_AS_IS:
        form, *others = source.day_forms
        day = "" if "%H" in form or "%I" in form else "::DATE"
        read = f"try_strptime(CAST({name} AS VARCHAR), {literal(form)}){day}"
        if others:
            note = f"{match.evidence}; its days fit {form} and {others[0]}: say which"
            return read, UNSURE, note
        return read, match.confidence, f"{match.evidence}; its days are {form}"
    scale = SCALE.search(source.name) if kind is Kind.MONEY else None
    if scale is not None:
        unit = "m" if scale[1].lower().startswith("m") else "k"
        text = f"regexp_replace(nullif(trim(CAST({name} AS VARCHAR)), ''), '(?i)\\s*[km]$', '')"
        whole = "millions" if unit == "m" else "thousands"
        return f"{text} || '{unit}'", match.confidence, f"{match.evidence}, in {whole}"
    if kind is Kind.DURATION and "sec" in source.bare:
        return f"TRY_CAST({name} AS DOUBLE) / 60", match.confidence, f"{match.evidence}, in seconds"
    return name, match.confidence, match.evidence


def outcome(file_match: FileMatch) -> tuple[str, str, str] | None:
    """(expression, confidence, evidence) of a deal's or contract's outcome; open ones have none."""
    match = file_match.matches.get("is_won") or file_match.matches.get("renewed")
    if match is None:
        return _left_on(file_match)
    by_bare = file_match.file.by_bare()
    closed = next(
        (by_bare[each] for each in ("isclosed", "hsisclosed", "isdealclosed", "closed") if each in by_bare),
        None,
    )
    source = match.source
    if closed and all(flag(word) is not None for word in source.words):
        expression = f"CASE WHEN {is_true(closed)} THEN {is_true(source)} END"
        return expression, SURE, f"{match.evidence}; open where {closed.name!r} is false"
    won_by_word = _by_word(file_match, source)
    if {True, False} <= set(won_by_word.values()):
        cases = " ".join(
            f"WHEN {literal(word)} THEN {'true' if won else 'false'}"
            for word, won in won_by_word.items()
            if won is not None
        )
        still_open = [word for word, won in won_by_word.items() if won is None]
        evidence = match.evidence + (f"; open: {', '.join(map(repr, still_open[:6]))}" if still_open else "")
        return f"CASE CAST({column_of(source)} AS VARCHAR) {cases} END", match.confidence, evidence
    by_end = _lost_otherwise(file_match, match, won_by_word)
    if by_end is not None:
        return by_end
    if source.bare in CHURNED or (file_match.table == "contracts" and False in won_by_word.values()):
        return _churned(file_match, match)
    flags = {flag(word) for word in source.words}
    if flags == {True, False}:
        note = f"{match.evidence}; nothing distinguishes open ones from lost ones"
        return is_true(source), UNSURE if file_match.system else match.confidence, note
    return None


def _lost_otherwise(
    file_match: FileMatch, match: Match, won_by_word: dict[str, bool | None]
) -> tuple[str, str, str] | None:
    """Where stages say who won alone: lost are those with a reason for it, or that are no longer active."""
    won = [word for word, is_won in won_by_word.items() if is_won]
    if not won or file_match.table != "opportunities":
        return None
    reason, active = file_match.matches.get("lost_reason"), file_match.file.by_bare().get("active")
    ways = {}
    if active is not None and {True, False} == {flag(word) for word in active.words}:
        ways[f"NOT ({is_true(active)})"] = f"{active.name!r} is false"
    if reason is not None and reason.source.given:
        ways[f"nullif(trim(CAST({column_of(reason.source)} AS VARCHAR)), '') IS NOT NULL"] = (
            f"{reason.source.name!r} is given"
        )
    if not ways:
        return None
    is_won = f"CAST({column_of(match.source)} AS VARCHAR) IN ({', '.join(map(literal, won))})"
    expression = f"CASE WHEN {is_won} THEN true WHEN {' OR '.join(ways)} THEN false END"
    return expression, LIKELY, f"{match.evidence}; lost where {' or '.join(ways.values())}"


def _churned(file_match: FileMatch, match: Match) -> tuple[str, str, str] | None:
    """A flag of the lost ones: with end dates only they are decided, without dates all others renewed."""
    lost = [word for word in match.source.words if flag(word) or meaning(word) is False]
    if not lost or len(lost) == len(match.source.words):
        return None
    is_lost = f"CAST({column_of(match.source)} AS VARCHAR) IN ({', '.join(map(literal, lost))})"
    if "end_date" in file_match.matches:
        note = (
            f"{match.evidence} says which were lost; of the others only a following contract shows a renewal"
        )
        return f"CASE WHEN {is_lost} THEN false END", UNSURE, note
    return (
        f"NOT ({is_lost})",
        match.confidence,
        f"{match.evidence}, turned round: lost are {', '.join(map(repr, lost))}",
    )


def _left_on(file_match: FileMatch) -> tuple[str, str, str] | None:
    """A date of leaving that some contracts have: those are the lost ones."""
    match = file_match.matches.get("decided_at")
    if file_match.table != "contracts" or match is None or not CHURNED_ON.search(match.source.bare):
        return None
    is_lost = f"nullif(trim(CAST({column_of(match.source)} AS VARCHAR)), '') IS NOT NULL"
    note = f"{match.source.name!r} says who was lost; of the others only a following contract shows a renewal"
    return f"CASE WHEN {is_lost} THEN false END", UNSURE, note


def _by_word(file_match: FileMatch, source: ForeignColumn) -> dict[str, bool | None]:
    if source.bare == "statecode" and set(source.words) <= {"0", "1", "2"}:
        return {word: _DYNAMICS.get(word) for word in source.words}
    return {word: meaning(word) for word in source.words}


def decided_only(expression: str, won: str | None) -> str:
    """A closing date counts where there is an outcome; until then it is a plan."""
    return expression if won is None else f"CASE WHEN ({won}) IS NOT NULL THEN {expression} END"


def forecast(match: Match, won: str | None) -> tuple[str, str, str]:
    """The probability of open deals, of one: once decided, systems set it to the outcome."""
    number = f"TRY_CAST(replace(CAST({column_of(match.source)} AS VARCHAR), '%', '') AS DOUBLE)"
    highest = max((_number(word) for word in match.source.words), default=100.0)
    scaled = f"{number} / 100" if highest > 1 or not match.source.words else number
    if won is not None:
        scaled = f"CASE WHEN ({won}) IS NULL THEN {scaled} END"
    return scaled, match.confidence, f"{match.evidence}, of open ones alone"


def _number(word: str) -> float:
    try:
        return float(word.replace("%", ""))
    except ValueError:
        return 0.0


def activity_kind(file: ForeignFile, match: Match | None) -> tuple[str, str, str]:
    """What kind of contact a file holds: its name says so, or a column does."""
    stem = file.stem.lower()
    for word, kind in (("call", "call"), ("meeting", "meeting"), ("event", "meeting"), ("email", "email")):
        if word in stem:
            return literal(kind), SURE, f"the file is called {file.path.name!r}"
    if match is not None:
        return f"lower(CAST({column_of(match.source)} AS VARCHAR))", match.confidence, match.evidence
    return literal("task" if "task" in stem else "activity"), UNSURE, "no column says what kind they are"


def kind_of(table: str, column: str) -> Kind:
    """The kind of a column of the contract."""
    return TABLES[table].by_name[column].kind
