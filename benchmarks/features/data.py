"""CRM data of any size, made quickly: the tables features are calculated from, and snapshots to ask about."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.crm.crm import Crm
from features.crm.quality import Quality

DAY = 86_400_000_000
KINDS = ("call", "email", "meeting", "webinar")
WINDOWS = (7, 30, 90, 180, 365)
START = int(np.datetime64("2022-01-01", "us").astype(np.int64))
SPAN = 4 * 365 * DAY
OWNERS = 40


def _moments(values: np.ndarray) -> pa.Array:
    return pa.array(values).cast(pa.timestamp("us"))


def _named(prefix: str, numbers: np.ndarray, width: int = 7) -> pa.Array:
    """Ids such as a0000012: sorted as text, they are sorted as numbers."""
    every, codes = np.unique(numbers, return_inverse=True)
    names = pa.array([f"{prefix}{number:0{width}d}" for number in every.tolist()])
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), names).cast(pa.string())


def _words(draw: np.random.Generator, words: tuple[str, ...], rows: int) -> pa.Array:
    codes = pa.array(draw.integers(0, len(words), rows).astype(np.int32))
    return pa.DictionaryArray.from_arrays(codes, pa.array(words)).cast(pa.string())


class Maker:
    """Makes tables of `accounts` accounts, each table's rows sorted by account and moment.

    Args:
        accounts: how many.
        seed: same seed, same data.
    """

    def __init__(self, accounts: int, seed: int) -> None:
        self.accounts, self.seed = accounts, seed

    def placed(self, rows: int, number: int) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
        """A generator, and (rows,) accounts and moments in order."""
        draw = np.random.default_rng([self.seed, number])
        account, at = draw.integers(0, self.accounts, rows), START + draw.integers(0, SPAN, rows)
        order = np.lexsort((at, account))
        return draw, account[order], at[order]

    def plain_activities(self, rows: int) -> pa.Table:
        """Account, moment, kind and length; `account`, the account as a number, is a gift to the peers."""
        draw, account, at = self.placed(rows, 0)
        return pa.table({
            "activity_id": _named("e", np.arange(rows), 9),
            "account_id": _named("a", account),
            "account": account.astype(np.int32),
            "occurred_at": _moments(at),
            "kind": _words(draw, KINDS, rows),
            "duration_seconds": draw.integers(1, 4_000, rows),
        })  # fmt: skip

    def activities(self, rows: int) -> pa.Table:
        """Activities with everything the contract knows, a tenth of them recorded late."""
        draw, account, at = self.placed(rows, 0)
        late = np.where(draw.random(rows) < 0.1, draw.integers(0, 5 * DAY, rows), 0)
        return pa.table({
            "activity_id": _named("e", np.arange(rows), 9),
            "account_id": _named("a", account),
            "occurred_at": _moments(at),
            "recorded_at": _moments(at + late),
            "kind": _words(draw, KINDS, rows),
            "duration_seconds": draw.integers(1, 4_000, rows),
            "contract_id": _named("c", account),
            "opportunity_id": _named("o", account),
            "contact_id": _named("p", account * 4 + draw.integers(0, 4, rows), 8),
            "owner_id": _named("u", draw.integers(0, OWNERS, rows), 2),
            "direction": _words(draw, ("inbound", "outbound"), rows),
            "outcome": _words(draw, ("reached", "no answer", "voicemail"), rows),
        })  # fmt: skip

    def subjects(self) -> dict[str, pa.Table]:
        """One contract and one opportunity an account, its contacts, and the accounts."""
        draw, n = np.random.default_rng([self.seed, 99]), self.accounts
        every, start = np.arange(n), START + draw.integers(0, 3 * 365, n) * DAY
        account, owner = _named("a", every), _named("u", draw.integers(0, OWNERS, n), 2)
        created = START + draw.integers(0, SPAN, n)
        won = draw.random(n)
        industry = _words(draw, ("it", "retail", "law"), n)
        return {
            "accounts": pa.table({"account_id": account, "industry": industry}),
            "contacts": pa.table({
                "contact_id": _named("p", np.arange(4 * n), 8),
                "account_id": _named("a", np.repeat(every, 4)),
                "seniority": _words(draw, ("c-level", "manager", "staff"), 4 * n),
            }),
            "contracts": pa.table({
                "contract_id": _named("c", every), "account_id": account, "owner_id": owner,
                "start_date": _moments(start), "end_date": _moments(start + 365 * DAY),
                "annual_value": draw.integers(1_000, 9_000, n), "renewed": draw.random(n) < 0.7,
            }),
            "opportunities": pa.table({
                "opportunity_id": _named("o", every), "account_id": account, "owner_id": owner,
                "created_at": _moments(created), "closed_at": _moments(created + 60 * DAY),
                "is_won": pa.array(won < 0.3, mask=won > 0.8), "amount": draw.integers(1_000, 9_000, n),
            }),
        }  # fmt: skip

    def others(self, events: int) -> dict[str, pa.Table]:
        """Further events in proportion to the activities."""
        tables = {}
        draw, account, at = self.placed(events // 5, 1)
        rows = len(account)
        tables["usage"] = pa.table({
            "account_id": _named("a", account), "used_on": _moments(at // DAY * DAY + DAY - 1),
            "metric": _words(draw, ("logins", "reports"), rows), "value_milli": draw.integers(0, 10**6, rows),
        })  # fmt: skip
        draw, account, at = self.placed(events // 20, 2)
        rows = len(account)
        tables["cases"] = pa.table({
            "case_id": _named("s", np.arange(rows), 9), "account_id": _named("a", account),
            "opened_at": _moments(at), "closed_at": _moments(at + draw.integers(1, 9 * DAY, rows)),
            "priority": _words(draw, ("low", "high"), rows), "escalated": draw.random(rows) < 0.1,
            "csat": draw.integers(1, 6, rows).astype(float),
        })  # fmt: skip
        draw, account, at = self.placed(events // 20, 3)
        tables["surveys"] = pa.table({
            "response_id": _named("r", np.arange(rows), 9), "account_id": _named("a", account),
            "kind": _words(draw, ("nps", "csat", "ces"), rows), "asked_at": _moments(at),
            "answered_at": _moments(at + draw.integers(1, 9 * DAY, rows)),
            "score": draw.integers(1, 11, rows).astype(float),
        })  # fmt: skip
        draw, account, at = self.placed(events // 20, 4)
        tables["invoices"] = pa.table({
            "invoice_id": _named("i", np.arange(rows), 9), "account_id": _named("a", account),
            "issued_at": _moments(at), "due_at": _moments((at // DAY + 30) * DAY),
            "amount": draw.integers(1, 10**6, rows),
            "paid_at": _moments(at + draw.integers(1, 59 * DAY, rows)),
        })  # fmt: skip
        draw, account, at = self.placed(events // 20, 5)
        full = draw.integers(1_000, 10**6, rows)
        tables["quotes"] = pa.table({
            "quote_id": _named("q", np.arange(rows), 9), "account_id": _named("a", account),
            "opportunity_id": _named("o", account), "quoted_at": _moments(at),
            "list_amount": full, "net_amount": full - full // draw.integers(2, 20, rows),
        })  # fmt: skip
        draw, account, at = self.placed(events // 10, 6)
        rows = len(account)
        tables["touches"] = pa.table({
            "touch_id": _named("t", np.arange(rows), 9), "account_id": _named("a", account),
            "sent_at": _moments(at), "campaign_id": _words(draw, ("spring", "autumn"), rows),
            "channel": _words(draw, ("mail", "event"), rows),
            "responded_at": pa.array(at + draw.integers(1, 9 * DAY, rows), mask=draw.random(rows) < 0.8).cast(
                pa.timestamp("us")
            ),
        })  # fmt: skip
        draw, account, at = self.placed(events // 20, 7)
        tables["stage_history"] = pa.table({
            "opportunity_id": _named("o", account), "account_id": _named("a", account),
            "changed_at": _moments(at), "stage": _words(draw, ("lead", "demo", "offer"), len(account)),
            "amount": draw.integers(1_000, 9_000, len(account)),
            "expected_close_date": _moments((at // DAY + draw.integers(1, 90, len(account))) * DAY),
        })  # fmt: skip
        return tables

    def snapshots(self, rows: int) -> pa.Table:
        """`rows` midnights of the last three years; `account` as a number, and `row`, for the peers."""
        draw, account, at = self.placed(rows, 8)
        as_of = (START + SPAN // 4 + (at - START) * 3 // 4) // DAY * DAY
        del draw
        return pa.table({
            "row": np.arange(rows), "account_id": _named("a", account), "account": account.astype(np.int32),
            "contract_id": _named("c", account), "opportunity_id": _named("o", account),
            "owner_id": _named("u", account % OWNERS, 2), "as_of": _moments(as_of),
            "lead_days": np.full(rows, 90.0), "ends_at": _moments(as_of + 90 * DAY),
        })  # fmt: skip


def write(folder: Path, *, events: int, snapshots: int, accounts: int, whole: bool, seed: int = 0) -> None:
    """Write a CRM (`whole`: every table; else activities alone) and snapshots.parquet to `folder`.

    `folder`/warm gets the like of it with a few rows, for what is to be paid beforehand.
    """
    _write(folder / "warm", 2_000, 100, 50, whole, seed)
    _write(folder, events, snapshots, accounts, whole, seed)


def _write(folder: Path, events: int, snapshots: int, accounts: int, whole: bool, seed: int) -> None:
    maker = Maker(accounts, seed)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(maker.snapshots(snapshots), folder / "snapshots.parquet")
    tables = maker.subjects()
    if not whole:
        tables = {"accounts": tables["accounts"], "contracts": tables["contracts"]}
    tables["activities"] = maker.activities(events) if whole else maker.plain_activities(events)
    tables |= maker.others(events) if whole else {}
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd", row_group_size=122_880)


def read(folder: Path) -> tuple[Crm, pd.DataFrame]:
    """The CRM and its snapshots as Perennial takes them."""
    names = sorted(path.stem for path in folder.glob("*.parquet") if path.stem != "snapshots")
    tables = {name: tuple(pq.read_schema(folder / f"{name}.parquet").names) for name in names}
    crm = Crm(folder, pd.Timestamp("2026-01-01"), tables, {}, str(folder), Quality())
    return crm, pq.read_table(folder / "snapshots.parquet").to_pandas()
