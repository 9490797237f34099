"""Who is in the market, and who is not reached by campaigns, the target account list and surveys, by segment.

The market is what `population` counts (free figures of the census, or any other). Segments are never used to
choose: they are looked at in sums, and groups under 30 accounts are hidden.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from features.crm.crm import Crm
from features.errors import RenewalError
from features.sources.area_segments import CAVEAT, COLUMNS, area_segments
from monitoring.contact_costs import ContactCost, contact_costs, touched_accounts
from monitoring.journey import account_segments
from monitoring.qualification import columns_of, usable
from training.fairness.group_metrics import FOUR_FIFTHS, interval
from training.icp.study import Study
from training.icp.target_list import from_crm, listed_of, order_of
from training.metrics import holm

CHANNELS = ("campaigns", "list", "surveys")
LEAST_ACCOUNTS = 30
LEVEL = 0.90
ALPHA = 0.01
"""Of all segments and channels together."""

_FIGURES = (
    "accounts", "reached", "rate", "low", "high", "share", "share_low", "share_high", "ratio", "unreached",
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """A segment in a channel.

    Attributes:
        attribute, value, channel: which.
        weight: (n,) the share of each account of which the attribute is known that is of the segment.
        is_reached: (n,) bool.
        people: counted in the market; NaN where it is not.
        market: their share of it; NaN where it is not.
    """

    attribute: str
    value: str
    channel: str
    weight: np.ndarray
    is_reached: np.ndarray
    people: float
    market: float

    @property
    def accounts(self) -> float:
        """How many accounts the segment has, sums of shares."""
        return float(self.weight.sum())

    @property
    def reached(self) -> float:
        """How many of them the channel reaches."""
        return float(self.weight[self.is_reached].sum())

    @property
    def share(self) -> float:
        """The segment's share of everybody reached."""
        return self.reached / max(int(self.is_reached.sum()), 1)

    @property
    def expected(self) -> float:
        """The share it would have if all were reached alike: the market's, else that among the accounts."""
        return self.market if np.isfinite(self.market) else self.accounts / max(len(self.weight), 1)

    @property
    def error(self) -> float:
        """Standard error of the share if it were the expected one; areas' shares spread less than 0 and 1."""
        n = int(self.is_reached.sum())
        if n == 0:
            return float("inf")
        p = self.accounts / max(len(self.weight), 1)
        spread = float(self.weight.std()) / np.sqrt(p * (1 - p)) if 0 < p < 1 else 1.0
        left = 1.0 if np.isfinite(self.market) else 1 - n / len(self.weight)  # drawn from these very accounts
        return float(spread * np.sqrt(self.expected * (1 - self.expected) * max(left, 0.0) / n))


def reach_of(crm: Crm, study: Study) -> dict[str, Any]:
    """What `market_reach` returns for the list that a study makes; `columns` that a rule may use,
    `taken_out` (column → why it may not) and `standing` (those of them found to give a segment away).

    Args:
        crm: the CRM.
        study: of this CRM (`training.icp.study.study`).
    """
    may = from_crm(crm, study.observed.today, study.fit.attributes)
    listed = may.who["account_id"][listed_of(order_of(study.fit, may), may)]
    columns = usable(crm)
    reached = market_reach(crm, set(listed.dropna()))
    rules = {
        "columns": columns_of(columns),
        "taken_out": columns.taken_out,
        "standing": list(columns.standing),
    }
    return {**reached, **rules}


