"""The command line: a command parses, calls one function of a room, and prints what came back."""

import functools
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

# Both must be set before the libraries are imported, and spelled so: they send usage data otherwise.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "true")

from features.errors import RenewalError
from features.settings import Settings

Result = dict[str, Any]
Command = Callable[..., Any]


def _typer(about: str) -> typer.Typer:
    return typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
        help=about,
    )


app = _typer("Renewal and win odds from CRM activity, honest about time, cause and uncertainty.")
features_app = _typer("What is known of a customer, and where it is collected.")
effects_app = _typer("What contact, calls and discount change, beside what they merely go with.")
icp_app = _typer("Ideal customer profiles and the targeting list.")
keys_app = _typer("Access keys of the service.")
models_app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    help="Registered models: list, show, compare, promote.",
)
for _group, _name in (
    (features_app, "features"),
    (effects_app, "effects"),
    (icp_app, "icp"),
    (models_app, "models"),
    (keys_app, "keys"),
):
    app.add_typer(_group, name=_name)

Kind = Annotated[Literal["renewal", "win"], typer.Argument(metavar="renewal|win", show_default=False)]
By = Annotated[str | None, typer.Option("--by", metavar="COLUMN", help="Also for each industry, region, …")]


def _say(line: str) -> None:
    """Progress goes to standard error: standard output holds the result alone."""
    print(line, file=sys.stderr, flush=True)


def _moment(text: str | None, option: str) -> Any:
    """A date or moment of the command line as naive UTC, or None."""
    import pandas as pd

    if text is None:
        return None
    try:
        moment = pd.Timestamp(text)
    except ValueError as error:
        raise RenewalError(
            expected=f"{option} to be a date", found=repr(text), do="Write it as 2025-06-30."
        ) from error
    return moment.tz_convert("UTC").tz_localize(None) if moment.tzinfo else moment


def _with_options(command: Command, drop: tuple[str, ...], options: dict[str, Any]) -> Any:
    """The signature of `command` less the parameters we fill ourselves, plus shared options."""
    own = inspect.signature(command)
    kept = [parameter for name, parameter in own.parameters.items() if name not in drop]
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in options.items()
    ]
    return own.replace(parameters=kept + more)


def prints(show: str) -> Callable[[Command], Command]:
    """A command that returns a result: adds --json and --out, and prints it for a person or a program.

    Args:
        show: the function of `serving.console` that prints it for people.
    """
    options = {
        "json": (
            Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")],
            False,
        ),
        "out": (
            Annotated[
                Path | None, typer.Option(metavar="FILE", help="Also write csv, parquet, xlsx, json or html.")
            ],
            None,
        ),
    }

    def wrap(command: Command) -> Command:
        @functools.wraps(command)
        def run(*args: Any, json: bool = False, out: Path | None = None, **kwargs: Any) -> None:
            from serving import console, export

            export.check(out)
            result = command(*args, **kwargs)
            if out is not None:
                export.write(out, result)
            if json:
                print(export.as_json(result))
                return
            getattr(console, show)(result)
            if out is not None:
                print(f"Written to {out}.")

        run.__signature__ = _with_options(command, (), options)  # type: ignore[attr-defined]
        return run

    return wrap


def reads_crm(command: Command) -> Command:
    """A command that reads CRM data: adds --crm, --mapping and --until, and hands over data and settings."""
    options = {
        "crm": (
            Annotated[
                str | None, typer.Option(metavar="DIR|URL", help="CRM data; default: what was ingested.")
            ],
            None,
        ),
        "mapping": (
            Annotated[
                Path | None,
                typer.Option(metavar="FILE", help="Table name → SELECT; default: the data's own."),
            ],
            None,
        ),
        "until": (
            Annotated[str | None, typer.Option(metavar="DATE", help="As if today were DATE (UTC).")],
            None,
        ),
    }

    @functools.wraps(command)
    def run(*args: Any, crm: str | None, mapping: Path | None, until: str | None, **kwargs: Any) -> Any:
        from features.load import opened

        settings = Settings.from_env()
        source = kwargs.get("source") or crm
        with opened(settings, source=source, mapping=mapping, until=_moment(until, "--until")) as data:
            return command(*args, data=data, settings=settings, **kwargs)

    run.__signature__ = _with_options(command, ("data", "settings"), options)  # type: ignore[attr-defined]
    return run


@app.command(epilog="Example: perennial demo")
@prints("demo")
def demo(
    accounts: Annotated[int, typer.Option(help="How many accounts to simulate.", min=200)] = 1500,
) -> Result:
    """Run the whole path on simulated data and end in a summary."""
    from serving.demo import demo

    return demo(Settings.from_env(), accounts=accounts, say=_say)


