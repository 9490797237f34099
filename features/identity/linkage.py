"""How likely two records are one customer: Fellegi and Sunter's model as splink estimates it.

What chance agreement is worth comes from random pairs, what agreement of one customer's records looks like by
EM, how rare a value is from its frequency. What is not filled in counts neither way. Pairs that share a site
are judged by `features.identity.same_site`, which knows that companies of one group share it too.
"""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from features.crm.values import quoted
from features.errors import RenewalError
from features.identity.customer_records import COMPARED
from features.identity.same_site import Agreement, Shares, chance, fitted
from features.sources.readers import connect

LEAST_RECORDS = 50
"""Fewer cannot show how a customer's records differ."""
_RANDOM_PAIRS = 2e6
_RULES = (
    ("web",),
    ("phone_end",),
    ("name_core",),
    ("postal_core", "substr(name_core, 1, 3)"),
    ("city_core", "split_part(name_core, ' ', 1)"),
    ("substr(name_core, 1, 7)", "substr(name_core, -3)"),
)
"""Records that agree on one of these are compared."""
MOST_SHARING = 200
"""Of a value that more records share (a mail provider's domain, a switchboard) not all are compared."""
_CERTAIN = (("name_core", "web"), ("name_core", "phone_end"), ("web", "phone_end"))
"""Two that agree on these are one customer; about half of all such pairs are taken to agree so."""
_NEVER_SEEN = 1e-6
"""The share of a level of agreement that no pair reached."""
_ADDRESS = ("street_core", "postal_core", "city_core", "country_core")


