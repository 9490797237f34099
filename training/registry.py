"""The model registry: versions, aliases and what each was made of, kept in MLflow.

A version is a plain folder (JSON and XGBoost's own file); nothing is ever unpickled. The alias moves last,
after everything is uploaded: a reader finds the old champion or the new one, and a killed run leaves no half.
"""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from features.errors import RenewalError
from features.scratch import turn, writable
from features.settings import Settings
from training.model import Model
from training.model_versions import (
    KINDS,
    Loaded,
    Record,
    Version,
    allowed_name,
    make_ready,
    model_name,
    side_by_side,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER = "champion", "challenger"
MODEL_FOLDER, RESULT_FILE = "model", "result.json"
_PARAM_LENGTH = 500


def register(kind: str, folder: Path, record: Record, settings: Settings, *, lead: bool) -> Version:
    """Upload a folder (`model/`, card, result.json) as a new version, then move the alias.

    A version that a training of the same fingerprint has registered before is that version: none is added.
    What killed registrations have left behind is removed. One at a time registers in a home.

    Args:
        kind: `renewal` or `win`.
        folder: what to upload, whole.
        record: what to keep on the run.
        settings: where the registry is.
        lead: whether it becomes champion; otherwise it is challenger.
    """
    with turn(settings.home / "registry.lock"):
        before = _made_before(_client(settings), model_name(kind), record.fingerprint)
        return before or _registered(kind, folder, record, settings, lead)


def made_before(kind: str, fingerprint: str, settings: Settings) -> Version | None:
    """The version that a training of this fingerprint has registered; one cut short is finished first."""
    if not _exists(settings):
        return None
    with turn(settings.home / "registry.lock"):
        return _made_before(_client(settings), model_name(kind), fingerprint)


def _registered(kind: str, folder: Path, record: Record, settings: Settings, lead: bool) -> Version:
    client, name = _client(settings), model_name(kind)
    _drop_unfinished(client, name, settings)
    run = client.create_run(_experiment(client, name, settings), tags={"fingerprint": record.fingerprint})
    run_id = run.info.run_id
    _log(client, run_id, record)
    client.log_artifacts(run_id, str(folder))
    client.set_terminated(run_id)
    _ensure_model(client, name)
    source = f"{run.info.artifact_uri}/{MODEL_FOLDER}"
    tags = {**record.tags, "fingerprint": record.fingerprint, "gates": json.dumps(record.gates)}
    tags["alias"] = CHAMPION if lead else CHALLENGER
    return _finish(client, client.create_model_version(name, source=source, run_id=run_id, tags=tags))


def standing(kind: str, settings: Settings) -> Version | None:
    """Which version `champion` would load, without loading it."""
    if not _exists(settings):
        return None
    client, name = _client(settings), model_name(kind)
    aliases = _aliases(client, name)
    alias = next((alias for alias in (CHAMPION, CHALLENGER) if alias in aliases), None)
    return Version(name, aliases[alias], alias) if alias else None


def champion(kind: str, settings: Settings) -> Loaded | None:
    """The model to score with: the champion, without one the challenger, else None."""
    stands = standing(kind, settings)
    if stands is None:
        return None
    assert stands.alias is not None
    return Loaded(load_version(kind, stands.version, settings), stands.version, stands.alias)


WAIVED_IN_TRAINING = "; waived: "
"""What stands between a gate's finding and the reason it was waived for."""

UNNAMED = "somebody unnamed"
"""Who waived a gate where nobody said."""


def former(kind: str, settings: Settings) -> Loaded | None:
    """The champion before this one, which a rollback would bring back; None: there is none."""
    if not _exists(settings):
        return None
    client, name = _client(settings), model_name(kind)
    current = _aliases(client, name).get(CHAMPION)
    before = client.get_model_version(name, current).tags.get("previous_champion") if current else None
    return Loaded(load_version(kind, before, settings), str(before), "former champion") if before else None


def load_version(kind: str, version: str | int, settings: Settings) -> Model:
    """One version's model.

    Raises:
        RenewalError: there is none.
    """
    client, name = _open(settings), model_name(kind)
    return Model.load(_folder(_version(client, name, version), settings))


def files_of(version: Version, settings: Settings) -> Path:
    """The folder of all files uploaded with a version: the model's, the card, result.json."""
    client = _open(settings)
    return _folder(client.get_model_version(version.name, version.version), settings).parent


def promote(
    kind: str, version: str | int, settings: Settings, *, reason: str | None = None, by: str = ""
) -> dict[str, Any]:
    """Make a version (number or alias) the champion; who waives a gate is kept with the reason.

    Raises:
        RenewalError: there is no such version, or a gate failed and no reason is given in writing.
    """
    client, name = _open(settings), model_name(kind)
    candidate = _version(client, name, version)
    gates = json.loads(candidate.tags.get("gates", "{}"))
    failed = [gate for gate, outcome in gates.items() if outcome["passed"] is False]
    written = (reason or "").strip()
    if failed and not written:
        raise RenewalError(
            expected="every gate passed, or a written reason to promote all the same",
            found=f"failed: {', '.join(failed)}",
            do="Give --reason TEXT; it is kept with the version.",
        )
    if failed:
        client.set_model_version_tag(name, candidate.version, "waiver", written)
        client.set_model_version_tag(name, candidate.version, "waived_by", by or UNNAMED)
    before = _crown(client, name, candidate.version, written)
    return {
        "model": name,
        "version": str(candidate.version),
        "alias": CHAMPION,
        "before": before,
        "waived": failed,
    }


def rollback(kind: str, settings: Settings, *, reason: str | None = None) -> dict[str, Any]:
    """Make the champion before this one champion again.

    Raises:
        RenewalError: there is no champion, or none before it.
    """
    client, name = _open(settings), model_name(kind)
    current = _aliases(client, name).get(CHAMPION)
    before = client.get_model_version(name, current).tags.get("previous_champion") if current else None
    if not before:
        raise RenewalError(
            expected="an earlier champion to go back to",
            found=f"version {current} with none before it" if current else "no champion",
            do="See `perennial models list` and promote a version.",
        )
    client.set_registered_model_alias(name, CHAMPION, before)
    client.set_model_version_tag(name, current, "rolled_back", f"{_now()} {reason or ''}".strip())
    return {"model": name, "version": before, "alias": CHAMPION, "before": str(current)}


def listing(settings: Settings) -> list[dict[str, Any]]:
    """Every version of every model, newest first."""
    if not _exists(settings):
        return []
    client = _client(settings)
    rows = []
    for kind in KINDS:
        name = model_name(kind)
        aliases = _aliases(client, name)
        for version in client.search_model_versions(f"name='{name}'"):
            rows.append(_summary(version, aliases))
    return sorted(rows, key=lambda row: (row["model"], -int(row["version"])))


def show(kind: str, settings: Settings, version: str | int | None = None) -> dict[str, Any]:
    """All that is kept of a version (number or alias); without one, of the champion or challenger.

    Raises:
        RenewalError: there is none.
    """
    client, name = _open(settings), model_name(kind)
    aliases = _aliases(client, name)
    wanted = version or aliases.get(CHAMPION) or aliases.get(CHALLENGER)
    if wanted is None:
        raise _nothing_trained(name)
    model_version = _version(client, name, wanted, aliases)
    run = client.get_run(str(model_version.run_id))
    folder = _folder(model_version, settings).parent
    result = json.loads((folder / RESULT_FILE).read_text()) if (folder / RESULT_FILE).is_file() else {}
    tag_names = ("waiver", "rolled_back", "previous_champion", "promoted")
    tags: dict[str, Any] = {key: model_version.tags[key] for key in tag_names if key in model_version.tags}
    return {
        **_summary(model_version, aliases),
        **tags,
        "params": dict(run.data.params),
        "metrics": dict(run.data.metrics),
        "result": result,
        "folder": str(folder),
    }


def compare(kind: str, one: str | int, other: str | int, settings: Settings) -> dict[str, Any]:
    """Two versions side by side: each figure in both and its change, and the parameters that differ."""
    a, b = show(kind, settings, one), show(kind, settings, other)
    return side_by_side(a, b)


def _summary(version: "ModelVersion", aliases: Mapping[str, str]) -> dict[str, Any]:
    tags = version.tags
    return {
        "model": version.name,
        "version": str(version.version),
        "alias": next((a for a, v in aliases.items() if str(v) == str(version.version)), None),
        "trained_at": datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(
            timespec="seconds"
        ),
        "served": tags.get("served"),
        "complete": "complete" in tags or str(version.version) in map(str, aliases.values()),
        "data_fingerprint": tags.get("data_fingerprint"),
        "gates": json.loads(tags.get("gates", "{}")),
        "waived": waived_gates(tags),
    }


def waived_gates(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Gates a version did not pass and was let serve all the same: gate, by, reason, why (what it found)."""
    result = []
    for name, gate in json.loads(tags.get("gates", "{}")).items():
        found_words, _, reason = str(gate["why"]).partition(WAIVED_IN_TRAINING)
        if gate["passed"] and reason:
            result.append({"gate": name, "by": "whoever trained it", "reason": reason, "why": found_words})
        elif gate["passed"] is False and "waiver" in tags:
            by = tags.get("waived_by", UNNAMED)
            result.append({"gate": name, "by": by, "reason": tags["waiver"], "why": found_words})
    return result


def _crown(client: "MlflowClient", name: str, version: str, reason: str = "") -> str | None:
    """Move the champion alias, keeping on the version who was champion before."""
    aliases = _aliases(client, name)
    before = aliases.get(CHAMPION)
    if before is not None and str(before) != str(version):
        client.set_model_version_tag(name, version, "previous_champion", str(before))
    client.set_model_version_tag(name, version, "promoted", f"{_now()} {reason}".strip())
    client.set_registered_model_alias(name, CHAMPION, version)
    if str(aliases.get(CHALLENGER)) == str(version):
        client.delete_registered_model_alias(name, CHALLENGER)
    return before


def _client(settings: Settings) -> "MlflowClient":
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with writable(settings.home):
        settings.home.mkdir(parents=True, exist_ok=True)
    url = make_ready(settings.mlflow_url)
    return MlflowClient(tracking_uri=url, registry_uri=url)


def _exists(settings: Settings) -> bool:
    """Whether there is a registry to ask: a question must not make one."""
    url = settings.mlflow_url
    return not url.startswith("sqlite:///") or Path(url.removeprefix("sqlite:///")).is_file()


def _open(settings: Settings) -> "MlflowClient":
    if not _exists(settings):
        raise _nothing_trained("any kind")
    return _client(settings)


def _nothing_trained(name: str) -> RenewalError:
    return RenewalError(
        expected=f"a trained model of {name}",
        found="none",
        do="Run `perennial train renewal` or `train win`.",
    )


def _experiment(client: "MlflowClient", name: str, settings: Settings) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        return experiment.experiment_id
    place = (settings.home.resolve() / "artifacts").as_uri()
    return client.create_experiment(name, artifact_location=place)


def _ensure_model(client: "MlflowClient", name: str) -> None:
    if not client.search_registered_models(f"name='{name}'"):
        client.create_registered_model(name)


def _aliases(client: "MlflowClient", name: str) -> dict[str, str]:
    models = client.search_registered_models(f"name='{name}'")
    return {alias: str(version) for alias, version in models[0].aliases.items()} if models else {}


def _version(
    client: "MlflowClient", name: str, wanted: str | int, aliases: Mapping[str, str] | None = None
) -> "ModelVersion":
    number = (_aliases(client, name) if aliases is None else aliases).get(str(wanted), wanted)
    versions = {str(v.version): v for v in client.search_model_versions(f"name='{name}'")}
    if str(number) not in versions:
        raise RenewalError(
            expected=f"a version or alias of {name}",
            found=repr(wanted),
            do=f"There are: {', '.join(sorted(versions, key=int)) or 'none'}.",
        )
    return versions[str(number)]


def _folder(version: "ModelVersion", settings: Settings) -> Path:
    """Where a version's files are: in this home, wherever it was when it was trained, else where it says."""
    source = urlparse(version.source)
    if source.scheme in ("", "file"):
        recorded = Path(unquote(source.path))
        for place in (settings.home.resolve() / "artifacts" / Path(*recorded.parts[-3:]), recorded):
            if place.is_dir():
                return place
        raise RenewalError(
            expected=f"the files of {version.name} version {version.version}",
            found=f"nothing at {recorded}",
            do="Restore the folder `artifacts` of PERENNIAL_HOME, or train again.",
        )
    from mlflow.artifacts import download_artifacts

    download = settings.home / "downloads" / version.name / str(version.version)
    download.mkdir(parents=True, exist_ok=True)
    return Path(download_artifacts(artifact_uri=version.source, dst_path=str(download)))


def _log(client: "MlflowClient", run_id: str, record: Record) -> None:
    from math import isfinite

    from mlflow.entities import Metric, Param

    now = int(datetime.now(UTC).timestamp() * 1000)
    metrics = [Metric(allowed_name(k), float(v), now, 0) for k, v in record.metrics.items() if isfinite(v)]
    params = [Param(allowed_name(k), str(v)[:_PARAM_LENGTH]) for k, v in record.params.items()]
    client.log_batch(run_id, metrics=metrics, params=params)


def _made_before(client: "MlflowClient", name: str, fingerprint: str) -> Version | None:
    for version in client.search_model_versions(f"name='{name}'"):
        if version.tags.get("fingerprint") == fingerprint and {"alias", "complete"} & set(version.tags):
            if "complete" not in version.tags:
                return _finish(client, version)
            aliases = {number: alias for alias, number in _aliases(client, name).items()}
            return Version(name, str(version.version), aliases.get(str(version.version)))
    return None


def _finish(client: "MlflowClient", version: "ModelVersion") -> Version:
    """Give a version whose files are uploaded its alias, and note that it is complete."""
    alias = version.tags["alias"]
    if alias == CHAMPION:
        _crown(client, version.name, version.version)
    else:
        client.set_registered_model_alias(version.name, alias, version.version)
    client.set_model_version_tag(version.name, version.version, "complete", "true")
    return Version(version.name, str(version.version), alias)


def _drop_unfinished(client: "MlflowClient", name: str, settings: Settings) -> None:
    """Remove versions and files that killed registrations of this home have left behind."""
    held = set(_aliases(client, name).values())
    runs = set()
    for version in client.search_model_versions(f"name='{name}'"):
        if "complete" in version.tags or str(version.version) in held:
            runs.add(version.run_id)
        elif _is_here(version.source, settings):
            client.delete_model_version(name, version.version)
    for run in client.search_runs([_experiment(client, name, settings)]):
        if run.info.run_id not in runs and _is_here(run.info.artifact_uri, settings):
            client.delete_run(run.info.run_id)
            shutil.rmtree(unquote(urlparse(run.info.artifact_uri).path), ignore_errors=True)


def _is_here(place: str | None, settings: Settings) -> bool:
    """Whether files lie in this home: only its own registrations stand under its lock."""
    address = urlparse(place or "none:")
    files = Path(unquote(address.path))
    return address.scheme in ("", "file") and files.is_relative_to(settings.home.resolve() / "artifacts")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
