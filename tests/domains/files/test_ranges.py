import time
from datetime import UTC, datetime

import pytest

from domains.files.errors import PreconditionFailed, RangeNotSatisfiable
from domains.files.router.ranges import ByteRange, Validators, ranges_of
from shared.db.preconditions import WeakCondition

NOW = datetime(2026, 5, 1, 12, 0, 0, 500_000, tzinfo=UTC)
BEFORE, SAME, AFTER = (f"Fri, 01 May 2026 {time} GMT" for time in ("11:59:59", "12:00:00", "12:00:01"))
VALIDATORS = Validators('"abc"', NOW)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, []),
        ("bytes=0-0", [(0, 1)]),
        ("bytes=90-", [(90, 100)]),
        ("bytes=-10", [(90, 100)]),
        ("bytes=-1000", [(0, 100)]),
        ("bytes=50-1000", [(50, 100)]),
        ("Bytes = 1-2", [(1, 3)]),
        ("bytes=0-1, 10-11", [(0, 2), (10, 12)]),
        ("bytes=10-11,0-1", [(10, 12), (0, 2)]),
        ("bytes=0-50,20-80", [(0, 81)]),
        ("bytes=0-1,200-300", [(0, 2)]),
        ("bytes=5-1", []),
        ("bytes=a-b", []),
        ("bytes=-", []),
        ("bytes=", []),
        ("lines=1-2", []),
        ("bytes=99999999999999999999-", []),
    ],
)
def test_a_range_header_asks_for_these_bytes(header, expected):
    assert ranges_of(header, 100, at_most=10) == [ByteRange(start, end) for start, end in expected]


@pytest.mark.parametrize(("header", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-0", 0)])
def test_bytes_that_are_not_there_are_not_satisfiable(header, size):
    with pytest.raises(RangeNotSatisfiable) as refused:
        ranges_of(header, size, at_most=10)
    assert refused.value.headers == {"Content-Range": f"bytes */{size}"}


@pytest.mark.parametrize("header", ["bytes=-1", "bytes=-500", "bytes=0-0,-1"])
def test_the_end_of_nothing_is_all_of_it(header):
    assert ranges_of(header, 0, at_most=10) == []


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=-0", "bytes=5-9"])
def test_nothing_has_no_first_byte(header):
    with pytest.raises(RangeNotSatisfiable) as refused:
        ranges_of(header, 0, at_most=10)
    assert refused.value.headers == {"Content-Range": "bytes */0"}


def test_ten_thousand_ranges_are_refused_at_once():
    header = "bytes=" + ",".join(f"0-{number}" for number in range(10_000))
    started = time.process_time()
    with pytest.raises(RangeNotSatisfiable):
        ranges_of(header, 100_000, at_most=10)
    assert time.process_time() - started < 0.05


def test_the_number_of_ranges_is_a_limit():
    assert len(ranges_of("bytes=0-0,2-2,4-4", 100, at_most=3)) == 3
    with pytest.raises(RangeNotSatisfiable):
        ranges_of("bytes=0-0,2-2,4-4", 100, at_most=2)


@pytest.mark.parametrize(
    ("headers", "not_modified"),
    [
        ({}, False),
        ({"if-none-match": '"abc"'}, True),
        ({"if-none-match": 'W/"abc"'}, True),
        ({"if-none-match": '"x", "abc"'}, True),
        ({"if-none-match": "*"}, True),
        ({"if-none-match": '"x"'}, False),
        ({"if-none-match": '"x"', "if-modified-since": AFTER}, False),
        ({"if-modified-since": SAME}, True),
        ({"if-modified-since": AFTER}, True),
        ({"if-modified-since": BEFORE}, False),
        ({"if-modified-since": "yesterday"}, False),
        ({"if-match": '"abc"'}, False),
        ({"if-match": "*", "if-none-match": '"abc"'}, True),
        ({"if-unmodified-since": SAME}, False),
    ],
)
def test_a_client_that_has_it_is_told_so(headers, not_modified):
    assert VALIDATORS.is_not_modified(headers) is not_modified


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"if-match": '"x"'}, PreconditionFailed),
        ({"if-match": 'W/"abc"'}, WeakCondition),
        ({"if-match": 'W/"abc", "x"'}, PreconditionFailed),
        ({"if-unmodified-since": BEFORE}, PreconditionFailed),
    ],
)
def test_a_precondition_that_does_not_hold_fails(headers, error):
    with pytest.raises(error):
        VALIDATORS.is_not_modified(headers)


@pytest.mark.parametrize(
    ("condition", "continues"),
    [
        (None, True),
        ('"abc"', True),
        ('W/"abc"', False),
        ('"x"', False),
        (SAME, True),
        (BEFORE, False),
        ("junk", False),
    ],
)
def test_a_range_counts_only_for_the_same_representation(condition, continues):
    headers = {} if condition is None else {"if-range": condition}
    assert VALIDATORS.continues(headers) is continues


def test_last_modified_is_an_http_date():
    assert VALIDATORS.last_modified == SAME
