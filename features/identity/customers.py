"""Which records are one customer: joined by likelihood, never against a decision, a parent or a likely no.

One principle sets both limits: a wrong decision costs as much as `REVIEWS_A_MISTAKE` looks by a person. So
a pair is joined by itself where it is wrong less often than that, left apart where it is right less often,
and looked at by a person between the two. No group holds a pair that is likelier two customers than one.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from features.crm.crm import Crm
from features.identity.customer_records import CRM, all_records
from features.identity.linkage import pair_probabilities
from features.identity.links import DIFFERENT, MODEL, OPEN, SAME, joined, keep_links, read_links
from features.progress import Say, silent
from features.settings import Settings

REVIEWS_A_MISTAKE = 100
MERGE = 1 - 1 / REVIEWS_A_MISTAKE
"""From this probability on a pair is joined; from 1 − MERGE on a person looks at it."""
_NO_LINKS = pd.DataFrame({"left": [], "right": [], "decision": []}, dtype=object)


def match(crm: Crm, files: Mapping[str, Path], settings: Settings, say: Say = silent) -> dict[str, Any]:
    """Judge all pairs of records again, keep what follows for the next ingest, and count it.

    Args:
        crm: its accounts are compared with each other and with the records.
        files: system → file of its records.
        settings: says where links are kept.
        say: called with each line of progress.

    Returns:
        `records` (system → how many), `joined` (pairs joined by themselves), `to_review`, `customers` (how
        many the records make), `without_account` (groups of other systems' records that no account is like).

    Raises:
        RenewalError: a file can't be used, or there are too few records.
    """
    records = all_records(crm, files)
    say(f"comparing {len(records):,} records")
    pairs = pair_probabilities(records)
    links = read_links(settings.home)
    decided = links[links["by"] != MODEL]
    groups, used = _grouped(records, pairs, decided)
    fresh = _model_links(records, groups, pairs, used, decided)
    keep_links(settings.home, fresh, judged=set(records["record"]), records=records)
    systems = records["system"].groupby(records["record"].map(groups)).agg(set)
    return {
        "records": {str(name): int(n) for name, n in records["system"].value_counts().items()},
        "joined": int((fresh["decision"] == SAME).sum()),
        "to_review": int((fresh["decision"] == OPEN).sum()),
        "customers": int(groups.nunique()),
        "without_account": int(systems.map(lambda these: CRM not in these).sum()),
    }


def clusters(records: pd.DataFrame, pairs: pd.DataFrame, decided: pd.DataFrame = _NO_LINKS) -> pd.Series:
    """Record → its group (the name of one of its records).

    Args:
        records: of `all_records`.
        pairs: of `pair_probabilities`.
        decided: left, right, decision: what people decided goes before what is likely.
    """
    return _grouped(records, pairs, decided)[0]


def _grouped(
    records: pd.DataFrame, pairs: pd.DataFrame, decided: pd.DataFrame
) -> tuple[pd.Series, list[tuple[str, str]]]:
    by_hand = {decision: _ends(decided[decided["decision"] == decision]) for decision in (SAME, DIFFERENT)}
    likely = _ends(pairs[pairs["probability"] >= MERGE])
    unlike = _ends(_within(pairs[pairs["probability"] < 0.5], [*by_hand[SAME], *likely]))
    apart = {frozenset(pair) for pair in (*parents(records), *unlike)} - {
        frozenset(pair) for pair in by_hand[SAME]
    }
    apart |= {frozenset(pair) for pair in by_hand[DIFFERENT]}
    group_of, used = joined([*by_hand[SAME], *likely], apart)
    groups = records["record"].map(lambda record: group_of.get(record, record))
    return pd.Series(groups.to_numpy(), index=records["record"].to_numpy()), used


def _within(pairs: pd.DataFrame, links: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Those of the pairs whose records links may bring into one group."""
    if not links:
        return pairs.iloc[:0]
    numbers, names = pd.factorize(np.array(links, dtype=object).ravel())
    ends = numbers.reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(links), bool), (ends[0], ends[1])), shape=(len(names), len(names)))
    part = pd.Series(connected_components(graph, directed=False)[1], index=names)
    left, right = pairs["left"].map(part), pairs["right"].map(part)
    return pairs[left == right]


def _ends(pairs: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(pairs["left"], pairs["right"], strict=True))


def parents(records: pd.DataFrame) -> Iterable[tuple[str, str]]:
    """(record, the record of its parent company): two customers, however alike."""
    rows = records[records["parent"].notna()]
    return zip(rows["record"], rows["system"] + ":" + rows["parent"].astype(str), strict=True)


def _model_links(
    records: pd.DataFrame,
    groups: pd.Series,
    pairs: pd.DataFrame,
    used: list[tuple[str, str]],
    decided: pd.DataFrame,
) -> pd.DataFrame:
    """What was joined, and of the pairs between the limits the likeliest of any two groups."""
    by_hand = {frozenset(pair) for pair in _ends(decided)}
    families = {frozenset(pair) for pair in parents(records)}
    used_pairs = {frozenset(pair) for pair in used}
    best: dict[frozenset[str], str] = defaultdict(str)
    rows = []
    names = records.set_index("record")["name"]
    for left, right, probability in pairs.itertuples(index=False):
        pair = frozenset((left, right))
        if probability < 1 - MERGE or pair in by_hand or pair in families:
            continue
        between = frozenset((groups[left], groups[right]))
        if pair in used_pairs:
            decision = SAME
        elif len(between) == 2 and between not in best:
            best[between], decision = left, OPEN
        else:
            continue
        rows.append((left, right, names[left], names[right], probability, decision, MODEL))
    return pd.DataFrame(rows, columns=list(read_links(None)))
