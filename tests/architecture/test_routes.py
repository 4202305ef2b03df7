"""What every route has in common, however many there will be."""

import inspect
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from shared.http.routing import StrictRoute

OWN_PAGES = {"/docs"}


def routes(app: FastAPI) -> list[APIRoute]:
    return [route for route in app.routes if isinstance(route, APIRoute)]


def callables(dependant: Dependant) -> Iterator[object]:
    yield dependant.call
    for inner in dependant.dependencies:
        yield from callables(inner)


def runs_on_a_thread(call: object) -> bool:
    """Tell whether FastAPI would run it in its thread pool: a hop of 140 microseconds."""
    target = call if inspect.isroutine(call) else getattr(type(call), "__call__", call)
    return not (inspect.iscoroutinefunction(target) or inspect.isasyncgenfunction(target))


def test_no_route_has_a_dependency_that_runs_on_a_thread(app: FastAPI) -> None:
    on_threads = [
        (route.path, call)
        for route in routes(app)
        for call in callables(route.dependant)
        if runs_on_a_thread(call)
    ]
    assert on_threads == []


def test_a_dependency_that_runs_on_a_thread_is_seen() -> None:
    class Plain:
        pass

    assert runs_on_a_thread(lambda: None)
    assert runs_on_a_thread(Plain)


def test_every_route_reads_json_strictly(app: FastAPI) -> None:
    loose = [route.path for route in routes(app) if not isinstance(route, StrictRoute)]
    assert set(loose) <= OWN_PAGES


def test_every_operation_has_a_name_of_its_own_and_a_summary(app: FastAPI) -> None:
    shown = [route for route in routes(app) if route.include_in_schema]
    names = [route.unique_id for route in shown]
    assert len(names) == len(set(names))
    assert all(route.summary and route.description for route in shown)


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
async def test_the_documentation_is_served(client, path: str) -> None:
    assert (await client.get(path)).status_code == 200
