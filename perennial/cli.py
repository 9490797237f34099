"""The command line: a command parses, calls one function of a room, and prints what came back."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

# Both must be set before the libraries are imported, and spelled so: they send usage data otherwise.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "true")

from features.settings import Settings
from perennial.command_line import Kind, Minutes, Result, Trials, group, moment, prints, reads_crm, run, say
from perennial.commands import (
    connect_command,
    data_commands,
    effects_commands,
    experiment_commands,
    icp_commands,
    identity_commands,
    keys_commands,
    models_commands,
    monitoring_commands,
    run_command,
    tasks_commands,
    voice_commands,
    write_back_command,
)

app = group(
    "Renewal and win probability from CRM activity, honest about time, cause, uncertainty.",
    no_args_is_help=True,
)
for name, commands in (
    ("features", data_commands.features_app),
    ("effects", effects_commands.app),
    ("experiment", experiment_commands.app),
    ("icp", icp_commands.app),
    ("identity", identity_commands.app),
    ("voice", voice_commands.app),
    ("tasks", tasks_commands.app),
    ("models", models_commands.app),
    ("keys", keys_commands.app),
    ("population", data_commands.app),
):
    app.add_typer(commands, name=name)
app.add_typer(monitoring_commands.app)
app.add_typer(monitoring_commands.parity_app)
app.add_typer(run_command.app)
app.add_typer(connect_command.app)
app.add_typer(write_back_command.app)


@app.command(epilog="Example: perennial demo")
@prints("scores.demo")
def demo(
    accounts: Annotated[int, typer.Option(help="How many accounts to simulate.", min=200)] = 1000,
) -> Result:
    """Run the whole path on simulated data and end in a summary."""
    from perennial.demo import demo

    return demo(Settings.from_env(), accounts=accounts, say=say)


@app.command(epilog="Example: perennial simulate crm --accounts 2000 --seed 7")
@prints("data.simulated")
def simulate(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write: new or empty.")],
    accounts: Annotated[int, typer.Option(help="How many accounts.", min=20)] = 2000,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    signal: Annotated[bool, typer.Option("--signal/--no-signal", help="None: all coin flips.")] = True,
    hidden_worry: Annotated[
        bool, typer.Option("--hidden-worry", help="Record only part of the worry.")
    ] = False,
) -> Result:
    """Write a CRM whose truth is known, and truth.json with the true effects beside it."""
    from features.simulation import simulate

    truth = simulate(folder, accounts=accounts, seed=seed, signal=signal, hidden_worry=hidden_worry, say=say)
    return {"folder": str(folder), "truth": truth}


@app.command(epilog="Example: perennial ingest exports/crm --mapping mapping.yaml")
@prints("data.ingested")
def ingest(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A folder, a file or a database URL.")],
    mapping: Annotated[Path | None, typer.Option(metavar="FILE", help="Table name → SELECT.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="As if today were DATE (UTC).")] = None,
) -> Result:
    """Read and check CRM data, and keep it as what every command reads by default."""
    from features.crm.load import ingest

    crm = ingest(source, Settings.from_env(), mapping=mapping, until=moment(until, "--until"), say=say)
    return crm.quality.as_dict()


@app.command(epilog="Example: perennial check exports/crm")
@prints("data.checked")
@reads_crm
def check(
    data: Any,
    settings: Settings,
    source: Annotated[str | None, typer.Argument(metavar="[SOURCE]", help="The same as --crm.")] = None,
) -> Result:
    """Say what the data can answer and what to mend first, and report their quality; change nothing."""
    from features.errors import NothingDoneError
    from training.readiness import readiness

    result = data.quality.as_dict() | readiness(data, settings)
    if not result["usable"]:
        mend = "; ".join(each["do"] for each in result["mend"][:2])
        raise NothingDoneError(
            result, expected="data that can answer at least one question", found="none", do=f"First: {mend}."
        )
    return result


@app.command("map", epilog="Example: perennial map exports/zoho")
@prints("data.mapped")
def map_(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Files of another system, or a single one.")
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where to write it; default: mapping.yaml in the folder, or beside the single file.",
        ),
    ] = None,
) -> Result:
    """Draft mapping.yaml from foreign files: each line with its confidence and what it was judged by."""
    from features.mapping_draft.folder_draft import map_folder

    return map_folder(folder, to)


@app.command(epilog="Example: perennial train renewal --trials 50 --allow tier")
@prints("models.trained")
@reads_crm
def train(
    data: Any,
    settings: Settings,
    kind: Kind,
    trials: Trials = None,
    minutes: Minutes = None,
    bar: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Leave this column out.")] = None,
    allow: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Use it though barred.")] = None,
    mitigate: Annotated[
        Literal["reweighing", "constraint", "drop-proxies"] | None,
        typer.Option(help="Mend unequal treatment; see `perennial parity` for the price."),
    ] = None,
    allow_proxy: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=REASON", help="Use it though it alone gives a segment away."),
    ] = None,
    promote: Annotated[
        bool, typer.Option("--promote/--no-promote", help="Let it become champion if every gate passes.")
    ] = True,
) -> Result:
    """Train, judge on later data, and register a model with its card."""
    from monitoring.retrain import train_by_hand
    from training.train import TRIALS, TrainOptions

    options = TrainOptions(
        trials=trials or TRIALS,
        minutes=minutes,
        bar=bar or (),
        allow=allow or (),
        mitigate=mitigate,
        allow_proxies=dict(part.partition("=")[::2] for part in allow_proxy or ()),
        promote=promote,
    )
    return train_by_hand(kind, data, settings, options, say=say)


@app.command(epilog="Example: perennial score renewal --as-of 2025-06-30 --out risk.xlsx")
@prints("scores.scored")
@reads_crm(states_money=True)
def score(
    data: Any,
    settings: Settings,
    kind: Kind,
    as_of: Annotated[str | None, typer.Option(metavar="DATE", help="Score as of that day.")] = None,
    rows: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="CSV of ids, each with its as_of (no such column: as things stand)."
        ),
    ] = None,
) -> Result:
    """Score every contract that is due, or every open opportunity."""
    from serving.scoring.batch import asked_rows, require_some, score

    requested = None if rows is None else asked_rows(rows, kind)
    frame = score(kind, data, settings, as_of=moment(as_of, "--as-of"), rows=requested, say=say)
    if requested is not None:
        require_some(frame, kind)
    return {"kind": kind, "rows": frame.to_dict("records")}


@app.command(epilog="Example: perennial erase A-1042")
@prints("data.erased")
def erase(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account_id of the customer.")],
) -> Result:
    """Remove a customer everywhere, and show what was removed."""
    from serving.erase_everywhere import erase

    return erase(account, Settings.from_env())


@app.command(epilog="Example: perennial serve --port 3000")
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond loopback a key is needed.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 3000,
) -> None:
    """Answer over HTTP: the pages and the API."""
    from serving.service import serve

    serve(host, port, Settings.from_env(), say=say)


def main() -> None:
    """Run the command line; exit 2 for the user's mistake, 1 for ours."""
    run(app)


if __name__ == "__main__":
    main()
