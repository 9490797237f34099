"""Words that stand for nothing: what spreadsheets, databases and people write where a value is missing."""

from collections.abc import Iterable

_WORDS = """
null none nan nat nil na n/a n.a. n.a n/d nd k.a. k.a undefined <na> <null> <none> [null] (null) (blank)
(empty) (leer) (vide) (vacío) blank empty - -- --- – — . ? \\n
#n/a #n/a! #na #nv #n/d #div/0! #ref! #value! #name? #num! #null! #calc! #spill! #bezug! #wert! #zahl! #wert
#valeur! #nom? #nombre! #¡div/0! #¡ref! #¡valor! #¿nombre? #valor! #rif! #valore! ########
"""
NOTHING = frozenset(_WORDS.split()) | {"#n/a n/a", "not available", "not applicable"}
"""In lower case."""


def is_nothing(value: str) -> bool:
    """Whether a trimmed value stands for nothing."""
    return value.lower() in NOTHING


def namibia_stays(column: str, others: Iterable[str]) -> bool:
    """Whether `NA` is a code among codes: Namibia in a column of countries, North America in one of regions.

    Args:
        column: its name.
        others: the column's other values that are not nothing.
    """
    codes = [value.isalpha() and value.isupper() and len(value) <= 5 for value in others]
    if not codes:
        return "country" in column.lower()
    return 2 * sum(codes) > len(codes)
