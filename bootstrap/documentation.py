"""`/docs` and the OpenAPI document. Swagger UI comes from our own address, so that a strict CSP can stand."""

from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

from shared.errors import FieldProblem, Problem
from shared.http.description import describe_exchanges

DESCRIPTION = """Accounts, files, mail and background jobs.

* Errors are problem documents (RFC 9457); `code` is stable, and `type` leads to a page that explains it.
* Lists are read page by page: pass `next_cursor` of one as `cursor` of the next.
* Slow work answers with jobs, which `GET /v1/jobs/{id}/events` follows live.
"""
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


def install_documentation(app: FastAPI) -> None:
    """Serve `/docs` with its files, and make the OpenAPI document tell every error in one shape."""
    files = Path(fastapi_offline.__file__).parent / "static"
    app.mount("/docs/static", StaticFiles(directory=files), name="docs-static")
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]  # FastAPI's documented way

    @app.get("/", include_in_schema=False)
    async def front_door() -> RedirectResponse:
        return RedirectResponse("/docs")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="Tulou",
            swagger_js_url="/docs/static/swagger-ui-bundle.js",
            swagger_css_url="/docs/static/swagger-ui.css",
            swagger_favicon_url="/docs/static/favicon.png",
            swagger_ui_parameters={"persistAuthorization": True, "displayRequestDuration": True},
        )
        page.headers["Content-Security-Policy"] = _POLICY
        return page


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=DESCRIPTION,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        components = document.setdefault("components", {}).setdefault("schemas", {})
        for model in (Problem, FieldProblem):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schema.pop("$defs", None)
            components[model.__name__] = schema
        for operations in document["paths"].values():
            for operation in operations.values():
                _tell_errors(operation)
        describe_exchanges(document)
        for unused in ("HTTPValidationError", "ValidationError"):
            components.pop(unused, None)
        app.openapi_schema = document
    return app.openapi_schema


def _tell_errors(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    if "422" in responses and "application/json" in responses["422"].get("content", {}):
        responses["422"] = {
            "description": "`request.invalid_input`: some of the input can't be accepted; `errors` says what."
        }
    for status, response in responses.items():
        if status[0] in "45" and "application/json" not in response.get("content", {}):
            response["content"] = {"application/problem+json": {"schema": _PROBLEM}}
