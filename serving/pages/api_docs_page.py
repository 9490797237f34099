"""The documentation of the API, drawn from its OpenAPI description without any script from elsewhere."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from markupsafe import Markup, escape
from starlette.routing import BaseRoute

from serving.pages.view import Anybody, render

TAGS = {
    "score": "Scores",
    "lists": "Lists",
    "plan": "Planning",
    "events": "Events",
    "health": "Health",
}
"""Tag → its heading, in the order of the page."""

router = APIRouter()


@router.get("/docs")
async def docs(request: Request, principal: Anybody) -> Response:
    """Every route with who may, its parameters, an example request and the shape of the answer."""
    description = request.app.openapi()
    shapes = description["components"]["schemas"]
    roles = {(route.path, method): who for route, method, who in _admitted(request.app.routes)}
    base = str(request.base_url).rstrip("/")
    routes = [
        _route(base, path, method, operation, shapes, roles.get((path, method), ()))
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]
    known_tags = [tag for tag in TAGS if any(route["tag"] == tag for route in routes)]
    others = sorted({route["tag"] for route in routes} - set(TAGS))
    tags = {tag: TAGS.get(tag, tag.capitalize()) for tag in [*known_tags, *others]}
    return render(request, "docs.html", routes=routes, tags=tags, base=base)


def _admitted(routes: Sequence[BaseRoute]) -> Iterator[tuple[APIRoute, str, tuple[str, ...]]]:
    """Each route and method with the roles that may; none: no key is asked for."""
    for route in routes:
        included = getattr(route, "original_router", None)  # how FastAPI holds a router that was included
        if included is not None:
            yield from _admitted(included.routes)
        elif isinstance(route, APIRoute):
            role_lists = (getattr(one.call, "roles", ()) for one in route.dependant.dependencies)
            who = next((roles for roles in role_lists if roles), ())
            for method in route.methods or ():
                yield route, method.lower(), who


def _route(
    base: str,
    path: str,
    method: str,
    operation: Mapping[str, Any],
    shapes: Mapping[str, Any],
    roles: tuple[str, ...],
) -> dict[str, Any]:
    bodies = operation.get("requestBody", {}).get("content", {})
    body = bodies.get("application/json", {}).get("schema")
    fine = operation["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema")
    return {
        "id": re.sub(r"\W+", "-", f"{method}{path}").strip("-"),
        "path": path,
        "method": method.upper(),
        "tag": operation.get("tags", ["other"])[0],
        "words": [_marked(part) for part in operation.get("description", "").split("\n\n")],
        "roles": roles,
        "parameters": [_parameter(each) for each in operation.get("parameters", [])],
        "curl": _curl(
            base + _filled(path, operation), method, _shown(body, shapes), list(bodies), bool(roles)
        ),
        "answer": _shown(fine, shapes),
    }


def _curl(address: str, method: str, body: str, kinds: list[str], is_keyed: bool) -> str:
    """How the route is asked from a shell: with a JSON body, a file of rows, or none."""
    parts = [f"curl '{address}'", *(['-H "Authorization: Bearer $KEY"'] if is_keyed else [])]
    if body:
        parts += ['-H "Content-Type: application/json"', f"-d '{body}'"]
    elif kinds:
        parts += [f'-H "Content-Type: {kinds[0]}"', "--data-binary @rows.arrow"]
    elif method != "get":
        parts.insert(0, f"-X {method.upper()}")
    return " \\\n  ".join(parts)


def _filled(path: str, operation: Mapping[str, Any]) -> str:
    """The address with the examples of its parameters."""
    query = {}
    for each in operation.get("parameters", []):
        examples = each.get("schema", {}).get("examples") or each.get("examples") or []
        if each["in"] == "path" and examples:
            path = path.replace(f"{{{each['name']}}}", quote(str(examples[0])))
        elif examples:
            query[each["name"]] = examples[0]
    return f"{path}?{urlencode(query)}" if query else path


def _marked(text: str) -> Markup:
    """Text with what stands between backticks as code."""
    parts = text.split("`")
    marked = (
        Markup("<code>{}</code>").format(part) if at % 2 else escape(part) for at, part in enumerate(parts)
    )
    return Markup("").join(marked)


def _parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    schema = parameter.get("schema", {})
    choices: list[str] = next(
        (one["enum"] for one in [schema, *schema.get("anyOf", [])] if "enum" in one), []
    )
    one_of = "One of " + ", ".join(f"`{choice}`" for choice in choices) + "." if choices else ""
    default = schema.get("default")
    return {
        "name": parameter["name"],
        "words": _marked(" ".join(filter(None, [parameter.get("description", ""), one_of]))),
        "default": ""
        if default is None
        else json.dumps(default)
        if isinstance(default, bool)
        else str(default),
    }


def _shown(schema: dict[str, Any] | None, shapes: Mapping[str, Any]) -> str:
    return "" if not schema else json.dumps(_example(schema, shapes), indent=2, ensure_ascii=False)


def _example(schema: dict[str, Any], shapes: Mapping[str, Any]) -> Any:
    """An example of a schema: its own, or made of its members'."""
    if "$ref" in schema:
        return _example(shapes[schema["$ref"].rsplit("/", 1)[1]], shapes)
    if schema.get("examples"):
        return schema["examples"][0]
    if "anyOf" in schema:
        return _example(schema["anyOf"][0], shapes)
    if "properties" in schema:
        return {name: _example(member, shapes) for name, member in schema["properties"].items()}
    if schema.get("type") == "array":
        return [_example(schema["items"], shapes)]
    return schema.get("default")
