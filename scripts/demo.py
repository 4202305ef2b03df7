"""A REST client that uses every feature of a running Tulou.

It registers, verifies the address with a real mail, signs in, uploads a photograph and a document, follows their jobs,
downloads the renditions, and searches. It prints a message and exits with 1 if anything is missing.

    make run     in one terminal, until it says "Tulou runs."
    make demo    in another (TULOU_PORT names another port than 8000, TULOU_URL another address,
                 MAIL_CATCHER another catcher than that of `make run`)
"""

import hashlib
import io
import json
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
from caught_mails import PLACE, mails_to
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

PROJECT = Path(__file__).resolve().parents[1]
URL = os.environ.get("TULOU_URL", f"http://127.0.0.1:{os.environ.get('TULOU_PORT', '8000')}")
PHOTOGRAPH = PROJECT / "tests" / "data" / "astronaut.jpg"
DOCUMENT = PROJECT / "tests" / "data" / "bzip2-manual.pdf"
WORD_OF_THE_DOCUMENT = "Burrows"

READY_TIMEOUT_SECONDS = 60.0
MAIL_TIMEOUT_SECONDS = 30.0
JOB_TIMEOUT_SECONDS = 120.0
EXPECTED = {PHOTOGRAPH.name: {"thumb", "small", "large"}, DOCUMENT.name: {"preview", "text"}}

READY = "is ready"

Body = dict[str, Any]


class DemoFailed(Exception):
    """Something is not as it should be; the message says what."""


