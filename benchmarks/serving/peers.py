"""The peers: what only predicts from ready-made features, each run as its documentation says.

All hold the same boosted model, as many and as deep trees as Perennial's own. They neither look features up
nor explain, and need no key.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import xgboost as xgb

from benchmarks.serving.load_generator import Request, closed, get, post

ARROW = "application/vnd.apache.arrow.stream"
ROOT = Path(__file__).parents[2]
READY_SECONDS = 600


@dataclass
class Server:
    """A running peer, or Perennial: its name, port and process, and how one row and many are asked for."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    one: Request
    batches: dict[str, Request]

    def stop(self) -> None:
        """End it with everything it started."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.terminate()
        for child in family:
            if child.is_running():
                child.terminate()
        self.process.wait(30)

    def resident_mb(self) -> float:
        """Resident memory of its process."""
        return psutil.Process(self.process.pid).memory_info().rss / 1e6


def start(command: Sequence[str], port: int, log: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start a server and wait until it listens."""
    quiet = {"BENTOML_DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
    quiet |= {"PERENNIAL_WORK_AHEAD": "false"}  # what is measured is answering
    path = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    )  # MLflow calls uvicorn
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **quiet, **environment}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=env, cwd=ROOT)
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and process.poll() is None:
        if closed(port, lambda: get("/"), 1, 0.05).statuses.keys() - {0}:
            return process
        time.sleep(0.5)
    process.kill()
    raise SystemExit(f"{command[0]} did not listen on {port}; see {log}")


def write_model(folder: Path, E: np.ndarray, y: np.ndarray, trees: int, depth: int) -> None:
    """The peers' model and rows in a folder: `model.ubj`, `rows.npy`, and what MLflow and MLServer want."""
    import mlflow.xgboost

    folder.mkdir(parents=True, exist_ok=True)
    E = np.nan_to_num(E)  # JSON knows no missing number
    settings = {"objective": "binary:logistic", "max_depth": depth, "learning_rate": 0.06, "nthread": 2}
    booster = xgb.train(settings, xgb.DMatrix(E, y), num_boost_round=trees)
    booster.save_model(folder / "model.ubj")
    np.save(folder / "rows.npy", E)
    if not (folder / "mlflow").exists():
        mlflow.xgboost.save_model(booster, str(folder / "mlflow"))
    served = folder / "mlserver"
    served.mkdir(exist_ok=True)
    booster.save_model(served / "model.ubj")
    model_settings = {"name": "peer", "implementation": "mlserver_xgboost.XGBoostModel"}
    (served / "model-settings.json").write_text(
        json.dumps({**model_settings, "parameters": {"uri": "./model.ubj"}})
    )


def fastapi(folder: Path, port: int) -> Server:
    """A bare FastAPI on uvicorn."""
    command = [sys.executable, "-m", "benchmarks.serving.bare", "fastapi", str(port), str(folder)]
    return _bare("bare FastAPI", command, folder, port)


def bentoml(folder: Path, port: int) -> Server:
    """A bare BentoML service with an application mounted in it."""
    command = [sys.executable, "-m", "benchmarks.serving.bare", "bentoml", str(port), str(folder)]
    return _bare("bare BentoML, mounted", command, folder, port)


def _bare(name: str, command: list[str], folder: Path, port: int) -> Server:
    rows = np.load(folder / "rows.npy")
    names = [f"f{number}" for number in range(rows.shape[1])]
    sink = pa.BufferOutputStream()
    table = pa.table({each: column.astype(float) for each, column in zip(names, rows.T, strict=True)})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    batches = {
        "Arrow": post("/arrow", sink.getvalue().to_pybytes(), ARROW, ARROW),
        "JSON": post("/predict", json.dumps({"rows": rows.tolist()}).encode()),
    }
    one = post("/predict", json.dumps({"rows": rows[:1].tolist()}).encode())
    return Server(name, port, start(command, port, folder / f"{port}.log"), one, batches)


def mlflow(folder: Path, port: int) -> Server:
    """`mlflow models serve`."""
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        str(folder / "mlflow"),
        "-p",
        str(port),
    ]
    rows = np.load(folder / "rows.npy")

    def request(some: np.ndarray) -> Request:
        return post("/invocations", json.dumps({"inputs": some.tolist()}).encode())

    process = start([*command, "--env-manager", "local", "-w", "1"], port, folder / f"{port}.log")
    return Server("mlflow models serve", port, process, request(rows[:1]), {"JSON": request(rows)})


def mlserver(folder: Path, port: int, python: str) -> Server:
    """MLServer with its XGBoost runtime, in the environment of another Python."""
    rows = np.load(folder / "rows.npy")
    server_settings = {
        "http_port": port,
        "grpc_port": port + 100,
        "metrics_port": port + 200,
        "host": "127.0.0.1",
    }
    served = folder / "mlserver"
    (served / "settings.json").write_text(
        json.dumps({**server_settings, "parallel_workers": 0, "debug": False})
    )

    def request(some: np.ndarray) -> Request:
        tensor = {"name": "x", "shape": some.shape, "datatype": "FP32", "data": some.ravel().tolist()}
        return post("/v2/models/peer/infer", json.dumps({"inputs": [tensor]}).encode())

    command = [str(Path(python).parent / "mlserver"), "start", str(served)]
    process = start(command, port, folder / f"{port}.log", PYTHONPATH="")
    return Server("MLServer", port, process, request(rows[:1]), {"JSON": request(rows)})
