"""What the catalogue declares."""

from serving.command_line import Result, group, prints

app = group("What is known of a customer, and where it is collected.", no_args_is_help=True)


@app.command("list", epilog="Example: perennial features list --out features.csv")
@prints("data.features")
def features_list() -> Result:
    """Print every feature with its touchpoint, unit, source and meaning."""
    from dataclasses import asdict

    from features.catalog import infos

    return {"features": [asdict(info) for info in infos()]}
