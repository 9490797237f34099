"""The documentation of the API, drawn from its OpenAPI description without any script from elsewhere."""

import json
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from serving.pages.view import Anybody, render

router = APIRouter()


@router.get("/docs")
async def docs(request: Request, principal: Anybody) -> Response:
    """Every route with its parameters, an example request and the shape of the answer."""
    description = request.app.openapi()
    shapes = description["components"]["schemas"]
    routes = [
        _route(path, method, told, shapes)
        for path, methods in description["paths"].items()
        for method, told in methods.items()
    ]
    tags = list(dict.fromkeys(route["tag"] for route in routes))
    return render(request, "docs.html", routes=routes, tags=tags, base=str(request.base_url).rstrip("/"))


def _route(path: str, method: str, told: dict[str, Any], shapes: dict[str, Any]) -> dict[str, Any]:
    body = told.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    fine = told["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema")
    return {
        "path": path,
        "method": method.upper(),
        "tag": told.get("tags", ["other"])[0],
        "words": told.get("description", ""),
        "parameters": [_parameter(each) for each in told.get("parameters", [])],
        "request": _shown(body, shapes),
        "answer": _shown(fine, shapes),
    }


def _parameter(told: dict[str, Any]) -> dict[str, str]:
    schema = told.get("schema", {})
    choices: list[str] = next(
        (one["enum"] for one in [schema, *schema.get("anyOf", [])] if "enum" in one), []
    )
    return {
        "name": told["name"],
        "words": told.get("description") or ("one of " + ", ".join(choices) if choices else ""),
        "default": "" if schema.get("default") is None else str(schema["default"]),
    }


def _shown(schema: dict[str, Any] | None, shapes: dict[str, Any]) -> str:
    return "" if not schema else json.dumps(_example(schema, shapes), indent=2, ensure_ascii=False)


def _example(schema: dict[str, Any], shapes: dict[str, Any]) -> Any:
    """An example of a schema: its own, or made of its members'."""
    if "$ref" in schema:
        return _example(shapes[schema["$ref"].rsplit("/", 1)[1]], shapes)
    if schema.get("examples"):
        return schema["examples"][0]
    if "properties" in schema:
        return {name: _example(member, shapes) for name, member in schema["properties"].items()}
    if schema.get("type") == "array":
        return [_example(schema["items"], shapes)]
    return schema.get("default")