@app.command(epilog="Example: perennial simulate crm --accounts 2000 --seed 7")
@prints("simulated")
def simulate(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write: new or empty.")],
    accounts: Annotated[int, typer.Option(help="How many accounts.", min=20)] = 2000,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    signal: Annotated[
        bool, typer.Option("--signal/--no-signal", help="Coin flips where there is none.")
    ] = True,
    hidden_worry: Annotated[
        bool, typer.Option("--hidden-worry", help="Record only a part of the worry.")
    ] = False,
) -> Result:
    """Write a CRM whose truth is known, and truth.json with the true effects beside it."""
    from features.simulate import simulate

    truth = simulate(folder, accounts=accounts, seed=seed, signal=signal, hidden_worry=hidden_worry)
    return {"folder": str(folder), "truth": truth}


@app.command(epilog="Example: perennial ingest exports/crm --mapping mapping.yaml")
@prints("quality")
def ingest(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A folder or a database URL.")],
    mapping: Annotated[Path | None, typer.Option(metavar="FILE", help="Table name → SELECT.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="As if today were DATE (UTC).")] = None,
) -> Result:
    """Read and check CRM data, and keep it as what every command reads by default."""
    from features.load import ingest

    crm = ingest(source, Settings.from_env(), mapping=mapping, until=_moment(until, "--until"), say=_say)
    return crm.quality.as_dict()


@app.command(epilog="Example: perennial check exports/crm")
@prints("quality")
@reads_crm
def check(
    data: Any,
    settings: Settings,
    source: Annotated[
        str | None, typer.Argument(metavar="[SOURCE]", help="Default: what was ingested.")
    ] = None,
) -> Result:
    """Report the quality of CRM data; change nothing."""
    return data.quality.as_dict()


@features_app.command("list", epilog="Example: perennial features list --out features.csv")
@prints("features")
def features_list() -> Result:
    """Print every feature with its touchpoint, unit, source and meaning."""
    from features.catalog import listing

    return {"features": listing()}


@app.command(epilog="Example: perennial train renewal --trials 50 --allow tier")
@prints("trained")
@reads_crm
def train(
    data: Any,
    settings: Settings,
    kind: Kind,
    trials: Annotated[int | None, typer.Option(help="How many settings to try.", min=1)] = None,
    minutes: Annotated[float | None, typer.Option(help="How long to search at most.", min=0.01)] = None,
    bar: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Leave this column out.")] = None,
    allow: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Use it though it is barred.")
    ] = None,
) -> Result:
    """Train, judge on later data, and register a model with its card."""
    from training.train import train

    names = {"bar": tuple(bar or ()), "allow": tuple(allow or ())}
    return train(kind, data, settings, trials=trials, minutes=minutes, say=_say, **names)


@app.command(epilog="Example: perennial score renewal --as-of 2025-06-30 --out risk.xlsx")
@prints("scored")
@reads_crm
def score(
    data: Any,
    settings: Settings,
    kind: Kind,
    as_of: Annotated[
        str | None, typer.Option(metavar="DATE", help="Score as things were known then.")
    ] = None,
    rows: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV of ids, each with its own as_of.")
    ] = None,
) -> Result:
    """Score every contract that is due, or every open opportunity."""
    from serving.batch import asked_rows, score

    asked = None if rows is None else asked_rows(rows)
    frame = score(kind, data, settings, as_of=_moment(as_of, "--as-of"), rows=asked, say=_say)
    return {"kind": kind, "rows": frame.to_dict("records")}


@app.command(epilog="Example: perennial monitor renewal --since 2025-06-01 --out report.html")
@prints("monitored")
@reads_crm
def monitor(
    data: Any,
    settings: Settings,
    kind: Annotated[str | None, typer.Argument(metavar="[renewal|win]")] = None,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="Look at scores from then on.")] = None,
) -> Result:
    """Check drift, performance and parity of the served models."""
    from monitoring.report import monitor

    return monitor(data, settings, kind, since=_moment(since, "--since"), say=_say)


@app.command(epilog="Example: perennial outcomes decided.csv")
@prints("outcomes")
def outcomes(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV: contract_id or opportunity_id, outcome, decided_at.")
    ],
) -> Result:
    """Tell how contracts and deals ended; a repeated line changes nothing."""
    from monitoring.store import open_store, read_outcomes

    return open_store(Settings.from_env()).record_outcomes(read_outcomes(file))


@app.command(epilog="Example: perennial serve --port 3000")
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than loopback need a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 3000,
) -> None:
    """Answer over HTTP: the pages and the API."""
    from serving.service import serve

    serve(host, port, Settings.from_env())


def main() -> None:
    """Run the command line; exit 2 for the user's mistake, 1 for ours."""
    # Typer carries a click of its own and exports few of its errors; their base is reached from one of them.
    click_error = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except RenewalError as error:
        print(f"perennial: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except click_error as error:
        told = " ".join(error.format_message().split())
        print(f"perennial: {told} See `perennial --help`.", file=sys.stderr)
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(130)


if __name__ == "__main__":
    main()
