"""The command that writes scores and advice back into connected systems, and takes them out again."""

from typing import Annotated

import typer

from features.settings import Settings
from perennial.command_line import Result, group, prints, say

app = group("Scores and advice in the systems they came from.")


@app.command("write-back", epilog="Example: perennial write-back --dry-run")
@prints("connections.written")
def write_back(
    to: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="This connection, or `webhook`; default: all that are set up."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would be written, and write nothing.")
    ] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Restore the values from before.")] = False,
) -> Result:
    """Write likelihood, band, reasons, days of contact and fit into connected systems: what changed only.

    Changed scores are posted to the webhooks of PERENNIAL_SCORE_URLS. What people have changed in a system
    since is left alone by --undo; what was posted cannot be taken back.
    """
    from features.errors import RenewalError
    from monitoring.store import open_store
    from serving.write_back import undo as put_back
    from serving.write_back import writable_connections
    from serving.write_back import write_back as write
    from serving.write_back.score_messages import WEBHOOK, deliver_scores, score_hooks

    settings = Settings.from_env()
    hooks = score_hooks(settings) if to in (None, WEBHOOK) and not undo else []
    chosen = writable_connections(settings, to) if to != WEBHOOK else []
    if not chosen and not hooks:
        raise RenewalError(
            expected="a connection that is set up to be written to, or a webhook for scores",
            found="none" if not undo else "none that can be undone",
            do="Run `perennial connect NAME --write-back`, or set PERENNIAL_SCORE_URLS.",
        )
    if undo:
        return {"undo": True, "written": [put_back(each, settings, dry_run=dry_run) for each in chosen]}
    store = open_store(settings)
    return {
        "undo": False,
        "written": [
            *(write(each, store, settings, dry_run=dry_run, say=say) for each in chosen),
            *(deliver_scores(url, store, settings, dry_run=dry_run, say=say) for url in hooks),
        ],
    }
