"""`/docs`: after signing in, pressing Execute gets a successful response."""

import asyncio
import copy
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import QUICK_TO_HASH, some_address
from tests.contract.docs_page import BROWSERS, Answer, DocsPage, installed_browser, running_browser
from tests.contract.test_document import operations
from tests.programs import Program, free_port
from tools.faults.people import People, Person, some_email

BROWSER = installed_browser()
PHOTO = Path(__file__).parents[1] / "data" / "astronaut.jpg"
SMALL = {"width": 900, "height": 600}
PAGES = 3
"""Pages at a time."""
ABSENT_IDS = {"job_id", "email_id"}
"""Nothing runs jobs here, and a mail that was sent can't be resolved: the ids of the document name nothing."""

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(BROWSERS)} is in the PATH"),
    pytest.mark.timeout(400),
]


@pytest.fixture(scope="module")
def api(programs: Callable[..., Program]) -> str:
    """A running API, by its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program = programs("serve", TULOU_PORT=str(port), TULOU_PUBLIC_URL=url, **QUICK_TO_HASH)
    program.wait_until_it_answers(f"{url}/health/ready")
    return url


@pytest.fixture
async def visitors(api: str, app, composition) -> AsyncIterator["Visitors"]:
    async with httpx.AsyncClient(base_url=api, headers={"X-Forwarded-For": some_address()}) as client:
        yield Visitors(client, composition)


class Visitors:
    """People with the password that examples show, and ids of what is theirs."""

    def __init__(self, client: httpx.AsyncClient, composition: Any) -> None:
        self._client = client
        self._composition = composition
        self._people = People(client, composition)

    async def document(self) -> dict:
        return (await self._client.get("/openapi.json")).json()

    async def arrive(
        self, example: dict[str, str], *, email: str | None = None, is_admin: bool = False
    ) -> Person:
        address = email or some_email()
        if is_admin:
            await self._composition.auth.accounts().create_admin(address, example["password"])
            return await self._people.sign_in(address, example["password"])
        self._client.headers["X-Forwarded-For"] = some_address()
        return await self._people.register(email=address, password=example["password"])

    async def ids(self, path: str, person: Person) -> dict[str, str]:
        """Return what to type for the ids in a path."""
        places = set(re.findall(r"{(\w+_id)}", path)) - ABSENT_IDS
        return {place: await getattr(self, f"_{place}")(person) for place in places}

    async def _file_id(self, person: Person) -> str:
        files = {"file": ("holiday.jpg", PHOTO.read_bytes(), "image/jpeg")}
        return (await self._client.post("/v1/files", files=files, headers=person.headers)).json()["id"]

    async def _session_id(self, person: Person) -> str:
        return str((await self._people.sign_in(person.email, person.password)).session_id)

    async def _user_id(self, person: Person) -> str:
        # Somebody with a verified address: others can't be made administrators.
        return str((await self.arrive({"password": person.password}, is_admin=True)).id)


@pytest.mark.parametrize(
    "every", [pytest.param(3, id="every third"), pytest.param(1, id="all", marks=pytest.mark.long)]
)
async def test_execute_works_for_every_operation_as_it_is_filled_in(
    every: int, api: str, visitors: Visitors, tmp_path: Path
) -> None:
    document = await visitors.document()
    registering = document["paths"]["/v1/auth/register"]["post"]["requestBody"]
    example = registering["content"]["application/json"]["example"]
    await visitors.arrive(example, email=example["email"])
    refused: list[str] = []

    async def work(page: DocsPage, shown: dict) -> None:
        for name, operation in operations(shown):
            method, _, path = name.partition(" ")
            is_admin = any(scopes for scheme in operation["security"] for scopes in scheme.values())
            person = await visitors.arrive(example, is_admin=is_admin)
            ids = await visitors.ids(path, person)
            try:
                if operation["security"]:
                    await page.sign_in(person)
                answer = await page.execute(operation, method, path, ids=ids, upload=PHOTO)
            except Exception:
                await page.page.screenshot(path=tmp_path / "page.png", full_page=True)
                raise
            refused.extend(f"{name}: {said}" for said in complaints(answer, operation, path, ids))

    async with running_browser(BROWSER) as browser:
        shares = [share_of(document, number * every, step=PAGES * every) for number in range(PAGES)]
        pages = [
            await DocsPage.open(await browser.new_context(viewport=SMALL), api, share) for share in shares
        ]
        await asyncio.gather(*[work(page, share) for page, share in zip(pages, shares, strict=True)])
    assert refused == []
    assert [offence for page in pages for offence in page.offences] == []


def share_of(document: dict, first: int, *, step: int) -> dict:
    """Return the document with the paths of one page, and of their answers the types: drawing takes the time."""
    share = copy.deepcopy(document)
    share["paths"] = dict(list(share["paths"].items())[first::step])
    for _, operation in operations(share):
        operation["responses"] = {
            status: {"description": "Done.", "content": {kind: {} for kind in response.get("content", ())}}
            for status, response in operation["responses"].items()
            if status[0] == "2"
        }
    share["components"] = {
        "securitySchemes": share["components"]["securitySchemes"],
        "schemas": needed(share["paths"], share["components"]["schemas"]),
    }
    return share


def needed(part: object, schemas: dict) -> dict:
    """Return the schemas that a part of the document refers to, and those that these refer to."""
    found: dict = {}
    while more := set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps([part, found]))) - found.keys():
        found |= {name: schemas[name] for name in more}
    return found


def complaints(answer: Answer, operation: dict, path: str, ids: dict[str, str]) -> list[str]:
    """Return what is wrong with an answer, and with what was sent without being asked for."""
    found = []
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example", {})
    is_absent = answer.status == 404 and "_id}" in path and not ids
    is_spent = answer.status == 400 and "token" in body
    if answer.status >= 400 and not is_absent and not is_spent:
        found.append(f"answered {answer.status}")
    if answer.shown != str(answer.status):
        found.append(f"the page shows {answer.shown!r} for {answer.status}")
    for parameter in operation.get("parameters", ()):
        name = parameter["name"]
        if parameter["in"] == "header" and not parameter.get("required") and name.lower() in answer.sent:
            found.append(f"sent {name}: {answer.sent[name.lower()]}")
        is_sent = re.search(rf"(^|&){name}=", answer.query)
        if parameter["in"] == "query" and is_sent and "default" not in parameter["schema"]:
            found.append(f"sent ?{name}")
    return found
