"""Renewal money by month: what was kept, what is expected to be kept, and how sure that is.

Gross retention of a month is the annual value kept of what was due for renewal in it. Net retention adds
expansion money won in that month (in the past) or expected to be (deals of kind
`expansion` that are open now).

The expected value is exact: decided money, plus the sum of amount × probability. The 90 % interval comes from
simulated outcomes of all contracts together: in each draw the probabilities move together, within their
own 90 % intervals on the log-odds scale (what calibration does not know), and then each customer renews or
not (a Poisson-binomial sum weighted by money). Contracts of one customer share their luck. Moving together
and sharing luck make the interval rather too wide than too narrow.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from features.crm.crm import Crm
from features.owners import owners_of
from features.snapshots import snapshots_for
from monitoring.store import Store
from training.metrics import to_logit

MONTHS_BACK = 18
MOST_BEFORE = 5_000
DRAWS = 2_000
"""Fewer for tens of thousands of contracts, whose luck evens out; their common move is spread evenly."""

Z_OF_LIMIT = 1.6449
"""The limits of a 90 % interval lie so many standard deviations from the middle."""

_CELLS_AT_ONCE = 2_000_000
_MOST_CELLS = 2_500_000
_FEWEST_DRAWS = 150


def history(crm: Crm) -> dict[str, Any]:
    """What the CRM records of retention up to now.

    Returns:
        `until`; `past` (month, owner_id, region: contracts, up, kept, undecided, expansion; money in units)
        of the last 18 months before the present one; `decided` (a row each contract that ends in the present
        month or later and is decided already); `closes` (open expansion deal → the day it is expected to
        close); `has_expansion`.
    """
    result = {"until": crm.until.isoformat(), "past": [], "decided": [], "closes": {}, "has_expansion": False}
    if not crm.has("contracts", "contract_id") or not crm.dated("renewal"):
        return result
    contracts = _contracts(crm)
    present = crm.until.to_period("M")
    past = contracts[(contracts["month"] < present) & (contracts["month"] >= present - MONTHS_BACK)]
    parts = [_kept(past)]
    expansion = _expansion(crm)
    if expansion is not None:
        result["has_expansion"] = True
        won = expansion[expansion["is_won"] == 1].rename(columns={"amount": "expansion"})
        won = won[(won["month"] < present) & (won["month"] >= present - MONTHS_BACK)]
        parts.append(won[["month", "owner_id", "region", "expansion"]])
        result["closes"] = _closes(crm, expansion[expansion["is_won"].isna()])
    summed = pd.concat(parts).groupby(["month", "owner_id", "region"], dropna=False).sum().reset_index()
    coming = contracts[(contracts["month"] >= present) & contracts["label"].notna()]
    names = ["contract_id", "owner_id", "region", "month", "amount", "label"]
    result["past"] = _plain(summed)
    result["decided"] = _plain(coming[names].rename(columns={"label": "renewed"}))
    return result


def said_before(crm: Crm, store: Store) -> list[dict[str, Any]]:
    """The first dated score of each contract that has ended and matured since, with what became of it.

    Contracts decided early but not matured are left out: early decisions lean to one side.

    Returns:
        At most 5,000 rows, the newest: `account_id`, `owner_id`, `region`, `amount` (units), `probability`,
        `low`, `high`, `renewed` (0/1), `month` of the end.
    """
    if not crm.has("contracts", "contract_id") or not crm.dated("renewal"):
        return []
    log = store.predictions.read("renewal")
    first = log[log["as_of"].notna()].sort_values("as_of", kind="stable").drop_duplicates("subject_id")
    every = snapshots_for(crm, "renewal", crm.frame("contracts", ["contract_id"]))
    over = every[every["label"].notna() & (every["matured_at"] <= crm.until)].set_index("subject_id")
    rows = first[first["subject_id"].isin(over.index) & first["amount"].notna()]
    ends = rows["subject_id"].map(over["ends_at"])
    rows = rows.assign(renewed=rows["subject_id"].map(over["label"]), month=ends.dt.to_period("M"))
    names = ["account_id", "owner_id", "region", "amount", "probability", "low", "high", "renewed", "month"]
    newest = rows.sort_values("month", kind="stable").tail(MOST_BEFORE)[names]
    return _plain(newest.astype({"owner_id": object, "region": object}))


def _contracts(crm: Crm) -> pd.DataFrame:
    """Every contract as it stands at the end of the data: outcome, amount in units, month of its end."""
    every = snapshots_for(crm, "renewal", crm.frame("contracts", ["contract_id"]))
    every = every[every["ends_at"].notna()]
    amount = every["amount"].astype("Float64").to_numpy(float, na_value=0.0) / 100
    owner = owners_of(crm, "renewal", every["subject_id"])
    month = every["ends_at"].dt.to_period("M")
    return _placed(crm, every.assign(amount=amount, month=month, owner_id=owner))


def _placed(crm: Crm, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with their account's region, and owner and region as plain text (empty: none)."""
    region = pd.Series("", rows.index)
    if crm.has("accounts", "region"):
        of_account = crm.frame("accounts", ["account_id", "region"]).drop_duplicates("account_id")
        region = rows["account_id"].map(of_account.set_index("account_id")["region"])
    plain = {"owner_id": rows["owner_id"].astype("string").fillna("").astype(object)}
    return rows.assign(**plain, region=region.astype("string").fillna("").astype(object).to_numpy())


