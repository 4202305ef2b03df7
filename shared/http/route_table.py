"""Finding a request's route by looking it up, instead of asking every route in turn whether it is meant."""

from collections.abc import Iterable

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from shared.http.request_context import context_of


class RouteTable(BaseRoute):
    """Stands first among an application's routes and serves what exactly one lookup finds.

    A path without parameters is a key; one with parameters is found by the text in front of the first of them.
    A path without parameters is never also one with: `/v1/files/usage` names no file, whatever the method.
    What else isn't found (an unknown path, another method) is left to the routes behind, which answer 404 and 405.
    """

    def __init__(self, routes: Iterable[APIRoute]) -> None:
        self._plain: dict[tuple[str, str], APIRoute] = {}
        self._patterns: dict[tuple[str, str], list[APIRoute]] = {}
        self._plain_paths: dict[str, APIRoute] = {}
        for route in routes:
            begin, brace, _ = route.path.partition("{")
            for method in route.methods or ():
                if brace:
                    self._patterns.setdefault((method, begin), []).append(route)
                else:
                    self._plain.setdefault((method, route.path), route)
                    self._plain_paths.setdefault(route.path, route)

    def find(self, scope: Scope) -> tuple[APIRoute | None, Scope]:
        """Return the route of a request, and its additions to the request's scope."""
        method, path = scope["method"], scope["path"]
        plain = self._plain.get((method, path))
        if plain is not None:
            return plain, {"endpoint": plain.endpoint, "path_params": {}, "route": plain}
        if path in self._plain_paths:
            return None, {"route": self._plain_paths[path]}  # what was meant, for the log and the metrics
        end = len(path)
        while (end := path.rfind("/", 0, end)) >= 0:
            for route in self._patterns.get((method, path[: end + 1]), ()):
                match, child_scope = route.matches(scope)
                if match is Match.FULL:
                    return route, child_scope
        return None, {}

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether one of the table's routes serves the request."""
        if scope["type"] != "http" or scope.get("root_path"):
            return Match.NONE, {}
        route, child_scope = self.find(scope)
        if route is not None or scope["path"] in self._plain_paths:
            context_of(scope).route = route
            return Match.FULL, child_scope
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request with the route that was found.

        Raises:
            HTTPException: the path is known, but not with this method.
        """
        route = context_of(scope).route
        if route is None:
            raise HTTPException(status_code=405)
        await route.handle(scope, receive, send)