def market_reach(crm: Crm, listed: Collection[str]) -> dict[str, Any]:
    """Each segment in each channel, beside the market.

    Args:
        crm: with `segments`, or `population` by area and accounts with a postcode or county; touches,
            campaigns and surveys where there are such.
        listed: the accounts that the target account list names.

    Returns:
        `rows`: attribute, value, channel, people and market (share) of `population`, accounts, reached, rate
        (reached of accounts, with low and high, 90 %), share (of all reached, with share_low, share_high),
        ratio (share to the market's, or to that among accounts: `against`), verdict, why, unreached,
        missing (accounts more to have the market's share, at least), cost_each, cost_unreached, cost_missing.
        `channels` → accounts reached, None where not recorded; `contact_cost` of everybody; `guarded`
        (attributes that not every role may see), `currency`, `notes`.
    """
    segments, guarded, notes = _segments(crm)
    listed_accounts = set(listed)
    channels = {
        "campaigns": touched_accounts(crm),
        "list": listed_accounts or None,
        "surveys": _of(crm, "surveys"),
    }
    market = _market(crm)
    cells = _cells(segments, channels, market)
    costs = contact_costs(crm, segments)
    everybody = costs.get(None)
    p = holm([_p_under(cell) for cell in cells])
    rows = [
        _row(cell, float(p_under), costs.get((cell.attribute, cell.value)) or everybody)
        for cell, p_under in zip(cells, p, strict=True)
    ]
    if not market:
        notes.append("the market is not known: write it with `perennial population census`")
    if everybody is None:
        notes.append(
            "what it costs to reach them is not known: no campaign with a cost has touched an account"
        )
    notes += [f"{name} reach nobody on record" for name, ids in channels.items() if ids is None]
    return {
        "rows": rows,
        "channels": {name: None if ids is None else len(ids) for name, ids in channels.items()},
        "contact_cost": None if everybody is None else everybody.as_dict(),
        "guarded": guarded,
        "currency": crm.quality.currency,
        "notes": notes,
    }


def _segments(crm: Crm) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Segments of accounts, shares of their areas where the CRM knows no better; the guarded; notes."""
    segments, _ = account_segments(crm)
    plain = {name for name in segments["attribute"].unique() if crm.has("accounts", str(name))}
    notes: list[str] = []
    for by in ("postcode", "county"):
        if not crm.has("population", "area") or not any(crm.has("accounts", name) for name in COLUMNS[by]):
            continue
        try:
            joined = area_segments(crm, by)
        except RenewalError:  # areas of another kind, or none of these accounts
            continue
        placed = pd.DataFrame(joined.rows, columns=["account_id", "attribute", "value", "share", "source"])
        others = segments[segments["attribute"].isin(plain - set(placed["attribute"]))]
        placed = placed.assign(share=placed["share"].astype(float).fillna(1.0))
        segments = pd.concat([placed[list(segments.columns)], others], ignore_index=True)
        notes.append(CAVEAT)
        break
    guarded = sorted(map(str, set(segments["attribute"]) - plain))
    return segments.astype({"attribute": str, "value": str}), guarded, notes


def _of(crm: Crm, table: str) -> set[str] | None:
    if not crm.has(table, "account_id"):
        return None
    return set(crm.frame(table, ["account_id"])["account_id"].dropna()) or None


def _market(crm: Crm) -> dict[tuple[str, str], tuple[float, float]]:
    """(attribute, value) → people, and their share of the attribute's."""
    if not crm.has("population", "attribute", "value", "people"):
        return {}
    rows = crm.frame("population", ["attribute", "value", "people"]).dropna()
    people = rows["people"].astype(float).groupby([rows["attribute"], rows["value"]]).sum()
    total = people.groupby(level=0).transform("sum")
    return {
        (str(attribute), str(value)): (float(count), float(count / all_of))
        for (attribute, value), count, all_of in zip(people.index, people, total, strict=True)
        if all_of > 0
    }


def _cells(
    segments: pd.DataFrame,
    channels: dict[str, set[str] | None],
    market: dict[tuple[str, str], tuple[float, float]],
) -> list[Cell]:
    cells = []
    for attribute, part in segments.groupby("attribute", sort=True):
        shares = part.pivot_table(
            index="account_id", columns="value", values="share", aggfunc="sum", fill_value=0.0, observed=True
        )
        counted = {value for name, value in market if name == attribute}
        for value in sorted({*map(str, shares.columns), *counted}):
            weight = shares[value].to_numpy(float) if value in shares else np.zeros(len(shares))
            people, of_market = market.get((str(attribute), value), (np.nan, 0.0 if counted else np.nan))
            for channel, ids in channels.items():
                if ids is not None:
                    is_reached = shares.index.isin(ids)
                    cells.append(Cell(str(attribute), value, channel, weight, is_reached, people, of_market))
    return cells


