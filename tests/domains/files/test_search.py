"""`GET /v1/files?q=`: words of every script are found, and every query text is valid."""

import random
import unicodedata
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID, uuid4

import asyncpg
import pytest

from domains.files.repository.texts import FOUND, query_json
from domains.files.service.indexing import IndexingService, indexed
from shared.db.fulltext import pieces_of, search_of, vector_of
from tests.domains.files.http_helpers import get

CJK = Path(__file__).parents[2] / "data/cjk.pdf"


@pytest.fixture
def names(client, user, upload):
    """Upload files of these names, and return what a search among them finds."""

    async def found_among(*given: str):
        for name in given:
            await upload(user, b"text", name)

        async def find(words: str) -> set[str]:
            answer = await client.get("/v1/files", params={"q": words}, headers=user.headers)
            assert answer.status_code == 200, answer.text
            return {file["name"] for file in answer.json()["data"]}

        return find

    return found_among


@pytest.mark.parametrize(
    ("name", "searches"),
    [
        (
            "公司的数据库备份.txt",
            ["数据库", "数据", "据库", "库", "公司", "备份", '"数据库备份"', "数据库 公司"],
        ),
        ("今年の売上報告.txt", ["売上", "売上報告", "今年", "の"]),
        ("기계번역을 위한 자료.txt", ["번역", "번역을", "기계", "자료"]),
        ("รายงานประจำปี.txt", ["รายงาน", "ประจำปี", "ปี"]),
        ("ឯកសារភាសាខ្មែរ.txt", ["ភាសា", "ខ្មែរ", "ភាសា\u200bខ្មែរ"]),
        ("ເອກະສານພາສາລາວ.txt", ["ພາສາ", "ລາວ"]),
        ("ﾃﾞｰﾀﾍﾞｰｽ.txt", ["データ", "ベース", "ﾃﾞｰﾀ"]),
        ("ＦＵＬＬ Width.txt", ["full", "WIDTH"]),
        ("Die Straße.txt", ["strasse", "STRASSE", "straße", "Straẞe"]),
        (
            "İstanbul DIYARBAKIR ısı.txt",
            ["istanbul", "ISTANBUL", "İSTANBUL", "diyarbakır", "Diyarbakir", "isi", "ISI"],
        ),
        ("كتـــاب مدرسي.txt", ["كتاب", "كِتَاب", "كتـاب"]),
        ("שָׁלוֹם.txt", ["שלום"]),
        ("ΟΔΥΣΣΕΥΣ.txt", ["οδυσσεύς".replace("ύ", "υ"), "οδυσσευσ"]),
        ("शब्दकोश हिन्दी.txt", ["हिन्दी", "शब्दकोश"]),
        ("Cafe\u0301 Zoe\u0308.txt", ["café", "cafe\u0301", "CAFÉ", "zoë"]),
        ("۱۴۰۳ and ٣٤.txt", ["1403", "34", "۳۴"]),
        (
            "holiday-2026_final.jpg.txt",
            ["holiday", "2026", "final", '"holiday 2026"', "holiday-2026", "HOLIDAY-2026_FINAL"],
        ),
        ("می\u200cخواهم.txt", ["می\u200cخواهم", "میخواهم"]),
        ("party 🎉 👨\u200d👩\u200d👧 \U0001faea.txt", ["🎉", "👨\u200d👩\u200d👧", "\U0001faea", "party🎉"]),
        ("ﬁrst eﬀort.txt", ["first", "effort"]),
        ("O'Brien & Söhne (1999).txt", ["o'brien", "brien", "söhne", "1999", "SO\u0308HNE"]),
    ],
)
async def test_words_of_every_script_are_found(names, name, searches):
    find = await names(name, "other.txt")
    for words in searches:
        assert len(await find(words)) == 1, words
        assert "other.txt" not in await find(words)
        if " " not in words or words.startswith('"'):
            assert await find(f"-{words}") == {"other.txt"}, words


@pytest.mark.parametrize(
    ("name", "search"),
    [
        ("数据 和 据库.txt", "数据库"),
        ("大学東京.txt", "京大"),
        ("café.txt", "cafe"),
        ("holidays.txt", "holiday"),
        ("b a.txt", '"a b"'),
    ],
)
async def test_what_is_not_there_is_not_found(names, name, search):
    assert await (await names(name))(search) == set()


async def test_quotes_alternatives_and_exclusion(names):
    find = await names("red house.txt", "red car.txt", "blue house.txt", "数据库 red.txt")
    assert await find("red") == {"red house.txt", "red car.txt", "数据库 red.txt"}
    assert await find("red house") == {"red house.txt"}
    assert await find("house red") == {"red house.txt"}
    assert await find('"house red"') == set()
    assert await find("red -house") == {"red car.txt", "数据库 red.txt"}
    assert await find("red -数据") == {"red house.txt", "red car.txt"}
    assert await find('red -"red car"') == {"red house.txt", "数据库 red.txt"}
    assert await find("car or blue") == {"red car.txt", "blue house.txt"}
    assert await find("car OR blue -house") == {"red car.txt"}
    assert await find("-red") == {"blue house.txt"}
    assert await find("-red or car") == {"blue house.txt", "red car.txt"}
    assert await find('"or"') == set()
    assert await find("or") == set()
    assert await find('"red hou') == set()
    assert await find('"red house') == {"red house.txt"}


