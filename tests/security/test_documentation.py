"""The API documentation is public in development, and not served in production unless it is enabled."""

import pytest

from bootstrap.settings.model import Settings
from tests.security.applications import application, client_of

PATHS = ["/", "/docs", "/docs/static/swagger-ui.css", "/openapi.json", "/redoc"]


@pytest.mark.parametrize(
    ("changes", "is_served"),
    [
        ({"env": "production"}, False),
        ({"env": "production", "docs": "on"}, True),
        ({"env": "dev"}, True),
        ({"env": "dev", "docs": "off"}, False),
    ],
)
async def test_production_serves_no_documentation_unless_it_is_set(
    settings: Settings, changes: dict[str, str], is_served: bool
) -> None:
    names = {"trusted_hosts": ("127.0.0.1",)}
    async with client_of(application(settings, **changes, **names)) as client:
        answers = {path: await client.get(path) for path in PATHS}
    assert answers.pop("/redoc").status_code == 404
    for path, answer in answers.items():
        assert answer.status_code == ((307 if path == "/" else 200) if is_served else 404), path
        if not is_served:
            assert answer.json()["code"] == "request.unknown_path"


async def test_the_document_is_compressed(settings: Settings) -> None:
    async with client_of(application(settings)) as client:
        answer = await client.get("/openapi.json", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.json()["openapi"].startswith("3.1")
