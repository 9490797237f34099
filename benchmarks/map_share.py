"""The share of a mapping that `perennial map` drafts by itself, against the mappings in examples/mappings.

    python -m benchmarks.map_share [--data ../shared/data]

A line of a shipped mapping is right in the draft where the same column of the contract is taken from the
same column of the files (from one of them, where the shipped line reads several). It is missing where the
draft has no such line, and wrong where it takes another column. Lines that only the draft has are counted
apart. Columns that are carried are not judged.

The names behind the draft (features/mapping_draft/*.yaml) were written with these sets at hand: the share
says what the draft knows of them, not how it does on the next.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import duckdb

from features.crm.columns_match import bare_name
from features.crm.contract import TABLES
from features.errors import RenewalError
from features.mapping_draft.folder_draft import map_folder
from features.sources.mapping import read_mapping

MAPPINGS = Path(__file__).parents[1] / "examples" / "mappings"
SETS = {
    "zoho_crm": "zoho_crm",
    "olist_funnel": "olist_funnel",
    "skylark_deals": "skylark_deals",
    "x_education": "x_education",
    "maven_crm": "maven_crm",
    "ravenstack": "ravenstack",
    "dbt_salesforce_seeds": "salesforce",
    "dbt_hubspot_seeds": "hubspot",
}
"""Real data set → its shipped mapping."""


def shipped_lines(select: str, table: str) -> dict[str, set[str]]:
    """Column of the contract → the file columns that the shipped SELECT reads for it, in plain names."""
    with duckdb.connect() as connection:
        ((text,),) = connection.execute("SELECT json_serialize_sql(?)", [select]).fetchall()
    tree = json.loads(text)["statements"][0]["node"]
    inner: dict[str, set[str]] = {}
    _collect(tree, inner)
    lines = {}
    for item in _top(tree):
        name = item.get("alias") or (item.get("column_names") or [""])[-1]
        if name in TABLES[table].by_name:
            lines[name] = {bare_name(each) for each in _resolved(_columns(item), inner, set())}
    return lines


def _top(node: dict[str, Any]) -> list[dict[str, Any]]:
    """The select list of a statement, the first one of a union."""
    return node["select_list"] if "select_list" in node else _top(node["left"])


def _columns(node: Any) -> set[str]:
    """Names of the columns that an expression reads; subqueries in it aside."""
    if isinstance(node, dict):
        if node.get("class") == "COLUMN_REF":
            return {node["column_names"][-1]}
        if node.get("class") == "SUBQUERY":
            return _columns(node.get("child"))
        return set().union(*(_columns(value) for value in node.values()), set())
    if isinstance(node, list):
        return set().union(*(_columns(each) for each in node), set())
    return set()


def _collect(node: Any, inner: dict[str, set[str]]) -> None:
    """Every aliased expression below a statement: what inner SELECTs call their columns."""
    if isinstance(node, dict):
        for item in node.get("select_list") or []:
            if isinstance(item, dict) and item.get("alias"):
                inner.setdefault(item["alias"], set()).update(_columns(item))
        for value in node.values():
            _collect(value, inner)
    elif isinstance(node, list):
        for each in node:
            _collect(each, inner)


def _resolved(names: set[str], inner: dict[str, set[str]], passed: set[str]) -> set[str]:
    """The names with inner aliases replaced by what they read."""
    names_read = set()
    for name in names:
        if name in inner and name not in passed:
            names_read |= {name} | _resolved(inner[name], inner, passed | {name})
        else:
            names_read.add(name)
    return names_read


def judged(data: Path, mapping: Path) -> dict[str, Any]:
    """The draft of a folder against its shipped mapping."""
    shipped = {
        (table, column): sources
        for table, select in read_mapping(mapping).items()
        for column, sources in shipped_lines(select, table).items()
    }
    for table, column in list(shipped):
        key = shipped.get((table, str(TABLES[table].key)))
        if (
            column == "account_id"
            and table in ("opportunities", "contracts")
            and shipped[table, column] == key
        ):
            del shipped[table, column]  # an account of its own: what a row without an account is anyway
    drafted: dict[tuple[str, str], set[str]] = {}
    with tempfile.TemporaryDirectory() as work:
        try:
            lines = map_folder(data, Path(work) / "mapping.yaml")["lines"]
        except RenewalError:
            lines = []
    for line in lines:
        sources = {bare_name(each.rpartition(".")[2]) for each in line["from"]}
        drafted.setdefault((line["table"], line["column"]), set()).update(sources)
    right = [at for at, sources in shipped.items() if _same(sources, drafted.get(at))]
    missing = [at for at in shipped if at not in drafted]
    wrong = [at for at in shipped if at in drafted and at not in right]
    return {"lines": len(shipped), "right": right, "missing": missing, "wrong": wrong,
            "only_drafted": [at for at in drafted if at not in shipped]}  # fmt: skip


def _same(shipped: set[str], drafted: set[str] | None) -> bool:
    if drafted is None:
        return False
    return bool(shipped & drafted) or (not shipped and not drafted)


def main() -> None:
    """Print a row for each set, and what is missing or wrong in it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    arguments = parser.parse_args()
    print(
        f"{'set':<22} {'lines':>5} {'right':>5} {'wrong':>5} {'missing':>7} {'share':>6} {'only drafted':>12}"
    )
    total = right = 0
    for name, mapping in SETS.items():
        if not (arguments.data / name).is_dir():
            print(f"{name:<22} not there")
            continue
        result = judged(arguments.data / name, MAPPINGS / f"{mapping}.yaml")
        total, right = total + result["lines"], right + len(result["right"])
        share = len(result["right"]) / result["lines"]
        print(
            f"{name:<22} {result['lines']:>5} {len(result['right']):>5} {len(result['wrong']):>5}"
            f" {len(result['missing']):>7} {share:>6.0%} {len(result['only_drafted']):>12}"
        )
        for word in ("wrong", "missing"):
            if result[word]:
                print(f"    {word}: {', '.join('.'.join(at) for at in result[word])}")
    if total:
        print(f"{'all':<22} {total:>5} {right:>5} {'':>5} {'':>7} {right / total:>6.0%}")


if __name__ == "__main__":
    main()
