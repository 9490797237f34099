"""Every command is killed by benchmarks.reliability or declared to write nothing; none can be forgotten."""

import typer

from benchmarks.killed_commands import READERS, READS, killed
from benchmarks.killed_homes import Place
from perennial.cli import app

BEFORE = dict.fromkeys(("account", "alert", "task", "key"), "one") | {"pair": ["crm:A", "billing:B"]}


def names_of(command, *path):
    if not hasattr(command, "commands"):
        return {" ".join(path)}
    return {name for word, each in command.commands.items() for name in names_of(each, *path, word)}


def test_each_command_is_killed_or_reads_only(tmp_path):
    every = names_of(typer.main.get_command(app))
    place = Place(tmp_path / "home", None, tmp_path / "crm", BEFORE)
    words = [command.words for command in killed(place).values()]
    writing = {max((each for each in every if " ".join(one).startswith(each)), key=len) for one in words}
    assert writing | {"serve"} == every - set(READS)
    assert set(READERS) <= set(READS) <= every
