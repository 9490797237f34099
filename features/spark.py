"""Runs the kernel on Spark: Parquet in, the same function on each account partition, Parquet out."""

import hashlib
import os
import shutil
import sys
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.catalog import Plan
from features.columns import CrmColumn
from features.errors import RenewalError
from features.evaluate import partition_rows
from features.scratch import discard, replacing, scratch, sweep

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from features.crm.crm import Crm
    from features.feature_plan import Work
    from features.settings import Settings

ROW, BUCKET = "__row", "__bucket"
KEPT_DAYS = 7
"""How long feature rows that nobody asks for again stay in the home folder."""
PACKAGE, LOGGING = Path(__file__).parent, "spark-log4j2.properties"
DEFAULTS = {
    "spark.app.name": "perennial",
    "spark.ui.enabled": "false",
    "spark.log.level": "ERROR",
}
"""What Spark's own configuration may say otherwise."""
SESSION = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.caseSensitive": "true",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.ansi.doubleQuotedIdentifiers": "true",
    "spark.sql.adaptive.enabled": "false",
}
"""What answers need: moments as they are in the files, names as they are written, a task a partition."""


def spark_rows(
    crm: "Crm",
    work: "Work",
    snapshot_rows: pa.Table,
    none: Mapping[str, pa.Table],
    accounts_a_partition: int,
    settings: "Settings",
) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """Feature rows worked out on Spark, kept as Parquet in the home folder, and read back file by file.

    Rows worked out before for the same data, snapshots and code are read again, not worked out again.

    Args:
        crm: the CRM; its folder and the home folder are seen by every executor under the same path.
        work: what to answer.
        snapshot_rows: the snapshots and what spans accounts (`features.engine.snapshot_table`); not empty.
        none: each table to be read, without rows.
        accounts_a_partition: accounts an executor has in memory at a time.
        settings: where the home folder is, and how many threads a local master gets.

    Yields:
        (k,) places among the snapshots, and their k rows.

    Raises:
        RenewalError: pyspark or Java is missing, or Spark can't be started.
    """
    folder = settings.home.resolve() / "features"
    folder.mkdir(parents=True, exist_ok=True)
    _forget(folder)
    sweep(folder)
    with scratch(folder) as unfinished:
        snapshots = unfinished / "asked.parquet"
        pq.write_table(
            _storable(snapshot_rows.append_column(ROW, pa.array(np.arange(snapshot_rows.num_rows)))),
            snapshots,
        )
        place = folder / _name(crm, work, snapshots)
        if not place.is_dir():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # pyspark's own, on pandas 3
                _write(crm, work, none, accounts_a_partition, settings, unfinished)
            _move(unfinished / "rows", place)
    for path in sorted(place.glob("*.parquet")):
        rows = pq.read_table(path)
        yield rows[ROW].to_numpy(), rows.drop_columns([ROW])


def _name(crm: "Crm", work: "Work", snapshots: Path) -> str:
    """Equal for equal data, snapshots, catalogue and code, and for nothing else."""
    with snapshots.open("rb") as file:
        parts = [crm.fingerprint, _code(), hashlib.file_digest(file, "sha256").hexdigest()]
    content = repr((*parts, work.plan.names, work.columns, sorted(work.reads.items())))
    return f"{work.plan.kind}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def _code() -> str:
    """A name for what this package's files say."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _ship(spark: "SparkSession", folder: Path) -> None:
    """Send this package to executors on other machines, so that they run the code that is here."""
    if str(spark.sparkContext.master).startswith("local["):
        return
    packed = folder / f"code-{_code()}.zip"
    if not packed.exists():
        with replacing(packed) as part_file, zipfile.ZipFile(part_file, "w") as archive:
            for path in sorted(PACKAGE.rglob("*.py")):
                archive.write(path, path.relative_to(PACKAGE.parent))
    spark.sparkContext.addPyFile(str(packed))


def _forget(folder: Path) -> None:
    """Remove feature rows, finished or not, that are older than `KEPT_DAYS`."""
    limit = time.time() - KEPT_DAYS * 86_400
    for old in filter(Path.is_dir, folder.iterdir()):
        if old.stat().st_mtime < limit:
            discard(old)


def _move(finished: Path, place: Path) -> None:
    """Give finished rows their name at once; who comes second leaves the first's in place."""
    try:
        finished.rename(place)
    except OSError:
        if not place.is_dir():
            raise


def _write(
    crm: "Crm",
    work: "Work",
    none: Mapping[str, pa.Table],
    accounts_a_partition: int,
    settings: "Settings",
    folder: Path,
) -> None:
    """Answer `folder`/asked.parquet in `folder`/rows, each row with its place among the snapshots (`ROW`)."""
    spark = session(settings)
    _ship(spark, folder.parent)
    from pyspark.sql.pandas.types import from_arrow_schema

    for table in crm.tables:
        _read(spark, crm.path(table)).createOrReplaceTempView(table)
    accounts = pq.read_table(folder / "asked.parquet", columns=["account_id"])["account_id"]
    buckets = _buckets(len(accounts.unique()), accounts_a_partition, spark)
    spark.conf.set("spark.sql.shuffle.partitions", str(buckets))
    snapshot_rows = _read(spark, folder / "asked.parquet").selectExpr("*", _bucket(buckets))
    snapshot_rows.select("account_id").distinct().createOrReplaceTempView("accounts_asked")
    first = pq.read_table(folder / "asked.parquet").slice(0, 1)
    schema = from_arrow_schema(_answer(work.plan, work.columns, none, first).schema)
    answer = _answering(work, {table: empty.schema for table, empty in none.items()})
    events = _events(spark, crm, work, buckets)
    rows = snapshot_rows.groupBy(BUCKET).cogroup(events.groupBy(BUCKET)).applyInArrow(answer, schema)
    rows.write.parquet((folder / "rows").as_uri())


