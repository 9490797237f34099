"""What an outcome's word means: won, lost, or still open."""

import re

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
_FLAGS = {"true": True, "t": True, "yes": True, "y": True, "1": True, "10": True} | dict.fromkeys(
    ("false", "f", "no", "n", "0", "00"), False
)


def meaning(word: str) -> bool | None:
    """True for won, False for lost, None for open or not known."""
    bare = "".join(letter for letter in word.lower() if letter.isalnum())
    parts = re.findall(r"[^\W\d_]+", word.lower())
    if bare in WON or bare in LOST:
        return bare in WON
    won, lost = bool(WON & set(parts)), bool((LOST | {"not"}) & set(parts))
    return None if won == lost else won


def flag(word: str) -> bool | None:
    """A yes or no as exports write it, None for other words."""
    return _FLAGS.get("".join(letter for letter in word.lower() if letter.isalnum()))