@dataclass
class Upload:
    """A file that was sent, and what became of it."""

    path: Path
    body: Body
    seconds: float
    work_seconds: float = 0.0
    renditions: list["Rendition"] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where the file is."""
        return f"/v1/files/{self.body['id']}"


@dataclass
class Rendition:
    """Something that was made of a file, downloaded and looked at."""

    name: str
    content_type: str
    description: str
    size: int
    seconds: float


def main() -> int:
    """Tell the story; return the exit code."""
    console = Console(width=None if sys.stdout.isatty() else 110)
    try:
        with httpx.Client(base_url=URL, timeout=30) as client:
            wait_until_ready(client, console)
            Story(client, console).tell()
    except DemoFailed as failure:
        console.print(f"[red]The demo failed:[/red] {failure}", highlight=False)
        return 1
    except httpx.HTTPError as error:
        console.print(f"[red]{URL} no longer answers[/red] ({error}). Does `make run` still run?")
        return 1
    return 0


def wait_until_ready(client: httpx.Client, console: Console) -> None:
    """Return once the server can do its work; fail with what to do about it after a minute."""
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    answer = health(client)
    if answer != READY:
        console.print(f"waiting for {URL}/health/ready, for {READY_TIMEOUT_SECONDS:.0f} s at most")
    while answer != READY:
        if time.monotonic() > deadline:
            raise DemoFailed(
                f"{URL}/health/ready {answer}. Start `make run` in another terminal, "
                "wait for its line “Tulou runs.”, then come back. If it runs elsewhere, say TULOU_URL=http://..."
            )
        time.sleep(0.5)
        answer = health(client)


def health(client: httpx.Client) -> str:
    """Say what the server answers when it is asked how it is."""
    try:
        answer = client.get("/health/ready", timeout=5)
    except httpx.HTTPError:
        return "does not answer"
    return READY if answer.is_success else f"answers {answer.status_code}"


class Story:
    """One person's first minutes with Tulou."""

    def __init__(self, client: httpx.Client, console: Console) -> None:
        self.client = client
        self.console = console
        self.email = f"demo-{secrets.token_hex(6)}@example.org"
        self.password = secrets.token_urlsafe(18)
        self.uploads: list[Upload] = []

    def tell(self) -> None:
        """Do one thing after another."""
        self.register()
        self.confirm_address()
        self.log_in()
        self.upload_photograph()
        self.upload_document()
        self.follow_the_work()
        for upload in self.uploads:
            self.download_renditions(upload)
        self.search()
        self.download()
        self.print_tables()

    def register(self) -> None:
        """Open an account."""
        body = {"email": self.email, "password": self.password, "name": "Demo Person"}
        expect(self.client.post("/v1/auth/register", json=body), 202)
        self.say(f"registered as {self.email}")

    def confirm_address(self) -> None:
        """Follow the link of the first mail."""
        mail = wait_for_mail(self.email)
        expect(self.client.post("/v1/auth/email/verify", json={"token": token_in(mail)}), 204)
        self.say(f"confirmed the address with the link of the mail “{mail['Subject']}”")

    def log_in(self) -> None:
        """Get an access token and look at the own profile."""
        form = {"grant_type": "password", "username": self.email, "password": self.password}
        tokens = expect(self.client.post("/v1/auth/token", data=form), 200).json()
        self.client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        me = expect(self.client.get("/v1/users/me"), 200).json()
        require(me["email"] == self.email, f"/v1/users/me shows {me['email']} instead of {self.email}")
        require(me["email_verified"], "the address is not marked as verified")
        self.say(f"logged in as user {me['id']}")

    def upload_photograph(self) -> None:
        """Send a file as a form does."""
        begun = time.monotonic()
        with PHOTOGRAPH.open("rb") as file:
            answer = self.client.post("/v1/files", files={"file": (PHOTOGRAPH.name, file, "image/jpeg")})
        self.add_upload(PHOTOGRAPH, answer, time.monotonic() - begun)

    def upload_document(self) -> None:
        """Send a file as the body itself."""
        begun = time.monotonic()
        headers = {
            "Content-Type": "application/pdf",
            "Content-Disposition": f"attachment; filename*=UTF-8''{DOCUMENT.name}",
        }
        answer = self.client.post("/v1/files", content=DOCUMENT.read_bytes(), headers=headers)
        self.add_upload(DOCUMENT, answer, time.monotonic() - begun)

    def add_upload(self, path: Path, answer: httpx.Response, seconds: float) -> None:
        """Check what the server says of a file that was sent."""
        body = expect(answer, 201).json()
        require(
            answer.headers.get("Location", "").endswith(body["id"]), "201 without the Location of the file"
        )
        require(body["name"] == path.name, f"{path.name} was stored under the name {body['name']}")
        require(body["sha256"] == digest(path.read_bytes()), f"{path.name} arrived with another digest")
        require(body["jobs"], f"no work was begun for {path.name}")
        self.uploads.append(Upload(path, body, seconds))
        self.say(f"uploaded {path.name} ({kibibytes(body['size'])})")

    def follow_the_work(self) -> None:
        """Show the progress of every job until it is over."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console) as progress:
            for upload in self.uploads:
                for job in upload.body["jobs"]:
                    upload.work_seconds += self.follow(job["url"], upload.path.name, progress)

    def follow(self, url: str, name: str, progress: Progress) -> float:
        """Follow one job to its end; return how long it waited and worked, in seconds."""
        task = progress.add_task(name, total=None)
        for job in self.states_of(url):
            state = job["progress"]
            text = f"{name}: {state['message'] or job['status']}"
            progress.update(task, description=text, completed=state["current"], total=state["total"])
            if job["status"] in {"failed", "cancelled"}:
                raise DemoFailed(f"the job {job['kind']} for {name} {job['status']}: {job['error']}")
            if job["status"] == "succeeded":
                progress.update(task, description=f"{name}: done")
                return seconds_between(job["created_at"], job["finished_at"])
        raise DemoFailed(f"the events of {url} ended before the job did")

    def states_of(self, url: str) -> Iterator[Body]:
        """Yield each state of a job, going on after the last event when the line breaks."""
        deadline = time.monotonic() + JOB_TIMEOUT_SECONDS
        last_id = ""
        while time.monotonic() < deadline:
            headers = {"Last-Event-ID": last_id} if last_id else {}
            with self.client.stream("GET", f"{url}/events", headers=headers) as answer:
                if answer.is_error:
                    answer.read()
                for event in events_in(expect(answer, 200)):
                    last_id = event.get("id", last_id)
                    yield json.loads(event["data"])

    def download_renditions(self, upload: Upload) -> None:
        """Fetch everything that was made of a file."""
        listed = expect(self.client.get(f"{upload.url}/renditions"), 200).json()["data"]
        names = {rendition["name"] for rendition in listed}
        missing = EXPECTED[upload.path.name] - names
        require(not missing, f"{upload.path.name} lacks the renditions {', '.join(sorted(missing))}")
        for rendition in listed:
            upload.renditions.append(self.download_rendition(upload, rendition))

    def download_rendition(self, upload: Upload, rendition: Body) -> Rendition:
        """Fetch one rendition and look at it."""
        label = f"the rendition {rendition['name']} of {upload.path.name}"
        require(rendition["status"] == "ready", f"{label} is {rendition['status']}: {rendition['problem']}")
        begun = time.monotonic()
        content = expect(self.client.get(rendition["url"]), 200).content
        seconds = time.monotonic() - begun
        require(
            len(content) == rendition["size"], f"{label} has {len(content)} bytes, not {rendition['size']}"
        )
        if rendition["content_type"] == "image/webp":
            description = check_picture(content, rendition, label, upright=upload.path == PHOTOGRAPH)
        else:
            description = check_text(content, label)
        return Rendition(rendition["name"], rendition["content_type"], description, len(content), seconds)

    def search(self) -> None:
        """Find the document by a word of its text."""
        found = expect(self.client.get("/v1/files", params={"q": WORD_OF_THE_DOCUMENT}), 200).json()["data"]
        names = [file["name"] for file in found]
        require(names == [DOCUMENT.name], f"a search for “{WORD_OF_THE_DOCUMENT}” found {names or 'nothing'}")
        self.say(f"searched for “{WORD_OF_THE_DOCUMENT}”: found in {DOCUMENT.name}")

    def download(self) -> None:
        """Fetch both files, whole and in part."""
        for upload in self.uploads:
            whole = upload.path.read_bytes()
            answer = expect(self.client.get(f"{upload.url}/content"), 200)
            require(answer.content == whole, f"{upload.path.name} came back changed")
            part = expect(self.client.get(f"{upload.url}/content", headers={"Range": "bytes=1000-1999"}), 206)
            require(
                part.content == whole[1000:2000],
                f"bytes 1000-1999 of {upload.path.name} are not those asked for",
            )
            expected_range = f"bytes 1000-1999/{len(whole)}"
            require(
                part.headers.get("Content-Range") == expected_range, "a part came without its Content-Range"
            )
        self.say("downloaded both files, whole and in part: every byte is right")

    def print_tables(self) -> None:
        """Sum up what there is now."""
        uploads = Table("file", "type", "size", "upload", "work", title="Uploads", title_justify="left")
        renditions = Table(
            "file", "made", "type", "what", "size", "download", title="Renditions", title_justify="left"
        )
        for upload in self.uploads:
            body = upload.body
            times = (f"{upload.seconds:.2f} s", f"{upload.work_seconds:.2f} s")
            uploads.add_row(body["name"], body["content_type"], kibibytes(body["size"]), *times)
            for made in upload.renditions:
                values = (made.name, made.content_type, made.description, kibibytes(made.size))
                renditions.add_row(body["name"], *values, f"{made.seconds * 1000:.0f} ms")
        mails = Table("subject", "from", title="Mails", title_justify="left")
        for mail in mails_to(self.email):
            mails.add_row(str(mail["Subject"]), str(mail["From"]))
        for table in (uploads, renditions, mails):
            self.console.print(table)

    def say(self, text: str) -> None:
        """Print a step that succeeded."""
        self.console.print(f"[green]✓[/green] {text}", highlight=False)


def expect(answer: httpx.Response, status: int) -> httpx.Response:
    """Return the answer if it has this status."""
    if answer.status_code != status:
        request = f"{answer.request.method} {answer.request.url.path}"
        raise DemoFailed(f"{request} answered {answer.status_code} instead of {status}: {answer.text[:500]}")
    return answer


def require(condition: object, otherwise: str) -> None:
    """Fail with a sentence unless the condition holds."""
    if not condition:
        raise DemoFailed(otherwise)


def events_in(answer: httpx.Response) -> Iterator[dict[str, str]]:
    """Yield the server-sent events that carry data (HTML standard, section 9.2)."""
    event: dict[str, str] = {}
    for line in answer.iter_lines():
        name, _, value = line.partition(":")
        if not line and "data" in event:
            yield event
        if not line:
            event = {}
        elif name:
            value = value.removeprefix(" ")
            event[name] = f"{event['data']}\n{value}" if name == "data" and "data" in event else value


def wait_for_mail(address: str) -> EmailMessage:
    """Return the newest mail to this address, once there is one."""
    deadline = time.monotonic() + MAIL_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if mails := mails_to(address):
            return mails[-1]
        time.sleep(0.1)
    raise DemoFailed(f"no mail to {address} arrived in {PLACE} within {MAIL_TIMEOUT_SECONDS:.0f} s")


def token_in(mail: EmailMessage) -> str:
    """Return the token of the link in a mail; the HTML part and the text part must agree."""
    tokens = set()
    for kind in ("plain", "html"):
        part = mail.get_body((kind,))
        require(part is not None, f"the mail “{mail['Subject']}” has no {kind} part")
        found = re.search(r"[?&]token=([\w.~-]+)", part.get_content() if part is not None else "")
        require(
            found is not None, f"the {kind} part of the mail “{mail['Subject']}” has no link with a token"
        )
        tokens.add(found.group(1) if found is not None else "")
    require(len(tokens) == 1, "the HTML and the text of the mail carry different tokens")
    return tokens.pop()


def check_picture(content: bytes, rendition: Body, label: str, *, upright: bool) -> str:
    """Check that a rendition is a WebP picture of the size it claims, without EXIF; return that size."""
    require(content[:4] == b"RIFF" and content[8:12] == b"WEBP", f"{label} is no WebP picture")
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        width, height = picture.size
        require(not picture.getexif(), f"{label} still carries EXIF data")
    facts = rendition["facts"]
    require(
        (facts.get("width"), facts.get("height")) == (width, height),
        f"{label} is {width} x {height}, not {facts}",
    )
    require(not upright or height > width, f"{label} lies on its side")
    return f"{width} x {height}"


def check_text(content: bytes, label: str) -> str:
    """Check that a rendition holds the document's text; return how much."""
    text = content.decode()
    require(WORD_OF_THE_DOCUMENT in text, f"{label} lacks the word “{WORD_OF_THE_DOCUMENT}”")
    return f"{len(text)} characters"


def seconds_between(begin: str, end: str) -> float:
    """Return the time between two moments as the API writes them."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def digest(content: bytes) -> str:
    """Return the SHA-256 digest, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def kibibytes(size: int) -> str:
    """Return a size in bytes as text."""
    return f"{size / 1024:.1f} KiB"


if __name__ == "__main__":
    sys.exit(main())
