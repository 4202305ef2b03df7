"""`tulou new job`, `new mail` and `remove` report their changes and the next step, and lose no work."""

import shutil

import pytest

from tools.scaffold.changes import Changes, StepFailed

WRITTEN = "domains/papers/service.py"


@pytest.fixture(scope="module")
def checkout(checkout):
    """With a domain that is committed."""
    written = checkout.tulou("new", "domain", "papers", "--field", "title:str", "--owned", "--with-mail")
    assert written.returncode == 0, written.stderr
    checkout.commit()
    return checkout


@pytest.fixture(autouse=True)
def as_committed(checkout):
    yield
    checkout.run("git", "reset", "--quiet", "--hard")
    checkout.run("git", "clean", "--quiet", "--force", "-d")


def told(finished) -> tuple[set[str], str]:
    """Return the files that a command says it changed, and what comes next."""
    assert finished.returncode == 0, finished.stderr
    words = [line.split() for line in finished.stdout.splitlines()]
    changed = {line[1] for line in words if line[0] in {"wrote", "removed"}}
    return changed, finished.stdout.partition("Next: ")[2]


@pytest.mark.parametrize(
    ("arguments", "following"),
    [
        (("job", "papers", "shred", "--every", "1d"), "tests/domains/papers/test_shred.py"),
        (("mail", "papers", "overdue"), "tests/domains/papers/test_overdue.py"),
    ],
    ids=["job", "mail"],
)
def test_an_addition_names_what_it_changed_and_what_comes_next(checkout, arguments, following) -> None:
    changed, then = told(checkout.tulou("new", *arguments))
    assert changed == {line[3:] for line in checkout.changes()}
    assert f".venv/bin/python -m pytest {following}" in then
    assert "stop `make run` and start it again" in then


def test_a_job_that_is_there_already_is_not_written_again(checkout) -> None:
    again = checkout.tulou("new", "job", "papers", "tell_created")
    assert (again.returncode, again.stderr) == (1, "papers has a job tell_created already.\n")
    assert checkout.changes() == []


def test_nothing_is_written_over_what_is_there(checkout) -> None:
    refused = checkout.tulou("new", "mail", "papers", "paper_created")
    assert refused.returncode == 1
    assert "domains/papers/templates/paper_created.html exists and is not overwritten" in refused.stderr
    assert "Nothing was changed." in refused.stderr
    assert checkout.changes() == []


def test_no_test_is_written_over_either(checkout) -> None:
    with (
        pytest.raises(StepFailed, match=r"test_papers\.py exists and is not overwritten"),
        Changes(checkout.folder) as changes,
    ):
        changes.create("tests/domains/papers/test_papers.py", "")
    assert checkout.changes() == []


@pytest.mark.long
def test_what_was_there_can_send_a_mail_that_is_added_later(checkout) -> None:
    told(checkout.tulou("new", "job", "papers", "remind", "--every", "1d"))
    told(checkout.tulou("new", "mail", "papers", "overdue"))
    service = (checkout.folder / WRITTEN).read_text()
    assert (
        service.index("class OverdueMail")
        < service.index("class PaperService")
        < service.index("class Remind")
    )
    container = (checkout.folder / "domains/papers/container.py").read_text()
    places = [
        container.index(f"    {name}") for name in ("users:", "overdue_mail =", "service =", "remind =")
    ]
    assert places == sorted(places)
    tested = checkout.run(".venv/bin/python", "-m", "pytest", "-q", "tests/domains/papers")
    assert tested.returncode == 0, tested.stdout


def test_what_is_committed_goes_without_a_question(checkout) -> None:
    (checkout.folder / "notes.txt").write_text("of somebody else")
    shown = checkout.tulou("remove", "domain", "papers", "--dry-run")
    assert f"would remove {WRITTEN}" in shown.stdout
    assert "Next" not in shown.stdout
    assert checkout.changes() == ["?? notes.txt"]
    changed, then = told(checkout.tulou("remove", "domain", "papers"))
    assert {f"would remove {path}" for path in changed} >= {
        line for line in shown.stdout.splitlines() if line.startswith("would remove")
    }
    assert changed == {line[3:] for line in checkout.changes()} - {"notes.txt"}
    assert ".venv/bin/tulou migrate" in then


@pytest.mark.long
def test_what_is_in_no_commit_is_lost_only_by_force(checkout) -> None:
    (checkout.folder / ".git/info/exclude").write_text(".venv\n*.secret\n")
    new, ignored = "tests/domains/papers/a new idea.py", "domains/papers/my.secret"
    for path in (new, ignored):
        (checkout.folder / path).write_text("idea = 1\n")
    with (checkout.folder / WRITTEN).open("a") as file:
        file.write("# an idea\n")
    for staged in (False, True):
        if staged:
            checkout.run("git", "add", WRITTEN)
        before = checkout.changes()
        refused = checkout.tulou("remove", "domain", "papers")
        assert refused.returncode == 1
        assert all(path in refused.stderr for path in (WRITTEN, new, ignored, "--force")), refused.stderr
        assert "container.py" not in refused.stderr
        assert checkout.changes() == before
    told(checkout.tulou("remove", "domain", "papers", "--force"))
    assert not (checkout.folder / "domains/papers").exists()


def test_a_refusal_names_a_few_files_and_counts_the_others(checkout) -> None:
    for number in range(8):
        (checkout.folder / f"domains/papers/{number}.txt").write_text("x")
    refused = checkout.tulou("remove", "domain", "papers")
    assert refused.stderr.count("domains/papers/") == 5
    assert "and 3 more" in refused.stderr


def test_outside_of_git_it_takes_force_too(checkout, tmp_path) -> None:
    shutil.move(checkout.folder / ".git", tmp_path / "git")
    try:
        refused = checkout.tulou("remove", "domain", "papers")
        assert refused.returncode == 1
        assert "not a git checkout" in refused.stderr
        assert "--force" in refused.stderr
        assert (checkout.folder / WRITTEN).exists()
    finally:
        shutil.move(tmp_path / "git", checkout.folder / ".git")
