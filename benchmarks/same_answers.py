"""Whether a change of the code changes an answer: each command's JSON on one simulated CRM, compared.

    python -m benchmarks.same_answers record before/     in the checkout before the change
    python -m benchmarks.same_answers record after/      in the checkout after it
    python -m benchmarks.same_answers compare before/ after/ [--renamed OLD=NEW]…

`record` runs the commands in a fresh home with one seed. What differs from run to run by nature (moments, run
ids, folders, the code's hash) is left out; all else must be the same to the bit, but for the fields renamed.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

COMMANDS = {
    "train_renewal": "train renewal --trials 6",
    "train_win": "train win --trials 6",
    "score_renewal": "score renewal",
    "score_win": "score win",
    "effects_timing": "effects timing",
    "effects_calls": "effects calls",
    "effects_discount": "effects discount",
    "icp_profiles": "icp profiles",
    "monitor": "monitor",
    "journey": "journey",
}
ROUTES = {
    "forecast": "/v1/forecast",
    "renewals": "/v1/renewals?limit=100",
    "opportunities": "/v1/opportunities?limit=100",
}
CHANGING = {
    "run_id",
    "card",
    "report",
    "seconds",
    "created_at",
    "scored_at",
    "trained_at",
    "at",
    "code",
    "as_of_run",
}
FOLDER = re.compile(r"(/[\w.-]+)+/")


def record(folder: Path, accounts: int, seed: int) -> None:
    """Run every command on a simulated CRM of one seed and keep each answer as `NAME.json` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    home = folder / "home"
    environment = {**os.environ, "PERENNIAL_HOME": str(home), "PERENNIAL_THREADS": "2"}

    def perennial(arguments: str) -> str:
        command = [sys.executable, "-m", "perennial", *arguments.split()]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True)
        if ran.returncode not in (0, 1, 2) or not ran.stdout:
            raise SystemExit(f"{arguments}: exit {ran.returncode}\n{ran.stderr[-2000:]}")
        return ran.stdout

    perennial(f"simulate {folder / 'crm'} --accounts {accounts} --seed {seed} --json")
    (folder / "ingest.json").write_text(perennial(f"ingest {folder / 'crm'} --json"))
    for name, arguments in COMMANDS.items():
        began = time.monotonic()
        (folder / f"{name}.json").write_text(perennial(f"{arguments} --json"))
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    service = subprocess.Popen(
        [sys.executable, "-m", "perennial", "serve", "--port", str(port)],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        for name, route in ROUTES.items():
            (folder / f"{name}.json").write_text(fetched(f"http://127.0.0.1:{port}{route}"))
    finally:
        service.terminate()
        service.wait(60)


def fetched(address: str, patience_s: float = 180) -> str:
    """Return what `address` answers, waiting for the service to come up and to have worked it out."""
    until = time.monotonic() + patience_s
    while True:
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                if answer.status == 200:
                    return str(answer.read().decode())
        except OSError:
            if time.monotonic() > until:
                raise
        time.sleep(1)


def plain(value: Any, renamed: dict[str, str]) -> Any:
    """Return an answer without what changes from run to run, its fields under their new names."""
    if isinstance(value, dict):
        return {renamed.get(k, k): plain(v, renamed) for k, v in value.items() if k not in CHANGING}
    if isinstance(value, list):
        return [plain(v, renamed) for v in value]
    return FOLDER.sub("", value) if isinstance(value, str) else value


def differences(before: Any, after: Any, at: str = "") -> list[str]:
    """Return one line for each place where two answers differ."""
    if type(before) is not type(after):
        return [f"{at}: {before!r:.80} | {after!r:.80}"]
    if isinstance(before, dict):
        lost = [f"{at}.{k}: only before" for k in before.keys() - after.keys()]
        new = [f"{at}.{k}: only after" for k in after.keys() - before.keys()]
        return (
            lost
            + new
            + [d for k in before.keys() & after.keys() for d in differences(before[k], after[k], f"{at}.{k}")]
        )
    if isinstance(before, list) and len(before) == len(after):
        return [
            d
            for i, (a, b) in enumerate(zip(before, after, strict=True))
            for d in differences(a, b, f"{at}[{i}]")
        ]
    return [] if before == after else [f"{at}: {before!r:.120} | {after!r:.120}"]


def compare(before: Path, after: Path, renamed: dict[str, str]) -> int:
    """Print every difference between two recordings; return how many files differ."""
    differ = 0
    for file in sorted(before.glob("*.json")):
        then = plain(json.loads(file.read_text()), renamed)
        changes = differences(then, plain(json.loads((after / file.name).read_text()), renamed))
        print(f"{file.stem}: {'the same' if not changes else f'{len(changes)} differences'}")
        for line in changes[:20]:
            print(f"    {line}")
        differ += bool(changes)
    return differ


def main() -> None:
    """Record or compare, as the arguments say; exit 1 where answers differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    does = parser.add_subparsers(dest="does", required=True)
    recording = does.add_parser("record")
    recording.add_argument("folder", type=Path)
    recording.add_argument("--accounts", type=int, default=700)
    recording.add_argument("--seed", type=int, default=11)
    comparing = does.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    comparing.add_argument("--renamed", metavar="OLD=NEW", action="append", default=[])
    arguments = parser.parse_args()
    if arguments.does == "record":
        record(arguments.folder.resolve(), arguments.accounts, arguments.seed)
    else:
        raise SystemExit(
            bool(compare(arguments.before, arguments.after, dict(r.split("=", 1) for r in arguments.renamed)))
        )


if __name__ == "__main__":
    main()
