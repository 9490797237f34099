"""The command line: a command parses, calls one function of a room, and prints what came back."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

# Both must be set before the libraries are imported, and spelled so: they send usage data otherwise.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "true")

from features.settings import Settings
from serving.command_line import Result, group, moment, prints, reads_crm, run, say

app = group(
    "Renewal and win odds from CRM activity, honest about time, cause, uncertainty.", no_args_is_help=True
)
features_app = group("What is known of a customer, and where it is collected.", no_args_is_help=True)
effects_app = group("What contact, calls and discount change, beside raw rates.", no_args_is_help=True)
icp_app = group("Ideal customer profiles and the targeting list.", no_args_is_help=True)
models_app = group("Registered models: list (the default), show, compare, promote, roll back.")
keys_app = group("Access keys of the service.", no_args_is_help=True)
app.add_typer(features_app, name="features")
app.add_typer(effects_app, name="effects")
app.add_typer(icp_app, name="icp")
app.add_typer(models_app, name="models")
app.add_typer(keys_app, name="keys")

KindName = Literal["renewal", "win"]
Kind = Annotated[KindName, typer.Argument(metavar="renewal|win")]
By = Annotated[str | None, typer.Option(metavar="COLUMN", help="Also for each industry, region, …")]
Minutes = Annotated[float | None, typer.Option(help="How long to search at most.", min=0.01)]
Version = Annotated[str, typer.Argument(help="A number, champion or challenger.")]
Trials = Annotated[int | None, typer.Option(help="How many settings to try.", min=1)]


@app.command(epilog="Example: perennial demo")
@prints("demo")
def demo(
    accounts: Annotated[int, typer.Option(help="How many accounts to simulate.", min=200)] = 1000,
) -> Result:
    """Run the whole path on simulated data and end in a summary."""
    from serving.demo import demo

    return demo(Settings.from_env(), accounts=accounts, say=say)


@app.command(epilog="Example: perennial simulate crm --accounts 2000 --seed 7")
@prints("simulated")
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
    from features.simulate import simulate

    truth = simulate(folder, accounts=accounts, seed=seed, signal=signal, hidden_worry=hidden_worry, say=say)
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

    crm = ingest(source, Settings.from_env(), mapping=mapping, until=moment(until, "--until"), say=say)
    return crm.quality.as_dict()


@app.command(epilog="Example: perennial check exports/crm")
@prints("quality")
@reads_crm
def check(
    data: Any,
    settings: Settings,
    source: Annotated[str | None, typer.Argument(metavar="[SOURCE]", help="The same as --crm.")] = None,
) -> Result:
    """Report the quality of CRM data; change nothing."""
    return data.quality.as_dict()


@features_app.command("list", epilog="Example: perennial features list --out features.csv")
@prints("features")
def features_list() -> Result:
    """Print every feature with its touchpoint, unit, source and meaning."""
    from dataclasses import asdict

    from features.catalog import infos

    return {"features": [asdict(info) for info in infos()]}


@app.command(epilog="Example: perennial train renewal --trials 50 --allow tier")
@prints("trained")
@reads_crm
def train(
    data: Any,
    settings: Settings,
    kind: Kind,
    trials: Trials = None,
    minutes: Minutes = None,
    bar: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Leave this column out.")] = None,
    allow: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Use it though barred.")] = None,
) -> Result:
    """Train, judge on later data, and register a model with its card."""
    from training.train import train

    return train(
        kind, data, settings, trials=trials, minutes=minutes, bar=bar or (), allow=allow or (), say=say
    )


@app.command(epilog="Example: perennial retrain --minutes 20")
@prints("retrained")
@reads_crm
def retrain(data: Any, settings: Settings, trials: Trials = None, minutes: Minutes = None) -> Result:
    """Train challengers where it is time to, promote what passes the gates; safe in cron."""
    from monitoring.retrain import retrain

    return retrain(data, settings, trials=trials, minutes=minutes, say=say)


@prints("models")
def _models_list() -> Result:
    """List the registered versions with their aliases and figures."""
    from training.registry import listing

    return {"models": listing(Settings.from_env())}


models_app.command("list", epilog="Example: perennial models list")(_models_list)


@models_app.callback(invoke_without_command=True)
def models(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="As for `models list`.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="As for `models list`.")] = None,
) -> None:
    """Registered models: list (the default), show, compare, promote, roll back."""
    if context.invoked_subcommand is None:
        _models_list(json=json, out=out)


@models_app.command("show", epilog="Example: perennial models show renewal --version 3")
@prints("facts")
def models_show(
    kind: Kind, version: Annotated[str | None, typer.Option(help="Default: the one that scores.")] = None
) -> Result:
    """Show one version: period, figures, gates, barred columns, card."""
    from training.registry import show

    return show(kind, Settings.from_env(), version=version)


@models_app.command("compare", epilog="Example: perennial models compare renewal 2 3")
@prints("facts")
def models_compare(kind: Kind, first: Version, second: Version) -> Result:
    """Compare two versions on their figures."""
    from training.registry import compare

    return compare(kind, first, second, Settings.from_env())


@models_app.command(
    "promote", epilog='Example: perennial models promote renewal 3 --reason "parity waived by …"'
)
@prints("facts")
def models_promote(
    kind: Kind,
    version: Version,
    reason: Annotated[str, typer.Option(help="Written waiver for gates that failed.")] = "",
) -> Result:
    """Make a version the champion; gates that failed need a written reason."""
    from training.registry import promote

    return promote(kind, version, Settings.from_env(), reason=reason)


@models_app.command("rollback", epilog="Example: perennial models rollback renewal")
@prints("facts")
def models_rollback(kind: Kind) -> Result:
    """Make the former champion the champion again."""
    from training.registry import rollback

    return rollback(kind, Settings.from_env())


@app.command(epilog="Example: perennial score renewal --as-of 2025-06-30 --out risk.xlsx")
@prints("scored")
@reads_crm
def score(
    data: Any,
    settings: Settings,
    kind: Kind,
    as_of: Annotated[str | None, typer.Option(metavar="DATE", help="Score as of that day.")] = None,
    rows: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV of ids, each with its as_of.")
    ] = None,
) -> Result:
    """Score every contract that is due, or every open opportunity."""
    from serving.batch import asked_rows, score

    asked = None if rows is None else asked_rows(rows, kind)
    frame = score(kind, data, settings, as_of=moment(as_of, "--as-of"), rows=asked, say=say)
    return {"kind": kind, "rows": frame.to_dict("records")}


@app.command(epilog="Example: perennial losses renewal --by industry")
@prints("losses")
@reads_crm
def losses(data: Any, settings: Settings, kind: Kind, by: By = None) -> Result:
    """What lost renewals or deals have in common, by money, with the stated reasons beside it."""
    from training.losses import losses

    return losses(kind, data, settings, by=by)


@effects_app.command("timing", epilog="Example: perennial effects timing --by industry")
@prints("effects")
@reads_crm
def effects_timing(data: Any, settings: Settings, by: By = None) -> Result:
    """When to make first contact before a renewal."""
    from training.effects import timing

    return timing(data, settings, by=by, say=say)


@effects_app.command("calls", epilog="Example: perennial effects calls --by region")
@prints("effects")
@reads_crm
def effects_calls(data: Any, settings: Settings, by: By = None) -> Result:
    """How many calls in the first 30 days win new business."""
    from training.effects import calls

    return calls(data, settings, by=by, say=say)


@effects_app.command("discount", epilog="Example: perennial effects discount")
@prints("effects")
@reads_crm
def effects_discount(data: Any, settings: Settings, by: By = None) -> Result:
    """How much discount at the first quote wins and renews."""
    from training.effects import discount

    return discount(data, settings, by=by, say=say)


@icp_app.command("profiles", epilog="Example: perennial icp profiles")
@prints("profiles")
@reads_crm
def icp_profiles(data: Any, settings: Settings) -> Result:
    """Profiles of the customers that win with little effort and discount, and renew by themselves."""
    from training.icp import profiles

    return profiles(data, settings, say=say)


@icp_app.command("list", epilog="Example: perennial icp list --companies new.csv --out list.xlsx")
@prints("targets")
@reads_crm
def icp_list(
    data: Any,
    settings: Settings,
    companies: Annotated[Path | None, typer.Option(metavar="FILE", help="CSV of new companies.")] = None,
) -> Result:
    """Rank leads, prospects and accounts, or a file of new companies, by fit."""
    from training.icp import targets

    return targets(data, settings, companies=companies, say=say)


@app.command(epilog="Example: perennial monitor renewal --since 2025-06-01")
@prints("monitored")
@reads_crm
def monitor(
    data: Any,
    settings: Settings,
    kind: Annotated[KindName | None, typer.Argument(metavar="[renewal|win]")] = None,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="Look at scores from then on.")] = None,
) -> Result:
    """Check drift, performance and parity of the served models."""
    from monitoring.report import monitor

    return monitor(data, settings, kind, since=moment(since, "--since"), say=say)


@app.command(epilog="Example: perennial journey --crm exports/crm")
@prints("journey")
@reads_crm
def journey(data: Any, settings: Settings) -> Result:
    """Where along the journey, from reach to recommendation, a segment is lost."""
    from monitoring.journey import journey

    return journey(data)


@app.command(epilog="Example: perennial outcomes decided.csv")
@prints("facts")
def outcomes(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV of contract_id or opportunity_id, outcome, …")
    ],
) -> Result:
    """Tell how contracts and deals ended; a repeated line changes nothing."""
    from monitoring.outcome_log import read_outcomes
    from monitoring.store import open_store

    return open_store(Settings.from_env()).record_outcomes(read_outcomes(file))


@app.command(epilog="Example: perennial erase A-1042")
@prints("facts")
def erase(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account_id of the customer.")],
) -> Result:
    """Remove a customer everywhere, and show what was removed."""
    from serving.erase import erase

    return erase(account, Settings.from_env())


@keys_app.command("create", epilog="Example: perennial keys create sales --owner O-7 --label Berlin")
@prints("facts")
def keys_create(
    role: Annotated[Literal["sales", "marketing", "mlops", "admin"], typer.Argument(metavar="ROLE")],
    owner: Annotated[
        str | None, typer.Option(metavar="OWNER", help="See this owner's customers only.")
    ] = None,
    region: Annotated[str | None, typer.Option(metavar="REGION", help="See this region's only.")] = None,
    label: Annotated[str | None, typer.Option(help="A name to know it by.")] = None,
) -> Result:
    """Create a key; it is shown this once."""
    from monitoring.store import open_store

    store = open_store(Settings.from_env())
    plaintext, key = store.create_key(role, label=label, owner_id=owner, region=region)
    return {"key": plaintext, "prefix": key.prefix, "role": key.role, "owner": owner, "region": region}


@keys_app.command("revoke", epilog="Example: perennial keys revoke prn_1a2b3c4d")
@prints("facts")
def keys_revoke(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="As in `keys list`.")],
) -> Result:
    """Make a key worthless from now on."""
    from monitoring.store import open_store

    open_store(Settings.from_env()).revoke_key(prefix)
    return {"revoked": prefix}


@keys_app.command("list", epilog="Example: perennial keys list")
@prints("listed")
def keys_list() -> Result:
    """List the keys, without their secrets."""
    from monitoring.store import open_store

    return {"keys": open_store(Settings.from_env()).keys()}


@app.command(epilog="Example: perennial serve --port 3000")
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond loopback a key is needed.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 3000,
) -> None:
    """Answer over HTTP: the pages and the API."""
    from serving.service import serve

    serve(host, port, Settings.from_env())


def main() -> None:
    """Run the command line; exit 2 for the user's mistake, 1 for ours."""
    run(app)


if __name__ == "__main__":
    main()