def _p_under(cell: Cell) -> float:
    """Of so few of the segment among those reached, were everybody reached alike."""
    error = cell.error
    if not (np.isfinite(error) and error > 0) or cell.is_reached.sum() < LEAST_ACCOUNTS:
        return 1.0
    return float(norm.cdf((cell.share - cell.expected) / error))


def _row(cell: Cell, p: float, cost: ContactCost | None) -> dict[str, Any]:
    has_market, is_hidden = bool(np.isfinite(cell.people)), cell.accounts < LEAST_ACCOUNTS
    verdict, why = _verdict(cell, p)
    each = None if cost is None or cell.channel == "surveys" else cost.cost_each
    missing = _missing(cell) if has_market else None
    unreached = None if is_hidden else cell.accounts - cell.reached
    return {
        "attribute": cell.attribute,
        "value": cell.value,
        "channel": cell.channel,
        "people": cell.people if has_market else None,
        "market": cell.market if has_market else None,
        "against": "the market" if has_market else "the CRM's accounts",
        **(dict.fromkeys(_FIGURES) if is_hidden else _figures(cell)),
        "verdict": verdict,
        "why": why,
        "missing": missing,
        "cost_each": each,
        "cost_unreached": None if each is None or unreached is None else each * unreached,
        "cost_missing": None if each is None or missing is None else each * missing,
    }


def _figures(cell: Cell) -> dict[str, float | None]:
    n, reached = cell.accounts, int(cell.is_reached.sum())
    rate = cell.reached / n
    low, high = interval(min(rate, 1.0), 0.0, n**2 / float((cell.weight**2).sum()), True, LEVEL)
    share_low, share_high = interval(min(cell.share, 1.0), 0.0, max(reached, 1), True, LEVEL)
    return {
        "accounts": n,
        "reached": cell.reached,
        "rate": rate,
        "low": low,
        "high": high,
        "share": cell.share if reached else None,
        "share_low": share_low if reached else None,
        "share_high": share_high if reached else None,
        "ratio": cell.share / cell.expected if reached and cell.expected > 0 else None,
        "unreached": n - cell.reached,
    }


def _missing(cell: Cell) -> float:
    """Accounts of the segment to be reached besides, till its share is the market's; of a hidden group at
    least so many."""
    reached = cell.reached if cell.accounts >= LEAST_ACCOUNTS else min(LEAST_ACCOUNTS, cell.is_reached.sum())
    if cell.market >= 1:
        return 0.0
    return max((cell.market * float(cell.is_reached.sum()) - reached) / (1 - cell.market), 0.0)


def _verdict(cell: Cell, p: float) -> tuple[str, str]:
    """Alert: under four fifths of the expected share, and surely; ok: not under it, and surely."""
    reached, expected, error = int(cell.is_reached.sum()), cell.expected, cell.error
    if reached < LEAST_ACCOUNTS:
        return "unknown", f"fewer than {LEAST_ACCOUNTS} accounts are reached of which it is known"
    if not expected > 0:
        return "unknown", "the market counts nobody of it"
    beside = "of the market" if np.isfinite(cell.market) else "of the accounts in the CRM"
    is_hidden = cell.accounts < LEAST_ACCOUNTS
    if is_hidden and not np.isfinite(cell.market):
        return "unknown", f"fewer than {LEAST_ACCOUNTS} accounts: figures are not shown"
    mine = f"fewer than {LEAST_ACCOUNTS} accounts" if is_hidden else f"{cell.share:.1%} of those reached"
    text = f"{mine}, {expected:.1%} {beside}"
    if cell.share < FOUR_FIFTHS * expected:
        return ("alert", text) if p <= ALPHA else ("unknown", f"{text}, but chance alone could do so")
    if cell.share - norm.ppf((1 + LEVEL) / 2) * error < FOUR_FIFTHS * expected:
        return "unknown", f"{text}; with so few it may be a gap"
    return "ok", text
