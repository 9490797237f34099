"""Who is there: owners, accounts, contacts, segments, the population and the campaigns."""

from dataclasses import dataclass

import numpy as np

from features.simulation.csv_tables import Frame, ids, moments
from features.simulation.planted import DAY, INDUSTRIES, REGIONS, TIERS, Options

COUNTRIES = ("US", "GB", "DE")
SENIORITIES = ("executive", "director", "manager", "specialist")
CHANNELS = ("email", "webinar", "event", "social")
PEOPLE = {"women": 0.38, "men": 0.62}


@dataclass(frozen=True)
class People:
    """Accounts and owners as arrays; every array of accounts has shape (accounts,)."""

    industry: np.ndarray
    region: np.ndarray
    tier: np.ndarray
    employees: np.ndarray
    owner: np.ndarray
    created_day: np.ndarray
    is_customer: np.ndarray
    in_icp: np.ndarray
    led_by_women: np.ndarray
    owner_skill: np.ndarray
    owner_bias: np.ndarray
    owner_discount: np.ndarray

    @property
    def size(self) -> np.ndarray:
        """Log size, 0 for a company of about 150, one unit a factor of 2.7."""
        return np.log(self.employees / 150.0)


def people(options: Options) -> People:
    """Draw the accounts and their owners."""
    rng = options.rng(1)
    n, owners = options.accounts, max(4, options.accounts // 60)
    region = rng.choice(4, n, p=[0.3, 0.25, 0.2, 0.25])
    industry = rng.choice(6, n, p=[0.24, 0.16, 0.18, 0.16, 0.14, 0.12])
    employees = np.maximum(3, np.exp(rng.normal(5.0, 1.3, n))).astype(np.int64)
    tier = np.digitize(np.log(employees) + rng.normal(0, 0.8, n), [4.6, 6.2])
    owner_region = np.arange(owners) % 4
    owner = rng.integers(0, max(1, owners // 4), n) * 4 + region
    women = rng.random(n) < np.array([0.30, 0.36, 0.52, 0.36])[region]
    span = options.until_day - options.first_day
    return People(
        industry=industry,
        region=region,
        tier=tier,
        employees=employees,
        owner=np.where(owner < owners, owner, owner_region[region]),
        created_day=options.first_day - rng.integers(30, 900, n),
        is_customer=rng.random(n) < (0.45 if span > 700 else 0.6),
        in_icp=(industry == 0) & (employees >= 50) & (employees < 1000) & np.isin(region, (0, 3)),
        led_by_women=women,
        owner_skill=rng.normal(0, 0.35, owners),
        owner_bias=rng.normal(0.4, 0.4, owners),
        owner_discount=rng.normal(0, 0.03, owners),
    )


def account_frames(who: People, options: Options) -> dict[str, Frame]:
    """The tables accounts, owners, contacts, segments and population."""
    rng = options.rng(2)
    n = options.accounts
    keys = ids("A", np.arange(n))
    revenue = who.employees * rng.lognormal(11.5, 0.5, n)
    parent = np.where(
        (rng.random(n) < 0.04) & (np.arange(n) > 0), rng.integers(0, np.maximum(1, np.arange(n))), -1
    )
    accounts: Frame = {
        "account_id": keys,
        "created_at": moments(who.created_day, rng),
        "name": np.char.add("Company ", np.arange(n).astype(str)),
        "domain": np.char.add(np.char.add("company", np.arange(n).astype(str)), ".example"),
        "industry": np.array(INDUSTRIES)[who.industry],
        "country": np.array(COUNTRIES)[rng.choice(3, n, p=[0.6, 0.25, 0.15])],
        "region": np.array(REGIONS)[who.region],
        "postal_code": np.char.add(
            "P", (who.region * 100 + rng.integers(0, 25, n) + 25 * who.led_by_women).astype(str)
        ),
        "employees": who.employees,
        "annual_revenue": np.where(rng.random(n) < 0.08, np.nan, np.round(revenue, -3)),
        "owner_id": ids("U", who.owner, 3),
        "parent_account_id": np.where(parent >= 0, ids("A", np.maximum(parent, 0)), ""),
        "tier": np.array(TIERS)[who.tier],
        "record_theme": np.array(("blue", "green", "grey"))[rng.integers(0, 3, n)],
    }
    return {
        "accounts": accounts,
        "owners": _owners(who),
        "contacts": _contacts(who, options, keys),
        **_segments(who, rng, keys),
    }


def _owners(who: People) -> Frame:
    owners = np.arange(who.owner_skill.size)
    return {
        "owner_id": ids("U", owners, 3),
        "name": np.char.add("Owner ", owners.astype(str)),
        "region": np.array(REGIONS)[owners % 4],
        "manager_id": np.where(owners < 4, "", ids("U", owners % 4, 3)),
    }


def _contacts(who: People, options: Options, keys: np.ndarray) -> Frame:
    rng = options.rng(3)
    account = np.repeat(np.arange(options.accounts), 2)
    n = account.size
    names = np.arange(n).astype(str)
    return {
        "contact_id": ids("P", np.arange(n)),
        "account_id": keys[account],
        "email": np.char.add(np.char.add("person", names), "@mail.example"),
        "seniority": np.array(SENIORITIES)[rng.choice(4, n, p=[0.15, 0.25, 0.35, 0.25])],
        "created_at": moments(who.created_day[account] + rng.integers(0, 20, n), rng),
        "opted_out": rng.random(n) < 0.07,
    }


def _segments(who: People, rng: np.random.Generator, keys: np.ndarray) -> dict[str, Frame]:
    n = keys.size
    veteran = rng.random(n) < 0.09
    segments: Frame = {
        "account_id": np.concatenate([keys, keys]),
        "attribute": np.repeat(["leadership", "veteran_owned"], n),
        "value": np.concatenate([np.where(who.led_by_women, "women", "men"), np.where(veteran, "yes", "no")]),
        "share": np.ones(2 * n),
        "source": np.repeat(["survey of owners"], 2 * n),
    }
    population: Frame = {
        "attribute": np.array(["leadership"] * 2 + ["veteran_owned"] * 2 + ["region"] * 4),
        "value": np.array(["women", "men", "yes", "no", *REGIONS]),
        "people": np.array([38_000, 62_000, 9_000, 91_000, 30_000, 25_000, 20_000, 25_000]),
        "area": np.repeat(["all"], 8),
    }
    return {"segments": segments, "population": population}


def owner_history(who: People, keys: np.ndarray, created_at: np.ndarray, options: Options) -> Frame:
    """Accounts that changed hands: who looked after them first, and from when on today's owner does."""
    rng = options.rng(5)
    row = np.flatnonzero(rng.random(keys.size) < 0.06)
    changed = rng.integers(options.first_day + 30, options.until_day - 30, row.size)
    first = (who.owner[row] + 1) % who.owner_skill.size
    return {
        "table": np.full(2 * row.size, "accounts"),
        "id": np.concatenate([keys[row], keys[row]]),
        "changed_at": np.concatenate([created_at[row], changed * DAY + 3 * 3600]),
        "column": np.full(2 * row.size, "owner_id"),
        "value": np.concatenate([ids("U", first, 3), ids("U", who.owner[row], 3)]),
    }


def campaign_frame(options: Options) -> tuple[Frame, np.ndarray, np.ndarray]:
    """The campaigns (one about every five weeks), their first day and their channel's index."""
    rng = options.rng(4)
    first = np.arange(options.first_day, options.until_day, 36)
    channel = rng.integers(0, len(CHANNELS), first.size)
    frame: Frame = {
        "campaign_id": ids("M", np.arange(first.size), 3),
        "channel": np.array(CHANNELS)[channel],
        "started_at": first * DAY + 8 * 3600,
        "cost": np.round(rng.uniform(2_000, 20_000, first.size), -2),
    }
    return frame, first, channel
