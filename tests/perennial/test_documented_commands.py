"""Every command line in the documentation can be run: its words, options and files exist."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from perennial.cli import app

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "deploy/README.md", ROOT / "benchmarks/README.md"]
)
INDENTED = re.compile(r"^(?: {4,}|\t)(.+)$", re.M)
QUOTED = re.compile(r"`([^`\n]+)`")
ENDS = re.compile(r"\s+#.*|\s*(?:&&|;|\||>)\s.*|\\$|…")
LEADING = re.compile(r"^(?:[\d* ]{5,}|[A-Z_]+=\S+ |nice -n \d+ |\.venv/bin/)+")
TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))


def lines_of(page):
    """What a page shows as code, split where the shell would begin another command."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^- \*\*Words\*\*.*", "", text, flags=re.M) if page.name == "CHANGELOG.md" else text
    for line in [*INDENTED.findall(text), *QUOTED.findall(text)]:
        for part in re.split(r"&&", line):
            yield ENDS.sub("", LEADING.sub("", part.strip())).strip()


def problem_of(line):
    """What would stop the command line, or None."""
    words = shlex.split(line, posix=True) if line.count('"') % 2 == 0 and line.count("'") % 2 == 0 else []
    if words[:1] == ["perennial"]:
        return problem_of_perennial(words[1:])
    if words[:1] == ["make"]:
        return next((word for word in words[1:] if "=" not in word and word not in TARGETS), None)
    if words[:2] == ["python", "-m"] and words[2].startswith("benchmarks"):
        place = ROOT / words[2].replace(".", "/")
        return None if place.with_suffix(".py").is_file() or (place / "__main__.py").is_file() else words[2]
    return None


def problem_of_perennial(words):
    command = get_command(app)
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    if hasattr(command, "commands"):  # a group by itself, or a word that is none of its commands
        unknown = [word for word in words if not word.startswith("-") and not word.isupper()]
        return f"no command {unknown[0]}" if unknown else None
    options = {name for part in command.params for name in (*part.opts, *part.secondary_opts)} | {"--help"}
    unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in options]
    return f"no option {unknown[0]} of {command.name}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_shown_exists_with_its_options(page):
    problems = {line: problem for line in lines_of(page) if (problem := problem_of(line))}
    assert problems == {}


@pytest.mark.parametrize(
    "line",
    [
        "perennial trian renewal",
        "perennial train renewal --trails 3",
        "make coffee",
        "python -m benchmarks.no",
    ],
)
def test_what_does_not_exist_is_noticed(line):
    assert problem_of(line)


def test_what_exists_is_let_pass():
    assert problem_of("perennial train renewal --trials 3 --allow tier") is None
    assert problem_of("perennial alerts") is None


def test_whatever_prints_a_result_exists():
    import importlib

    for path in (ROOT / "perennial").rglob("*.py"):
        for module, function in re.findall(r'@prints\("(\w+)\.(\w+)"\)', path.read_text()):
            assert hasattr(importlib.import_module(f"perennial.print.{module}_print"), function), path


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r'"([\w/-]+\.md)"', (ROOT / "zensical.toml").read_text()))
    assert listed == {str(page.relative_to(ROOT / "docs")) for page in ROOT.glob("docs/**/*.md")}
