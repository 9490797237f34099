"""What the commands share: shared options, results printed or written, mistakes reported in one line."""

import errno
import functools
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

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

_WHOLE = 500
"""Characters of help that no command's first sentence has."""


class _Group(TyperGroup):
    """A group whose help gives each command's sentence whole, on several lines where it is long."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, command.get_short_help_str(_WHOLE)) for name, command in commands if command]
            )


def group(about: str, **options: Any) -> typer.Typer:
    """A group of commands in plain text, with unexpected errors shown as Python shows them."""
    return typer.Typer(
        cls=_Group,
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
        help=about,
        **options,
    )


def say(line: str) -> None:
    """Progress goes to standard error: standard output holds the result alone."""
    print(line, file=sys.stderr, flush=True)


def moment(text: str | None, option: str) -> Any:
    """A date or moment of the command line as naive UTC, or None."""
    from features.moments import moment_of

    return None if text is None else moment_of(text, option)


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
        title = (inspect.getdoc(command) or "Perennial").splitlines()[0].rstrip(".")

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
                export.write(out, result, title=title, currency=result.get("currency"))
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
    command: Command | None = None,
    *,
    unless: Callable[[Settings, dict[str, Any]], bool] | None = None,
    states_money: bool = False,
) -> Any:
    """A command that reads CRM data: adds --crm, --mapping and --until, and hands over data and settings.

    Args:
        command: what is wrapped.
        unless: (settings, the command's arguments) → whether its answer needs no data; None is handed over.
        states_money: the answer gets `currency`, what all its money is in; None: the data don't say.
    """
    if command is None:
        return functools.partial(reads_crm, unless=unless, states_money=states_money)
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
            result = command(*args, data=data, settings=settings, **kwargs)
            return result | {"currency": data.quality.currency} if states_money else result

    run.__signature__ = _with_options(command, ("data", "settings"), options)  # type: ignore[attr-defined]
    return run


def _of_surroundings(error: BaseException) -> RenewalError | None:
    """What this machine refuses (a file, a folder, the disk, a database) in one line; None: our mistake."""
    if isinstance(error, OSError) and error.errno in _REFUSALS:
        return RenewalError(
            expected=f"to read and write {error.filename or 'the disk'}",
            found=error.strerror or str(error),
            do="Check the path, its permissions and the free space (see PERENNIAL_HOME, --out).",
        )
    names = {base.__module__.partition(".")[0] + "." + base.__name__ for base in type(error).__mro__}
    if names & {"shutil.Error", "_duckdb.IOException"}:
        return RenewalError(
            expected="to read and write in PERENNIAL_HOME and the folder for temporary files",
            found=_refusal_in(str(error)),
            do="Check them, their permissions and the free space.",
        )
    if names & {"sqlalchemy.OperationalError", "sqlite3.OperationalError"}:
        return RenewalError(
            expected="a database that can be reached and written",
            found=str(getattr(error, "orig", None) or error).strip().splitlines()[0],
            do="Check PERENNIAL_DATABASE_URL, or PERENNIAL_HOME and its permissions.",
        )
    reason = str(getattr(error, "orig", None) or error)
    if "sqlalchemy.DatabaseError" in names and ("malformed" in reason or "not a database" in reason):
        return RenewalError(
            expected="whole databases in PERENNIAL_HOME (perennial.db, mlflow.db)",
            found=f"a broken one: {reason}",
            do="Restore the home from its back-up, with all its files of the same moment.",
        )
    causes = error.__cause__ or error.__context__
    return None if causes is None else _of_surroundings(causes)


def _refusal_in(message: str) -> str:
    """What the system refused, by the number in a message that comes without one of its own."""
    number = re.search(r"errno\W{1,4}(\d+)", message, re.IGNORECASE)
    return os.strerror(int(number[1])) if number else message.splitlines()[0][:200]


_REFUSALS = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR),
        *(errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG, errno.EFBIG, errno.EIO),
    }
)
"""Not ENOENT: a missing path is reported where it is given; anywhere else it is a bug of ours."""


def _mistake(error: Any) -> str:
    """A mistake on the command line in one line, without the words of the library that reads it."""
    words = (
        " ".join(error.format_message().split())
        .replace("Value error, ", "")
        .replace("Input should", "it should")
    )
    words = re.sub(r", unable to parse .*$", "", words)
    ending = "" if words.endswith((".", "?")) else "."
    context = getattr(error, "ctx", None)
    return f"{words}{ending} See `{context.command_path if context else 'perennial'} --help`."


def run(app: typer.Typer) -> None:
    """Run a command line; exit 2 for the user's mistake, 1 for ours."""
    # Typer carries a click of its own and exports few of its errors; their base is reached from one of them.
    click_error: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
    try:
        sys.exit(app(standalone_mode=False, prog_name="perennial") or 0)
    except RenewalError as error:
        print(f"perennial: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except click_error as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message(), file=sys.stderr)
            sys.exit(error.exit_code)
        print(f"perennial: {_mistake(error)}", file=sys.stderr)
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(130)
    except Exception as error:
        if (surroundings := _of_surroundings(error)) is None:
            raise
        print(f"perennial: {surroundings}", file=sys.stderr)
        sys.exit(surroundings.exit_code)
