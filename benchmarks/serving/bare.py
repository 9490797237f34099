"""`python -m benchmarks.serving.bare fastapi|bentoml PORT FOLDER`: predicts from ready features, no more."""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import uvicorn
import xgboost as xgb
from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel
from pydantic_core import to_json

ARROW = "application/vnd.apache.arrow.stream"


class Rows(BaseModel):
    """Feature rows."""

    rows: list[list[float]]


def application(folder: Path) -> FastAPI:
    """The routes: JSON and Arrow."""
    booster = xgb.Booster()
    booster.load_model(folder / "model.ubj")
    app = FastAPI()

    @app.post("/predict")
    async def predict(body: Rows) -> Response:
        probability = booster.inplace_predict(np.asarray(body.rows, dtype=np.float32))
        return Response(to_json({"probability": probability.tolist()}), media_type="application/json")

    @app.post("/arrow")
    async def arrow(request: Request) -> Response:
        table = pa.ipc.open_stream(await request.body()).read_all()
        rows = np.empty(table.shape, dtype=np.float32)
        for at, column in enumerate(table.columns):
            rows[:, at] = column.to_numpy()
        answer = pa.table({"probability": booster.inplace_predict(rows)})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, answer.schema) as writer:
            writer.write_table(answer)
        return Response(sink.getvalue().to_pybytes(), media_type=ARROW)

    return app


def main(how: str, port: int, folder: Path) -> None:
    """Serve until stopped."""
    app = application(folder)
    served = app
    if how == "bentoml":
        import bentoml

        @bentoml.service(
            name="bare", workers=1, traffic={"timeout": 5}, logging={"access": {"enabled": False}}
        )
        @bentoml.asgi_app(app, path="/")
        class Bare:
            """Nothing but what is mounted."""

        served = Bare.to_asgi(is_main=False)  # type: ignore[attr-defined]
    uvicorn.run(served, host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
