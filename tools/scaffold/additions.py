"""`tulou new job` and `tulou new mail`: add a job or a mail to an existing domain."""

import keyword
import re
from pathlib import Path
from typing import Any
from uuid import UUID

from bootstrap.container import TulouContainer, domains_of
from bootstrap.settings.model import Settings
from shared.events import Event, OwnedEvent
from shared.queues import DEFAULT, QUEUES
from tools.scaffold.changes import PROJECT, Changes
from tools.scaffold.container_edits import has_provider, with_class, with_given, with_imports, with_provider
from tools.scaffold.names import NameRefused, camel, words
from tools.scaffold.new_domain import CONTAINER_FILE, rendered
from tools.scaffold.public_api import public_api_of

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def add_job(
    domain: str,
    name: str,
    *,
    on: str | None = None,
    every: str | None = None,
    queue: str = DEFAULT.name,
    root: Path = PROJECT,
) -> list[Path]:
    """Write a job, what does it, and its test; return what was written or changed.

    Raises:
        NameRefused: a sentence about what can't be.
        StepFailed: what was written doesn't pass its checks; everything is as before.
    """
    _check(domain, name)
    if re.search(rf"^async def {name}\(", _read(root, f"domains/{domain}/tasks.py"), re.MULTILINE):
        raise NameRefused(f"{domain} has a job {name} already.")
    if on and every:
        raise NameRefused("A job reacts to an event or runs by the clock, not both: --on or --every.")
    if queue not in QUEUES:
        raise NameRefused(f"{queue} is not a queue; there are {', '.join(QUEUES)}.")
    event = _event(domain, on) if on else None
    facts: dict[str, Any] = {
        "domain": domain,
        "name": name,
        "kind": f"{domain}.{name}",
        "cls": camel(name),
        "words": words(name),
        "event": event,
        "payload": event.__name__ if event else "NoPayload",
        "payload_import": f"from {event.__module__} import {event.__name__}" if event else _NO_PAYLOAD,
        "payload_made": _made(event) if event else "NoPayload()",
        "every": _interval(every) if every else "",
        "queue": queue,
    }
    with Changes(root) as changes:
        module = _add_class(
            changes, domain, name, rendered("job/class.py.j2", **facts), _imports_of_job(facts)
        )
        types = f"domains/{domain}/job_types.py"
        text = _read(root, types) or f'"""The jobs of {words(domain)}."""\n'
        needed = ["from datetime import timedelta", _JOB_TYPE, facts["payload_import"]]
        if queue != DEFAULT.name:
            needed.append(f"from shared.queues import {queue.upper()}")
        changes.write(types, with_imports(text, needed) + rendered("job/type.py.j2", **facts))
        tasks = f"domains/{domain}/tasks.py"
        text = _read(root, tasks) or f'"""Handlers of the jobs of {words(domain)}."""\n'
        needed = [
            f"from domains.{domain}.job_types import {name.upper()}",
            f"from {module} import {facts['cls']}",
            "from shared.jobs import JobContext",
            facts["payload_import"],
        ]
        changes.write(tasks, with_imports(text, needed) + "\n\n" + rendered("job/task.py.j2", **facts))
        container = _read(root, f"domains/{domain}/container.py")
        made = f"providers.ThreadSafeSingleton({facts['cls']}, transaction=core.transaction)"
        container = with_provider(
            container, name=name, made=made, imports=[f"from {module} import {facts['cls']}"]
        )
        if not has_provider(container, "tasks"):
            imported = [f"from domains.{domain} import tasks as tasks_module"]
            container = with_provider(
                container, name="tasks", made="providers.Object(tasks_module)", imports=imported
            )
        changes.write(f"domains/{domain}/container.py", container)
        changes.create(f"tests/domains/{domain}/test_{name}.py", rendered("job/test.py.j2", **facts))
        changes.tidy()
        changes.write_domain_map()
        return changes.changed()


