"""One trace through real processes, as a collector receives it."""

import asyncio
import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.programs import free_port
from tools.faults.people import PASSWORD, some_email

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector(ThreadingHTTPServer):
    """Keeps the spans that it is sent: role of the process, name, trace."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.spans: list[tuple[str, str, str]] = []
        self.paths: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Receiver(BaseHTTPRequestHandler):
    """Speaks OTLP over HTTP."""

    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.paths.add(self.path)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            told = {given.key: given.value.string_value for given in resource.resource.attributes}
            self.server.spans += [
                (told["tulou.role"], span.name, span.trace_id.hex())
                for scope in resource.scope_spans
                for span in scope.spans
            ]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_told: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        serving = threading.Thread(target=collector.serve_forever)
        serving.start()
        yield collector
        collector.shutdown()
        serving.join()


async def test_a_collector_receives_one_trace_from_api_and_worker(programs, collector, app) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "TULOU_PORT": str(port),
        "TULOU_PUBLIC_URL": url,
        "TULOU_TELEMETRY_URL": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    api = programs("serve", **environment)
    worker = programs("worker", "--queue", "default", "--queue", "mail", **environment)
    api.wait_until_it_answers(f"{url}/health/ready")
    worker.wait_for("ready.")
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        body = {"email": some_email(), "password": PASSWORD}
        headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        assert (await client.post("/v1/auth/register", json=body, headers=headers)).status_code == 202
    wanted = {
        ("api", "POST /v1/auth/register"),
        ("api", "INSERT"),
        ("api", "wake-up default"),
        ("worker", "job auth.answer_registration"),
        ("worker", "job emails.deliver"),
        ("worker", "smtp session"),
    }
    async with asyncio.timeout(60):
        while wanted - {(role, name) for role, name, trace in collector.spans if trace == TRACE}:
            await asyncio.sleep(0.1)
    assert collector.paths == {"/v1/traces"}
    assert worker.stop() == 0
