"""The API as a process: uvicorn with uvloop and httptools."""

import asyncio
import socket
import sys
from collections.abc import Callable
from functools import partial
from math import ceil, inf
from time import monotonic, perf_counter
from types import FrameType
from typing import Any

import uvicorn
from fastapi.sse import EventSourceResponse
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from bootstrap.api.app import create_api
from bootstrap.api.protocol.client_limits import ClientLimits, Refused
from bootstrap.api.protocol.connections import Connections, most_connections
from bootstrap.api.protocol.deadlines import DeadlineProtocol
from bootstrap.api.protocol.request_scheduler import RequestScheduler
from bootstrap.api.protocol.unread_responses import UnreadResponses
from bootstrap.api.protocol.write_timeouts import CHECKS_PER_TIMEOUT
from bootstrap.api.proxies import proxies_of
from bootstrap.observability.process_state import ProcessState
from bootstrap.observability.readiness import Readiness
from bootstrap.runtime.freed_memory import FreedMemory
from bootstrap.runtime.gc_tuning import tune_gc
from bootstrap.runtime.loading import loading
from bootstrap.runtime.watchdog import Watchdog
from bootstrap.settings.model import Settings
from shared.background import BackgroundLoop, Run, stalled_loops
from shared.http.middleware.cross_origin import CrossOrigin
from shared.http.middleware.request_recorder import RequestRecorder
from shared.http.middleware.security_headers import security_headers
from shared.http.problems import ProblemWriter
from shared.http.request_context import Refusal, context_of
from shared.ids import new_id
from shared.trace import Trace, tracing

FREED_MEMORY = BackgroundLoop("freed_memory")
SLOW_READERS = BackgroundLoop("slow_readers")
_HALF_SENT = 0.75
"""Share of the grace period after which requests with incomplete bodies are ended."""

_TICK = 0.1
"""Seconds between two ticks of uvicorn."""

_TICKS = 50
"""Ticks between two looks at what memory can be given back."""

_BACKLOG = 2048
_UNSENT = 1 << 17
"""Bytes of unsent responses that the kernel buffers for a connection, so slow clients use bounded memory."""

_OVERTIME = 4.0
"""Seconds after the grace period until the process exits in any case, and logs the stacks that blocked it."""


