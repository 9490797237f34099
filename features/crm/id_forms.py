"""The forms in which one id is written: what each rule leaves of an id, and when two ids meet."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_UNSEEN = re.compile(r"[​-‏‪-‮⁠-⁤﻿­᠎\x00-\x1f\x7f]")
_SPREADSHEET = re.compile(r"""^="?(.*?)"?$|^'(.+)$""")
_GROUPED = re.compile(r"\d{1,3}(,\d{3})+(\.0+)?")
_DIGITS = re.compile(r"\d+")
_DECIMALS = re.compile(r"^(\d+)\.0+$")
_ALPHANUMERIC = re.compile(r"[0-9A-Za-z]+")
ROUNDED = re.compile(r"\d(\.\d+)?[eE]\+\d+")
"""An id that a spreadsheet has turned into a rounded number (`1.23E+10`): its last digits are gone."""


def visible(text: str) -> str:
    """The id without characters that nobody sees and without space around it, in one Unicode form."""
    return " ".join(_UNSEEN.sub("", unicodedata.normalize("NFKC", text)).split())


def salesforce_suffix(fifteen: str) -> str:
    """The three characters that make a case-sensitive Salesforce id of 15 one of 18 that is safe in any case.

    Each stands for five characters: bit k is set where the k-th of them is a capital (Salesforce's
    documentation, "ID Field Type").
    """
    blocks = (fifteen[i : i + 5] for i in (0, 5, 10))
    return "".join(_SUFFIX[sum(("A" <= c <= "Z") << k for k, c in enumerate(block))] for block in blocks)


def salesforce_15(text: str) -> str | None:
    """The 15 case-sensitive characters of a Salesforce id of 15 or 18; None for anything else.

    The suffix of one of 18 is checked, and gives the case back where something has changed it.
    """
    if not _ALPHANUMERIC.fullmatch(text):
        return None
    if len(text) == 15:
        return text
    if len(text) != 18 or not set(text[15:].upper()) <= set(_SUFFIX):
        return None
    bits = [_SUFFIX.index(letter) >> k & 1 for letter in text[15:].upper() for k in range(5)]
    cased = "".join(c.upper() if bit else c.lower() for c, bit in zip(text[:15], bits, strict=True))
    return cased if salesforce_suffix(cased) == text[15:].upper() else None


def _unwrapped(text: str) -> str:
    if wrapped := _SPREADSHEET.match(text):
        text = wrapped[1] or wrapped[2] or text
    text = text.replace(",", "") if _GROUPED.fullmatch(text) else text
    return _DECIMALS.sub(r"\1", text)


def _end_of_link(text: str) -> str:
    return text.split("?")[0].rstrip("/").rsplit("/", 1)[-1] if "://" in text else text


def _without_zeros(text: str) -> str:
    text = _unwrapped(text)
    return (text.lstrip("0") or "0") if _DIGITS.fullmatch(text) else text


def _lower(text: str) -> str:
    return _unwrapped(text).casefold()


def _without_signs(text: str) -> str:
    return "".join(letter for letter in _lower(text) if letter.isalnum())


def _without_either(text: str) -> str:
    return _without_zeros(_without_signs(text))


def name_form(text: str) -> str:
    """A name without its case, punctuation and order (`Lee, Ann` is `Ann Lee`)."""
    if text.count(",") == 1:
        text = " ".join(reversed(text.split(",")))
    return " ".join("".join(c if c.isalnum() else " " for c in visible(text).casefold()).split())


@dataclass(frozen=True)
class Rule:
    """One way in which written forms differ.

    Args:
        words: what has to be done to make two ids meet, for the report.
        form: what of an id has to be equal; None where the rule says nothing of it.
        keeps_case: ids that differ by case alone stay apart.
        same: two forms are the same id by construction, so that several may meet one.
    """

    words: str
    form: Callable[[str], str | None]
    keeps_case: bool = True
    same: bool = False