async def test_the_text_of_a_document_in_any_script_is_found(client, user, upload, work_off):
    file = await upload(user, CJK.read_bytes(), "report.pdf")
    await work_off()
    text = await get(client, user, f"/v1/files/{file['id']}/renditions/text")
    for words in ("数据库", "売上", "번역", "数据库 report", "report -数据库学"):
        answer = await client.get("/v1/files", params={"q": words}, headers=user.headers)
        assert [each["id"] for each in answer.json()["data"]] == [file["id"]], (words, text)


async def test_words_in_different_parts_of_a_long_text_and_the_name_belong_together(
    client, user, upload, composition
):
    file = await upload(user, b"text", "longest.txt")
    filling = "the quick brown fox jumps over the lazy dog\n" * 2_000
    text = f"alpha {filling} 数据\n库 {filling} omega the end"
    await keep_text(composition, user, file, text)
    for words in ("alpha omega", "alpha longest 数据库", '"the end"', '"omega the end"', "omega"):
        assert await found(client, user, words) == [file["id"]], words
    for words in ("alpha -omega", "longest -alpha", '"fox over"'):
        assert await found(client, user, words) == [], words
    await client.patch(f"/v1/files/{file['id']}", json={"name": "shortest.txt"}, headers=user.headers)
    assert await found(client, user, "shortest omega") == [file["id"]]
    assert await found(client, user, "longest") == []


async def test_a_phrase_is_found_wherever_it_stands_in_a_long_text(client, user, upload, composition):
    words = [f"w{number}" for number in range(6_000)]
    file = await upload(user, b"text", "many.txt")
    await keep_text(composition, user, file, " ".join(words))
    chance = random.Random(1)
    for start in [*chance.sample(range(5_990), 30), *range(1_180, 1_240, 6)]:
        phrase = " ".join(words[start : start + 5])
        assert await found(client, user, f'"{phrase}"') == [file["id"]], phrase


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        (" ".join(f"the w{number}" for number in range(256)) + " the aardvark sleeps", "the aardvark sleeps"),
        ("a " * 3_000 + "the end", "a a the end"),
        ("a " * 3_000 + "the end", "a " * 90 + "the end"),
        ("\u54c8" * 3_000 + "\u7b11\u4e86", "\u54c8" * 100 + "\u7b11\u4e86"),
        ("\ufdfa" * 5_000 + " the last words", "the last words"),
        ("one\n" * 3_000 + "the\nlast\nwords", "one one the last"),
        ("\U0001f389" * 3_000 + "the end", "\U0001f389\U0001f389 the end"),
    ],
    ids=["the", "a", "many a", "laughing", "ligatures", "lines", "emoji"],
)
async def test_a_phrase_is_found_however_often_its_words_stand_before(
    client, user, upload, composition, text, phrase
):
    file = await upload(user, b"text", "again.txt")
    await keep_text(composition, user, file, text)
    assert await found(client, user, f'"{phrase}"') == [file["id"]]
    assert "".join(piece.body for piece in pieces_of(text)) == text


async def test_another_form_of_the_same_text_finds_it(names):
    find = await names("Zo\u00eb \uac00\ub098 caf\u00e9.txt")
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        for words in ("zo\u00eb", "\uac00\ub098", "caf\u00e9"):
            assert len(await find(unicodedata.normalize(form, words))) == 1


