"""The handle on the SMTP server's process."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from tools.dev.ports import choose_port
from tools.faults.processes import Child


class MailServer:
    """Gives orders to the SMTP server, and reads what it has counted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "smtp"
        self._folder.mkdir()
        self._port = choose_port("faults-smtp", memory=folder / "ports.json")
        arguments = ["tools.faults.smtp_server", "--folder", str(self._folder), "--port", str(self._port)]
        self._child = Child("smtp", arguments, {}, folder / "smtp.log")

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"smtp://127.0.0.1:{self._port}?starttls=off"

    async def start(self) -> None:
        """Listen."""
        self._child.start()
        await self._child.until_it_says("listening")

    @property
    def is_running(self) -> bool:
        """Whether it listens."""
        return self._child.code is None

    def kill(self) -> None:
        """Kill the server."""
        self._child.kill()

    def obey(self, **orders: Any) -> None:
        """Replace the orders; without any the server works normally."""
        new = self._folder / "orders.new"
        new.write_text(json.dumps(orders))
        new.rename(self._folder / "orders.json")

    def forget(self) -> None:
        """Reset the counts and the orders."""
        self.obey()
        for log in ("received", "accepted"):
            (self._folder / f"{log}.log").write_text("")

    def received(self) -> Counter[str]:
        """Return how often it has seen the end of each mail, by Message-ID."""
        return Counter(line.split()[0] for line in self._lines("received"))

    def versions(self) -> Counter[str]:
        """Return how many different byte strings came for each Message-ID."""
        return Counter(line.split()[0] for line in set(self._lines("received")))

    def accepted(self) -> list[str]:
        """Return the Message-IDs that it has taken, in order."""
        return [line.split()[0] for line in self._lines("accepted")]

    def _lines(self, log: str) -> list[str]:
        return (self._folder / f"{log}.log").read_text().splitlines()
