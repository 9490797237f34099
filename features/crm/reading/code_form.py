"""Ids and postal codes that a spreadsheet took for numbers: `1002.00`, `1,002`, and 1067 for 01067."""

from collections.abc import Sequence
from dataclasses import replace

from features.crm.contract import Kind
from features.crm.reading.value_shapes import Look
from features.crm.values import Form, Reading, literal, quoted

_DECIMALS = r"\d+(\.0+)?"
_GROUPS = r"\d{4,}(\.0+)?|\d{1,3}(,\d{3})+(\.0+)?"
"""With ids of three digits among them, `100,200` may be two."""
_DIGITS = {
    3: "is isl iceland",
    4: "no nor norway norge norwegen|au aus australia|nz nzl new_zealand|dk dnk denmark danmark"
    "|za zaf south_africa",
    5: "de deu germany deutschland allemagne alemania germania|us usa united_states united_states_of_america"
    "|fr fra france frankreich francia|it ita italy italia italien italie|es esp spain españa spanien espagne"
    "|mx mex mexico méxico|fi fin finland suomi|ee est estonia|hr hrv croatia hrvatska|tr tur turkey türkiye"
    "|ua ukr ukraine|my mys malaysia|gr grc greece|cz cze czechia czech_republic|sk svk slovakia",
    6: "cn chn china",
    7: "jp jpn japan",
    8: "br bra brazil brasil",
}
_DIGITS_OF = {
    country.replace("_", " "): digits
    for digits, lands in _DIGITS.items()
    for land in lands.split("|")
    for country in land.split()
}
"""Countries whose postal codes may begin with zeros → digits that each of them has."""


def spoilt_ids(look: Look, readings: Sequence[Reading]) -> dict[str, str]:
    """The id columns of which every value is a number, and some have decimals of zero or groups.

    Args:
        look: at the raw rows.
        readings: of text columns.

    Returns:
        Raw name → an example.
    """
    ids = [each for each in readings if each.column.kind is Kind.ID]
    if not ids:
        return {}
    suspects = (
        f"max(CAST({quoted(id.raw)} AS VARCHAR)) FILTER (contains({quoted(id.raw)}, {literal(sign)}))"
        for id in ids
        for sign in (",", ".00")
    )
    row = look.connection.execute(f"SELECT {', '.join(suspects)} FROM {look.source}").fetchone() or ()
    spoilt: dict[str, str] = {}
    for id, grouped, decimal in zip(ids, row[::2], row[1::2], strict=True):
        if example := grouped or decimal:
            number = literal(_GROUPS if grouped else _DECIMALS)
            value = f"text_of(CAST({quoted(id.raw)} AS VARCHAR))"
            hollow = ", ".join(map(literal, ("", *(id.form.nothing if id.form else ()))))
            odd = look.connection.execute(
                f"SELECT 1 FROM {look.source} WHERE {value} NOT IN ({hollow})"
                f" AND NOT regexp_full_match({value}, {number}) LIMIT 1"
            ).fetchone()
            spoilt |= {id.raw: example} if odd is None else {}
    return spoilt


def id_form(name: str, example: str, nothing: tuple[str, ...]) -> Form:
    """The form of such a column."""
    step = r"regexp_replace(replace({v}, ',', ''), '\.0+$', '')"
    says = (f"{name}: ids are written as numbers ({example!r}); commas and decimals of zero are left out",)
    return Form((step,), nothing, says=says)


def postal_form(look: Look, name: str, raw: str, country: str | None, form: Form) -> Form:
    """The form of postal codes: no decimals, and the zeros before that the row's country has.

    Args:
        look: at the raw rows.
        name: for what is said.
        raw: the column.
        country: the column of countries, if there is one.
        form: of the column as words.
    """
    steps = [r"regexp_replace({v}, '^(\d{{3,}})\.0+$', '\1')"]
    if country is not None:
        land = f"lower(trim(CAST({quoted(country)} AS VARCHAR)))"
        digits = " ".join(f"WHEN {literal(land)} THEN {digits}" for land, digits in _DIGITS_OF.items())
        steps.append(
            "CASE WHEN regexp_full_match({v}, '\\d{{3,7}}') THEN"
            f" lpad({{v}}, CAST(greatest(length({{v}}), CASE {land} {digits} ELSE 0 END) AS INTEGER), '0')"
            " ELSE {v} END"
        )
    read = "v"
    for step in steps:
        read = step.format(v=read)
    changed = look.connection.execute(
        f"SELECT count(*), min(v), min_by({read}, v)"
        f" FROM (SELECT *, text_of(CAST({quoted(raw)} AS VARCHAR)) AS v FROM {look.source}) WHERE {read} <> v"
    ).fetchone() or (0,)
    if not changed[0]:
        return form
    rows, before, after = changed
    as_read = f"{before} is {after}"
    says = f"{name}: a spreadsheet made {rows:,} codes numbers; they are read as they were ({as_read})"
    return replace(form, steps=(*steps, *form.steps), says=(*form.says, says))
