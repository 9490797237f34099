"""What an outcome's word means: won, lost, or still open."""

import re
import unicodedata

from features.crm.reading import flag_words

CHURNED = frozenset(
    [
        "churned", "ischurned", "churn", "churnflag", "cancelled", "iscancelled", "canceled", "attrition",
        "attritionflag", "exited", "terminated",
    ]
)  # fmt: skip
"""Columns that say who left: renewed, turned round."""
CHURNED_ON = re.compile("churn|cancel|terminat|kundig|resili|left(on|at|date)")
"""Dates of leaving, by their bare names."""
WON = frozenset(
    [
        "won",
        "win",
        "closedwon",
        "wonclosed",
        "gewonnen",
        "abgeschlossengewonnen",
        "gagne",
        "gagnee",
        "ganado",
        "ganada",
        "cerradaganada",
        "vinto",
        "chiusovinto",
        "ganho",
        "ganha",
        "fechadoganho",
        "gewonnene",
        "signed",
        "sold",
        "converted",
        "renewed",
        "success",
        "successful",
        "accepted",
        "closedwonrenewal",
        "renewedauto",
    ]
)
LOST = frozenset(
    [
        "lost",
        "loss",
        "closedlost",
        "lostclosed",
        "verloren",
        "abgeschlossenverloren",
        "perdu",
        "perdue",
        "perdido",
        "perdida",
        "cerradaperdida",
        "perso",
        "chiusoperso",
        "fechadoperdido",
        "dead",
        "churn",
        "churned",
        "cancelled",
        "canceled",
        "rejected",
        "declined",
        "disqualified",
        "abandoned",
        "closedlosttocompetition",
        "expired",
        "lapsed",
        "notrenewed",
        "terminated",
        "outsold",
    ]
)
WON |= {word.replace(" ", "") for word in flag_words.WON}
LOST |= {word.replace(" ", "") for word in flag_words.LOST}
OPEN = frozenset(word.replace(" ", "") for word in flag_words.OPEN)


def meaning(word: str) -> bool | None:
    """True for won, False for lost, None for open or not known."""
    plain = _plain(word)
    bare = "".join(letter for letter in plain if letter.isalnum())
    parts = re.findall(r"[^\W\d_]+", plain)
    if bare in WON or bare in LOST:
        return bare in WON
    if bare in OPEN:
        return None
    won, lost = bool(WON & set(parts)), bool((LOST | {"not"}) & set(parts))
    return None if won == lost else won


def flag(word: str) -> bool | None:
    """A yes or no as exports write it, None for other words."""
    plain = _plain(word)
    return True if plain in flag_words.YES else False if plain in flag_words.NO else None


def _plain(word: str) -> str:
    """In small letters without accents."""
    split = unicodedata.normalize("NFKD", word.strip().lower())
    return "".join(letter for letter in split if not unicodedata.combining(letter))
