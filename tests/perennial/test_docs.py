"""The documentation and the code name the same commands, settings and rooms."""

import re
import sys
from pathlib import Path

import pytest

from features.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
import generate

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", generate.GENERATED)
def test_what_is_generated_is_current(name):
    assert (ROOT / name).read_text(encoding="utf-8") == generate.GENERATED[name](), (
        "run python docs/generate.py"
    )


def test_every_command_has_an_example():
    without = [
        " ".join(words)
        for words, command in generate.every_command()
        if "Example: perennial" not in (command.epilog or "")
    ]
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
