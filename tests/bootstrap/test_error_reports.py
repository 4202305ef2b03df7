"""Sentry receives each unexpected error once, without secrets."""

import json
import logging
from typing import Any

import pytest
from pydantic import SecretStr
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport
from structlog.testing import capture_logs

from bootstrap.observability.error_reports import reported
from bootstrap.observability.processes import check_observation
from bootstrap.settings.model import SettingsError
from domains.emails.service.delivery import DeliveryService
from domains.files.service.file_service import FileService
from domains.jobs.service.running import RunningJob
from domains.users.service import UserService

DSN = "https://abcdef0123456789@sentry.example.com/42"
SECRET = "hunter-2-hunter-2-hunter"


class Post(Transport):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__({})
        self.events: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.events += [
            json.loads(item.payload.get_bytes()) for item in envelope.items if item.type == "event"
        ]


class Surprise(Exception):
    """Something that nobody foresaw."""


async def _surprise(*_given: object, **_named: object) -> None:
    local = SECRET  # noqa: F841  # what must not be seen
    raise Surprise(f"postgresql://tulou:{SECRET}@db/tulou refused password={SECRET}")


@pytest.fixture
def post(settings) -> Any:
    post = Post()
    with reported(settings.model_copy(update={"sentry_dsn": SecretStr(DSN)}), "api", transport=post):
        yield post


async def test_an_unexpected_error_arrives_once_with_its_request(client, user, post, monkeypatch) -> None:
    monkeypatch.setattr(UserService, "read", _surprise)
    headers = {**user.headers, "X-Request-Id": "the-id-of-this-request"}
    assert (await client.get("/v1/users/me", headers=headers)).status_code == 500
    (event,) = post.events
    assert event["logentry"]["formatted"] == "unexpected_error"
    assert event["tags"]["request_id"] == "the-id-of-this-request"
    assert event["tags"]["role"] == "api"
    assert event["level"] == "error"
    assert event["environment"] == "test"
    assert event["exception"]["values"][-1]["type"] == "Surprise"
    frames = event["exception"]["values"][-1]["stacktrace"]["frames"]
    assert frames[-1]["function"] == "_surprise"
    told = json.dumps(event)
    for secret in (SECRET, user.access_token, user.email, user.password):
        assert secret not in told
    assert all("vars" not in frame for frame in frames)


async def test_a_report_and_a_log_line_name_the_route_and_never_the_path(
    client, user, post, monkeypatch
) -> None:
    monkeypatch.setattr(FileService, "read", _surprise)
    file_id = "0199e0d6-0000-7000-8000-0123456789ab"
    with capture_logs() as lines:
        answer = await client.get(f"/v1/files/{file_id}?", headers=user.headers)
    assert answer.status_code == 500
    (line,) = (line for line in lines if line["event"] == "unexpected_error")
    assert (line["method"], line["route"]) == ("GET", "/v1/files/{file_id}")
    assert file_id not in json.dumps({name: said for name, said in line.items() if name != "exc_info"})
    await client.get(f"/v1/files/{file_id}", headers=user.headers)
    (event,) = post.events
    assert event["tags"]["route"] == "/v1/files/{file_id}"
    assert file_id not in json.dumps(event)


async def test_a_job_that_is_given_up_arrives_with_its_kind(
    client, user, post, work_off, monkeypatch
) -> None:
    await work_off()
    monkeypatch.setattr(DeliveryService, "deliver", _surprise)
    monkeypatch.setattr(RunningJob, "is_last_attempt", property(lambda _job: True))
    await client.post("/v1/auth/password/forgot", json={"email": user.email})
    await work_off()
    (event,) = post.events
    assert event["logentry"]["formatted"] == "job_failed"
    assert event["tags"]["kind"] == "emails.deliver"
    assert event["tags"]["job_id"]
    assert event["exception"]["values"][-1]["type"] == "Surprise"
    assert SECRET not in json.dumps(event)


async def test_a_mistake_in_a_job_is_reported_at_its_first_attempt(
    client, user, post, work_off, monkeypatch
) -> None:
    await work_off()
    monkeypatch.setattr(DeliveryService, "deliver", _surprise)
    headers = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
    await client.post("/v1/auth/password/forgot", json={"email": user.email}, headers=headers)
    await work_off()
    (event,) = post.events
    assert event["logentry"]["formatted"] == "job_retries"
    assert (event["tags"]["kind"], event["tags"]["trace_id"]) == ("emails.deliver", "1" * 32)
    assert event["exception"]["values"][-1]["type"] == "Surprise"


async def test_what_is_foreseen_is_no_report(client, user, post) -> None:
    await client.get("/v1/files/0199e0d6-0000-7000-8000-000000000000", headers=user.headers)
    await client.post(
        "/v1/auth/token", data={"grant_type": "password", "username": "a@b.example", "password": "x"}
    )
    await client.post("/v1/auth/register", json={"email": "no address"})
    assert post.events == []


def test_an_error_that_several_layers_log_is_one_report(post) -> None:
    try:
        raise Surprise("once")
    except Surprise:
        logging.getLogger("ours").exception("first")
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    logging.getLogger("ours").error("another, without an exception")
    assert [event["logentry"]["formatted"] for event in post.events] == [
        "first",
        "another, without an exception",
    ]


@pytest.mark.parametrize(
    ("change", "extra"),
    [
        ({"sentry_dsn": SecretStr(DSN)}, "tulou\\[sentry\\]"),
        ({"telemetry_url": "http://127.0.0.1:4318"}, "tulou\\[telemetry\\]"),
    ],
)
def test_a_setting_whose_extra_is_missing_stops_the_start(change, extra: str, settings, monkeypatch) -> None:
    check_observation(settings.model_copy(update=change))
    monkeypatch.setattr("bootstrap.observability.processes._is_installed", lambda _name: False)
    with pytest.raises(SettingsError, match=extra):
        check_observation(settings.model_copy(update=change))