def pair_probabilities(records: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Probability that two records are one customer, for every pair that agrees on anything specific.

    Args:
        records: of `all_records`.
        seed: of the random pairs.

    Returns:
        left, right (records, left < right), probability; the most probable first.

    Raises:
        RenewalError: splink is not installed, or there are too few records.
    """
    if len(records) < LEAST_RECORDS:
        raise RenewalError(
            expected=f"{LEAST_RECORDS} records or more",
            found=f"{len(records)}",
            do="Add other systems' records with --records NAME=FILE.",
        )
    try:
        from splink import DuckDBAPI, Linker, block_on
    except ImportError as error:
        raise RenewalError(
            expected="splink, which compares records",
            found="it is not installed",
            do="Run `pip install 'perennial[identity]'`.",
        ) from error
    logging.getLogger("splink").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as spill, connect(Path(spill)) as connection:
        api = DuckDBAPI(connection)
        frame = _compared(connection, records)
        linker = Linker(api.register(frame), _settings(records), log_level=logging.ERROR)
        certain: list[Any] = [block_on(*rule) for rule in _CERTAIN if _agree(records, rule)]
        if certain:
            linker.training.estimate_probability_two_random_records_match(certain, recall=0.5)
        linker.training.estimate_u_using_random_sampling(max_pairs=_RANDOM_PAIRS, seed=seed)
        for number, rule in enumerate(_RULES):
            if len(rule) == 1 and _agree(frame, [_key(number)]):
                linker.training.estimate_parameters_using_expectation_maximisation(
                    block_on(_key(number)), record_sample_proportion=1.0
                )
        compared = linker.inference.predict().physical_name
        return _judged(connection, compared, linker.misc.save_model_to_json())


def _compared(connection: duckdb.DuckDBPyConnection, records: pd.DataFrame) -> pd.DataFrame:
    """The columns compared, and a key for each rule: what records share that it has compared."""
    columns = {name: records[name].astype("string") for name in COMPARED}
    frame = pd.DataFrame({"unique_id": records["record"].astype("string"), **columns})
    keys = ", ".join(f"{' || chr(9) || '.join(rule)} AS {_key(number)}" for number, rule in enumerate(_RULES))
    shared = ", ".join(
        f"CASE WHEN count(*) OVER (PARTITION BY {key}) <= {MOST_SHARING} THEN {key} END AS {key}"
        for key in map(_key, range(len(_RULES)))
    )
    names = ", ".join(frame.columns)
    query = f"SELECT {names}, {shared} FROM (SELECT *, {keys} FROM frame) ORDER BY unique_id"
    return connection.sql(query).df()


def _key(number: int) -> str:
    """The column that holds what a rule's records share."""
    return f"shared_{number}"


def _agree(records: pd.DataFrame, columns: Sequence[str]) -> bool:
    """Whether any two records agree on all of these."""
    return bool(records[list(columns)].dropna().duplicated().any())


def _settings(records: pd.DataFrame) -> Any:
    from splink import SettingsCreator, block_on
    from splink import comparison_library as cl

    comparisons: list[Any] = [
        cl.JaroWinklerAtThresholds("name_core", [0.95, 0.88]).configure(term_frequency_adjustments=True)
    ]
    comparisons += [
        cl.LevenshteinAtThresholds(name, [1]).configure(term_frequency_adjustments=True)
        for name in ("web", "phone_end")
        if _agree(records, [name])
    ]
    comparisons += [_address()] if records[list(_ADDRESS)].notna().any(axis=None) else []
    if len(comparisons) == 1:
        raise RenewalError(
            expected="names and at least one of domain, email, phone and address",
            found="nothing but names that any two records share",
            do="Add such columns to the accounts or to the records.",
        )
    return SettingsCreator(
        link_type="dedupe_only",
        blocking_rules_to_generate_predictions=[block_on(_key(number)) for number in range(len(_RULES))],
        comparisons=comparisons,
        retain_matching_columns=True,
        retain_intermediate_calculation_columns=True,
    )


def _address() -> Any:
    """One comparison for all parts of an address: they agree together or not at all."""
    from splink import comparison_level_library as cll
    from splink import comparison_library as cl

    nothing = " AND ".join(f"({part}_l IS NULL OR {part}_r IS NULL)" for part in _ADDRESS)
    street = "jaro_winkler_similarity(street_core_l, street_core_r) > 0.9"
    place = "(postal_core_l = postal_core_r OR city_core_l = city_core_r)"
    levels: list[Any] = [
        cll.CustomLevel(nothing, "no address").configure(is_null_level=True),
        cll.CustomLevel(f"{street} AND {place}", "street and place"),
        cll.CustomLevel("country_core_l <> country_core_r", "another country"),
        cll.CustomLevel(f"{place} AND (street_core_l IS NULL OR street_core_r IS NULL)", "place, no street"),
        cll.CustomLevel(place, "place, another street"),
        cll.CustomLevel("country_core_l = country_core_r AND (city_core_l IS NULL OR city_core_r IS NULL)"
                        " AND (postal_core_l IS NULL OR postal_core_r IS NULL)", "country, no place"),
        cll.ElseLevel(),
    ]  # fmt: skip
    return cl.CustomComparison(levels, output_column_name="address")


def _judged(connection: duckdb.DuckDBPyConnection, compared: str, model: dict[str, Any]) -> pd.DataFrame:
    """The pairs as splink weighs them; those that share a site by a model fitted to all such pairs."""
    comparisons = [each["output_column_name"] for each in model["comparisons"]]
    rarities = [f"mw_tf_adj_{name}" for name in ("web", "phone_end") if name in comparisons]
    columns = ["match_weight", *(f"gamma_{name}" for name in comparisons), *rarities]
    pairs = connection.sql(
        'SELECT least(unique_id_l, unique_id_r) AS "left", greatest(unique_id_l, unique_id_r) AS "right",'
        f" {', '.join(map(quoted, columns))} FROM {quoted(compared)} ORDER BY 1, 2"
    ).df()
    weight = pairs["match_weight"].to_numpy(float) * np.log(2)
    if "web" in comparisons:
        weight = _by_site(pairs, weight, rarities, model)
    pairs = pairs[["left", "right"]].assign(probability=chance(weight))
    order = ["probability", "left", "right"]
    return pairs.sort_values(order, ascending=[False, True, True], ignore_index=True)


def _by_site(pairs: pd.DataFrame, weight: Shares, rarities: list[str], model: dict[str, Any]) -> Shares:
    """The pairs' log odds: of those that share a site, or nearly, by their own fit; others corrected by it.

    splink's EM takes companies of one group for one customer, so its idea of one customer's agreement is lax.
    """
    estimated, web = _estimated(model)
    levels = {name: pairs[f"gamma_{name}"].to_numpy(np.intp) for name in estimated.same}
    rarity = pairs[rarities].fillna(0).to_numpy(float).sum(axis=1) * np.log(2)
    site = pairs["gamma_web"].to_numpy(np.intp)
    one, nearest = estimated, len(web) - 1
    judged = weight.copy()
    for level in range(nearest, 0, -1):
        here = site == level
        if here.any():
            start = float(np.log(model["probability_two_random_records_match"]) + web[level])
            these = {name: each[here] for name, each in levels.items()}
            probability, fit = fitted(these, rarity[here], one, start, same_is_known=level < nearest)
            one = Agreement(fit.same, estimated.other)
            judged[here] = np.log(probability / (1 - probability))
    apart = site < 1
    judged[apart] += Agreement(one.same, estimated.same).evidence(
        {name: each[apart] for name, each in levels.items()}
    )
    return judged


def _estimated(model: dict[str, Any]) -> tuple[Agreement, Shares]:
    """What splink estimated of name, phone and address, from the lowest level up; the log odds of sites."""
    same: dict[str, Shares] = {}
    other: dict[str, Shares] = {}
    for comparison in model["comparisons"]:
        levels = [each for each in comparison["comparison_levels"] if not each.get("is_null_level")][::-1]
        for shares, side in ((same, "m_probability"), (other, "u_probability")):
            parts = np.array([each.get(side) or _NEVER_SEEN for each in levels], float)
            shares[comparison["output_column_name"]] = parts / parts.sum()
    return Agreement(same, other), np.log(same.pop("web") / other.pop("web"))
