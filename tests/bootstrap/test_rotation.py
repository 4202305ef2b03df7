"""Passwords and keys are rotated as docs/deploying.md says, while processes with the old ones still run."""

import asyncio
import base64
import itertools
import os
import secrets
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
from pydantic import SecretStr

from bootstrap.backup.manifest import Manifest, fingerprints
from bootstrap.backup.restoring import _changed_secrets
from bootstrap.migrations.runner import migrate
from bootstrap.settings.model import Settings
from domains.emails.errors import MailUnreadable
from shared.ids import new_id
from tests.installations import Installation, isolated_settings, running

Keys = tuple[SecretStr, ...]


async def test_a_second_role_takes_turns_with_the_first(settings, servers, tmp_path) -> None:
    first = await isolated_settings(settings, servers.superuser_url, tmp_path / "data")
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


def with_keys(settings: Settings, signing: Keys, mail: Keys, token: Keys) -> Settings:
    return settings.model_copy(update={"signing_keys": signing, "mail_keys": mail, "token_keys": token})


async def refresh(installation: Installation, token: str) -> str | None:
    """Return the next refresh token; None: this one is refused."""
    form = {"grant_type": "refresh_token", "refresh_token": token}
    answer = await installation.client.post("/v1/auth/token", data=form)
    return answer.json()["refresh_token"] if answer.is_success else None


async def read_each_other(one: Settings, another: Settings) -> bool:
    """Tell whether processes with these settings understand what the others sign and encrypt."""
    async with running(one) as first, running(another) as second:
        for made, read in ((first, second), (second, first)):
            person = await made.people.register()
            answer = await read.client.get("/v1/users/me", headers=person.headers)
            refreshed = await refresh(read, person.refresh_token)
            encrypted_content = made.container.emails.encryption().encrypt(b"a mail")
            try:
                opened = read.container.emails.encryption().decrypt(encrypted_content)
            except MailUnreadable:
                opened = b""
            if (answer.status_code, opened) != (200, b"a mail") or refreshed is None:
                return False
    return True


async def test_keys_are_changed_in_three_steps_that_nobody_notices(settings, app) -> None:
    kinds = (settings.plain_signing_keys, settings.plain_mail_keys, settings.plain_token_keys)
    changes = [steps(keys[0]) for keys in kinds]
    before, *after = [with_keys(settings, *keys) for keys in zip(*changes, strict=True)]
    assert not await read_each_other(before, after[1]), "the first step is of no use"
    for earlier, later in itertools.pairwise([before, *after]):
        assert await read_each_other(earlier, later)


async def test_a_refresh_token_is_good_until_the_key_that_made_it_leaves(settings, app) -> None:
    token = steps(settings.plain_token_keys[0])
    old, _, both, new = [settings.model_copy(update={"token_keys": keys}) for keys in token]
    async with running(old) as before, running(both) as meanwhile, running(new) as after:
        used, unused = await before.people.register(), await before.people.register()
        made_with_the_new_key = await refresh(meanwhile, used.refresh_token)
        assert made_with_the_new_key is not None
        assert await refresh(after, made_with_the_new_key) is not None
        assert await refresh(after, unused.refresh_token) is None


async def test_a_request_sent_again_is_done_once_while_keys_change(settings, app) -> None:
    token = steps(settings.plain_token_keys[0])
    _, added, first, new = [settings.model_copy(update={"token_keys": keys}) for keys in token]
    async with running(added) as one, running(first) as another, running(new) as last:
        for earlier, later in ((one, another), (another, one), (another, last)):
            person = await one.people.register()
            headers = person.headers | {"Idempotency-Key": str(new_id())}
            made = await upload(earlier, headers, b"a text")
            again = await upload(later, headers, b"a text")
            assert (made.status_code, again.status_code) == (201, 201)
            assert made.json()["id"] == again.json()["id"]
            assert (await upload(later, headers, b"another text")).status_code == 422


async def upload(installation: Installation, headers: dict[str, str], content: bytes) -> httpx.Response:
    return await installation.client.post(
        "/v1/files", headers=headers, files={"file": ("a.txt", content, "text/plain")}
    )


def test_a_backup_that_knows_the_token_key_by_its_old_name_is_compared(settings) -> None:
    here = fingerprints(settings)
    older = {name.replace("TULOU_TOKEN_KEYS", "TULOU_TOKEN_KEY"): value for name, value in here.items()}
    assert "TULOU_TOKEN_KEY" in older
    manifest = Manifest.model_construct(secrets=older)
    assert _changed_secrets(settings, manifest) == []
    manifest.secrets["TULOU_TOKEN_KEY"] = "another"
    (warning,) = _changed_secrets(settings, manifest)
    assert warning.startswith("TULOU_TOKEN_KEY differs from its value")
