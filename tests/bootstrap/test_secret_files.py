"""Secrets that are read from files, and the settings that each role requires."""

import base64
import os
from pathlib import Path

import pytest

from bootstrap.compose import compose
from bootstrap.settings.loading import load_settings
from bootstrap.settings.model import Settings, SettingsError
from bootstrap.settings.reference import settings_page
from bootstrap.settings.required import EVERYTHING, required_settings
from bootstrap.settings.secret_files import file_variables


def key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch) -> None:
    for name in os.environ:
        if name.startswith("TULOU_") or name in {"DATABASE_URL", "REDIS_URL", "SMTP_URL"}:
            monkeypatch.delenv(name)


@pytest.fixture
def in_a_file(tmp_path: Path, monkeypatch):
    """Write a secret into a file and name it."""

    def write(variable: str, content: str | bytes) -> Path:
        path = tmp_path / variable.lower()
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        monkeypatch.setenv(variable, str(path))
        return path

    return write


def complaints() -> list[str]:
    with pytest.raises(SettingsError) as refused:
        load_settings()
    head, *lines = str(refused.value).splitlines()
    assert head == "These settings are invalid:"
    return [line.strip() for line in lines]


@pytest.mark.parametrize("end", ["", "\n", "\r\n"], ids=["nothing", "a newline", "a newline of Windows"])
def test_a_file_has_the_value_and_at_most_one_newline_after_it(end: str, in_a_file) -> None:
    secret = key()
    in_a_file("TULOU_TOKEN_KEYS_FILE", f"{secret}{end}")
    assert load_settings().plain_token_keys == [secret]


def test_only_one_newline_is_no_part_of_the_value(in_a_file) -> None:
    in_a_file("TULOU_METRICS_TOKEN_FILE", "0123456789abcdef \n\n")
    token = load_settings().metrics_token
    assert token is not None
    assert token.get_secret_value() == "0123456789abcdef \n"


def test_lists_and_customary_names_may_be_in_files_too(in_a_file) -> None:
    keys = [key(), key()]
    in_a_file("TULOU_MAIL_KEYS_FILE", f"{','.join(keys)}\n")
    in_a_file("DATABASE_URL_FILE", "postgres://app:word@db/tulou\n")
    in_a_file("SMTP_URL_FILE", "smtp://mail:25\n")
    loaded = load_settings()
    assert loaded.plain_mail_keys == keys
    assert loaded.database_url is not None
    assert loaded.database_url.get_secret_value() == "postgresql://app:word@db/tulou"
    assert loaded.emails_smtp_url is not None
    assert "app:word" not in repr(loaded)


@pytest.mark.parametrize("rival", ["TULOU_DATABASE_URL", "DATABASE_URL"])
def test_a_value_and_a_file_are_too_much(rival: str, in_a_file, monkeypatch) -> None:
    in_a_file("DATABASE_URL_FILE", "postgresql://app:word@db/tulou")
    monkeypatch.setenv(rival, "postgresql://app:other@db/tulou")
    assert complaints() == [f"{rival} and DATABASE_URL_FILE are both set; unset one of them"]


def test_two_files_are_too_much(in_a_file) -> None:
    for variable in ("DATABASE_URL_FILE", "TULOU_DATABASE_URL_FILE"):
        in_a_file(variable, "postgresql://app:word@db/tulou")
    (complaint,) = complaints()
    assert "TULOU_DATABASE_URL_FILE and DATABASE_URL_FILE are both set" in complaint


def test_an_empty_variable_is_not_set(in_a_file, monkeypatch) -> None:
    secret = key()
    in_a_file("TULOU_TOKEN_KEYS_FILE", secret)
    monkeypatch.setenv("TULOU_TOKEN_KEY", "")
    monkeypatch.setenv("TULOU_MAIL_KEYS_FILE", "")
    assert load_settings().plain_token_keys == [secret]


def test_what_can_not_be_read_is_one_sentence_each(tmp_path: Path, in_a_file, monkeypatch) -> None:
    missing, folder = tmp_path / "none", tmp_path
    monkeypatch.setenv("TULOU_TOKEN_KEYS_FILE", str(missing))
    monkeypatch.setenv("REDIS_URL_FILE", str(folder))
    binary = in_a_file("TULOU_SENTRY_DSN_FILE", b"\xff\xfe")
    in_a_file("TULOU_MAIL_KEYS_FILE", "short")
    assert sorted(complaints()) == sorted(
        [
            f"TULOU_TOKEN_KEYS_FILE: can't read {missing}: No such file or directory",
            f"REDIS_URL_FILE: can't read {folder}: Is a directory",
            f"TULOU_SENTRY_DSN_FILE: {binary} is not UTF-8 text",
            "TULOU_MAIL_KEYS: must be 32 bytes in base64url",
        ]
    )


def test_only_secrets_may_be_in_files(monkeypatch) -> None:
    monkeypatch.setenv("TULOU_PORT_FILE", "/run/port")
    (complaint,) = complaints()
    assert complaint.startswith("TULOU_PORT_FILE is not a setting")


def test_every_secret_may_be_in_a_file_and_the_page_says_so() -> None:
    secret = {
        "database_url", "database_owner_url", "database_replica_urls", "redis_url", "signing_keys",
        "signing_keys_es256", "token_keys", "mail_keys", "emails_smtp_url", "files_store_key_id",
        "files_store_secret", "metrics_token", "sentry_dsn",
    }  # fmt: skip
    assert secret <= set(file_variables(Settings.model_fields).values())
    page = settings_page()
    for name in secret:
        assert f"`TULOU_{name.upper()}_FILE`" in page


@pytest.mark.parametrize(
    ("role", "queues", "missing"),
    [
        ("api", None, set()),
        ("relay", None, {"signing_keys", "token_keys", "mail_keys", "emails_smtp_url"}),
        ("worker", ["mail"], {"signing_keys", "token_keys"}),
        ("worker", ["files"], {"signing_keys", "token_keys", "mail_keys", "emails_smtp_url"}),
        ("worker", ["default"], {"signing_keys", "emails_smtp_url"}),
        ("worker", ["mail", "default"], {"signing_keys"}),
        ("worker", ["other"], {"signing_keys", "emails_smtp_url"}),
        ("backup", None, {"emails_smtp_url"}),
        ("migrate", None, {"redis_url", "signing_keys", "token_keys", "mail_keys", "emails_smtp_url"}),
    ],
)
def test_no_role_has_to_be_given_what_it_does_not_need(role: str, queues, missing: set[str]) -> None:
    assert set(EVERYTHING) - set(required_settings(role, queues)) == missing


def test_a_relay_and_a_worker_are_composed_without_the_keys_of_others(settings: Settings) -> None:
    poor = settings.model_copy(
        update={"signing_keys": (), "signing_keys_es256": (), "token_keys": (), "mail_keys": ()}
    )
    for role in ("relay", "worker"):
        assert compose(poor, role).registry().queues()
    with pytest.raises(SettingsError, match="Not set: TULOU_SIGNING_KEYS, TULOU_TOKEN_KEYS, TULOU_MAIL_KEYS"):
        compose(poor, "api")
