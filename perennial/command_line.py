"""What the commands share: shared options, results printed or written, mistakes told in one line."""

import functools
import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from features.errors import NothingDoneError, RenewalError
from features.progress import silent
from features.settings import Settings

Result = dict[str, Any]
Command = Callable[..., Any]

KindName = Literal["renewal", "win"]
Kind = Annotated[KindName, typer.Argument(metavar="renewal|win")]
By = Annotated[str | None, typer.Option(metavar="COLUMN", help="Also for each industry, region, …")]
Minutes = Annotated[float | None, typer.Option(help="How long to search at most.", min=0.01)]
Trials = Annotated[int | None, typer.Option(help="How many settings to try.", min=1)]


def group(about: str, **options: Any) -> typer.Typer:
    """A group of commands in plain text, with unexpected errors shown as Python shows them."""
    return typer.Typer(
        rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False, help=about, **options
    )


def say(line: str) -> None:
    """Progress goes to standard error: standard output holds the result alone."""
    print(line, file=sys.stderr, flush=True)


def moment(text: str | None, option: str) -> Any:
    """A date or moment of the command line as naive UTC, or None."""
    import pandas as pd

    if text is None:
        return None
    try:
        read = pd.Timestamp(text)
    except ValueError as error:
        raise RenewalError(
            expected=f"{option} to be a date", found=repr(text), do="Write it as 2025-06-30."
        ) from error
    return read.tz_convert("UTC").tz_localize(None) if read.tzinfo else read


def _with_options(command: Command, drop: tuple[str, ...], options: dict[str, Any]) -> Any:
    """The signature of `command` less the parameters we fill ourselves, plus shared options."""
    signature = inspect.signature(command)
    remaining = [parameter for name, parameter in signature.parameters.items() if name not in drop]
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in options.items()
    ]
    return signature.replace(parameters=remaining + more)


def prints(show: str) -> Callable[[Command], Command]:
    """A command that returns a result: adds --json and --out, and prints it for a person or a program.

    Args:
        show: what prints it for people: a module of `perennial.print` (without `_print`) and its function, as
            "effects.effects".
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
            from serving.scoring import export

            export.check(out)
            nothing_done = None
            try:
                result = command(*args, **kwargs)
            except NothingDoneError as error:
                result, nothing_done = error.result, error
            if out is not None:
                export.write(out, result)
            if json:
                print(export.as_json(result))
            else:
                module, printer = show.split(".")
                getattr(importlib.import_module(f"perennial.print.{module}_print"), printer)(result)
                if out is not None:
                    print(f"Written to {out}.")
            if nothing_done is not None:
                raise nothing_done

        run.__signature__ = _with_options(command, (), options)  # type: ignore[attr-defined]
        return run

    return wrap


def reads_crm(
    command: Command | None = None, *, unless: Callable[[Settings, dict[str, Any]], bool] | None = None
) -> Any:
    """A command that reads CRM data: adds --crm, --mapping and --until, and hands over data and settings.

    Args:
        command: what is wrapped.
        unless: (settings, the command's arguments) → whether its answer needs no data; None is handed over.
    """
    if command is None:
        return functools.partial(reads_crm, unless=unless)
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
        from features.crm.load import opened

        settings = Settings.from_env()
        if unless is not None and unless(settings, kwargs):
            return command(*args, data=None, settings=settings, **kwargs)
        source = kwargs.get("source") or crm
        # Reading is quick but for large data: a person at a terminal sees it, a log is spared the lines.
        heard = say if sys.stderr.isatty() else silent
        day = moment(until, "--until")
        with opened(settings, source=source, mapping=mapping, until=day, say=heard) as data:
            return command(*args, data=data, settings=settings, **kwargs)

    run.__signature__ = _with_options(command, ("data", "settings"), options)  # type: ignore[attr-defined]
    return run


def run(app: typer.Typer) -> None:
    """Run a command line; exit 2 for the user's mistake, 1 for ours."""
    # Typer carries a click of its own and exports few of its errors; their base is reached from one of them.
    click_error: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except RenewalError as error:
        print(f"perennial: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except click_error as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message(), file=sys.stderr)
            sys.exit(error.exit_code)
        message = " ".join(error.format_message().split())
        print(f"perennial: {message} See `perennial --help`.", file=sys.stderr)
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(130)