def _kept(contracts: pd.DataFrame) -> pd.DataFrame:
    is_decided = contracts["label"].notna()
    amount = contracts["amount"].where(is_decided, 0.0)
    return contracts[["month", "owner_id", "region"]].assign(
        contracts=is_decided.astype(int),
        undecided=(~is_decided).astype(int),
        up=amount,
        kept=amount * contracts["label"].fillna(0.0),
    )


def _expansion(crm: Crm) -> pd.DataFrame | None:
    """Expansion deals with their month of closing and amount in units; None: the CRM has none."""
    columns = ("opportunity_id", "account_id", "kind", "amount", "is_won", "closed_at")
    if not crm.has("opportunities", *columns):
        return None
    deals = crm.frame("opportunities", list(columns))
    deals = deals.assign(owner_id=owners_of(crm, "win", deals["opportunity_id"]))
    deals = deals[deals["kind"].astype("string").str.lower() == "expansion"]
    if deals.empty:
        return None
    amount = deals["amount"].astype("Float64").to_numpy(float, na_value=0.0) / 100
    won = deals["is_won"].astype("Float64").to_numpy(float, na_value=np.nan)
    return _placed(crm, deals.assign(amount=amount, is_won=won, month=deals["closed_at"].dt.to_period("M")))


def _closes(crm: Crm, deals: pd.DataFrame) -> dict[str, str]:
    if not crm.has("stage_history", "expected_close_date"):
        return {}
    stages = crm.frame("stage_history", ["opportunity_id", "changed_at", "expected_close_date"]).dropna()
    stages = stages[stages["opportunity_id"].isin(deals["opportunity_id"])].sort_values(
        "changed_at", kind="stable"
    )
    newest = stages.drop_duplicates("opportunity_id", keep="last")
    days = newest["expected_close_date"].dt.strftime("%Y-%m-%d")
    return dict(zip(newest["opportunity_id"].astype(str), days, strict=True))


def _plain(rows: pd.DataFrame) -> list[dict[str, Any]]:
    numbers = rows.select_dtypes("number").columns
    shown = rows.assign(month=rows["month"].astype(str)).fillna(dict.fromkeys(numbers, 0.0))
    return [{str(name): value for name, value in row.items()} for row in shown.to_dict("records")]