async def test_texts_of_the_version_before_are_found_at_once_and_in_any_script_when_they_are_indexed(
    client, user, other, upload, composition, servers
):
    file = await upload(user, b"text", "old.txt")
    body = "数据库 and plain words " * 3
    connection = await asyncpg.connect(servers.superuser_url)
    try:
        await connection.execute("DELETE FROM files.texts WHERE file_id = $1", UUID(file["id"]))
        for part in range(2):
            await connection.execute(
                "INSERT INTO files.texts (file_id, part, owner_id, name, body)"
                " VALUES ($1, $2, $3, 'old.txt old txt', $4)",
                *(UUID(file["id"]), part, user.id, body),
            )
        assert await found(client, user, '"plain words" old') == [file["id"]]
        assert await found(client, user, "plain -words") == []
        assert await found(client, other, "plain") == []
        assert await found(client, user, "据库") == []
        indexing = composition.files.indexing()
        assert isinstance(indexing, IndexingService)
        await indexing.run(SimpleNamespace(cancelled=False))
        assert await found(client, user, "据库 plain old") == [file["id"]]
        rows = await connection.fetch(
            "SELECT body, terms FROM files.texts WHERE file_id = $1 ORDER BY part", UUID(file["id"])
        )
        assert "".join(row["body"] for row in rows) == body * 2
        assert all(row["terms"] is not None for row in rows)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "words",
    [
        *(
            "-" * 33,
            "-" * 200,
            "-a" * 100,
            "- " * 100,
            '"' * 33,
            "'" * 33,
            "(" * 40,
            "!" * 40,
            "&" * 40,
            "\\" * 40,
        ),
        *(
            "or or or",
            "a or",
            "or a",
            "-or",
            '-"',
            '"" or ""',
            "a:*",
            "<->",
            "a<->b",
            "'",
            "\\'",
            "\\",
            "a'b\\c",
        ),
        *(
            "\u202e",
            "\ufffe",
            "\U0010ffff",
            "\u0301" * 100,
            "👨\u200d" * 50,
            "x" * 200,
            "字" * 200,
            "\x01",
            "%",
            "\n\r\t",
        ),
        *("\u0345", "ŉ", "\u1e9e", "\ufdfa" * 100, "\ufb2c" * 60, "𝟘" * 100, "½", "①"),
    ],
    ids=ascii,
)
async def test_nothing_that_is_typed_is_an_error(client, user, words):
    answer = await client.get("/v1/files", params={"q": words}, headers=user.headers)
    assert answer.status_code == 200, answer.text


async def test_what_is_too_much_is_refused_by_name(client, user, limits):
    for words, status in (("-" * 8000, 422), ("x" * 201, 422), ("a " * 4096, 400)):
        answer = await client.get("/v1/files", params={"q": words}, headers=user.headers)
        assert (answer.status_code, answer.json()["code"].partition(".")[0]) == (status, "request")
    answer = await client.get("/v1/files", params={"q": "a " * 17}, headers=user.headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "files.search_too_long")
    assert answer.json()["limit"] == 16
    limits(files_search_terms=1)
    for words, status in (("a", 200), ('"a b"', 200), ("a b", 422), ("a or b", 422), ("a -b", 422)):
        answer = await client.get("/v1/files", params={"q": words}, headers=user.headers)
        assert answer.status_code == status


async def found(client, person, words: str) -> list[str]:
    answer = await client.get("/v1/files", params={"q": words}, headers=person.headers)
    assert answer.status_code == 200, answer.text
    return [file["id"] for file in answer.json()["data"]]


async def keep_text(composition, person, file, text: str) -> None:
    """Keep a text as the worker does that has extracted it."""
    files = composition.files.files()
    pieces = await indexed(text)
    async with composition.database().transaction():
        await files.set_text(UUID(file["id"]), person.id, file["name"], pieces)


@pytest.mark.long
async def test_the_index_answers_among_many_files(servers, settings):
    chance, owner, others = random.Random(3), uuid4(), [uuid4() for _ in range(20)]
    han = [chr(0x4E00 + number) for number in range(3000)]
    rows = []
    for number in range(100_000):
        name = f"word{chance.randrange(20_000)} {''.join(chance.choices(han, k=8))}"
        name += " 数据库" if number < 20 else ""
        whose = owner if number % 20 == 0 or number < 20 else chance.choice(others)
        rows.append((uuid4(), whose, name, vector_of(name)))
    connection = await asyncpg.connect(servers.superuser_url)
    try:
        await connection.execute("CREATE TEMP TABLE made (id uuid, owner_id uuid, name text, terms text)")
        await connection.copy_records_to_table("made", records=rows)
        await connection.execute(
            "INSERT INTO files.blobs (sha256, size, storage_key, copies) VALUES (repeat('0', 64), 1, 'many', 1);"
            "INSERT INTO files.files (id, owner_id, name, size, sha256, reserved, status, facts, client_metadata, tags,"
            " revision) SELECT id, owner_id, name, 1, repeat('0', 64), 0, 'ready', '{}', '{}', '{}', 1 FROM made;"
            "INSERT INTO files.texts (file_id, part, owner_id, name, body, terms)"
            " SELECT id, 0, owner_id, name, '', terms::tsvector FROM made"
        )
        await connection.execute("VACUUM ANALYZE files.texts, files.files")
        query = str(FOUND).replace(":owner_id", "$1").replace(":q", "$2")
        for words, least, most in (
            ("数据库", 20, 20),
            ("word17", 0, 10),
            (han[7], 5, 100),
            ("word1 or word2", 0, 20),
        ):
            parameters = owner, query_json(search_of(words))
            sql = f"SELECT id FROM files.files WHERE owner_id = $1 AND {query}"
            assert least <= len(await connection.fetch(sql, *parameters)) <= most, words
            plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {sql}", *parameters))
            assert "ix_texts_terms" in plan
            assert "Seq Scan" not in plan
    finally:
        await connection.execute(
            "DELETE FROM files.files WHERE id IN (SELECT id FROM made);"
            "DELETE FROM files.blobs WHERE storage_key = 'many'"
        )
        await connection.close()
