"""What lies in deploy/ fits what the commands and the service know: no engine is needed to see that."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from features.settings import Settings
from features.sources.connection_file import secret_variable
from monitoring.signed_webhook import NAME as WEBHOOK
from perennial.cli import app
from serving.app import create_app

DEPLOY = Path(__file__).parents[2] / "deploy"


def documents():
    return {
        path.name: [each for each in yaml.safe_load_all(path.read_text()) if each]
        for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    }


def containers(found=None):
    """Every container of the manifests."""
    for parts in documents().values():
        for part in parts:
            spec = part.get("spec", {})
            spec = spec.get("jobTemplate", {}).get("spec", spec).get("template", {}).get("spec", {})
            yield from ((part["kind"], spec, each) for each in spec.get("containers", ()))


def commands_of(words):
    """Whether words begin with a command that exists."""
    return words and words[0] in get_command(app).commands


def test_commands_probes_and_settings_exist():
    known = {f"PERENNIAL_{name.upper()}" for name in Settings.model_fields}
    routes = set(create_app().openapi()["paths"])
    assert len(list(containers())) == 2
    for kind, spec, each in containers():
        assert commands_of(each["args"]), each["args"]
        assert {one["name"] for one in each["env"]} <= known
        assert spec["securityContext"]["runAsNonRoot"]
        assert each["securityContext"]["readOnlyRootFilesystem"]
        mounted = {one["name"] for one in each["volumeMounts"]}
        assert mounted == {one["name"] for one in spec["volumes"]}
        if kind == "Deployment":
            probes = [
                each[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")
            ]
            assert set(probes) <= routes


@pytest.mark.parametrize("version", ["1.29", "1.32", "1.35"])
def test_manifests_hold_to_the_schemas_that_kubernetes_publishes(version):
    validator = pytest.importorskip("kubernetes_validate", reason="needs the dev requirements")
    parts = [part for name, each in documents().items() if name != "kustomization.yaml" for part in each]
    for part in parts:
        validator.validate(part, version, strict=True)
    (service,) = [part for part in parts if part["kind"] == "Deployment"]
    (container,) = service["spec"]["template"]["spec"]["containers"]
    container["readynessProbe"] = container.pop("readinessProbe")
    with pytest.raises(validator.ValidationError, match="readynessProbe"):
        validator.validate(service, version, strict=True)


def test_the_nightly_job_never_runs_twice_and_is_gone_on_with():
    (job,) = [part for part in documents()["nightly.yaml"] if part["kind"] == "CronJob"]
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    assert job["spec"]["jobTemplate"]["spec"]["backoffLimit"] > 0


def test_every_manifest_is_in_the_kustomization():
    (listed,) = documents()["kustomization.yaml"]
    assert set(listed["resources"]) == set(documents()) - {"kustomization.yaml"}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_kustomize_puts_them_together():
    made = subprocess.run(
        ["kubectl", "kustomize", str(DEPLOY / "kubernetes")], capture_output=True, text=True, check=True
    )
    kinds = [part["kind"] for part in yaml.safe_load_all(made.stdout)]
    assert {"Deployment", "CronJob", "Service", "PersistentVolumeClaim", "Namespace"} <= set(kinds)


def test_compose_names_settings_that_exist_and_keeps_to_loopback():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    known = {f"PERENNIAL_{name.upper()}" for name in Settings.model_fields} | {secret_variable(WEBHOOK)}
    services = compose["services"]
    assert set(services) == {"database", "service", "nightly", "mlflow"}
    for name in ("service", "nightly", "mlflow"):
        assert set(services[name]["environment"]) <= known
        assert services[name]["read_only"]
        assert all(port.startswith("127.0.0.1:") for port in services[name].get("ports", ()))
    assert "perennial run" in services["nightly"]["command"][0]


def test_the_image_holds_every_room_and_runs_as_nobody():
    text = (DEPLOY / "Containerfile").read_text()
    copied = set(re.findall(r"^COPY (\w+) \1$", text, re.M))
    assert copied == {"features", "training", "monitoring", "serving", "perennial"}
    assert "--require-hashes" in text
    assert re.search(r"^USER 10001$", text, re.M)
    last = re.findall(r"^CMD \[(.*)\]$", text, re.M)[-1]
    assert commands_of([word.strip(' "') for word in last.split(",")])