def add_mail(domain: str, name: str, *, root: Path = PROJECT) -> list[Path]:
    """Write a mail's two templates, what sends it, and its test; as `add_job`."""
    _check(domain, name)
    order = list(_domains())
    if order.index(domain) <= max(order.index("emails"), order.index("users")):
        raise NameRefused(
            f"{domain} stands below emails or users in {CONTAINER_FILE}: it can't ask them for anything."
        )
    title = words(name).capitalize()
    facts = {"domain": domain, "name": name, "cls": camel(name), "title": title}
    texts = {
        "title": title,
        "sentence": "Write here what it says.",
        "facts": [("To", "name")],
    }
    with Changes(root) as changes:
        for kind in ("html", "txt"):
            changes.create(
                f"domains/{domain}/templates/{name}.{kind}", rendered(f"mail/created.{kind}.j2", **texts)
            )
        text = rendered("mail/class.py.j2", **facts)
        module = _add_class(changes, domain, name, text, _IMPORTS_OF_MAIL, first=True)
        container = _read(root, f"domains/{domain}/container.py")
        given = []
        for part, protocol, offered in (
            ("users", "UserDirectory", "users.lookup"),
            ("mailer", "Mailer", "emails.mailer"),
        ):
            if not has_provider(container, part):
                imported = f"from domains.{offered.split('.')[0]}.public import {protocol}"
                declared = f"providers.Dependency[{protocol}]"
                container = with_provider(
                    container, name=f"{part}: {declared}", made="providers.Dependency()", imports=[imported]
                )
                given.append(f"{part}={offered}")
        mail_class = f"from {module} import {facts['cls']}Mail"
        keywords = "users=users, mailer=mailer, transaction=core.transaction"
        made = f"providers.ThreadSafeSingleton({facts['cls']}Mail, {keywords})"
        container = with_provider(container, name=f"{name}_mail", made=made, imports=[mail_class], first=True)
        if not has_provider(container, "templates"):
            folder = 'providers.Object(Path(__file__).parent / "templates")'
            container = with_provider(
                container, name="templates", made=folder, imports=["from pathlib import Path"]
            )
        changes.write(f"domains/{domain}/container.py", container)
        changes.write(CONTAINER_FILE, with_given(_read(root, CONTAINER_FILE), name=domain, given=given))
        changes.create(f"tests/domains/{domain}/test_{name}.py", rendered("mail/test.py.j2", **facts))
        changes.tidy()
        changes.write_domain_map()
        return changes.changed()


_JOB_TYPE = "from shared.jobs import JobType"
_NO_PAYLOAD = "from shared.jobs import NoPayload"
_IMPORTS_OF_MAIL = [
    "from dataclasses import dataclass",
    "from uuid import UUID",
    "from domains.emails.public import Mailer, OutgoingMail",
    "from domains.users.public import UserDirectory",
    "from shared.db.database import TransactionFactory",
]


def _domains() -> dict[str, Any]:
    return domains_of(TulouContainer(settings=Settings()))


def _check(domain: str, name: str) -> None:
    known = _domains()
    if domain not in known:
        raise NameRefused(f"There is no domain {domain}; there are {', '.join(known)}.")
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise NameRefused(
            f"{name} is not a valid name: use small letters, digits and single underscores, as in send_reminder."
        )
    taken = [part for part in (name, f"{name}_mail") if part in known[domain].providers]
    if taken:
        raise NameRefused(f"{domain} has {taken[0]} already.")


def _event(domain: str, name: str) -> type[Event]:
    order = list(_domains())
    for other in order[: order.index(domain) + 1]:
        if name in public_api_of(other).events:
            known = [*Event.__subclasses__(), *OwnedEvent.__subclasses__()]
            return next(kind for kind in known if kind.__name__ == name)
    offered = [event for other in order[: order.index(domain) + 1] for event in public_api_of(other).events]
    raise NameRefused(f"{domain} can't react to {name}. It sees {', '.join(offered) or 'no events'}.")


def _made(event: type[Event]) -> str:
    values = {
        name: "uuid4()" if field.annotation in {UUID, UUID | None} else '"x"'
        for name, field in event.model_fields.items()
    }
    return f"{event.__name__}({', '.join(f'{name}={value}' for name, value in values.items())})"


def _interval(text: str) -> str:
    found = re.fullmatch(r"([1-9]\d*)([smhd])", text)
    if not found:
        raise NameRefused(f"{text} is not an interval: write 30s, 5m, 1h or 1d.")
    return f"timedelta({_UNITS[found[2]]}={found[1]})"


def _imports_of_job(facts: dict[str, Any]) -> list[str]:
    shared = ["from shared.db.database import TransactionFactory", "from shared.jobs import JobContext"]
    return [*shared, facts["payload_import"]] if facts["event"] else shared


def _add_class(
    changes: Changes, domain: str, name: str, text: str, imports: list[str], *, first: bool = False
) -> str:
    """Put a class into a domain's service, a file or a package; return its module. `first`: others may need it."""
    if (changes.root / f"domains/{domain}/service.py").exists():
        path, module = f"domains/{domain}/service.py", f"domains.{domain}.service"
    else:
        path, module = f"domains/{domain}/service/{name}.py", f"domains.{domain}.service.{name}"
    before = _read(changes.root, path) or f'"""{words(name).capitalize()}."""\n'
    before = with_imports(before, imports)
    changes.write(path, with_class(before, text) if first else f"{before}\n\n{text}")
    return module


def _read(root: Path, path: str) -> str:
    place = root / path
    return place.read_text() if place.exists() else ""
