"""Each way to the same 44 columns: a function from the data's folder to columns by name, in snapshot order.

Every contender reads the same Parquet files, sorted by account and moment as Perennial keeps them. The peers
join by the account as a number, which stands in the files for them; Perennial reads ids as text.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.features.data import DAY, KINDS, WINDOWS, read

Columns = dict[str, np.ndarray]


def names() -> list[str]:
    """The 44 columns: count and seconds of 4 kinds in 5 windows, and days since the last of each."""
    windowed = [f"{kind}_{what}_{days}" for kind in KINDS for what in ("n", "s") for days in WINDOWS]
    return windowed + [f"{kind}_since" for kind in KINDS]


def perennial(folder: Path, threads: int) -> Columns:
    """Perennial's own engine, with these 44 features declared."""
    from benchmarks.features.declared import windowed
    from features.engine import answered
    from features.settings import Settings

    crm, snapshots = read(folder)
    frame = answered(crm, windowed(), snapshots, Settings(threads=threads)).frame
    return {name: frame[name].to_numpy() for name in names()}


def polars(folder: Path, threads: int) -> Columns:
    """polars: running counts and sums of each kind beside the events, `join_asof` for each bound."""
    import polars as pl

    events = pl.read_parquet(
        folder / "activities.parquet", columns=["account", "occurred_at", "kind", "duration_seconds"]
    ).sort("account", "occurred_at")
    of = {kind: pl.col("kind") == kind for kind in KINDS}
    running = [hit.cast(pl.Int64).cum_sum().over("account").alias(f"{k}_n") for k, hit in of.items()]
    running += [
        pl.when(hit).then(pl.col("duration_seconds")).otherwise(0).cum_sum().over("account").alias(f"{k}_s")
        for k, hit in of.items()
    ]
    last = [
        pl.when(hit).then(pl.col("occurred_at")).forward_fill().over("account").alias(f"{k}_last")
        for k, hit in of.items()
    ]
    events = events.select("account", "occurred_at", *running, *last).sort("occurred_at")
    snapshots = pl.read_parquet(folder / "snapshots.parquet", columns=["row", "account", "as_of"]).sort(
        "as_of"
    )

    def before(days: int, *columns: str) -> pl.DataFrame:
        bound = snapshots.select("row", "account", at=pl.col("as_of") - pl.duration(days=days))
        matched = bound.join_asof(
            events.select("account", "occurred_at", *columns), left_on="at", right_on="occurred_at",
            by="account", strategy="backward", allow_exact_matches=False, check_sortedness=False,
        )  # fmt: skip
        return matched.sort("row")

    totals = [f"{kind}_{what}" for kind in KINDS for what in ("n", "s")]
    now = before(0, *totals, *(f"{kind}_last" for kind in KINDS))
    features: Columns = {}
    for days in WINDOWS:
        then = before(days, *totals)
        for total in totals:
            features[f"{total}_{days}"] = (now[total].fill_null(0) - then[total].fill_null(0)).to_numpy()
    for kind in KINDS:
        gone = (now["at"] - now[f"{kind}_last"]).dt.total_microseconds() / DAY
        features[f"{kind}_since"] = gone.fill_null(float("nan")).to_numpy()
    return features


def pandas(folder: Path, threads: int) -> Columns:
    """pandas: running counts and sums of each kind beside the events, `merge_asof` for each bound."""
    import pandas as pd

    columns = ["account", "occurred_at", "kind", "duration_seconds"]
    events = pd.read_parquet(folder / "activities.parquet", columns=columns)
    events = events.sort_values(["account", "occurred_at"], kind="stable", ignore_index=True)
    account = events["account"].to_numpy()
    first = np.searchsorted(account, account)
    made_of: Columns = {"account": account, "occurred_at": events["occurred_at"].to_numpy()}
    moment = events["occurred_at"].to_numpy()
    for kind in KINDS:
        hit = (events["kind"] == kind).to_numpy()
        for what, each in (("n", hit.astype(np.int64)), ("s", hit * events["duration_seconds"].to_numpy())):
            total = np.cumsum(each)
            made_of[f"{kind}_{what}"] = total - (total - each)[first]
        place = np.maximum.accumulate(np.where(hit, np.arange(len(hit)), -1))
        made_of[f"{kind}_last"] = np.where(place >= first, moment[place], np.datetime64("NaT"))
    running = pd.DataFrame(made_of).sort_values("occurred_at", kind="stable", ignore_index=True)
    snapshots = pd.read_parquet(folder / "snapshots.parquet", columns=["row", "account", "as_of"])
    snapshots = snapshots.sort_values("as_of", kind="stable", ignore_index=True)

    def before(days: int, columns: list[str]) -> pd.DataFrame:
        bound = snapshots[["row", "account"]].assign(at=snapshots["as_of"] - pd.Timedelta(days=days))
        matched = pd.merge_asof(
            bound, running[["account", "occurred_at", *columns]], left_on="at", right_on="occurred_at",
            by="account", allow_exact_matches=False,
        )  # fmt: skip
        return matched.sort_values("row")

    totals = [f"{kind}_{what}" for kind in KINDS for what in ("n", "s")]
    now = before(0, [*totals, *(f"{kind}_last" for kind in KINDS)])
    features: Columns = {}
    for days in WINDOWS:
        then = before(days, totals)
        for name in totals:
            features[f"{name}_{days}"] = now[name].fillna(0).to_numpy() - then[name].fillna(0).to_numpy()
    for kind in KINDS:
        since = (now["at"] - now[f"{kind}_last"]).to_numpy("timedelta64[ns]")
        features[f"{kind}_since"] = since / np.timedelta64(1, "D")
    return features


