"""People who use what `make compose-test` has started."""

import secrets
import threading
import time
from typing import Any, Self

import httpx
from compose_project import PROJECT, Compose, expect, require, wait_until

PHOTOGRAPH = PROJECT / "tests" / "data" / "astronaut.jpg"


class Load:
    """Four people who read and write meanwhile, and what they were answered."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._come) for _ in range(4)]
        self._begun = 0.0
        self.answered = 0
        self.failed: list[str] = []

    @property
    def seconds(self) -> float:
        """For how long it has lasted."""
        return time.monotonic() - self._begun

    def __enter__(self) -> Self:
        self._begun = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _come(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            sign_in(client)
            while not self._ended.is_set():
                for _ in range(4):
                    self._ask(client, "GET", "/v1/users/me")
                    self._ended.wait(0.3)
                self._ask(
                    client, "POST", "/v1/files", files={"file": ("a.txt", secrets.token_hex(8).encode())}
                )

    def _ask(self, client: httpx.Client, method: str, path: str, **body: Any) -> None:
        try:
            status = str(client.request(method, path, **body).status_code)
        except httpx.HTTPError as error:
            status = f"{type(error).__name__} {error}"
        self.answered += 1
        if status not in {"200", "201"}:
            self.failed.append(f"{method} {path}: {status}")


def sign_in(client: httpx.Client) -> None:
    """Become somebody."""
    person = new_person()
    expect(client.post("/v1/auth/register", json=person), 202)
    form = sign_in_form(person)
    wait_until(lambda: client.post("/v1/auth/token", data=form).status_code == httpx.codes.OK, "the account")
    token = expect(client.post("/v1/auth/token", data=form), 200).json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"


def upload(client: httpx.Client, number: int) -> str:
    """Upload a photograph unlike the others; return the address of the job that it causes."""
    content = PHOTOGRAPH.read_bytes() + number.to_bytes(2, "big")
    answer = expect(client.post("/v1/files", files={"file": (f"{number}.jpg", content)}), 201)
    return str(answer.json()["jobs"][0]["url"])


def states(client: httpx.Client, jobs: list[str]) -> set[str]:
    """Return the states that the jobs are in."""
    return {state_of(client, job) for job in jobs}


def state_of(client: httpx.Client, job: str) -> str:
    """Return the state of one job."""
    return str(expect(client.get(job), 200).json()["status"])


def new_person() -> dict[str, str]:
    """Return the registration of somebody new."""
    return {"email": f"compose-{secrets.token_hex(6)}@example.org", "password": secrets.token_urlsafe(18)}


def sign_in_form(person: dict[str, str]) -> dict[str, str]:
    """Return what somebody signs in with."""
    return {"grant_type": "password", "username": person["email"], "password": person["password"]}


def can_sign_in(compose: Compose, person: dict[str, str]) -> bool:
    """Tell whether somebody has an account."""
    answer = httpx.post(f"{compose.url}/v1/auth/token", data=sign_in_form(person), timeout=30)
    return bool(answer.status_code == httpx.codes.OK)


def is_ready(compose: Compose) -> bool:
    """Tell whether the API can serve."""
    try:
        return httpx.get(f"{compose.url}/health/ready", timeout=5).json()["status"] == "ok"
    except (httpx.HTTPError, ValueError):
        return False


def can_register(compose: Compose) -> bool:
    """Tell whether the API writes."""
    answer = httpx.post(f"{compose.url}/v1/auth/register", json=new_person(), timeout=30)
    require(answer.status_code in {202, 503}, f"registering answered {answer.status_code}: {answer.text}")
    return answer.status_code == httpx.codes.ACCEPTED
