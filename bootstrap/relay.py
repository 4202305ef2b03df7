"""The relay as a process of its own."""

import asyncio
import signal

from bootstrap.compose import compose, start, stop
from bootstrap.settings import Settings
from shared.logging import get_logger

logger = get_logger(__name__)


async def run_relay(settings: Settings) -> None:
    """Relay until SIGTERM or SIGINT."""
    container = compose(settings, "relay")
    await start(container)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    logger.info("relay_started")
    try:
        await container.jobs.relay().run(stopping)
    finally:
        await stop(container)
    logger.info("relay_stopped")
