"""Applications with other settings, over the servers of the whole run."""

import contextlib
from collections.abc import AsyncIterator

import httpx
from fastapi import FastAPI

from bootstrap.api.app import create_api
from bootstrap.compose import compose
from bootstrap.settings.model import Settings


def application(settings: Settings, **changes: object) -> FastAPI:
    """Return an application with some settings changed. Its pools are closed."""
    changed = settings.model_copy(update=changes)
    return create_api(changed, compose(changed, "api"))


@contextlib.asynccontextmanager
async def client_of(app: FastAPI, *, address: str = "192.0.2.1") -> AsyncIterator[httpx.AsyncClient]:
    """Return a client at this address."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 50_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        yield client
