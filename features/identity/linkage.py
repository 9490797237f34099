"""How likely two records are one customer: Fellegi and Sunter's model as splink estimates it.

What chance agreement is worth comes from random pairs, what agreement of one customer's records looks like by
EM, how rare a value is from its frequency. What is not filled in counts neither way.
"""

import logging
from collections.abc import Sequence
from typing import Any

import duckdb
import pandas as pd

from features.errors import RenewalError
from features.identity.customer_records import COMPARED

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
_CERTAIN = (("name_core", "web"), ("name_core", "phone_end"), ("web", "phone_end"))
"""Two that agree on these are one customer; about half of all such pairs are taken to agree so."""
_ADDRESS = ("street_core", "postal_core", "city_core", "country_core")


def pair_probabilities(records: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Probability that two records are one customer, for every pair that agrees on anything telling.

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
    with duckdb.connect() as connection:
        api = DuckDBAPI(connection)
        frame = api.register(_compared(records))
        linker = Linker(frame, _settings(records), log_level=logging.ERROR)
        certain: list[Any] = [block_on(*rule) for rule in _CERTAIN if _agree(records, rule)]
        if certain:
            linker.training.estimate_probability_two_random_records_match(certain, recall=0.5)
        linker.training.estimate_u_using_random_sampling(max_pairs=_RANDOM_PAIRS, seed=seed)
        for rule in (("web",), ("name_core",), ("phone_end",)):
            if _agree(records, rule):
                linker.training.estimate_parameters_using_expectation_maximisation(
                    block_on(*rule), record_sample_proportion=1.0
                )
        pairs = linker.inference.predict().as_pandas_dataframe()
    return _in_order(pairs)


def _compared(records: pd.DataFrame) -> pd.DataFrame:
    columns = {name: records[name].astype("string") for name in COMPARED}
    return pd.DataFrame({"unique_id": records["record"].astype("string"), **columns})


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
        blocking_rules_to_generate_predictions=[block_on(*rule) for rule in _RULES],
        comparisons=comparisons,
        retain_matching_columns=False,
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


def _in_order(pairs: pd.DataFrame) -> pd.DataFrame:
    ids = pairs[["unique_id_l", "unique_id_r"]]
    ordered = pd.DataFrame(
        {"left": ids.min(axis=1), "right": ids.max(axis=1), "probability": pairs["match_probability"]}
    )
    order = ["probability", "left", "right"]
    return ordered.sort_values(order, ascending=[False, True, True], ignore_index=True)
