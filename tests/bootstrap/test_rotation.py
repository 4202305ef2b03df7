"""Passwords and keys are changed as docs/deploying.md tells, while processes of before go on."""

import asyncio
import base64
import itertools
import os
import secrets
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from pydantic import SecretStr

from bootstrap.migrate import migrate
from bootstrap.settings import Settings
from domains.emails.errors import MailUnreadable
from tests.installations import running, settings_of_its_own

Keys = tuple[SecretStr, ...]


async def test_a_second_role_takes_turns_with_the_first(settings, servers, tmp_path) -> None:
    first = await settings_of_its_own(settings, servers.superuser_url, tmp_path / "data")
    await asyncio.to_thread(migrate, first)
    parts = urlsplit(first.database_url.get_secret_value())
    role, password = f"tulou_app_{secrets.token_hex(3)}", secrets.token_hex(16)
    connection = await asyncpg.connect(servers.superuser_url)
    await connection.execute(
        f"CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '{password}'"
    )
    await connection.execute(f"GRANT CONNECT ON DATABASE {parts.path[1:]} TO {role}")
    await connection.close()
    url = urlunsplit(parts._replace(netloc=f"{role}:{password}@{parts.netloc.rpartition('@')[2]}"))
    second = first.model_copy(update={"database_url": SecretStr(url)})
    await asyncio.to_thread(migrate, second)
    async with running(first) as before, running(second) as after:
        person = await before.people.register()
        assert (await after.client.get("/v1/users/me", headers=person.headers)).status_code == 200
        other = await after.people.register()
        assert (await before.client.get("/v1/users/me", headers=other.headers)).status_code == 200


def steps(old: str) -> list[Keys]:
    new = base64.urlsafe_b64encode(os.urandom(32)).decode()
    return [tuple(map(SecretStr, keys)) for keys in ([old], [old, new], [new, old], [new])]


def with_keys(settings: Settings, signing: Keys, mail: Keys) -> Settings:
    changed = settings.model_copy(update={"signing_keys": signing, "mail_keys": mail})
    for remembered in ("plain_signing_keys", "plain_mail_keys"):
        changed.__dict__.pop(remembered, None)
    return changed


async def read_each_other(one: Settings, another: Settings) -> bool:
    """Tell whether processes with these settings understand what the others sign and encrypt."""
    async with running(one) as first, running(another) as second:
        for made, read in ((first, second), (second, first)):
            person = await made.people.register()
            answer = await read.client.get("/v1/users/me", headers=person.headers)
            sealed = made.container.emails.sealer().seal(b"a mail")
            try:
                opened = read.container.emails.sealer().open(sealed)
            except MailUnreadable:
                opened = b""
            if (answer.status_code, opened) != (200, b"a mail"):
                return False
    return True


async def test_keys_are_changed_in_three_steps_that_nobody_notices(settings, app) -> None:
    signing, mail = steps(settings.plain_signing_keys[0]), steps(settings.plain_mail_keys[0])
    before, *after = [with_keys(settings, *keys) for keys in zip(signing, mail, strict=True)]
    assert not await read_each_other(before, after[1]), "the first step is of no use"
    for earlier, later in itertools.pairwise([before, *after]):
        assert await read_each_other(earlier, later)
