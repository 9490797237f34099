"""One piece of work in a process of its own: wall and CPU seconds, and its peak memory.

Imports and first-time costs are paid beforehand, on a few rows, by every contender alike. Run as
`python -m benchmarks.features.measured WORK FOLDER THREADS OUT`; it prints one JSON object.
"""

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

WHOLE: dict[str, dict[str, Any]] = {
    "whole catalogue": {"engine": "local"},
    "whole catalogue on Spark": {"engine": "spark"},
}
"""The engines that answer every feature."""


@dataclass(frozen=True)
class Measured:
    """What a piece of work cost: seconds (`cpu` over all cores), peak MB, and the MB it began with."""

    wall: float
    cpu: float
    peak_mb: float
    base_mb: float


def measure(
    work: str, folder: Path, threads: int, out: Path | None = None, python: str = sys.executable
) -> Measured:
    """Do a piece of work in a process of its own, once `folder`/warm holds a few rows to begin with.

    Raises:
        RuntimeError: it failed; holds what it said.
    """
    environment = os.environ | {"POLARS_MAX_THREADS": str(threads), "OMP_NUM_THREADS": "1"}
    command = [python, "-m", "benchmarks.features.measured", work, str(folder), str(threads)]
    completed = subprocess.run(
        [*command, str(out or "")], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if completed.returncode:
        raise RuntimeError(
            f"{work}: {completed.stderr.strip().splitlines()[-1] if completed.stderr else 'failed'}"
        )
    return Measured(**json.loads(completed.stdout.strip().splitlines()[-1]))


def _peak() -> float:
    """Peak MB of this process; `ru_maxrss` alone would count what its parent had when it was started."""
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _work(name: str, folder: Path, threads: int) -> dict:
    if name in WHOLE:
        from benchmarks.features.data import read
        from features.engine import feature_rows
        from features.settings import Settings

        crm, snapshots = read(folder)
        feature_rows(
            crm, snapshots, "renewal", Settings(threads=threads, **WHOLE[name], home=folder / "home")
        )
        return {}
    from benchmarks.features.contenders import CONTENDERS

    return CONTENDERS[name](folder, threads)


def main() -> None:
    """Do the work that the command line names."""
    import numpy as np

    name, folder, threads, out = sys.argv[1:]
    _work(name, Path(folder) / "warm", int(threads))
    base, wall, cpu = _peak(), time.perf_counter(), time.process_time()
    columns = _work(name, Path(folder), int(threads))
    measured = Measured(time.perf_counter() - wall, time.process_time() - cpu, _peak(), base)
    if out:
        np.savez(out, **columns)
    print(json.dumps(measured.__dict__))


if __name__ == "__main__":
    main()
