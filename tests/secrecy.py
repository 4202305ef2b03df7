"""Checks during the whole run that no secret which a test has used or received appears in a log.

Secrets are learnt from every request and answer, from the environment and from the links in mails. Logs are those of
this process, and what each program that a test has started said.
"""

import email
import email.policy
import json
import logging
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from shared.logging import ACCESS, configure_logging

SHORTEST = 12
"""Characters of what counts as a secret: shorter ones are found everywhere by chance."""

_FIELDS = re.compile(r"(\w+_)?(password|token|secret|otp)|key|recovery_codes", re.IGNORECASE)
_HARMLESS = frozenset({"token_type", "grant_type"})
_ADDRESS = re.compile(r"[^@\s]+@example\.(com|org|net)")
"""Somebody tries their address as a password. It is none, and mail servers log it."""

_WORD = re.compile(r"[A-Za-z0-9_.~-]{12,}")


class Secrecy:
    """What is secret, and what was logged. Logs are kept in a file until the end: until then secrets are learnt."""

    def __init__(self) -> None:
        self._words: set[str] = set()
        self._phrases: set[str] = set()
        self._log = tempfile.TemporaryFile("w+", prefix="tulou-logs-", encoding="utf-8", errors="replace")  # noqa: SIM115  # kept

    def learn(self, secret: object) -> None:
        """Remember a secret, or several."""
        if isinstance(secret, list | tuple):
            for one in secret:
                self.learn(one)
        elif isinstance(secret, str) and len(secret) >= SHORTEST and not _ADDRESS.fullmatch(secret):
            (self._words if _WORD.fullmatch(secret) else self._phrases).add(secret)

    def learn_fields(self, data: object) -> None:
        """Remember what has the name of a secret, however deep it lies."""
        if isinstance(data, Mapping):
            for name, value in data.items():
                if _FIELDS.fullmatch(str(name)) and name not in _HARMLESS:
                    self.learn(value)
                self.learn_fields(value)
        elif isinstance(data, list | tuple):
            for value in data:
                self.learn_fields(value)

    def learn_environment(self, environment: Mapping[str, str]) -> None:
        """Remember keys, and the passwords of addresses."""
        for name, value in environment.items():
            if re.search(r"KEY|TOKEN|SECRET|PASSWORD", name):
                self.learn(value.split(","))
            if "://" in value:
                self.learn(urlsplit(value).password)

    def learn_mails(self, folder: Path) -> None:
        """Remember what stands in the links of mails."""
        for path in folder.glob("*.eml"):
            message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            for part in message.walk():
                if part.get_content_maintype() == "text":
                    self.learn(re.findall(r"token=([\w-]+)", str(part.get_content())))

    def learn_messages(self, request: httpx.Request, response: httpx.Response) -> None:
        """Remember what a request and its answer hold."""
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            self.learn(credentials)
        self.learn_fields(dict(parse_qsl(request.url.query.decode("latin-1"))))
        self.learn_fields(_body_of(request))
        self.learn_fields(_body_of(response))

    def read(self, source: str, text: str) -> None:
        """Take in what somebody has logged."""
        for line in text.splitlines():
            self._log.write(f"{source}: {line}\n")

    def leaks(self) -> Iterator[str]:
        """Yield each line that tells a secret, with but the first letters of that."""
        self._log.seek(0)
        for line in self._log:
            words = {word.strip(".-") for word in _WORD.findall(line)}
            for told in words & self._words | {phrase for phrase in self._phrases if phrase in line}:
                yield line.replace(told, f"{told[:5]}[...]").strip()[:500]

    def close(self) -> None:
        """Forget the logs."""
        self._log.close()


class _Collecting(logging.Handler):
    """Writes down what this process logs, in the form in which an operator would see it."""

    def __init__(self, secrecy: Secrecy) -> None:
        super().__init__()
        self._secrecy = secrecy

    def emit(self, record: logging.LogRecord) -> None:
        self._secrecy.read("pytest", self.format(record))


def watch(secrecy: Secrecy) -> None:
    """Collect the logs of this process, and learn from every exchange over HTTP, from now on."""
    configure_logging(level="info", log_format="json")
    for name in ("", ACCESS):
        logger = logging.getLogger(name)
        collecting = _Collecting(secrecy)
        collecting.setFormatter(logger.handlers[0].formatter)
        logger.handlers = [collecting]
    _learn_from(httpx.Client, secrecy)
    _learn_from(httpx.AsyncClient, secrecy)


def _learn_from(client: Any, secrecy: Secrecy) -> None:
    send = client.send
    if client is httpx.AsyncClient:

        async def send_and_learn(self: Any, request: httpx.Request, **options: Any) -> httpx.Response:
            response: httpx.Response = await send(self, request, **options)
            secrecy.learn_messages(request, response)
            return response

    else:

        def send_and_learn(self: Any, request: httpx.Request, **options: Any) -> httpx.Response:
            response: httpx.Response = send(self, request, **options)
            secrecy.learn_messages(request, response)
            return response

    client.send = send_and_learn


SECRECY = Secrecy()
"""The one of this run."""


def _body_of(message: httpx.Request | httpx.Response) -> Any:
    """Return what a JSON body or a form holds; None for any other, and for one that streams."""
    kind = message.headers.get("content-type", "")
    try:
        if "json" in kind:
            return json.loads(message.content)
        if "x-www-form-urlencoded" in kind:
            return dict(parse_qsl(message.content.decode()))
    except (httpx.StreamError, ValueError, RecursionError):
        return None
    return None
