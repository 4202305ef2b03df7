"""The OpenAPI document is complete and passes a linter."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import pytest

from shared.errors import CATALOGUE
from tests.contract.tools import HERE, Failed, node
from tests.security.operations import OPEN_TO_ALL

SPECTRAL = "node_modules/@stoplight/spectral-cli/dist/index.js"
pytestmark = pytest.mark.timeout(600)  # the first run on a machine brings the linter
RULES = HERE / "spectral.yaml"


def operations(document: dict) -> Iterator[tuple[str, dict]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def lint(path: Path) -> None:
    node(SPECTRAL, "lint", path, "--ruleset", RULES, "--fail-severity", "hint", "--quiet")


def test_the_linter_finds_nothing(document_file: Path, node_packages) -> None:
    lint(document_file)


def test_the_linter_finds_what_is_broken(document: dict, tmp_path: Path, node_packages) -> None:
    broken = copy.deepcopy(document)
    del broken["paths"]["/v1/users/me"]["get"]["description"]
    shown = broken["paths"]["/v1/users/me"]["get"]["responses"]["200"]["content"]["application/json"]
    shown["example"]["email"] = 17
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(broken))
    with pytest.raises(Failed, match="operation-description") as failure:
        lint(path)
    assert "oas3-valid-media-example" in str(failure.value)


def test_every_operation_says_what_it_does_in_sentences(document: dict) -> None:
    for name, operation in operations(document):
        assert re.fullmatch(r"[A-Z][^.]+", operation["summary"]), name
        assert operation["description"].rstrip().endswith("."), name
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", operation["operationId"]), name
        assert len(operation["tags"]) == 1, name


def test_every_field_has_a_description_and_an_example(document: dict) -> None:
    lacking = [
        f"{schema}.{field}"
        for schema, details in document["components"]["schemas"].items()
        for field, said in details.get("properties", {}).items()
        if not (said.get("description") and said.get("examples"))
    ]
    assert lacking == [], "give them Field(description=..., examples=[...])"


def test_every_schema_has_a_name_of_its_own(document: dict) -> None:
    names = document["components"]["schemas"]
    assert [name for name in names if "__" in name or name.startswith("Body_") or not name.isalnum()] == []
    assert [name for name, schema in names.items() if not schema.get("description")] == []


def test_every_parameter_has_a_description_and_an_example(document: dict) -> None:
    lacking = [
        f"{name}: {parameter['name']}"
        for name, operation in operations(document)
        for parameter in operation.get("parameters", [])
        if not parameter.get("description") or not is_shown(document, parameter)
    ]
    assert lacking == []


def is_shown(document: dict, parameter: dict) -> bool:
    """Tell whether a reader sees a value that may be sent: an example, a default, or all that there are."""
    schema = parameter["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    told = {"example", "examples"} & parameter.keys() or {"examples", "default", "enum"} & schema.keys()
    return bool(told) or schema["type"] == "boolean"


def test_no_optional_parameter_is_filled_in_by_pages_that_send_requests(document: dict) -> None:
    for name, operation in operations(document):
        for parameter in operation.get("parameters", []):
            if not parameter.get("required"):
                assert not {"example", "examples"} & parameter.keys(), (name, parameter["name"])
                assert "example" not in parameter["schema"], (name, parameter["name"])


def test_every_number_has_a_format_that_holds_it(document: dict) -> None:
    formats = dict(numbers_in(document))
    assert set(formats.values()) <= {"int32", "int64", "double"}
    assert formats["components.schemas.UsageBody.properties.quota_bytes"] == "int64"
    assert formats["components.schemas.Problem.properties.status"] == "int32"
    assert formats["components.headers.Retry-After.schema"] == "int64"
    assert formats["paths./v1/files.get.parameters.4.schema"] == "int32"


def numbers_in(node: object, place: str = "") -> Iterator[tuple[str, str | None]]:
    if isinstance(node, dict) and node.get("type") in ("integer", "number"):
        yield place, node.get("format")
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, child in children:
        if name not in {"example", "examples"}:
            yield from numbers_in(child, f"{place}.{name}".lstrip("."))


def test_every_operation_says_whether_it_needs_a_token_by_the_one_scheme(document: dict) -> None:
    (scheme,) = document["components"]["securitySchemes"]
    assert document["components"]["securitySchemes"][scheme]["type"] == "oauth2"
    for name, operation in operations(document):
        wanted = [] if name in OPEN_TO_ALL else [scheme]
        assert [each for requirement in operation["security"] for each in requirement] == wanted, name


def test_what_routes_say_to_tests_is_not_public(document: dict) -> None:
    assert re.findall(r'"x-[a-z-]+":', json.dumps(document)) == []


def test_every_json_body_has_an_example(document: dict) -> None:
    for name, operation in operations(document):
        for body in (operation.get("requestBody", {}), *operation["responses"].values()):
            for media_type, content in body.get("content", {}).items():
                if media_type.endswith("json"):
                    assert {"example", "examples"} & content.keys(), name


def test_every_example_is_what_its_schema_allows(document: dict) -> None:
    wrong = [
        (place, example, error.message)
        for place, schema, example in examples_in(document)
        for error in validator(document, schema).iter_errors(example)
    ]
    assert wrong == []


def examples_in(document: dict) -> Iterator[tuple[str, dict, object]]:
    for schema, details in document["components"]["schemas"].items():
        for field, said in details.get("properties", {}).items():
            yield from ((f"{schema}.{field}", said, example) for example in said.get("examples", ()))
    for name, operation in operations(document):
        for parameter in operation.get("parameters", []):
            shown = parameter["schema"].get("examples", []) + [parameter.get("example")] * (
                "example" in parameter
            )
            yield from ((f"{name}: {parameter['name']}", parameter["schema"], example) for example in shown)


def validator(document: dict, schema: dict) -> jsonschema_rs.Draft202012Validator:
    whole = {**schema, "components": document["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def test_every_error_is_named_by_its_code_and_shown(document: dict) -> None:
    shown = document["components"]["examples"]
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            content = response.get("content", {}).get("application/problem+json")
            if status[0] not in "45" or content is None:
                continue
            assert content["examples"], name
            for code in content["examples"]:
                assert CATALOGUE[code].status == int(status), (name, code)
                assert shown[code]["value"]["code"] == code
                assert code in response["description"]


def test_what_any_operation_may_answer_stands_at_each(document: dict) -> None:
    for name, operation in operations(document):
        responses = operation["responses"]
        assert "internal_error" in codes(responses, "500"), name
        if name in {"POST /v1/auth/token", "POST /v1/auth/revoke"}:
            assert "422" not in responses, name
            assert "request.repeated_form_fields" in codes(responses, "400"), name
            continue
        assert "request.unknown_parameters" in codes(responses, "422"), name
        if any(parameter["in"] == "query" for parameter in operation.get("parameters", [])):
            assert "request.repeated_parameters" in codes(responses, "422"), name
        if not name.startswith("GET /health"):
            assert "request.rate_limited" in codes(responses, "429"), name
        if operation.get("security"):
            assert codes(responses, "401") == {
                "auth.not_authenticated",
                "auth.invalid_access_token",
                "auth.expired_access_token",
                "auth.session_ended",
            }, name
        if any(scopes for scheme in operation.get("security", []) for scopes in scheme.values()):
            assert "auth.missing_scope" in codes(responses, "403"), name
        if "application/json" in operation.get("requestBody", {}).get("content", {}):
            assert "request.malformed_json" in codes(responses, "400"), name
            assert {"request.invalid_input", "request.unknown_parameters"} <= codes(responses, "422"), name


def test_every_response_tells_its_headers(document: dict) -> None:
    known = document["components"]["headers"]
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            names = set(response["headers"])
            assert "X-Request-Id" in names, (name, status)
            assert names <= set(known), (name, status)
            if status == "201":
                assert "Location" in names, name
            if status == "429" or (status == "202" and "Location" in names):
                assert "Retry-After" in names, (name, status)
            if status == "401":
                assert "WWW-Authenticate" in names, name


def codes(responses: dict, status: str) -> set[str]:
    content = responses.get(status, {}).get("content", {}).get("application/problem+json", {})
    return set(content.get("examples", {}))


def test_links_lead_from_a_thing_to_what_is_done_with_it(document: dict) -> None:
    links = document["paths"]["/v1/files"]["post"]["responses"]["201"]["links"]
    assert links["download_file"]["parameters"] == {"file_id": "$response.body#/id"}
    assert {"read_file", "change_file", "delete_file", "restore_file"} <= links.keys()
    ids = {operation["operationId"] for _, operation in operations(document)}
    for name, operation in operations(document):
        for response in operation["responses"].values():
            assert {link["operationId"] for link in response.get("links", {}).values()} <= ids, name


def test_it_says_where_it_is_served(document: dict, settings) -> None:
    assert document["servers"][0]["url"] == settings.public_url.rstrip("/")
    assert document["info"]["license"] == {"name": "MIT", "identifier": "MIT"}
    assert document["info"]["contact"]["url"]
