"""The API as a process: uvicorn with uvloop and httptools."""

import socket
import sys

import uvicorn

from bootstrap.api import create_api
from bootstrap.settings import Settings


def serve_api(settings: Settings) -> None:
    """Serve until SIGTERM. A port that is taken is one clear sentence and exit code 1."""
    config = uvicorn.Config(
        create_api(settings),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,  # create_api believes the proxies that the settings name
        timeout_graceful_shutdown=round(settings.shutdown_grace),
        h11_max_incomplete_event_size=65536,
    )
    uvicorn.Server(config).run(sockets=[_bind(settings.host, settings.port)])


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        sys.stderr.write(
            f"Can't listen on {host}:{port} ({error.strerror}). Stop what uses it, or set TULOU_PORT.\n"
        )
        sys.exit(1)
    return listening
