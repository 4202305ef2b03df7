"""The relay as a process of its own."""

import asyncio
import os
import signal
import socket
from importlib.metadata import version

from bootstrap.compose import compose, start, stop
from bootstrap.container import TulouContainer
from bootstrap.observability.processes import observed
from bootstrap.runtime.liveness import beat
from bootstrap.runtime.watchdog import Watchdog
from bootstrap.settings.model import Settings
from domains.jobs.schemas import WorkerCard
from shared.background import BackgroundLoop, Run, standing_still
from shared.logging import get_logger

logger = get_logger(__name__)
ANNOUNCING = BackgroundLoop("relay.announce", patience=15.0)
PULSE = BackgroundLoop("relay.pulse")
ANNOUNCE_PAUSE = 10.0


async def run_relay(settings: Settings) -> None:
    """Relay until SIGTERM or SIGINT. A loop that ends before that ends the others, and this with an error."""
    container = compose(settings, "relay")
    await start(container)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    watchdog = Watchdog(settings.watchdog)
    watchdog.follow(loop, works=lambda: not standing_still())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    logger.info("relay_started")
    try:
        with observed(settings, "relay"):
            async with asyncio.TaskGroup() as loops:
                loops.create_task(_beat(settings, stopping))
                loops.create_task(_announce(container, stopping))
                loops.create_task(container.jobs.relay().run(stopping))
    finally:
        await stop(container)
        watchdog.rest()
    logger.info("relay_stopped")


async def _beat(settings: Settings, stopping: asyncio.Event) -> None:
    """Leave signs of life until the end, as long as no loop of this process stands still."""

    async def beat_if_all_work() -> None:
        if still := standing_still():
            logger.error("background_loops_stand_still", loops=still)
        else:
            beat(settings.pulse_file)

    await PULSE.run(beat_if_all_work, pause=ANNOUNCE_PAUSE, stop=stopping)


async def _announce(container: TulouContainer, stopping: asyncio.Event) -> None:
    """Be among the workers, as one that serves no queue, until the end."""
    roster, card = container.jobs.roster(), _card()
    await ANNOUNCING.run(lambda: roster.announce(card), pause=ANNOUNCE_PAUSE, stop=stopping)
    with Run(ANNOUNCING):
        async with asyncio.timeout(ANNOUNCING.patience):
            await roster.leave(card.id)


def _card() -> WorkerCard:
    host, process = socket.gethostname(), os.getpid()
    return WorkerCard(
        id=f"{host}:{process}", host=host, pid=process, queues="", version=version("tulou"), draining=False
    )
