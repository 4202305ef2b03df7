"""Every JSON document that is accepted can be stored and read back."""

import json

import pytest

from shared.http import strict_json
from shared.http.strict_json import MAX_DEPTH, MAX_VALUES, MalformedJson, parse, texts_in, values_in


def test_depth_and_members_are_limited() -> None:
    parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(MalformedJson):
        parse(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))
    parse(json.dumps({str(number): 1 for number in range(MAX_VALUES)}).encode())
    with pytest.raises(MalformedJson, match="More than 10000"):
        parse(json.dumps({str(number): 1 for number in range(MAX_VALUES + 1)}).encode())


@pytest.mark.parametrize(
    "body",
    [
        b'{"email":["\\\\u0000",' + b"{}," * 345_000 + b"0]}",
        b"[" + b",".join([b"[" * 60 + b"]" * 60] * 8_500) + b"]",
        b"[" + b"0," * 520_000 + b"0]",
        b"[" + b'"",' * 345_000 + b'""]',
        b"[" + rb'"\\",' * 200_000 + b"0]",
        b"[" + rb'"\"",' * 200_000 + b"0]",
        b"[" * 1_000_000,
        b'{"' + b'":0,"' * 200_000 + b'":0}',
        b"[0" + b",0" * MAX_VALUES,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_body_of_many_values_is_refused_before_it_is_parsed(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strict_json, "_DECODER", None)
    with pytest.raises(MalformedJson, match="More than 10000"):
        parse(body)


@pytest.mark.parametrize("text", [",[{" * 20_000, '",[' * 20_000, "\\" * 20_001 + '",[' * 20_000, ",[\\"])
def test_signs_in_texts_are_no_values(text: str) -> None:
    value = {text: [text] * 2, "last": text}
    assert parse(json.dumps(value).encode()) == value
    many = [text] + [0] * MAX_VALUES
    with pytest.raises(MalformedJson, match="More than 10000"):
        parse(json.dumps(many).encode())


def test_the_values_of_a_body_are_seen_once_each() -> None:
    value = {"a": ["b", {"c": "d"}, [], 1], "e": {"f": {"g": None}}}
    assert sorted(texts_in(value)) == sorted("abcdefg")
    assert len(list(values_in(value))) == 9
    assert list(texts_in("a")) == ["a"]


@pytest.mark.parametrize(
    "number",
    ["1e308", "-1e41", "1e-41", "1.5E-300", "1e400", "1e-999", "-0.001e-999999999", "0.%s1" % ("0" * 400)],
)
def test_a_number_that_the_database_would_write_out_in_hundreds_of_digits_is_refused(number: str) -> None:
    with pytest.raises(MalformedJson, match="beyond 10 to the power"):
        parse(f"[{number}]".encode())


@pytest.mark.parametrize(
    "number", ["0.0", "-0.0", "0e999", "-0.00e-999", "6.02214076e23", "1.6e-35", "1" * 30]
)
def test_a_number_that_people_use_is_taken(number: str) -> None:
    assert parse(f"[{number}]".encode()) == [json.loads(number)]
