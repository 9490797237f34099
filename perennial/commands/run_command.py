"""The nightly job as one command."""

from pathlib import Path
from typing import Annotated

import typer

from features.errors import NothingDoneError
from features.settings import Settings
from perennial.command_line import Minutes, Result, Trials, group, prints, say

app = group("The nightly job.")


@app.command(epilog="Example: perennial run exports/crm --lists lists")
@prints("nightly.ran")
def run(
    source: Annotated[
        str | None, typer.Argument(metavar="[SOURCE]", help="A folder or a database URL to ingest first.")
    ] = None,
    mapping: Annotated[Path | None, typer.Option(metavar="FILE", help="Table name → SELECT.")] = None,
    lists: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write renewals.csv and pipeline.csv there.")
    ] = None,
    trials: Trials = None,
    minutes: Minutes = None,
) -> Result:
    """Ingest, score, monitor, retrain when due and send alerts; what has not changed is left out.

    Safe in cron: one job at a time, and one that was cut short is gone on with.
    """
    from features.logs import set_up
    from monitoring.store import open_store
    from serving.nightly.job import run_night
    from serving.nightly.steps import Night

    settings = Settings.from_env()
    set_up(settings.log_format)
    heard = say if settings.log_format == "text" else lambda line: None
    store = open_store(settings)
    result = run_night(Night(settings, store, source, mapping, lists, trials, minutes, heard))
    if result["status"] == "failed":
        failed = [step for step in result["steps"] if step["what"] == "failed"]
        raise NothingDoneError(
            result,
            expected="every step to succeed",
            found=f"{len(failed)} that failed ({failed[0]['step']}: {failed[0]['why']})",
            do="Mend that and run it again.",
        )
    return result
