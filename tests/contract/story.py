"""A person's first minutes, with a client that was generated from the OpenAPI document.

Runs with the client and what it asks for, without Tulou. Arguments: the API's address, the folder of the mail
catcher, a photograph.
"""

import json
import re
import secrets
import sys
import time
from email import message_from_bytes, policy
from http import HTTPStatus
from pathlib import Path
from uuid import UUID

from tulou_client import AuthenticatedClient, Client
from tulou_client.api.auth import issue_tokens, list_sessions, log_out, register, verify_email
from tulou_client.api.files import (
    delete_file,
    download_file,
    download_rendition,
    list_files,
    list_renditions,
    read_file,
    upload_file,
)
from tulou_client.api.jobs import follow_job, list_jobs, read_job
from tulou_client.api.users import change_me, read_me
from tulou_client.models import (
    AcceptedBody,
    FileBody,
    FilePage,
    FileUpload,
    IssuedTokens,
    JobBody,
    JobBodyStatus,
    JobPage,
    Problem,
    RegistrationCreate,
    RenditionList,
    SessionPage,
    TokenForm,
    TokenFormGrantType,
    UserBody,
    UserUpdate,
    VerificationRequest,
)
from tulou_client.types import UNSET, File

URL, MAILS, PHOTOGRAPH = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
PATIENCE = 30.0


def open_account(client: Client, email: str, password: str) -> None:
    body = RegistrationCreate(email=email, password=password, name="Ada")
    assert isinstance(
        register.sync(client=client, body=body, idempotency_key=secrets.token_hex(8)), AcceptedBody
    )
    token = token_of_mail(email)
    verified = verify_email.sync_detailed(client=client, body=VerificationRequest(token=token))
    assert verified.status_code is HTTPStatus.NO_CONTENT


def token_of_mail(email: str) -> str:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        for path in MAILS.glob("*.eml"):
            mail = message_from_bytes(path.read_bytes(), policy=policy.default)
            text = mail.get_body(("plain",))
            if email in str(mail["To"]) and text is not None:
                found = re.search(r"[?&]token=([\w.~-]+)", text.get_content())
                assert found
                return found[1]
        time.sleep(0.1)
    raise AssertionError(f"no mail to {email}")


def sign_in(client: Client, email: str, password: str) -> AuthenticatedClient:
    def tokens(password: str) -> IssuedTokens | Problem | None:
        form = TokenForm(grant_type=TokenFormGrantType.PASSWORD, username=email, password=password)
        return issue_tokens.sync(client=client, body=form)

    wrong = tokens("not this one")
    assert isinstance(wrong, Problem)
    assert wrong.code == "auth.invalid_credentials"
    right = tokens(password)
    assert isinstance(right, IssuedTokens)
    return AuthenticatedClient(base_url=URL, token=right.access_token)


def look_at_myself(api: AuthenticatedClient, email: str) -> None:
    read = read_me.sync_detailed(client=api)
    assert isinstance(read.parsed, UserBody)
    assert (read.parsed.email, read.parsed.email_verified) == (email, True)
    tag = read.headers["ETag"]
    assert read_me.sync_detailed(client=api, if_none_match=tag).status_code is HTTPStatus.NOT_MODIFIED
    changed = change_me.sync(client=api, body=UserUpdate(name="Ada Lovelace"), if_match=tag)
    assert isinstance(changed, UserBody)
    assert changed.name == "Ada Lovelace"
    stale = change_me.sync(client=api, body=UserUpdate(name="Somebody"), if_match=tag)
    assert isinstance(stale, Problem)
    assert stale.code == "request.precondition_failed"
    sessions = list_sessions.sync(client=api)
    assert isinstance(sessions, SessionPage)
    assert [session.current for session in sessions.data] == [True]


