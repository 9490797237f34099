"""The documentation and the code name the same commands, settings and rooms."""

import re
from pathlib import Path

import typer.main

from features.settings import Settings
from perennial import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(group=None, before=()):
    """Every command of the command line as a tuple of words, with its object."""
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            yield (*before, name), command


def documented():
    table = README.split("<!-- commands -->")[1].split("<!-- /commands -->")[0]
    return set(re.findall(r"^\| `perennial ([a-z ]+?)(?: [A-Z\[<-].*?)?` ", table, flags=re.MULTILINE))


def test_every_command_is_documented_and_every_documented_one_exists():
    assert documented() == {" ".join(words) for words, _ in commands()}


def test_every_command_has_an_example():
    without = [" ".join(words) for words, command in commands() if "Example: perennial" not in (command.epilog or "")]
    assert without == []


def test_every_setting_is_documented():
    named = set(re.findall(r"`PERENNIAL_([A-Z_]+)`", README.split("## Settings")[1].split("\n## ")[0]))
    assert named == {name.upper() for name in Settings.model_fields}


def test_our_features_package_is_the_one_imported():
    import features

    assert Path(features.__file__).is_relative_to(ROOT) or "site-packages" not in features.__file__


def test_nothing_names_an_address_of_a_package_registry():
    registry = re.compile(r"https?://[^\s\"]*/(simple|packages)/")
    texts = [ROOT / "requirements.lock", ROOT / "requirements-dev.lock", ROOT / "pyproject.toml"]
    assert [path.name for path in texts if registry.search(path.read_text())] == []
