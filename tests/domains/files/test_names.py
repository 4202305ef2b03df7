import pytest
from pydantic import ValidationError

from domains.files.router.disposition import content_disposition, file_name_of, parse_parameters
from domains.files.schemas import FileChanges, clean_name


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
        ("\ud800.txt", "txt"),
    ],
)
def test_a_name_is_kept_without_what_could_mislead(given, kept):
    assert clean_name(given) == kept


def test_an_endless_name_keeps_its_ending():
    name = clean_name("x" * 4096 + ".jpeg")
    assert len(name) == 255
    assert name.endswith("x.jpeg")


@pytest.mark.parametrize("name", ["a/b", "a\nb", "", "x" * 256, "a\u202eb"])
def test_a_misleading_new_name_is_refused(name):
    with pytest.raises(ValidationError):
        FileChanges(name=name)


@pytest.mark.parametrize("tag", ["", " a", "x" * 65, "a\x00"])
def test_a_misleading_tag_is_refused(tag):
    with pytest.raises(ValidationError):
        FileChanges(tags=[tag])


def test_metadata_has_no_nul():
    with pytest.raises(ValidationError):
        FileChanges(metadata={"a": ["\x00"]})


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
