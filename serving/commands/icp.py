"""The commands for profiles and the targeting list."""

from pathlib import Path
from typing import Annotated, Any

import typer

from features.settings import Settings
from serving.command_line import (
    Result,
    group,
    prints,
    reads_crm,
    say,
)

app = group("Ideal customer profiles and the targeting list.", no_args_is_help=True)


@app.command("profiles", epilog="Example: perennial icp profiles")
@prints("profiles.profiles")
@reads_crm
def icp_profiles(data: Any, settings: Settings) -> Result:
    """Profiles of the customers that win with little effort and discount, and renew by themselves."""
    from training.icp import profiles

    return profiles(data, settings, say=say)


@app.command("list", epilog="Example: perennial icp list --companies new.csv --out list.xlsx")
@prints("profiles.targets")
@reads_crm
def icp_list(
    data: Any,
    settings: Settings,
    companies: Annotated[Path | None, typer.Option(metavar="FILE", help="CSV of new companies.")] = None,
) -> Result:
    """Rank leads, prospects and accounts, or a file of new companies, by fit."""
    from training.icp import targets

    return targets(data, settings, companies=companies, say=say)