def upload(api: AuthenticatedClient) -> FileBody:
    with PHOTOGRAPH.open("rb") as content:
        part = File(payload=content, file_name=PHOTOGRAPH.name, mime_type="image/jpeg")
        body = FileUpload(file=part, tags=["portrait", "nasa"], metadata=json.dumps({"camera": "mine"}))
        stored = upload_file.sync(client=api, body=body)
    assert isinstance(stored, FileBody)
    assert stored.name == PHOTOGRAPH.name
    assert stored.tags == ["portrait", "nasa"]
    assert stored.metadata.to_dict() == {"camera": "mine"}
    return stored


def upload_bare(api: AuthenticatedClient) -> None:
    with PHOTOGRAPH.open("rb") as content:
        disposition = "attachment; filename*=UTF-8''bare.jpg"
        stored = upload_file.sync(client=api, body=File(payload=content), content_disposition=disposition)
    assert isinstance(stored, FileBody)
    assert (stored.name, stored.content_type) == ("bare.jpg", "image/jpeg")


def follow(api: AuthenticatedClient, file: FileBody) -> None:
    job_id = file.jobs[0].id
    events = follow_job.sync_detailed(client=api, job_id=job_id).content.decode()
    last = [line for line in events.splitlines() if line.startswith("data:")][-1]
    assert JobBody.from_dict(json.loads(last.removeprefix("data:"))).status is JobBodyStatus.SUCCEEDED
    job = read_job.sync(client=api, job_id=job_id)
    assert isinstance(job, JobBody)
    assert job.progress.percent == 100
    page = list_jobs.sync(client=api, resource_id=file.id)
    assert isinstance(page, JobPage)
    assert job_id in [found.id for found in page.data]


def download(api: AuthenticatedClient, file_id: UUID) -> None:
    whole = download_file.sync(client=api, file_id=file_id)
    assert isinstance(whole, File)
    assert whole.payload.read() == PHOTOGRAPH.read_bytes()
    part = download_file.sync_detailed(client=api, file_id=file_id, range_="bytes=1000-1999")
    assert part.status_code is HTTPStatus.PARTIAL_CONTENT
    assert part.content == PHOTOGRAPH.read_bytes()[1000:2000]
    made = list_renditions.sync(client=api, file_id=file_id)
    assert isinstance(made, RenditionList)
    assert {rendition.name for rendition in made.data} == {"thumb", "small", "large"}
    thumb = download_rendition.sync(client=api, file_id=file_id, name="thumb")
    assert isinstance(thumb, File)
    assert thumb.payload.read()[8:12] == b"WEBP"


def read_pages(api: AuthenticatedClient) -> None:
    seen, cursor = 0, None
    while True:
        page = list_files.sync(client=api, limit=1, cursor=cursor or UNSET, include_total=True)
        assert isinstance(page, FilePage)
        assert page.total == 2
        seen, cursor = seen + len(page.data), page.next_cursor
        if not cursor:
            break
    assert seen == 2


def tidy_up(api: AuthenticatedClient, file_id: UUID) -> None:
    assert delete_file.sync_detailed(client=api, file_id=file_id).status_code is HTTPStatus.NO_CONTENT
    trashed = read_file.sync(client=api, file_id=file_id)
    assert isinstance(trashed, FileBody)
    assert trashed.deleted_at is not None
    assert log_out.sync_detailed(client=api).status_code is HTTPStatus.NO_CONTENT
    nobody = read_me.sync(client=api)
    assert isinstance(nobody, Problem)
    assert nobody.code == "auth.session_ended"


def main() -> None:
    email, password = f"python-{secrets.token_hex(6)}@example.org", secrets.token_urlsafe(18)
    client = Client(base_url=URL)
    open_account(client, email, password)
    api = sign_in(client, email, password)
    look_at_myself(api, email)
    file = upload(api)
    upload_bare(api)
    follow(api, file)
    download(api, file.id)
    read_pages(api)
    tidy_up(api, file.id)
    sys.stdout.write("The story was told.\n")


if __name__ == "__main__":
    main()
