"""One customer out of several systems, with known truth: `python -m benchmarks.identity [--records 10000]`.

Companies, a sixth of them subsidiaries that share a site and most of a name, stand in a CRM (some twice),
billing and support, with typos, other legal forms, gaps, changed phones and free mail. Against splink with
its own comparisons and settings on the same records. Precision, recall and F1 are of pairs.
"""

import argparse
import logging
import random
import time
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from features.identity.customer_records import form_records
from features.identity.customers import MERGE, clusters
from features.identity.linkage import pair_probabilities

_FIRST = [
    "Nor",
    "Alta",
    "Vel",
    "Quant",
    "Bright",
    "Iron",
    "Sol",
    "Terra",
    "Hyper",
    "Blue",
    "Green",
    "Stone",
    "Clear",
    "Swift",
    "Grand",
    "North",
    "Lum",
    "Ark",
    "Del",
    "Cor",
    "Mer",
    "Kin",
    "Zen",
    "Pol",
    "Tri",
    "Omni",
    "Syn",
    "Vert",
    "Aero",
    "Cal",
]
_SECOND = [
    "dex",
    "via",
    "tron",
    "field",
    "works",
    "core",
    "mark",
    "gate",
    "ware",
    "path",
    "line",
    "point",
    "bridge",
    "wood",
    "lux",
    "nova",
    "plex",
    "grid",
    "form",
    "wave",
]
_TRADE = [
    "Logistics",
    "Foods",
    "Systems",
    "Medical",
    "Energy",
    "Software",
    "Textiles",
    "Steel",
    "Media",
    "Travel",
    "Insurance",
    "Chemicals",
]
_LEGAL = {
    "Germany": "GmbH",
    "France": "SARL",
    "United States": "Inc.",
    "United Kingdom": "Ltd",
    "Spain": "SL",
}
_STREETS = [
    "Main",
    "High",
    "Church",
    "Station",
    "Park",
    "Mill",
    "Garden",
    "Market",
    "Bridge",
    "King",
    "Lake",
    "Hill",
    "River",
    "School",
    "Oak",
]
_TYPO = "abcdefghijklmnopqrstuvwxyz"


def companies(n: int, rng: random.Random) -> pd.DataFrame:
    """Companies, some of them subsidiaries of the one before: same site, own address, phone and country."""
    rows: list[dict[str, object]] = []
    head: dict[str, object] | None = None
    for i in range(n):
        country = rng.choice(list(_LEGAL))
        place = rng.randrange(400)
        row: dict[str, object] = {
            "truth": f"t{i}",
            "country": country,
            "city": f"{rng.choice(_FIRST)}{rng.choice(_SECOND)}stadt {place % 40}",
            "postal_code": f"{10_000 + place * 91}",
            "street": f"{rng.choice(_STREETS)} Street {rng.randrange(1, 200)}",
            "phone": f"+{rng.randrange(10**11, 10**12)}",
        }
        if head is not None and rng.random() < 1 / 6:
            row |= {"stem": head["stem"], "domain": head["domain"]}
            row["name"] = f"{row['stem']} {country} {_LEGAL[country]}"
        else:
            stem = f"{rng.choice(_FIRST)}{rng.choice(_SECOND)} {rng.choice(_TRADE)}"
            row |= {"stem": stem, "name": f"{stem} {_LEGAL[country]}"}
            row["domain"] = (
                f"{stem.lower().replace(' ', rng.choice(['', '-']))}{rng.choice(['', i % 97])}.com"
            )
            head = row
        rows.append(row)
    return pd.DataFrame(rows)


def _typo(text: str, rng: random.Random) -> str:
    at = rng.randrange(1, max(len(text), 2))
    change = rng.randrange(3)
    if change == 0:
        return text[:at] + text[at + 1 :]
    return text[:at] + rng.choice(_TYPO) + text[at + (change == 1) :]


def _written(row: Mapping[Any, Any], rng: random.Random) -> dict[str, str | None]:
    """A company as one system has it."""
    name = row["name"]
    if rng.random() < 0.35:
        name = name.rsplit(" ", 1)[0]
    if rng.random() < 0.15:
        name = _typo(name, rng)
    if rng.random() < 0.2:
        name = name.upper()
    gap = {"domain": 0.25, "phone": 0.35, "street": 0.3, "postal_code": 0.3, "city": 0.25, "country": 0.15}
    written: dict[str, str | None] = {k: None if rng.random() < p else row[k] for k, p in gap.items()}
    if written["phone"] and rng.random() < 0.1:
        written["phone"] = f"+{rng.randrange(10**11, 10**12)}"
    if written["street"] and rng.random() < 0.2:
        written["street"] = _typo(str(written["street"]), rng)
    written["email"] = f"office@{'gmail.com' if rng.random() < 0.3 else row['domain']}"
    if rng.random() < 0.4:
        written["email"] = None
    return written | {"name": name, "truth": row["truth"]}


