"""Rules for every route, also for routes that are added later."""

import inspect
from collections.abc import Iterator

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from bootstrap.api.app import routes_of
from bootstrap.container import TulouContainer
from shared.http.routing import StrictRoute


@pytest.fixture(scope="module")
def routes(composition: TulouContainer) -> list[APIRoute]:
    found = routes_of(composition)
    assert len(found) > 40
    return found


def callables(dependant: Dependant) -> Iterator[object]:
    yield dependant.call
    for inner in dependant.dependencies:
        yield from callables(inner)


def runs_on_a_thread(call: object) -> bool:
    """Tell whether FastAPI would run it in its thread pool: a hop of 140 microseconds."""
    target = call if inspect.isroutine(call) else getattr(type(call), "__call__", call)  # noqa: B004  # its method is wanted
    return not (inspect.iscoroutinefunction(target) or inspect.isasyncgenfunction(target))


def test_no_route_has_a_dependency_that_runs_on_a_thread(routes: list[APIRoute]) -> None:
    on_threads = [
        (route.path, call)
        for route in routes
        for call in callables(route.dependant)
        if runs_on_a_thread(call)
    ]
    assert on_threads == []


def test_a_dependency_that_runs_on_a_thread_is_seen() -> None:
    class Plain:
        pass

    assert runs_on_a_thread(lambda: None)
    assert runs_on_a_thread(Plain)


def test_every_route_reads_json_strictly(routes: list[APIRoute]) -> None:
    assert [route.path for route in routes if not isinstance(route, StrictRoute)] == []


def test_every_operation_has_a_name_of_its_own_and_a_summary(routes: list[APIRoute]) -> None:
    shown = [route for route in routes if route.include_in_schema]
    names = [route.unique_id for route in shown]
    assert len(names) == len(set(names))
    assert [route.path for route in shown if not (route.summary and route.description)] == []


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
async def test_the_documentation_is_served(client, path: str) -> None:
    assert (await client.get(path)).status_code == 200
