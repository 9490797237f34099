"""The commands for one customer out of several systems: match, look through, decide, take back."""

from pathlib import Path
from typing import Annotated, Any

import typer

from features.errors import RenewalError
from features.settings import Settings
from perennial.command_line import Result, group, prints, reads_crm, say

app = group("One customer out of several systems: who is the same, and who decided so.", no_args_is_help=True)
By = Annotated[str, typer.Option(metavar="NAME", help="Who decides.")]


@app.command(
    epilog="Example: perennial identity match --records billing=customers.csv --records support=orgs.csv"
)
@prints("data.matched")
@reads_crm
def match(
    data: Any,
    settings: Settings,
    records: Annotated[
        list[str] | None,
        typer.Option(metavar="SYSTEM=FILE", help="A system's customers (CSV, Parquet): id, name, domain, …"),
    ] = None,
) -> Result:
    """Find who is the same among accounts and other systems' records; the next ingest joins them."""
    from features.identity.customers import match

    return match(data, dict(_named_file(each) for each in records or ()), settings, say)


def _named_file(words: str) -> tuple[str, Path]:
    system, _, path = words.partition("=")
    if not system.isidentifier() or system == "crm" or not path:
        raise RenewalError(
            expected="--records SYSTEM=FILE, the system in letters and not crm",
            found=words,
            do="Write --records billing=customers.csv.",
        )
    return system, Path(path)


@app.command("list", epilog="Example: perennial identity list --out review.csv")
@prints("data.pairs")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Also what is decided.")] = False,
) -> Result:
    """The pairs that a person is to look at, the likeliest first; fill in `decision`: same or different."""
    from features.identity.links import OPEN, read_links

    links = read_links(Settings.from_env().home)
    links = links if every else links[links["decision"] == OPEN]
    rows = links.sort_values("probability", ascending=False).astype(object)
    return {"rows": rows.where(rows.notna(), None).to_dict("records")}


@app.command(epilog="Example: perennial identity decide review.csv --by Ann")
@prints("data.facts")
def decide(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV of left, right, decision.")],
    by: By = "command line",
) -> Result:
    """Keep decisions on pairs, same or different: the next ingest follows them, no match overrules them."""
    from features.identity.links import decide, read_decisions

    decisions = read_decisions(file)
    changed = decide(Settings.from_env().home, decisions, by)
    return {"decisions": len(decisions), "changed": changed}


@app.command(epilog="Example: perennial identity undo crm:A-1042 billing:cus_77 --by Ann")
@prints("data.facts")
def undo(
    left: Annotated[str, typer.Argument(metavar="RECORD", help="As `identity list` writes it.")],
    right: Annotated[str, typer.Argument(metavar="RECORD", help="The other one.")],
    by: By = "command line",
) -> Result:
    """Take a merge back: the two are different from the next ingest on."""
    from features.identity.links import DIFFERENT, decide, same_customers

    home = Settings.from_env().home
    if not any({left, right} <= set(group) for group in same_customers(home)):
        raise RenewalError(
            expected="two records that are joined",
            found=f"{left} and {right}, which are not",
            do="See `perennial identity list --all`.",
        )
    decide(home, [(left, right, DIFFERENT)], by)
    return {"apart": f"{left} and {right}", "next": "perennial ingest SOURCE"}
