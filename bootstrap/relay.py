"""The relay process."""

import asyncio
import signal

from bootstrap.compose import compose, start, stop
from bootstrap.container import TulouContainer
from bootstrap.observability.processes import observed
from bootstrap.runtime.liveness import touch
from bootstrap.runtime.watchdog import Watchdog
from bootstrap.settings.model import Settings
from domains.jobs.schemas import WorkerInfo
from shared.background import BackgroundLoop, Run, stalled_loops
from shared.logging import get_logger

logger = get_logger(__name__)
ANNOUNCING = BackgroundLoop("relay.heartbeat", round_timeout=15.0)
LIVENESS = BackgroundLoop("relay.liveness")
ANNOUNCE_PAUSE = 10.0


async def run_relay(settings: Settings) -> None:
    """Run the relay until SIGTERM or SIGINT.

    If one loop ends earlier, the others are stopped and an error is raised.
    """
    container = compose(settings, "relay")
    await start(container)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    watchdog = Watchdog(settings.watchdog)
    # A stalled relay looks alive to its supervisor, so it has to end by itself.
    watchdog.follow(loop, works=lambda: not stalled_loops())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    logger.info("relay_started")
    try:
        with observed(settings, "relay"):
            async with asyncio.TaskGroup() as loops:
                loops.create_task(_touch_liveness_file(settings, stopping))
                loops.create_task(_announce(container, stopping))
                loops.create_task(container.jobs.relay().run(stopping))
    finally:
        await stop(container)
        watchdog.disarm()
    logger.info("relay_stopped")


async def _touch_liveness_file(settings: Settings, stopping: asyncio.Event) -> None:
    """Touch the liveness file until the end, while no loop of this process has stalled."""

    async def touch_unless_stalled() -> None:
        if still := stalled_loops():
            logger.error("background_loops_stalled", loops=still)
        else:
            touch(settings.pulse_file)

    await LIVENESS.run(touch_unless_stalled, pause=ANNOUNCE_PAUSE, stop=stopping)


async def _announce(container: TulouContainer, stopping: asyncio.Event) -> None:
    """Send heartbeats until the end, as a worker that serves no queue."""
    worker_registry, info = container.jobs.worker_registry(), WorkerInfo.of_this_process()
    await ANNOUNCING.run(lambda: worker_registry.register(info), pause=ANNOUNCE_PAUSE, stop=stopping)
    with Run(ANNOUNCING):
        async with asyncio.timeout(ANNOUNCING.round_timeout):
            await worker_registry.deregister(info.id)
