"""Settings that are refused; all errors are reported at once."""

import base64
import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from bootstrap.compose import require
from bootstrap.settings.loading import load_settings
from bootstrap.settings.model import Settings, SettingsError
from bootstrap.settings.reference import settings_page
from bootstrap.settings.required import EVERYTHING


def key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def password() -> str:
    return os.urandom(16).hex()


@pytest.fixture
def production(monkeypatch) -> dict[str, str]:
    """An environment that production starts with."""
    for name in os.environ:
        if name.startswith("TULOU_") or name in {"DATABASE_URL", "REDIS_URL", "SMTP_URL"}:
            monkeypatch.delenv(name)
    environment = {
        "TULOU_ENV": "production",
        "TULOU_PUBLIC_URL": "https://tulou.internal",
        "TULOU_TRUSTED_PROXIES": "10.0.0.0/8",
        "TULOU_DATABASE_URL": f"postgresql://app:{password()}@db:5432/tulou",
        "TULOU_REDIS_URL": f"redis://:{password()}@redis:6379/0",
        "TULOU_EMAILS_SMTP_URL": f"smtps://user:{password()}@mail.test",
        "TULOU_SIGNING_KEYS": key(),
        "TULOU_TOKEN_KEYS": key(),
        "TULOU_MAIL_KEYS": key(),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


def test_production_takes_what_is_safe(production) -> None:
    assert load_settings().env == "production"


UNSAFE = [
    ({"TULOU_PUBLIC_URL": "http://tulou.test"}, "TULOU_PUBLIC_URL"),
    ({"TULOU_PUBLIC_URL": "https://localhost"}, "TULOU_PUBLIC_URL"),
    ({"TULOU_PUBLIC_URL": "https://api.example.com"}, "TULOU_PUBLIC_URL"),
    ({"TULOU_PUBLIC_URL": "https://EXAMPLE.ORG.:8443/"}, "TULOU_PUBLIC_URL"),
    ({"TULOU_PUBLIC_URL": "https://tulou.test"}, "TULOU_PUBLIC_URL"),
    ({"TULOU_FRONTEND_URL": "http://tulou.internal"}, "TULOU_FRONTEND_URL"),
    ({"TULOU_FRONTEND_URL": "https://app.example.net"}, "TULOU_FRONTEND_URL"),
    ({"TULOU_FRONTEND_URL": "https://app.localhost"}, "TULOU_FRONTEND_URL"),
    ({"TULOU_EMAILS_SENDER": "Example <no-reply@example.com>"}, "TULOU_EMAILS_SENDER"),
    ({"TULOU_EMAILS_SENDER": "no-reply@mail.Example.org"}, "TULOU_EMAILS_SENDER"),
    ({"TULOU_EMAILS_SENDER": "no-reply@tulou.test"}, "TULOU_EMAILS_SENDER"),
    ({"TULOU_EMAILS_SENDER": "root@localhost"}, "TULOU_EMAILS_SENDER"),
    ({"TULOU_FILES_SANDBOX": "off"}, "TULOU_FILES_SANDBOX"),
    ({"TULOU_LOG_LEVEL": "debug"}, "TULOU_LOG_LEVEL"),
    ({"TULOU_TRUSTED_PROXIES": "*"}, "TULOU_TRUSTED_PROXIES"),
    ({"TULOU_TRUSTED_PROXIES": "10.0.0.1, 0.0.0.0/0"}, "TULOU_TRUSTED_PROXIES"),
    ({"TULOU_TRUSTED_PROXIES": "::/0"}, "TULOU_TRUSTED_PROXIES"),
    ({"TULOU_TRUSTED_PROXIES": "0.0.0.0/1,128.0.0.0/1"}, "TULOU_TRUSTED_PROXIES"),
    ({"TULOU_TRUSTED_PROXIES": ""}, "TULOU_TRUSTED_PROXIES"),
    ({"TULOU_DATABASE_URL": ""}, "TULOU_DATABASE_URL"),
    ({"TULOU_DATABASE_URL": "postgresql://app@db/tulou"}, "TULOU_DATABASE_URL"),
    ({"TULOU_DATABASE_URL": "postgresql://app:tulou@db/tulou"}, "TULOU_DATABASE_URL"),
    ({"TULOU_DATABASE_URL": "postgresql://app:changemechangeme@db/tulou"}, "TULOU_DATABASE_URL"),
    ({"TULOU_DATABASE_URL": f"postgresql://postgres:{password()}@db/tulou"}, "TULOU_DATABASE_URL"),
    ({"TULOU_DATABASE_OWNER_URL": f"postgresql://app:{password()}@db/tulou"}, "TULOU_DATABASE_URL"),
    ({"TULOU_DATABASE_OWNER_URL": "postgresql://owner:tulou@db/tulou"}, "TULOU_DATABASE_OWNER_URL"),
    ({"TULOU_REDIS_URL": ""}, "TULOU_REDIS_URL"),
    ({"TULOU_REDIS_URL": "redis://redis:6379/0"}, "TULOU_REDIS_URL"),
    ({"TULOU_REDIS_URL": "redis://:tulou@redis:6379/0"}, "TULOU_REDIS_URL"),
    ({"TULOU_EMAILS_SMTP_URL": ""}, "TULOU_EMAILS_SMTP_URL"),
    ({"TULOU_EMAILS_SMTP_URL": "smtp://mail.test"}, "TULOU_EMAILS_SMTP_URL"),
    ({"TULOU_EMAILS_SMTP_URL": "smtp://u:p@mail.test?starttls=off"}, "TULOU_EMAILS_SMTP_URL"),
    ({"TULOU_EMAILS_SMTP_URL": "smtps://mail.test?verify=off"}, "TULOU_EMAILS_SMTP_URL"),
    ({"TULOU_SIGNING_KEYS": ""}, "TULOU_SIGNING_KEYS"),
    ({"TULOU_SIGNING_KEYS": "A" * 43}, "TULOU_SIGNING_KEYS"),
    ({"TULOU_TOKEN_KEYS": base64.urlsafe_b64encode(b"tulou" * 6 + b"xx").decode()}, "TULOU_TOKEN_KEYS"),
    ({"TULOU_MAIL_KEYS": ""}, "TULOU_MAIL_KEYS"),
    ({"TULOU_CORS_ORIGINS": "https://a.test,http://b.test"}, "TULOU_CORS_ORIGINS"),
    ({"TULOU_CORS_ORIGINS": "http://*.preview.app.test"}, "TULOU_CORS_ORIGINS"),
    ({"TULOU_RATE_LIMIT": "0"}, "TULOU_RATE_LIMIT"),
    ({"TULOU_MAX_BODY_BYTES": str(1 << 30)}, "TULOU_MAX_BODY_BYTES"),
    ({"TULOU_AUTH_LOGIN_LIMIT": "10000"}, "TULOU_AUTH_LOGIN_LIMIT"),
    ({"TULOU_AUTH_HASH_MEMORY_KIB": "1024"}, "TULOU_AUTH_HASH_MEMORY_KIB"),
    ({"TULOU_AUTH_HASH_TIME_COST": "1"}, "TULOU_AUTH_HASH_TIME_COST"),
]


@pytest.mark.parametrize(("change", "named"), UNSAFE)
def test_production_refuses_what_is_unsafe(change, named: str, production, monkeypatch) -> None:
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    complaints = str(refused.value).splitlines()
    assert complaints[0] == "Missing or unsafe in production:"
    assert {line.split()[0] for line in complaints[1:]} == {named}


def test_the_token_keys_are_a_list_under_either_name(production, monkeypatch) -> None:
    old, new = key(), key()
    for name in ("TULOU_TOKEN_KEYS", "TULOU_TOKEN_KEY"):
        monkeypatch.delenv("TULOU_TOKEN_KEYS", raising=False)
        monkeypatch.setenv(name, f"{new}, {old}")
        assert load_settings().plain_token_keys == [new, old]
        monkeypatch.setenv(name, old)
        assert load_settings().plain_token_keys == [old]
        monkeypatch.delenv(name)
    with pytest.raises(SettingsError, match="TULOU_TOKEN_KEYS is not set"):
        load_settings()


def test_one_key_for_two_purposes_is_refused(production, monkeypatch) -> None:
    monkeypatch.setenv("TULOU_MAIL_KEYS", production["TULOU_TOKEN_KEYS"])
    with pytest.raises(SettingsError, match="TULOU_TOKEN_KEYS is used for another setting too"):
        load_settings()


@pytest.mark.parametrize(
    "change",
    [
        {"TULOU_EMAILS_SMTP_URL": "smtp://localhost:25"},
        {"TULOU_EMAILS_SMTP_URL": "smtp://127.0.0.1"},
        {"TULOU_DATABASE_URL": "postgresql:///tulou?host=/run/postgresql"},
        {"TULOU_REDIS_URL": "unix:///run/valkey.sock"},
        {"TULOU_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.7"},
        {"TULOU_TRUSTED_PROXIES": "2001:db8::/32"},
        {"TULOU_TRUSTED_PROXIES": "none"},
        {"TULOU_PUBLIC_URL": "https://no-example.com", "TULOU_FRONTEND_URL": "https://contest"},
        {"TULOU_EMAILS_SENDER": "Test <test@example.com.internal>"},
        {"TULOU_CORS_ORIGINS": "https://app.test,https://*.preview.app.test,capacitor://localhost"},
    ],
)
def test_production_takes_what_is_safe_by_its_place(change, production, monkeypatch) -> None:
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    assert load_settings().env == "production"


@pytest.mark.parametrize(("change", "named"), UNSAFE)
def test_elsewhere_the_same_is_taken(change, named: str, production, monkeypatch) -> None:
    for name, value in (change | {"TULOU_ENV": "dev"}).items():
        monkeypatch.setenv(name, value)
    assert load_settings().env == "dev"


@pytest.mark.parametrize("value", ["proxy.internal", "10.0.0.0/8, none", "10.0.0.0/33", "yes"])
def test_a_proxy_is_an_address_or_a_network(value: str, production, monkeypatch) -> None:
    monkeypatch.setenv("TULOU_TRUSTED_PROXIES", value)
    with pytest.raises(SettingsError, match=r"TULOU_TRUSTED_PROXIES: .* is not an address or network"):
        load_settings()


def test_es256_needs_a_key_of_its_curve(production, monkeypatch) -> None:
    monkeypatch.setenv("TULOU_AUTH_SIGNING_ALGORITHM", "ES256")
    with pytest.raises(SettingsError, match="Not set: TULOU_SIGNING_KEYS_ES256"):
        require(load_settings(), EVERYTHING)
    monkeypatch.setenv("TULOU_SIGNING_KEYS_ES256", base64.urlsafe_b64encode(b"\xff" * 32).decode())
    with pytest.raises(SettingsError, match="TULOU_SIGNING_KEYS_ES256: must be a private key of the curve"):
        load_settings()
    monkeypatch.setenv("TULOU_SIGNING_KEYS_ES256", key())
    require(load_settings(), EVERYTHING)


def test_everything_that_is_wrong_is_said_at_once(production, monkeypatch) -> None:
    monkeypatch.setenv("TULOU_PORT", "many")
    monkeypatch.setenv("TULOU_EMAIL_SENDER", "x@tulou.test")
    monkeypatch.setenv("TULOU_SIGNING_KEYS", "short")
    monkeypatch.setenv("TULOU_LOG_LEVEL", "debug")
    monkeypatch.setenv("TULOU_REDIS_URL", "redis://redis")
    monkeypatch.setenv("TULOU_PUBLIC_URL", "https://api.example.com")
    monkeypatch.setenv("TULOU_EMAILS_SENDER", "Example <no-reply@example.com>")
    monkeypatch.setenv("TULOU_FILES_SANDBOX", "off")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    text = str(refused.value)
    for said in (
        "TULOU_EMAIL_SENDER is not a setting; did you mean TULOU_EMAILS_SENDER?",
        "TULOU_PORT: ",
        "TULOU_SIGNING_KEYS: must be 32 bytes in base64url",
        "TULOU_LOG_LEVEL is debug",
        "TULOU_REDIS_URL has no password",
        "TULOU_PUBLIC_URL is a sample",
        "TULOU_EMAILS_SENDER is a sample",
        "TULOU_FILES_SANDBOX is off",
    ):
        assert said in text
    assert "TULOU_SIGNING_KEYS is not set" not in text


def test_a_customary_name_is_complained_about_as_it_was_given(production, monkeypatch) -> None:
    monkeypatch.delenv("TULOU_REDIS_URL")
    monkeypatch.setenv("REDIS_URL", "amqp://x")
    with pytest.raises(SettingsError, match="REDIS_URL: must begin with redis://"):
        load_settings()


@pytest.mark.parametrize("name", ["TULOU_PROT", "tulou_prot", "TULOU_SIGNING_KEY"])
def test_an_unknown_variable_is_refused_everywhere(name: str, production, monkeypatch) -> None:
    monkeypatch.setenv("TULOU_ENV", "dev")
    monkeypatch.setenv(name, "8000")
    with pytest.raises(SettingsError, match=rf"{name} is not a setting; did you mean TULOU_"):
        load_settings()


def test_no_secret_is_repeated(production, monkeypatch) -> None:
    monkeypatch.setenv("TULOU_DATABASE_URL", "mysql://app:a-very-secret-thing@db/x")
    monkeypatch.setenv("TULOU_REDIS_URL", "redis://:another-sample-thing@redis")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert "a-very-secret-thing" not in str(refused.value)
    assert "another-sample-thing" not in str(refused.value)


def test_a_changed_copy_remembers_nothing_of_what_it_was_copied_from() -> None:
    first = Settings(public_url="http://one.example", database_prepared="on", log_format="json")
    before = (first.links_url, first.plain_replica_urls, first.keeps_statements_prepared, first.logs_as)
    assert before == ("http://one.example", (), True, "json")
    url = "postgresql://replica/tulou"
    changes = {
        "public_url": "http://two.example",
        "database_replica_urls": (SecretStr(url),),
        "database_prepared": "off",
        "log_format": "console",
    }
    copy = first.model_copy(update=changes)
    after = (copy.links_url, copy.plain_replica_urls, copy.keeps_statements_prepared, copy.logs_as)
    assert after == ("http://two.example", (url,), False, "console")


def test_every_setting_that_limits_has_an_end() -> None:
    """A number without bounds can be set to nonsense by a missing or a doubled digit."""
    unbounded = []
    for name, field in Settings.model_fields.items():
        if field.annotation in {int, float}:
            bounds = {type(bound).__name__ for bound in field.metadata}
            if not (bounds & {"Ge", "Gt"} and bounds & {"Le", "Lt"}):
                unbounded.append(name)
    assert unbounded == []


def test_the_page_of_settings_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "settings.md"
    assert page.read_text() == settings_page(), "run `make format`, which writes docs/settings.md anew"


def test_the_page_names_every_setting() -> None:
    page = settings_page()
    assert [name for name in Settings.model_fields if f"`TULOU_{name.upper()}`" not in page] == []
