"""The relay as a process of its own."""

import asyncio
import os
import signal
import socket
from contextlib import suppress
from importlib.metadata import version

from bootstrap.compose import compose, start, stop
from bootstrap.container import TulouContainer
from bootstrap.observation.processes import observed
from bootstrap.pulse import beat
from bootstrap.settings import Settings
from bootstrap.watchdog import Watchdog
from domains.jobs.schemas import WorkerCard
from shared.errors import DatabaseUnavailable
from shared.logging import get_logger
from shared.rare_warnings import RareWarnings

logger = get_logger(__name__)
_warnings = RareWarnings(logger)
ANNOUNCE_PAUSE = 10.0


async def run_relay(settings: Settings) -> None:
    """Relay until SIGTERM or SIGINT."""
    container = compose(settings, "relay")
    await start(container)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    watchdog = Watchdog(settings.watchdog)
    watchdog.follow(loop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    logger.info("relay_started")
    announcing = asyncio.create_task(_announce(container, stopping))
    try:
        with observed(settings, "relay"):
            await container.jobs.relay().run(stopping)
    finally:
        stopping.set()
        await announcing
        await stop(container)
        watchdog.rest()
    logger.info("relay_stopped")


async def _announce(container: TulouContainer, stopping: asyncio.Event) -> None:
    """Be among the workers, as one that serves no queue, until the end."""
    roster, card = container.jobs.roster(), _card()
    while not stopping.is_set():
        beat(container.settings().pulse_file)
        try:
            await roster.announce(card)
        except DatabaseUnavailable:
            _warnings.warn("relay_not_announced")
        with suppress(TimeoutError):
            async with asyncio.timeout(ANNOUNCE_PAUSE):
                await stopping.wait()
    with suppress(DatabaseUnavailable):
        await roster.leave(card.id)


def _card() -> WorkerCard:
    host, process = socket.gethostname(), os.getpid()
    return WorkerCard(
        id=f"{host}:{process}", host=host, pid=process, queues="", version=version("tulou"), draining=False
    )