def world(records: int, seed: int) -> tuple[pd.DataFrame, pd.Series]:
    """Records of three systems, and whose each is (record → company)."""
    rng = random.Random(seed)
    chances = {"crm": 1.0, "billing": 0.7, "support": 0.6}
    parts: dict[str, list[dict[str, str | None]]] = {system: [] for system in chances}
    for row in companies(round(records / 2.4), rng).to_dict("records"):
        for system, chance in chances.items():
            times = (rng.random() < chance) + (system == "crm" and rng.random() < 0.1)
            parts[system] += [_written(row, rng) for _ in range(times)]
    truth: dict[str, str] = {}
    frames = []
    for system, written in parts.items():
        rng.shuffle(written)
        frame = pd.DataFrame(written).assign(id=[str(i) for i in range(len(written))])
        truth |= {f"{system}:{id}": whose for id, whose in zip(frame["id"], frame.pop("truth"), strict=True)}
        frames.append(form_records(frame, system))
    return pd.concat(frames, ignore_index=True), pd.Series(truth)


def measured(groups: pd.Series, truth: pd.Series) -> tuple[float, float, float]:
    """Precision, recall and F1 of the pairs that stand in one group (record → group)."""
    joined, true = _pairs(groups), _pairs(truth)
    right = len(joined & true)
    precision, recall = right / max(len(joined), 1), right / max(len(true), 1)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def _pairs(groups: pd.Series) -> set[tuple[str, str]]:
    members = groups.groupby(groups).groups.values()
    return {pair for group in members for pair in combinations(sorted(group), 2)}


def splink_defaults(records: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Pairs by splink's own comparisons of names, mails, postcodes, on the values as they are written.

    Pairs that share an e-mail address alone are not compared: of 100,000 records 18,000 have one address of a
    free mail provider, which are 160 million pairs and more than 24 GB.
    """
    import splink.comparison_library as cl
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on

    names = ("name", "domain", "email", "street", "city", "postal_code", "country", "phone")
    frame = pd.DataFrame({name: records[name].astype("string") for name in names})
    frame.insert(0, "unique_id", records["record"].astype("string"))
    settings = SettingsCreator(
        link_type="dedupe_only",
        blocking_rules_to_generate_predictions=[block_on(n) for n in ("name", "domain", "phone")],
        comparisons=[
            cl.NameComparison("name"), cl.EmailComparison("email"), cl.ExactMatch("domain"),
            cl.ExactMatch("phone"), cl.LevenshteinAtThresholds("street"), cl.ExactMatch("city"),
            cl.ExactMatch("postal_code"), cl.ExactMatch("country"),
        ],
    )  # fmt: skip
    with duckdb.connect() as connection:
        api = DuckDBAPI(connection)
        linker = Linker(api.register(frame), settings, log_level=logging.ERROR)
        linker.training.estimate_probability_two_random_records_match(
            [block_on("name", "domain"), block_on("phone")], recall=0.5
        )
        linker.training.estimate_u_using_random_sampling(seed=seed)
        for rule in ("name", "domain"):
            linker.training.estimate_parameters_using_expectation_maximisation(block_on(rule))
        pairs = linker.inference.predict().as_pandas_dataframe()
    return pairs.rename(
        columns={"unique_id_l": "left", "unique_id_r": "right", "match_probability": "probability"}
    )


def _linked(pairs: pd.DataFrame, records: pd.DataFrame) -> pd.Series:
    """Connected pairs as groups, as splink clusters them."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    place = pd.Series(range(len(records)), index=records["record"])
    sure = pairs[pairs["probability"] >= MERGE]
    ends = (place[sure["left"]].to_numpy(), place[sure["right"]].to_numpy())
    graph = coo_matrix((np.ones(len(sure)), ends), shape=(len(records), len(records)))
    return pd.Series(connected_components(graph, directed=False)[1], index=records["record"])


def main() -> None:
    """Print one row a method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    records, truth = world(options.records, options.seed)
    print(f"{len(records):,} records of {truth.nunique():,} companies, {len(_pairs(truth)):,} true pairs")
    print(f"{'method':<34}{'precision':>10}{'recall':>8}{'F1':>8}{'to review':>11}{'seconds':>9}")
    for name, run in (("Perennial", pair_probabilities), ("splink's own comparisons", splink_defaults)):
        start = time.perf_counter()
        pairs = run(records, seed=options.seed)
        groups = clusters(records, pairs) if name == "Perennial" else _linked(pairs, records)
        took = time.perf_counter() - start
        review = pairs["probability"].between(1 - MERGE, MERGE, inclusive="left").sum()
        precision, recall, f1 = measured(groups, truth)
        print(f"{name:<34}{precision:>10.3f}{recall:>8.3f}{f1:>8.3f}{review:>11,}{took:>9.1f}", flush=True)


if __name__ == "__main__":
    main()