class _Server(uvicorn.Server):
    """Stops within the grace period, and exits when its event loop is frozen."""

    def __init__(self, config: uvicorn.Config, *, settings: Settings, readiness: Readiness) -> None:
        super().__init__(config)
        self._grace = settings.shutdown_grace
        self._delay = settings.shutdown_delay
        self._readiness = readiness
        self._watchdog = Watchdog(settings.watchdog)
        self._ticks_between_looks = max(1, int(settings.write_timeout / CHECKS_PER_TIMEOUT / _TICK))
        self._freed: FreedMemory | None = None
        self._stops_at = inf
        self._stop: Callable[[], None] = lambda: None
        self._trims, self._looks = Run(FREED_MEMORY), Run(SLOW_READERS)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        # After start-up, when the objects that live as long as the process exist.
        tune_gc()
        self._freed = FreedMemory()
        self._watchdog.follow(asyncio.get_running_loop(), works=lambda: not stalled_loops())

    async def on_tick(self, counter: int) -> bool:
        """Do periodic work; return whether to stop."""
        if counter % _TICKS == 0 and self._freed is not None:
            with self._trims:
                await self._freed.trim_if_idle()
        if counter % self._ticks_between_looks == 0:
            with self._looks:
                self._check_write_timeouts()
        if monotonic() >= self._stops_at:
            self._stops_at = inf
            self._stop()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop after `TULOU_SHUTDOWN_DELAY`, in which proxies notice; a second call stops at once."""
        # A second signal, or one before the start has ended: no proxy sends requests yet.
        delay = 0.0 if self._readiness.is_stopping or not self.started else self._delay
        self._readiness.is_stopping = True
        # From now on the watchdog does not ask the event loop.
        self._watchdog.end_within(delay + self._grace + _OVERTIME)
        if delay:
            self._stop = partial(super().handle_exit, sig, frame)
            self._stops_at = monotonic() + delay
        else:
            super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Wait for requests within the grace period, then end the others."""
        # uvicorn waits for requests without a limit that leaves time to respond to the rest.
        giving_up = asyncio.get_running_loop().call_later(_time_of_requests(self._grace), self._give_up)
        await super().shutdown(sockets)
        giving_up.cancel()

    def _check_write_timeouts(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in self._held():
            connection.check_write_timeout(now)

    def _give_up(self) -> None:
        for connection in self._held():
            connection.give_up()
        # The protocol has responded in their place, so the application's tasks have no reader.
        for task in self.server_state.tasks:
            task.cancel()

    def _held(self) -> list[DeadlineProtocol]:
        return [each for each in self.server_state.connections if isinstance(each, DeadlineProtocol)]


def serve_api(settings: Settings) -> None:
    """Serve until SIGTERM. A port that is taken is one clear sentence and exit code 1."""
    with loading():  # routes load what the modules left
        api = create_api(settings)
    state: ProcessState = api.state.api
    refusal = _refusals(settings, state.request_recorder)
    pooled = settings.database_pool * (1 + len(settings.database_replica_urls))
    most = most_connections(settings.max_connections, pooled=pooled)
    is_proxy = proxies_of(settings.trusted_proxies or ())
    protocol: Any = partial(
        DeadlineProtocol,
        connections=Connections(
            most=most,
            # No address may hold more than half of the connections, also where descriptors are few.
            per_address=min(settings.max_connections_per_address, most // 2),
            is_proxy=is_proxy,
        ),
        unread_responses=UnreadResponses(
            most=settings.max_unread_bytes,
            per_address=min(settings.max_unread_bytes_per_address, settings.max_unread_bytes),
            is_proxy=is_proxy,
        ),
        most_waiting=settings.max_pipelined,
        scheduler=RequestScheduler(),
        limits=_client_limits(settings),
        refusal=refusal,
        is_endless=_is_endless,
    )
    config = uvicorn.Config(
        api,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        backlog=min(_BACKLOG, most // 2),  # as many may be accepted before the first of them is counted
        proxy_headers=False,  # create_api believes the proxies that the settings name
        timeout_keep_alive=settings.keep_alive_timeout,
        # For requests that go on although they were ended.
        timeout_graceful_shutdown=ceil(_time_of_requests(settings.shutdown_grace)) + 1,
    )
    server = _Server(config, settings=settings, readiness=state.readiness)
    server.run(sockets=[_bind(settings.host, settings.port)])


def _time_of_requests(grace: float) -> float:
    """Return the part of the grace period for requests; the rest is for sending 503 to the others."""
    return max(grace - 1, grace / 2)


def _is_endless(scope: Scope) -> bool:
    """Whether the response is an event stream, whose client reconnects to another process by itself."""
    return getattr(scope.get("route"), "response_class", None) is EventSourceResponse


def _client_limits(settings: Settings) -> ClientLimits:
    return ClientLimits(
        head=settings.head_timeout,
        body=settings.body_timeout,
        body_bytes=settings.body_min_bytes,
        whole_body=settings.body_max_time,
        write=settings.write_timeout,
        stop=_time_of_requests(settings.shutdown_grace) * _HALF_SENT,
        max_headers=settings.max_headers,
        max_head_bytes=settings.max_head_bytes,
    )


def _refusals(settings: Settings, request_recorder: RequestRecorder) -> Callable[[Refused], bytes]:
    """Return a function that writes and records responses which the application does not send.

    Where the application was asked, it notes the request itself, with the answer that was given in its place.
    """
    writer = ProblemWriter(public_url=settings.public_url)
    to_browsers = security_headers(public_url=settings.public_url, hsts_seconds=settings.hsts_seconds)
    cross_origin = CrossOrigin(settings.cors_origins)

    def refusal(refused: Refused) -> bytes:
        error = refused.error
        request_id = str(new_id())
        # The problem document has the id of the request that is being handled.
        with tracing(Trace(request_id, None)):
            response = writer.response(error, "")
        granted = cross_origin.headers(dict(refused.headers).get(b"origin", b""))
        headers = dict([*to_browsers, *response.raw_headers, *granted])
        headers |= {b"x-request-id": request_id.encode(), b"connection": b"close"}
        lines = b"".join(b"%b: %b\r\n" % header for header in headers.items())
        method = refused.method if refused.asked is None else refused.asked["method"]
        body = b"" if method == "HEAD" else bytes(response.body)  # RFC 9110, section 9.3.2
        given = Refusal(error.status, request_id, len(body), perf_counter())
        if not refused.is_request:
            pass
        elif refused.asked is None:
            known = {"method": refused.method, "path": "", "client": refused.client}
            request_recorder.note(known, given, refused.started)
        else:
            context_of(refused.asked).refusal = given
        return STATUS_LINE[error.status] + lines + b"\r\n" + body

    return refusal


def _bind(host: str, port: int) -> socket.socket:
    # Bound here, not by uvicorn, to set socket options and to report a used port in one sentence.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    # Connections of the process before must not block the port for a minute.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # what is accepted inherits it
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)
    try:
        listening.bind((host, port))
    except OSError as error:
        sys.stderr.write(
            f"Can't listen on {host}:{port} ({error.strerror}). Stop what uses it, or set TULOU_PORT.\n"
        )
        sys.exit(1)
    return listening
