"""The route table finds the same route as trying each route in turn."""

import pytest
from starlette.routing import Match

from bootstrap.api.app import routes_of
from shared.http.route_table import RouteTable


@pytest.fixture
def routes(composition):
    return routes_of(composition)


def _scope(method: str, path: str) -> dict[str, object]:
    return {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}


def _found_by_iteration(routes, scope):
    return next((route for route in routes if route.matches(scope)[0] is Match.FULL), None)


def test_every_route_is_found_by_its_own_path(routes) -> None:
    table = RouteTable(routes)
    for route in routes:
        path = route.path.replace("{", "").replace("}", "")
        for method in route.methods:
            scope = _scope(method, path)
            found, child_scope = table.find(scope)
            in_turn = _found_by_iteration(routes, scope)
            assert found is in_turn, (method, path)
            if in_turn is not None:
                assert child_scope == in_turn.matches(scope)[1]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/users/me/"),
        ("GET", "/v1//users/me"),
        ("GET", "/v1/users"),
        ("GET", "/v1/users/a/b"),
        ("DELETE", "/v1/users"),
        ("GET", "/nowhere"),
        ("GET", ""),
        ("BREW", "/v1/users/me"),
        ("GET", "/v1/files/1/content"),
        ("GET", "/v1/files//content"),
        ("GET", "/errors/some.code"),
    ],
)
def test_whatever_is_asked_for_the_answer_is_the_same(routes, method, path) -> None:
    scope = _scope(method, path)
    assert RouteTable(routes).find(scope)[0] is _found_by_iteration(routes, scope)


async def test_a_path_of_its_own_names_no_thing(client, user) -> None:
    """`/v1/files/usage` is not the file `usage`, whatever the method."""
    answer = await client.delete("/v1/files/usage", headers=user.headers)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert answer.json()["code"] == "request.method_not_allowed"


def test_it_stands_in_front_of_every_other_route(composition) -> None:
    from bootstrap.api.app import create_api

    app = create_api(composition.settings(), composition)
    assert isinstance(app.router.routes[0], RouteTable)