def _read(spark: "SparkSession", path: Path) -> "DataFrame":
    """A Parquet file; its schema is known, so that Spark need not look for it in a job of its own."""
    from pyspark.sql.pandas.types import from_arrow_schema

    schema = from_arrow_schema(pq.read_schema(path).remove_metadata(), prefer_timestamp_ntz=True)
    return spark.read.schema(schema).parquet(path.resolve().as_uri())


def _buckets(accounts: int, most: int, spark: "SparkSession") -> int:
    """How many account partitions: work for every core, none with more than `most` accounts on average."""
    return max(1, min(accounts, max(-(-accounts // most), spark.sparkContext.defaultParallelism)))


def _storable(table: pa.Table) -> pa.Table:
    """Columns without any value as text: Parquet readers disagree on columns of nothing."""
    fields = [
        field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in table.schema
    ]
    return table.cast(pa.schema(fields))


def _bucket(buckets: int) -> str:
    return f'pmod(hash(account_id), {buckets}) AS "{BUCKET}"'


def _events(spark: "SparkSession", crm: "Crm", work: "Work", buckets: int) -> "DataFrame":
    """One row for each account: of each table its rows, packed into one list under the table's name."""
    from features.feature_plan import rows_query

    packed = [
        spark.sql(f'SELECT account_id, struct(*) AS "{table}" FROM ({rows_query(crm, work, table)})')
        for table in work.reads
    ]
    union = reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), packed)
    union.createOrReplaceTempView("events")
    mine = f"SELECT *, {_bucket(buckets)} FROM events LEFT SEMI JOIN accounts_asked USING (account_id)"
    spark.sql(mine).repartition(buckets, BUCKET).createOrReplaceTempView("events_of_asked")
    lists = ", ".join(f'collect_list("{table}") AS "{table}"' for table in work.reads)
    return spark.sql(f'SELECT "{BUCKET}", {lists} FROM events_of_asked GROUP BY "{BUCKET}", account_id')


def _answering(work: "Work", schemas: dict[str, pa.Schema]) -> Callable[[pa.Table, pa.Table], pa.Table]:
    """The kernel as Spark calls it for each bucket: of its snapshots, and of its tables' rows packed."""
    plan, columns = work.plan, work.columns

    def answer(snapshots: pa.Table, packed: pa.Table) -> pa.Table:
        tables = {table: _unpacked(packed[table], schema) for table, schema in schemas.items()}
        return _answer(plan, columns, tables, snapshots.drop_columns([BUCKET]))

    return answer


def _unpacked(lists: pa.ChunkedArray, schema: pa.Schema) -> pa.Table:
    """The rows in lists of structs, as a table."""
    rows = [pa.Table.from_struct_array(chunk.flatten()) for chunk in lists.chunks]
    return pa.concat_tables(rows).select(schema.names).cast(schema) if rows else schema.empty_table()


def _answer(
    plan: Plan, columns: tuple[CrmColumn, ...], tables: Mapping[str, pa.Table], snapshots: pa.Table
) -> pa.Table:
    """`ROW` and the feature rows, categories as text."""
    rows = partition_rows(plan, columns, tables, snapshots)
    plain = [one if pa.types.is_floating(one.type) else one.with_type(pa.string()) for one in rows.schema]
    return rows.cast(pa.schema(plain)).add_column(0, ROW, snapshots[ROW])


def session(settings: "Settings") -> "SparkSession":
    """A session on the master that Spark's own configuration names, else on this machine's cores.

    Raises:
        RenewalError: pyspark or Java is missing, or Spark cannot be started.
    """
    _require_java()
    try:
        from pyspark import SparkConf, SparkContext
        from pyspark.errors import PySparkRuntimeError
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise RenewalError(
            expected="pyspark, as PERENNIAL_ENGINE is spark",
            found="none installed",
            do="Install it with `pip install 'perennial[spark]'`, or unset PERENNIAL_ENGINE.",
        ) from error
    if "SPARK_CONF_DIR" not in os.environ and "SPARK_HOME" not in os.environ:
        os.environ.setdefault("SPARK_SUBMIT_OPTS", f"-Dlog4j2.configurationFile={PACKAGE / LOGGING}")
    try:
        SparkContext._ensure_initialized()  # only then does SparkConf know spark-defaults.conf
        conf = SparkConf()
        for name, value in {"spark.master": f"local[{settings.threads}]", **DEFAULTS}.items():
            conf.setIfMissing(name, value)
        conf.set("spark.ui.showConsoleProgress", "false")
        os.environ.setdefault("PYSPARK_PYTHON", conf.get("spark.pyspark.python", sys.executable))
        spark = SparkSession.builder.config(conf=conf).getOrCreate().newSession()
    except (PySparkRuntimeError, OSError) as error:
        raise RenewalError(
            expected="Spark to start",
            found=str(error).splitlines()[0],
            do="Check JAVA_HOME (Java 17 or later) and Spark's configuration.",
        ) from error
    for name, value in SESSION.items():
        spark.conf.set(name, value)
    return spark


def _require_java() -> None:
    home = os.environ.get("JAVA_HOME")
    if not (home and (Path(home) / "bin" / "java").exists()) and not shutil.which("java"):
        raise RenewalError(
            expected="Java 17 or later, as PERENNIAL_ENGINE is spark",
            found="no java command",
            do="Install a Java runtime (or set JAVA_HOME), or unset PERENNIAL_ENGINE.",
        )