RULES = (
    Rule("only the last part of a link counts", _end_of_link, same=True),
    Rule("invisible characters are left out", visible, same=True),
    Rule("only the first 15 characters of Salesforce ids count", salesforce_15, same=True),
    Rule(
        'what a spreadsheet adds (a leading apostrophe, ="…", commas, .0) is left out', _unwrapped, same=True
    ),
    Rule("leading zeros are dropped", _without_zeros),
    Rule("case is ignored", _lower, keeps_case=False, same=True),
    Rule("case, spaces and punctuation are ignored", _without_signs, keeps_case=False),
    Rule("case, punctuation and leading zeros are ignored", _without_either, keeps_case=False),
)
"""From the least change to the most; an id that meets another by one rule is not asked of by later ones."""


BY_NAME = "they are taken for names"


@dataclass
class Meeting:
    """What became of ids that are in no row of the table they refer to.

    Args:
        key_of: id as written → the key that it means.
        rule_of: id → the words of the rule it meets its key by.
        unclear: id → (words of the rule, the keys or other ids it can't be distinguished from).
    """

    key_of: dict[str, str] = field(default_factory=dict)
    rule_of: dict[str, str] = field(default_factory=dict)
    unclear: dict[str, tuple[str, list[str]]] = field(default_factory=dict)


def meet(keys: Iterable[str], strays: Iterable[str], others: Iterable[str] = ()) -> Meeting:
    """Which key each stray id means, where exactly one can be meant.

    Args:
        keys: the ids of the rows referred to.
        strays: ids that are no key as they are written.
        others: ids of the same column that are keys as they are written: where one of them has the form that
            a stray would have to be of, the column writes its ids in full and the stray is another.
    """
    left, all_keys, exact = set(strays), list(keys), set(others)
    result = Meeting()
    case_counts = _case_counts(all_keys, left)
    for rule in RULES:
        if not left:
            break
        if case_counts and not rule.keeps_case:
            continue
        forms: dict[str, list[str]] = defaultdict(list)
        for key in all_keys:
            if form := rule.form(visible(key)):
                forms[form].append(key)
        strays_by_form: dict[str, list[str]] = defaultdict(list)
        for stray in sorted(left):
            if (form := rule.form(visible(stray))) and form in forms:
                strays_by_form[form].append(stray)
        for form, together in strays_by_form.items():
            rivals = [] if rule.same else [*together[1:], *(key for key in forms[form] if key in exact)]
            for stray in together:
                if len(forms[form]) > 1 or rivals:
                    others_alike = forms[form] if len(forms[form]) > 1 else [*together, *forms[form]]
                    result.unclear.setdefault(stray, (rule.words, [x for x in others_alike if x != stray]))
                else:
                    result.key_of[stray], result.rule_of[stray] = forms[form][0], rule.words
                    result.unclear.pop(stray, None)
                    left.discard(stray)
    return result


def meet_by_name(names: Iterable[tuple[str, str]], strays: Iterable[str]) -> Meeting:
    """Which key each stray means that is no id but the name of exactly one row.

    Args:
        names: (key, name) of the rows referred to.
        strays: ids that meet no key by any rule.
    """
    bearers: dict[str, dict[str, None]] = defaultdict(dict)
    for key, name in names:
        if form := name_form(name):
            bearers[form][key] = None
    result = Meeting()
    for stray in sorted(strays):
        keys = list(bearers.get(name_form(stray), ()))
        if len(keys) == 1:
            result.key_of[stray], result.rule_of[stray] = keys[0], BY_NAME
        elif keys:
            result.unclear[stray] = (BY_NAME, keys)
    return result


def _case_counts(keys: list[str], strays: Iterable[str]) -> bool:
    """Whether ids that differ by case alone are different: such keys occur, or ids are Salesforce's of 15."""
    folded: dict[str, str] = {}
    for text in keys:
        if folded.setdefault(text.casefold(), text) != text:
            return True
    return any(_is_case_sensitive_15(text) for text in (*keys, *strays))


def _is_case_sensitive_15(text: str) -> bool:
    """15 characters that begin like a Salesforce id and mix cases."""
    if len(text) != 15 or not _ALPHANUMERIC.fullmatch(text) or not text[:2].isdigit():
        return False
    return text.lower() != text and text.upper() != text
