"""Feature rows on Spark, on this machine or on a cluster, beside the local engine's: the same to the bit.

    pip install 'perennial[spark]'            # and Java 17 or later
    python examples/spark/features_on_spark.py [CRM_FOLDER]

Without a folder a CRM is simulated. Where it runs is up to Spark's own configuration (docs/spark.md).
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from features.crm.crm import Crm
from features.crm.load import ingest
from features.engine import feature_rows
from features.settings import Settings
from features.simulation import simulate
from features.snapshots import renewal_snapshots


def compared(crm: Crm, home: Path, threads: int = 2) -> tuple[int, int]:
    """Feature rows of every renewal snapshot by both engines.

    Args:
        crm: an ingested CRM; on a cluster, driver and executors see its folder under the same path.
        home: where Spark's feature rows are kept; likewise.
        threads: account partitions worked on at a time, where no configuration of Spark says otherwise.

    Returns:
        How many rows there are, and how many values differ.
    """
    snapshots = renewal_snapshots(crm)
    frames = {}
    for engine in ("local", "spark"):
        settings = Settings(home=home, threads=threads, engine=engine)
        began = time.perf_counter()
        frames[engine] = feature_rows(crm, snapshots, "renewal", settings).frame
        shape = frames[engine].shape
        print(f"{engine}: {shape[0]:,} rows of {shape[1]} features in {time.perf_counter() - began:.1f} s")
    one, other = frames["local"], frames["spark"][frames["local"].columns]
    differs = ~((one == other) | (one.isna() & other.isna()))
    return len(one), int(np.count_nonzero(differs.to_numpy()))


def main(folder: str | None = None) -> int:
    """Ingest a CRM folder, or a simulated one, and compare; 0 where nothing differs."""
    with tempfile.TemporaryDirectory() as work:
        home = Path(work) / "home"
        if folder is None:
            folder = str(Path(work) / "crm")
            simulate(Path(folder), accounts=300, seed=1, draws=0)
        crm = ingest(folder, Settings(home=home))
        rows, differ = compared(crm, home)
    print(f"{differ} of the values of {rows:,} rows differ")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
