"""A compromised parser attacks from inside the sandboxed process, on every kind of thread that runs in it.

Each layer is needed: without it, attempts succeed, or the worker sees what is missing and hands over nothing.
"""

import pytest

from tests.security.sandbox.attacks import WORKED

KINDS = ("main", "pool", "pdfium")


def worked(outcomes: dict[str, str]) -> set[str]:
    return {name for name, outcome in outcomes.items() if outcome.startswith(WORKED)}


def test_every_attempt_is_refused_on_every_thread(place) -> None:
    before = place.state()
    told = place.attacked(*KINDS)
    for kind in KINDS:
        assert worked(told[kind]["outcomes"]) == set(), kind
        assert len(told[kind]["outcomes"]) > 300
        assert told[kind]["main"] == (kind != "pool"), "not on a thread of this kind"
        assert told[kind]["left"] == ["source"]
    assert place.state() == before


def test_what_an_older_landlock_does_not_know_is_refused_by_the_other_layers(plain_place) -> None:
    before = plain_place.state()
    told = plain_place.attacked("pool", without="newer Landlock")
    assert worked(told["pool"]["outcomes"]) == set()
    assert plain_place.state() == before


@pytest.mark.parametrize(
    ("without", "needed_for"),
    [
        (
            "landlock",
            {
                "read another slot's file",
                "read victim",
                "list the project",
                "write a foreign file",
                "truncate by opening to write",
            },
        ),
        (
            "allow list",
            {
                "F_SETSIG",
                "set an attribute",
                "shared memory",
                "fork",
                "follow a foreign link",
                "read the name of the machine",
            },
        ),
        (
            "arguments",
            {
                "open a foreign file neither to read nor to write",
                "open a foreign file as a path",
                "write its output with the flag 0o2",
                "look at a foreign link",
                "read the processor time of the worker",
                "map executable memory",
                "make memory executable",
                "map shared memory",
                "leave a mapping behind",
                "madvise 12",
                "futex TRYLOCK_PI",
                "fcntl F_SETFL",
                "ioctl FIOASYNC",
                "prctl PR_SET_DUMPABLE",
                "read limits of the worker",
                "sleep by another clock",
                "drain random numbers",
            },
        ),
        ("limits", {"exhaust memory", "exhaust descriptors", "exhaust threads", "write a huge file"}),
    ],
)
def test_without_one_layer_attempts_succeed(plain_place, without, needed_for) -> None:
    outcomes = plain_place.attacked("main", without=without)["main"]["outcomes"]
    assert needed_for - worked(outcomes) == set()


def test_in_the_old_order_the_threads_that_decode_are_free(plain_place) -> None:
    refused = plain_place.attacked("pool", without="order")["pool"]["unavailable"]
    assert "has no seccomp filter" in refused or "has capabilities" in refused
    told = plain_place.attacked("main", "pool", without="order", verified=False)
    assert {"read database", "fork", "open a socket of TCP"} & worked(told["main"]["outcomes"]) == set()
    assert {"list the root", "fork", "open a socket of TCP"} <= worked(told["pool"]["outcomes"])


def test_a_filter_of_one_thread_leaves_those_that_decode_without_one(plain_place) -> None:
    assert "has no seccomp filter" in plain_place.attacked("pool", without="TSYNC")["pool"]["unavailable"]
    outcomes = plain_place.attacked("pool", without="TSYNC", verified=False)["pool"]["outcomes"]
    assert {"fork", "open a socket of TCP", "outlive the worker"} <= worked(outcomes)


def test_a_process_that_stays_root_is_handed_nothing(root_place) -> None:
    assert "is root" in root_place.attacked("main", without="user")["main"]["unavailable"]