def duckdb(folder: Path, threads: int) -> Columns:
    """DuckDB: range join on the account's number, ages put into bands, bands pivoted into windows."""
    import duckdb

    bands = " ".join(
        f"WHEN e.occurred_at >= s.as_of - INTERVAL {days} DAY THEN {band}"
        for band, days in enumerate(WINDOWS)
    )
    picked = []
    for k, kind in enumerate(KINDS):
        for what in ("n", "s"):
            picked += [
                f"coalesce(sum({what}) FILTER (kind = {k} AND band <= {band}), 0)::BIGINT"
                f" AS {kind}_{what}_{days}"
                for band, days in enumerate(WINDOWS)
            ]
        picked.append(f"max(last) FILTER (kind = {k}) AS {kind}_last")
    codes = " ".join(f"WHEN '{kind}' THEN {k}" for k, kind in enumerate(KINDS))
    query = f"""
        WITH e AS (
            SELECT account, occurred_at, CASE kind {codes} END::TINYINT AS kind, duration_seconds
            FROM read_parquet('{folder}/activities.parquet')
        ), banded AS (
            SELECT s.row, e.kind, (CASE {bands} ELSE {len(WINDOWS)} END)::TINYINT AS band,
                count(*) AS n, sum(e.duration_seconds) AS s, max(e.occurred_at) AS last
            FROM read_parquet('{folder}/snapshots.parquet') s
            JOIN e ON e.account = s.account AND e.occurred_at < s.as_of
            GROUP BY ALL
        ), pivoted AS (SELECT row, {", ".join(picked)} FROM banded GROUP BY row)
        SELECT s.row, s.as_of, pivoted.* EXCLUDE (row)
        FROM read_parquet('{folder}/snapshots.parquet') s LEFT JOIN pivoted USING (row) ORDER BY s.row"""
    with duckdb.connect() as connection:
        connection.execute(f"SET threads = {threads}")
        result = connection.sql(query).fetchnumpy()
    features = {}
    for name in names():
        if name.endswith("_since"):
            last = np.ma.masked_invalid(result[name.replace("_since", "_last")]).astype("datetime64[us]")
            gone = (result["as_of"].astype("datetime64[us]") - last).astype(np.int64) / DAY
            features[name] = np.ma.filled(gone.astype(float), np.nan)
        else:
            features[name] = np.ma.filled(result[name], 0)
    return features


def featuretools(folder: Path, threads: int) -> Columns:
    """Featuretools: a training window a run, cutoff times that differ; counts and sums where kinds differ."""
    import warnings

    import pandas as pd

    warnings.simplefilter("ignore")
    import featuretools as ft

    columns = ["activity_id", "account", "occurred_at", "kind", "duration_seconds"]
    events = pd.read_parquet(folder / "activities.parquet", columns=columns)
    snapshots = pd.read_parquet(folder / "snapshots.parquet", columns=["row", "account", "as_of"])
    accounts = pd.DataFrame({"account": np.unique(np.append(events["account"], snapshots["account"]))})
    # A cutoff is inclusive: what happened at it is not known yet, so it is moved back by a microsecond.
    moment = snapshots["as_of"] - pd.Timedelta(microseconds=1)
    pair = snapshots.groupby(["account", "as_of"]).ngroup().to_numpy()  # it takes each pair once
    cutoffs = pd.DataFrame({"account": snapshots["account"], "time": moment, "pair": pair}).drop_duplicates(
        "pair"
    )
    entities = ft.EntitySet("crm")
    entities.add_dataframe(dataframe_name="accounts", dataframe=accounts, index="account")
    entities.add_dataframe(
        dataframe_name="events", dataframe=events, index="activity_id", time_index="occurred_at",
        logical_types={"kind": "Categorical"},
    )  # fmt: skip
    entities.add_relationship("accounts", "account", "events", "account")
    entities.add_interesting_values(dataframe_name="events", values={"kind": list(KINDS)})
    features: Columns = {}
    for days in (*WINDOWS, None):
        matrix = ft.dfs(
            entityset=entities, target_dataframe_name="accounts", cutoff_time=cutoffs, max_depth=2,
            agg_primitives=["time_since_last"] if days is None else ["count", "sum"], trans_primitives=[],
            where_primitives=["time_since_last"] if days is None else ["count", "sum"],
            training_window=None if days is None else ft.Timedelta(days, "d"), n_jobs=1, verbose=False,
        )[0].sort_values("pair").iloc[pair]  # fmt: skip
        for kind in KINDS:
            if days is None:
                since = matrix[f"TIME_SINCE_LAST(events.occurred_at WHERE kind = {kind})"].to_numpy(float)
                features[f"{kind}_since"] = (since * 1e6 + 1) / DAY
            else:
                features[f"{kind}_n_{days}"] = matrix[f"COUNT(events WHERE kind = {kind})"].to_numpy(float)
                summed = matrix[f"SUM(events.duration_seconds WHERE kind = {kind})"]
                features[f"{kind}_s_{days}"] = summed.to_numpy(float)
    return features


def floor(folder: Path, threads: int) -> Columns:
    """DuckDB's bare scan and sort of the same events: what reading them in order costs by itself."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(f"SET threads = {threads}")
        connection.sql(f"""
            SELECT account_id, occurred_at, kind, duration_seconds
            FROM read_parquet('{folder}/activities.parquet') ORDER BY account_id, occurred_at
        """).to_arrow_table()
    return {}


CONTENDERS: dict[str, Callable[[Path, int], Columns]] = {
    "scan + sort": floor,
    "Perennial": perennial,
    "polars": polars,
    "pandas": pandas,
    "DuckDB": duckdb,
    "Featuretools": featuretools,
}
