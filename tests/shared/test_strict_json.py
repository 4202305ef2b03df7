"""JSON that is read is JSON that can be stored and read back."""

import json

import pytest

from shared.http.strict_json import MAX_DEPTH, MAX_MEMBERS, MalformedJson, parse


def test_depth_and_members_are_limited() -> None:
    parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(MalformedJson):
        parse(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))
    parse(json.dumps({str(number): 1 for number in range(MAX_MEMBERS)}).encode())
    with pytest.raises(MalformedJson):
        parse(json.dumps({str(number): 1 for number in range(MAX_MEMBERS + 1)}).encode())


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
