"""Errors have a code and a sentence each."""

import pytest

from shared.errors import CATALOGUE, AppError, BadRequest


def test_every_error_is_a_full_sentence() -> None:
    for code, error in CATALOGUE.items():
        assert error.detail.endswith((".", "?")), code
        assert 400 <= error.status <= 599, code


def test_two_errors_cannot_share_a_code() -> None:
    with pytest.raises(TypeError):
        type("Another", (BadRequest,), {"code": "request.malformed_json"})


def test_an_error_says_when_to_come_back() -> None:
    assert AppError(retry_after=0.2).headers == {"Retry-After": "1"}
    assert AppError().headers == {}
