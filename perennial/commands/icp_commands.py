"""The commands for profiles, personas and the targeting list."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from features.settings import Settings
from perennial.command_line import Result, group, prints, reads_crm, say

app = group("Ideal customer profiles, personas and the targeting list.", no_args_is_help=True)

Weighed = Annotated[
    str | None,
    typer.Option(
        metavar="win=W,…",
        help="What counts how much; default: win=0.4,effort=0.2,discount=0.1,renewal=0.3. What is not named "
        "keeps its default.",
    ),
]


@app.command("profiles", epilog="Example: perennial icp profiles --weights win=1,effort=0.5")
@prints("profiles.profiles")
@reads_crm
def icp_profiles(data: Any, settings: Settings, weights: Weighed = None) -> Result:
    """Profiles of the customers that win with little effort and discount, and renew without contact."""
    from training.icp import profiles
    from training.icp.weights import read_weights

    return profiles(data, settings, weights=read_weights(weights), say=say)


@app.command("personas", epilog="Example: perennial icp personas --out personas.html")
@prints("profiles.personas")
@reads_crm
def icp_personas(data: Any, settings: Settings, weights: Weighed = None) -> Result:
    """A one-page card a profile: who they are, what they buy, what answers them, the support they need."""
    from training.icp import personas
    from training.icp.weights import read_weights

    return personas(data, settings, weights=read_weights(weights), say=say)


@app.command("list", epilog="Example: perennial icp list --grade B --for linkedin --out audience.csv")
@prints("profiles.targets")
@reads_crm
def icp_list(
    data: Any,
    settings: Settings,
    companies: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV, Parquet or Excel file of new companies.")
    ] = None,
    weights: Weighed = None,
    kind: Annotated[
        Literal["lead", "prospect", "account", "company"] | None, typer.Option(help="Only these.")
    ] = None,
    grade: Annotated[
        Literal["A", "B", "C", "D", "E"] | None, typer.Option(help="Only those of this grade or better.")
    ] = None,
    platform: Annotated[
        Literal["hubspot", "linkedin", "google"] | None,
        typer.Option("--for", help="In the columns it takes; google: hashed e-mails of allowed contacts."),
    ] = None,
) -> Result:
    """Rank leads, prospects and customers, or a file of new companies, by fit; prospects first."""
    from training.icp import targets
    from training.icp.audiences import audience
    from training.icp.firmographics import allowed_contacts
    from training.icp.grades import at_least
    from training.icp.weights import read_weights

    result = targets(data, settings, companies=companies, weights=read_weights(weights), say=say)
    rows = [row for row in at_least(result["rows"], grade) if kind is None or row["kind"] == kind]
    if platform is not None:
        return audience(platform, rows, allowed_contacts(data))
    return {**result, "rows": rows}


@app.command("reach", epilog="Example: perennial icp reach --rule 'employees>=100' --instead 'employees>=50'")
@prints("profiles.reach")
@reads_crm
def icp_reach(
    data: Any,
    settings: Settings,
    rule: Annotated[
        str | None,
        typer.Option(metavar="RULE", help="Who qualifies now, as 'employees>=100, country=DE|AT'."),
    ] = None,
    instead: Annotated[
        str | None, typer.Option(metavar="RULE", help="The rule it would be changed to; default: everybody.")
    ] = None,
) -> Result:
    """Who in the market campaigns, list and surveys miss; or what changing a rule would change."""
    from monitoring.market_reach import reach_of
    from monitoring.qualification import rule_change
    from training.icp.study import study

    if rule is not None or instead is not None:
        return rule_change(data, rule or "", instead or "")
    return reach_of(data, study(data, settings, say=say))
