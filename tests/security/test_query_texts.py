"""Every text of a query parameter is found or refused with a code; none causes a server error."""

import random
from typing import Any

import pytest

from tests.conftest import some_address

SIGNS = "-\"'()&|!:*<>~^%_\\/?#[]{}+=;,.@$` \t"
PIECES = [
    *SIGNS,
    *(
        "or",
        "OR",
        "and",
        "-",
        '"',
        '""',
        "<->",
        "a",
        "ab",
        "0",
        "é",
        "e\u0301",
        "字",
        "数据库",
        "번역",
        "ไทย",
        "👨\u200d👩",
        "🎉",
    ),
    *(
        "\u202e",
        "\u0640",
        "\u0301",
        "\ufeff",
        "\ufffe",
        "\U0010ffff",
        "\u2028",
        "\x01",
        "\x7f",
        "İ",
        "ß",
        "\ufdfa",
        "٣",
    ),
]


def texts() -> list[str]:
    chance = random.Random(34)
    some = ["".join(chance.choices(PIECES, k=chance.randint(1, 60))) for _ in range(25)]
    long = [
        sign * count for sign in ("-", '"', "(", "字", "a ", "-a ", "or ") for count in (33, 40, 200, 2_500)
    ]
    return [*some, *long, "\x00", "a\x00b", "x" * 8_000]


@pytest.fixture
def parameters(app) -> list[tuple[str, str]]:
    """Paths without placeholders and their query parameters that are texts."""
    return [
        (path, parameter["name"])
        for path, item in app.openapi()["paths"].items()
        for parameter in item.get("get", {}).get("parameters", [])
        if parameter["in"] == "query" and "{" not in path and _is_text(parameter["schema"])
    ]


def _is_text(schema: dict[str, Any]) -> bool:
    return any(
        each.get("type") == "string" and "enum" not in each for each in [schema, *schema.get("anyOf", [])]
    )


async def test_whatever_is_typed_is_answered(client, people, parameters):
    assert ("/v1/files", "q") in parameters
    assert ("/v1/users", "q") in parameters
    wrong = []
    for path, name in parameters:
        admin = await people.administrator()  # each caller has a limit, and so has each address
        headers = admin.headers | {"X-Forwarded-For": some_address()}
        for text in texts():
            answer = await client.get(path, params={name: text}, headers=headers)
            if answer.status_code not in {200, 400, 422} or (
                answer.status_code != 200 and not answer.json()["code"]
            ):
                wrong.append((path, name, text[:20], answer.status_code))
    assert wrong == []


async def test_several_at_once_are_answered(client, user):
    chance = random.Random(35)
    for text in texts()[:25]:
        params = {"q": text[:200], "tag": text[:64], "type": chance.choice(["image", "text/plain"])}
        answer = await client.get("/v1/files", params=params, headers=user.headers)
        assert answer.status_code in {200, 422}, (params, answer.text)
