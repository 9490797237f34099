"""The commands for who is out there, to measure reach and parity against.

What the catalogue declares.
"""

from typing import Annotated, Any, Literal

import typer

from features.settings import Settings
from perennial.command_line import Result, group, prints, reads_crm, say

app = group("Who lives where, from open data: for reach and parity, never for scores.", no_args_is_help=True)
Area = Annotated[Literal["county", "postcode"], typer.Option(help="Which areas.")]


@app.command(
    "census",
    epilog="Example: perennial population census --year 2022 --state 25 --out exports/crm/population.csv",
)
@prints("data.census")
def population_census(
    year: Annotated[int, typer.Option(help="Last of the five years of the survey.", min=2009, max=2100)],
    by: Area = "county",
    state: Annotated[
        list[str] | None, typer.Option(metavar="CODE", help="Two digits, of counties; default: all.")
    ] = None,
    attribute: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="sex, age, race, poverty, born; default: all.")
    ] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask again for what is kept.")] = False,
) -> Result:
    """Fetch who lives in each US county or postcode, as the table population."""
    from features.sources.census import population

    settings = Settings.from_env()
    result = population(
        settings, year=year, by=by, attributes=attribute or (), states=state or (), refresh=refresh, say=say
    )
    return {
        "rows": result.rows,
        "areas": result.areas,
        "withheld": result.withheld,
        "source": result.source,
    }


@app.command(
    "join", epilog="Example: perennial population join --crm exports/crm --out exports/crm/segments.csv"
)
@prints("data.joined")
@reads_crm
def population_join(data: Any, settings: Settings, by: Area = "county") -> Result:
    """Give accounts the shares of their county or postcode, as the table segments."""
    from features.sources.area_segments import CAVEAT, area_segments

    result = area_segments(data, by)
    return {
        "rows": result.rows,
        "column": result.column,
        "matched": result.matched,
        "unmatched": result.unmatched,
        "not_found": ", ".join(result.examples),
        "caveat": CAVEAT,
    }


features_app = group("What is known of a customer, and where it is collected.", no_args_is_help=True)


@features_app.command("list", epilog="Example: perennial features list --out features.csv")
@prints("data.features")
def features_list() -> Result:
    """Print every feature with its touchpoint, unit, source and meaning."""
    from dataclasses import asdict

    from features.catalog import infos

    return {"features": [asdict(info) for info in infos()]}


@features_app.command("touchpoints", epilog="Example: perennial features touchpoints --out touchpoints.xlsx")
@prints("data.touchpoints")
@reads_crm
def features_touchpoints(
    data: Any,
    settings: Settings,
    missing: Annotated[bool, typer.Option("--missing", help="Only what the data lack.")] = False,
) -> Result:
    """Each touchpoint's data points: how they are collected, what and who uses them, and what is missing."""
    from serving.touchpoint_catalog import touchpoints

    rows = touchpoints(data)
    return {"rows": [row for row in rows if row["missing"] or not missing]}
