"""What was decided of pairs of records, kept in the home folder and replayed at every ingest.

A record is written `system:id`; the CRM's accounts are `crm:account_id`. Nothing is merged for good: sources
are read as they are, and a link that is taken back is not replayed.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd

from features.errors import RenewalError
from features.scratch import replacing, turn

SAME, DIFFERENT, OPEN = "same", "different", ""
MODEL = "model"
COLUMNS = ("left", "right", "left_name", "right_name", "probability", "decision", "by")
SHOWN = ("name", "domain", "email", "street", "city", "postal_code", "country", "phone", "parent")
"""What a person is shown of a record to decide by."""


def read_links(home: Path | None) -> pd.DataFrame:
    """Every link as kept (see `COLUMNS`): `decision` is same, different or empty, `by` a name or `model`."""
    place = None if home is None else _place(home)
    if place is None or not place.is_file():
        return pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS})
    rows = pd.read_csv(place, dtype=str, keep_default_na=False)
    return rows.assign(probability=pd.to_numeric(rows["probability"], errors="coerce"))


def read_linked_records(home: Path) -> dict[str, dict[str, str]]:
    """Record → what it says (see `SHOWN`, empty where nothing), of those that links name."""
    place = _records_place(home)
    if not place.is_file():
        return {}
    rows = pd.read_csv(place, dtype=str, keep_default_na=False)
    return {row["record"]: {name: row[name] for name in SHOWN} for row in rows.to_dict("records")}


def keep_links(
    home: Path, fresh: pd.DataFrame, judged: Collection[str], records: pd.DataFrame | None = None
) -> None:
    """Put the model's links in place of those it gave before between records that it has judged again.

    What people decided stays, and so does what is said of records that were not read this time.

    Args:
        home: the home folder.
        fresh: the model's links (see `COLUMNS`).
        judged: the records it has judged.
        records: what they say (`record` and `SHOWN`), kept of those that links name.
    """
    with ExitStack() as stack:
        stack.enter_context(turn(_place(home).with_suffix(".lock")))
        before = read_links(home)
        is_old = (before["by"] == MODEL) & before["left"].isin(judged) & before["right"].isin(judged)
        links = pd.concat([before[~is_old], fresh], ignore_index=True)
        if records is not None:
            texts = records.set_index("record")[list(SHOWN)].fillna("")
            _write_records(home, links, dict(zip(texts.index, texts.to_dict("records"), strict=True)))
        _write(home, links)


def decide(home: Path, decisions: Iterable[tuple[str, str, str]], by: str) -> int:
    """Keep what a person decided of pairs; returns how many are new or changed.

    Args:
        home: the home folder.
        decisions: left, right and `same` or `different`; the later one of a pair counts.
        by: who decided.
    """
    with ExitStack() as stack:
        stack.enter_context(turn(_place(home).with_suffix(".lock")))
        rows = read_links(home)
        at = {frozenset(pair): i for i, pair in enumerate(zip(rows["left"], rows["right"], strict=True))}
        entries: list[dict[Any, Any]] = rows.to_dict("records")
        changed = 0
        for left, right, decision in decisions:
            pair = frozenset((left, right))
            if pair not in at:
                at[pair] = len(entries)
                ends = dict(zip(("left", "right"), sorted(pair), strict=True))
                entries.append({**dict.fromkeys(COLUMNS, ""), **ends})
            entry = entries[at[pair]]
            changed += (entry["decision"], entry["by"] == MODEL) != (decision, False)
            entry |= {"decision": decision, "by": by}
        _write(home, pd.DataFrame(entries, columns=list(COLUMNS)))
        return changed


def reopen(home: Path, left: str, right: str) -> bool:
    """Take a decision back: the pair is a person's to look at again, undecided; False where there is none."""
    with ExitStack() as stack:
        stack.enter_context(turn(_place(home).with_suffix(".lock")))
        links = read_links(home)
        here = (links["left"] == left) & (links["right"] == right) & (links["decision"] != OPEN)
        links.loc[here, ["decision", "by"]] = [OPEN, MODEL]
        _write(home, links)
        return bool(here.any())


