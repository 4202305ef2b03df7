"""Behaviour that all commands have in common."""

import _thread
import asyncio
import threading
import time

from bootstrap.cli.terminal import run


def test_a_command_ends_after_the_last_word_of_threads_that_it_has_not_begun() -> None:
    begun, said = threading.Event(), []

    def speak() -> None:
        begun.set()
        time.sleep(0.2)
        said.append("everything")

    async def work() -> str:
        _thread.start_new_thread(speak, ())
        await asyncio.to_thread(begun.wait)
        return "done"

    assert run(work()) == "done"
    assert said == ["everything"]