def outlook(
    renewals: pd.DataFrame,
    decided: pd.DataFrame,
    expansions: pd.DataFrame | None,
    by: str = "month",
    seed: int = 0,
) -> list[dict[str, Any]]:
    """The money that is due for renewal by month (or owner), what is expected of it, and the 90 % interval.

    Args:
        renewals: undecided contracts: `by`, `account_id`, `amount` (units), `probability`, `low`, `high`,
            `own` (the owner's own estimate, NaN: none given).
        decided: contracts decided already: `by`, `amount`, `renewed` (0/1).
        expansions: open expansion deals as `renewals`; None: the data have none, so there is no net figure.
        by: `month` (periods) or another column all three have.
        seed: of the simulated outcomes.

    Returns:
        A row each group and one for `all`: `contracts`, `up`, `decided`, `expected`, `low`, `high`, `gross`,
        `gross_low`, `gross_high`; `expansion`, `net`, `net_low`, `net_high` (None without expansions); `own`
        (money the owners expect), `own_of` (the value of the contracts they forecast) and `model_same`
        (what the model expects of those).
    """
    groups = sorted({*renewals[by], *decided[by]})
    place = {group: at for at, group in enumerate(groups)}
    draws = int(np.clip(_MOST_CELLS // max(len(renewals), 1), _FEWEST_DRAWS, DRAWS))
    kept_money = _simulated(renewals, by, place, np.random.default_rng(seed), draws)
    kept_money += _summed(decided, by, place, decided["amount"] * decided["renewed"])
    more = None
    if expansions is not None:
        inside = expansions[expansions[by].isin(groups)]
        more = _simulated(inside, by, place, np.random.default_rng(seed + 1), draws)
        added = _summed(inside, by, place, inside["amount"] * inside["probability"])
    figures = _exact(renewals, decided, by, place)
    rows = []
    for at, group in enumerate([*groups, "all"]):
        one = slice(None) if group == "all" else slice(at, at + 1)
        row = {name: float(values[one].sum()) for name, values in figures.items()}
        row |= {"low": _limit(kept_money, one, 0.05), "high": _limit(kept_money, one, 0.95)}
        if more is not None:
            row |= {"expansion": float(added[one].sum())}
            row |= {
                "net_money_low": _limit(kept_money + more, one, 0.05),
                "net_money_high": _limit(kept_money + more, one, 0.95),
            }
        rows.append({by: group, **_rates(row)})
    return rows


def _simulated(
    rows: pd.DataFrame, by: str, place: dict[Any, int], rng: np.random.Generator, draws: int
) -> np.ndarray:
    """(draws, groups) money that simulated outcomes bring."""
    out = np.zeros((draws, len(place)))
    if rows.empty:
        return out
    code = rows[by].map(place).to_numpy(int)
    rows, code = rows.iloc[order := np.argsort(code, kind="stable")], code[order]
    present, first = np.unique(code, return_index=True)
    customer = pd.factorize(rows["account_id"])[0]
    amount = rows["amount"].to_numpy(float)
    middle, low, high = (to_logit(rows[name].to_numpy(float)) for name in ("probability", "low", "high"))
    # Single precision is enough for draws; a probability is (1 + tanh(half its log-odds)) / 2.
    middle, up, down = (
        (half / 2).astype(np.float32)
        for half in (middle, (high - middle) / Z_OF_LIMIT, (middle - low) / Z_OF_LIMIT)
    )
    moves = rng.permutation(norm.ppf((np.arange(draws) + 0.5) / draws)).astype(np.float32)
    at_once = max(_CELLS_AT_ONCE // len(rows), 1)
    for start in range(0, draws, at_once):
        z = moves[start : start + at_once, None]
        twice_less_one = np.tanh(middle + np.where(z > 0, z * up, z * down))
        luck = 2 * rng.random((len(z), customer.max() + 1), np.float32)[:, customer] - 1
        kept_money = (luck < twice_less_one) * amount
        out[start : start + at_once, present] = np.add.reduceat(kept_money, first, axis=1)
    return out


def _summed(rows: pd.DataFrame, by: str, place: dict[Any, int], money: pd.Series) -> np.ndarray:
    """(groups,) money summed."""
    if rows.empty:
        return np.zeros(len(place))
    return np.bincount(rows[by].map(place).to_numpy(int), money.to_numpy(float), minlength=len(place))


def _exact(
    renewals: pd.DataFrame, decided: pd.DataFrame, by: str, place: dict[Any, int]
) -> dict[str, np.ndarray]:
    """(groups,) each: counts and money that need no simulation."""
    stated = renewals[renewals["own"].notna()]
    decided_money = _summed(decided, by, place, decided["amount"] * decided["renewed"])
    expected = _summed(renewals, by, place, renewals["amount"] * renewals["probability"])
    return {
        "contracts": _summed(renewals, by, place, pd.Series(1.0, renewals.index))
        + _summed(decided, by, place, pd.Series(1.0, decided.index)),
        "up": _summed(renewals, by, place, renewals["amount"])
        + _summed(decided, by, place, decided["amount"]),
        "decided": decided_money,
        "expected": decided_money + expected,
        "own": _summed(stated, by, place, stated["amount"] * stated["own"]),
        "own_of": _summed(stated, by, place, stated["amount"]),
        "model_same": _summed(stated, by, place, stated["amount"] * stated["probability"]),
    }


def _limit(money: np.ndarray, groups: slice, share: float) -> float:
    return float(np.quantile(money[:, groups].sum(axis=1), share))


def _rates(row: dict[str, float]) -> dict[str, Any]:
    """The row with money as shares of what is up; None where nothing is."""
    up = row["up"]

    def share(money: float | None) -> float | None:
        return None if money is None or up <= 0 else money / up

    net = row["expected"] + row["expansion"] if "expansion" in row else None
    return {
        **row,
        "contracts": int(row["contracts"]),
        "expansion": row.get("expansion"),
        "gross": share(row["expected"]),
        "gross_low": share(row["low"]),
        "gross_high": share(row["high"]),
        "net": share(net),
        "net_low": share(row.pop("net_money_low", None)),
        "net_high": share(row.pop("net_money_high", None)),
        "own_share": None if row["own_of"] <= 0 else row["own"] / row["own_of"],
        "model_share": None if row["own_of"] <= 0 else row["model_same"] / row["own_of"],
    }
