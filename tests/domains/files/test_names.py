import pytest
from pydantic import ValidationError

from domains.files.router.disposition import content_disposition, file_name_of
from domains.files.schemas.bodies import FileUpdate
from domains.files.schemas.fields import clean_name
from shared.http.parameters import parse_parameters


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a.txt", "a.txt"),
        ("a\r\nX-Evil: y.txt", "aX-Evil: y.txt"),
        ("invoice\u202egpj.exe", "invoicegpj.exe"),
        ("  .. ", "unnamed"),
        ("", "unnamed"),
        (None, "unnamed"),
        ("a\u0308.txt", "ä.txt"),
        ("名前.pdf", "名前.pdf"),
        ("\ud800.txt", ".txt"),
        (".gitignore", ".gitignore"),
        ("../../.env", ".env"),
        ("..config", "..config"),
        ("...", "unnamed"),
        (" . . ", "unnamed"),
        ("a.exe. .\u2003", "a.exe"),
        ("  a.txt", "a.txt"),
        ("con.txt", "con.txt"),
        ("NUL", "NUL"),
        ("a:b*c?.txt", "a:b*c?.txt"),
        ("شب\u200cنم.pdf", "شب\u200cنم.pdf"),
        ("👨\u200d👩\u200d👧 \U0001faea.png", "👨\u200d👩\u200d👧 \U0001faea.png"),
        ("山田\u3000太郎.txt", "山田\u3000太郎.txt"),
        ("\u200d\u200b", "unnamed"),
        ("\u0301", "unnamed"),
        ("\ufeffa.txt", "a.txt"),
    ],
)
def test_a_name_is_kept_without_what_could_mislead(given, kept):
    assert clean_name(given) == kept


@pytest.mark.parametrize(
    "name",
    [
        "x" * 300,
        "x" * 254 + ". .",
        "." + "x" * 300,
        "x." + "y" * 300,
        "e\u0301" * 300 + ".txt",
        "\ufb2c" * 200,
    ],
)
def test_a_cleaned_name_is_clean(name):
    cleaned = clean_name(name)
    assert len(cleaned) <= 255
    assert clean_name(cleaned) == cleaned == FileUpdate(name=cleaned).name


def test_names_and_tags_of_another_form_are_composed():
    changes = FileUpdate(name="Zoe\u0308.txt", tags=["cafe\u0301", "caf\u00e9", "x"])
    assert (changes.name, changes.tags) == ("Zoë.txt", ["caf\u00e9", "x"])


def test_an_endless_name_keeps_its_ending():
    name = clean_name("x" * 4096 + ".jpeg")
    assert len(name) == 255
    assert name.endswith("x.jpeg")


@pytest.mark.parametrize("name", ["a/b", "a\nb", "", "x" * 256, "a\u202eb", "..", " a", "a.", "a ", "\u200d"])
def test_a_misleading_new_name_is_refused(name):
    with pytest.raises(ValidationError):
        FileUpdate(name=name)


@pytest.mark.parametrize("tag", ["", " a", "x" * 65, "a\x00"])
def test_a_misleading_tag_is_refused(tag):
    with pytest.raises(ValidationError):
        FileUpdate(tags=[tag])


def test_metadata_has_no_nul():
    with pytest.raises(ValidationError):
        FileUpdate(metadata={"a": ["\x00"]})
    with pytest.raises(ValidationError):
        FileUpdate(metadata={"\x00": 1})
    assert FileUpdate(metadata={"six characters": "\\u0000"}).metadata == {"six characters": "\\u0000"}


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("attachment; filename=a.txt", "a.txt"),
        ('attachment; filename="a b.txt"', "a b.txt"),
        ('attachment; filename="a\\"b.txt"', 'a"b.txt'),
        ("attachment; filename=plain.txt; filename*=UTF-8''%C3%A4.txt", "ä.txt"),
        ("attachment; filename*=iso-8859-1'en'%E4.txt", "ä.txt"),
        ("attachment", None),
        ("attachment;", None),
    ],
)
def test_a_disposition_names_its_file(header, name):
    assert file_name_of(parse_parameters(header)) == name


@pytest.mark.parametrize(
    "header",
    [
        "attachment; filename=a; filename=b",
        "attachment; filename",
        'attachment; filename="a',
        "attachment; filename*=a.txt",
        "attachment; filename*=UTF-8''%ff",
        "attachment; " + "a=b;" * 10_000,
    ],
)
def test_an_ambiguous_disposition_is_refused(header):
    with pytest.raises(ValueError):  # noqa: PT011  # its caller only knows that it can't be read
        file_name_of(parse_parameters(header))


def test_a_disposition_is_one_line_of_ascii():
    assert content_disposition("attachment", "a.txt") == 'attachment; filename="a.txt"'
    header = content_disposition("inline", 'ä"\\\r\n;.txt')
    assert header == "inline; filename=\"_____;.txt\"; filename*=UTF-8''%C3%A4%22%5C%0D%0A%3B.txt"
