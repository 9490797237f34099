"""The examples of docs/http.md run as they stand, against a service that runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from folders import copy_of
from serving_case import LOCAL, free_port, night, until_ready  # noqa: F401 (fixture)

from features.settings import Settings
from monitoring.store import open_store
from serving.app import create_app

TEXT = (Path(__file__).parents[2] / "docs" / "http.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:^    .*\n(?:\n(?=    ))?)+", TEXT, re.M)
CURL = [block for block in BLOCKS if block.lstrip().startswith("curl")]
PYTHON = [block for block in BLOCKS if block.lstrip().startswith("import")]


def plain(block):
    return "\n".join(line[4:] for line in block.splitlines())


@pytest.fixture(scope="module")
def service(night, tmp_path_factory):  # noqa: F811
    """A running service, and the documents' ids as they are called in its data."""
    kept = copy_of(night, tmp_path_factory.mktemp("docs") / "home")
    row = open_store(Settings(home=kept)).scores.page("renewal", limit=1).rows[0]
    ids = {"C000001": row["contract_id"], "A000001": row["account_id"]}
    port = free_port()
    environment = {**os.environ, "PERENNIAL_HOME": str(kept), "PERENNIAL_THREADS": "1"}
    command = [sys.executable, "-m", "perennial", "serve", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        until_ready(f"{LOCAL}:{port}", lambda: process.poll() is not None)

        def here(text):
            for name, one in ids.items():
                text = text.replace(name, one)
            return text.replace("http://127.0.0.1:3000", f"{LOCAL}:{port}")

        yield here
        process.kill()


def test_there_are_examples_of_both_kinds():
    assert len(CURL) >= 4
    assert len(PYTHON) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(CURL)))
def test_an_example_with_curl_is_answered(number, service, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    command = service(plain(CURL[number])).replace("curl -s ", "curl -s --fail-with-body ")
    command = command.replace('-H "Authorization: Bearer $PERENNIAL_KEY"', "")  # no key exists here
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("{") or list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_an_example_in_python_runs(number, service):
    done = subprocess.run(
        [sys.executable, "-c", service(plain(PYTHON[number]))], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_every_route_for_programs_is_in_the_text_and_no_other():
    named = set(re.findall(r"/v1/[a-z_/]+[a-z]", TEXT)) - {"/v1/icp"}  # stands for both
    there = {
        path.split("/{")[0].replace(".{ending}", "")
        for path in create_app().openapi()["paths"]
        if path.startswith("/v1/")
    }
    assert named == there