def read_decisions(file: Path) -> list[tuple[str, str, str]]:
    """Left, right and decision of a CSV as `identity list --out` writes it, less what is not decided.

    Raises:
        RenewalError: no such file, a column lacks, or a decision is neither same nor different.
    """
    try:
        rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise RenewalError(
            expected=f"a CSV of left, right, decision at {file}",
            found=getattr(error, "strerror", None) or str(error).splitlines()[0],
            do="Check it.",
        ) from error
    lacking = [name for name in ("left", "right", "decision") if name not in rows]
    if lacking:
        raise RenewalError(
            expected="columns left, right, decision", found=", ".join(rows.columns), do=f"Add {lacking[0]}."
        )
    words = rows["decision"].str.strip().str.lower()
    odd = rows[~words.isin((SAME, DIFFERENT, OPEN)) | (rows["left"] == rows["right"])]
    if len(odd):
        line = int(odd.index[0]) + 2
        raise RenewalError(
            expected=f"{SAME}, {DIFFERENT} or nothing as a decision of two records",
            found=f"{rows['decision'][odd.index[0]]!r} in line {line}",
            do="Correct the line; nothing was kept.",
        )
    rows = rows.assign(decision=words)[words != OPEN]
    return list(zip(rows["left"], rows["right"], rows["decision"], strict=True))


def joined(
    pairs: Sequence[tuple[str, str]], apart: Collection[frozenset[str]]
) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Join pairs in their order into groups in which no two records are `apart`.

    Returns:
        Record → its group (the first of its records by name), and the pairs that joined two groups.
    """
    members: dict[str, set[str]] = {}
    group_of: dict[str, str] = {}
    rivals: dict[str, set[str]] = {}
    for left, right in (tuple(pair) for pair in apart if len(pair) == 2):
        rivals.setdefault(left, set()).add(right)
        rivals.setdefault(right, set()).add(left)
    used = []
    for left, right in pairs:
        a, b = group_of.get(left, left), group_of.get(right, right)
        these, those = members.get(a, {a}), members.get(b, {b})
        if a == b or any(rivals.get(one, set()) & those for one in these):
            continue
        whole = these | those
        name = min(whole)
        members[name] = whole
        group_of.update(dict.fromkeys(whole, name))
        used.append((left, right))
    return group_of, used


def same_customers(home: Path | None) -> list[list[str]]:
    """The groups of records that are one customer as decided up to now: what an ingest replays."""
    links = read_links(home)
    by_model = links["by"] == MODEL
    order = links.assign(by_model=by_model).sort_values(["by_model", "probability"], ascending=[True, False])
    ends = list(zip(order["left"], order["right"], order["decision"], strict=True))
    apart = {frozenset((left, right)) for left, right, decision in ends if decision == DIFFERENT}
    group_of, _ = joined([(left, right) for left, right, decision in ends if decision == SAME], apart)
    groups: dict[str, list[str]] = {}
    for record, group in sorted(group_of.items()):
        groups.setdefault(group, []).append(record)
    return list(groups.values())


def forget_links(home: Path, account_ids: Collection[str]) -> int:
    """Remove every link of these accounts and of records that are the same customer; returns how many."""
    if not _place(home).is_file():
        return 0
    with ExitStack() as stack:
        stack.enter_context(turn(_place(home).with_suffix(".lock")))
        gone = {f"crm:{id}" for id in account_ids}
        gone.update(*(group for group in same_customers(home) if gone.intersection(group)))
        links = read_links(home)
        of_them = links["left"].isin(gone) | links["right"].isin(gone)
        _write_records(home, links[~of_them], {})
        _write(home, links[~of_them])
        return int(of_them.sum())


def _place(home: Path) -> Path:
    return home / "identity" / "links.csv"


def _records_place(home: Path) -> Path:
    return home / "identity" / "records.csv"


def _write_records(home: Path, links: pd.DataFrame, fresh: Mapping[str, Mapping[Any, Any]]) -> None:
    """Keep what records say that these links name; new rows replace old ones."""
    every: dict[str, Mapping[Any, Any]] = {**read_linked_records(home), **fresh}
    named = sorted({*links["left"], *links["right"]} & every.keys())
    with replacing(_records_place(home)) as part:
        rows = [{"record": record, **every[record]} for record in named]
        pd.DataFrame(rows, columns=["record", *SHOWN]).to_csv(part, index=False)


def _write(home: Path, links: pd.DataFrame) -> None:
    with replacing(_place(home)) as part:
        links.to_csv(part, index=False, columns=list(COLUMNS))
