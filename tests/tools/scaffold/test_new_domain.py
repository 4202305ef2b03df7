"""`tulou new domain` writes a working domain or nothing; `tulou remove domain` leaves nothing."""

import shutil
import time
from pathlib import Path

import pytest

from tools.scaffold.changes import Changes
from tools.scaffold.container_edits import without_domain
from tools.scaffold.fields import FieldRefused
from tools.scaffold.kinds import KINDS
from tools.scaffold.names import NameRefused
from tools.scaffold.new_domain import files_of, with_new_domain
from tools.scaffold.plan import plan_domain

PROJECT = Path(__file__).parents[3]
FIVE = ("number:str:unique", "amount:decimal", "due_on:date", "paid:bool", "customer:ref:users")
MOST_FILES, MOST_LINES = 12, 450


def options(fields) -> list[str]:
    return [part for field in fields for part in ("--field", field)]


def test_a_domain_with_five_fields_is_small_passes_its_own_tests_and_goes_without_a_trace(checkout) -> None:
    checkout.tulou("domains", "--write")
    checkout.commit()
    begun = time.monotonic()
    written = checkout.tulou("new", "domain", "invoices", *options(FIVE), "--owned")
    assert written.returncode == 0, written.stderr
    tested = checkout.run(".venv/bin/python", "-m", "pytest", "-q", "tests/domains/invoices")
    assert tested.returncode == 0, tested.stdout
    print(f"from the command to green tests: {time.monotonic() - begun:.1f} s")  # noqa: T201  # shown with -s
    new = [checkout.folder / line[3:] for line in checkout.changes() if line.startswith("??")]
    assert len(new) <= MOST_FILES
    assert sum(len(path.read_text().splitlines()) for path in new) <= MOST_LINES
    changed = {line[3:] for line in checkout.changes() if line.startswith(" M")}
    assert changed == {"bootstrap/container.py", "docs/map.md"}
    for command in (["ruff", "check"], ["ruff", "format", "--check"], ["lint-imports", "--no-cache"]):
        checked = checkout.run(f".venv/bin/{command[0]}", *command[1:])
        assert "invoices" not in checked.stdout + checked.stderr, checked.stdout
    assert checkout.tulou("remove", "domain", "invoices", "--force").returncode == 0
    left = [line[3:] for line in checkout.changes()]
    assert len(left) == 2
    assert all(path.startswith("bootstrap/migrations/versions/") for path in left)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["class", "--field", "a:str"], "class is a word of Python or SQL"),
        (["files", "--field", "a:str"], "files exists already"),
        (["database", "--field", "a:str"], "database exists already"),
        (["Things", "--field", "a:str"], "Things is not a domain name"),
        (["sheep", "--field", "a:str"], "sheep can be one or many. Say what one of them is called"),
        (["movie", "--field", "a:str"], "movie looks like no plural"),
        (["events", "--field", "a:str"], "event is not usable"),
        (["things"], "A domain needs a field"),
        (
            ["things", "--field", "owner:ref:users"],
            "owner would be the column owner_id, which every domain has",
        ),
        (["things", "--field", "owner:file"], "owner would be the column owner_id, which every domain has"),
        (["things", "--field", "owner_id:uuid"], "owner_id exists already"),
        (
            ["things", "--field", "model:ref:users"],
            "model would be the column model_id, which means something else",
        ),
        *(
            (["things", "--field", f"{name}:str"], f"{name} exists already")
            for name in ("owner_id", "created_at", "updated_at", "checked_at", "revision")
        ),
        *(
            (["things", "--field", f"{name}:str"], f"{name} means something else here")
            for name in (
                "metadata",
                "registry",
                "copy",
                "dict",
                "schema",
                "model_fields",
                "self",
                "differences",
                "cursor",
            )
        ),
        *(
            (["things", "--field", f"{name}:str"], f"{name} is a word of Python")
            for name in ("class", "from", "lambda", "async")
        ),
        (
            ["things", "--field", "due:date", "--field", "due_from:str"],
            "due and due_from would both be the filter due_from",
        ),
        (["things", "--field", "a"], "a has no type"),
        (["things", "--field", "a:blob"], "blob is not a type"),
        (["things", "--field", "a:str:big"], "big is not an option"),
        (["things", "--field", "id:str"], "id exists already"),
        (["things", "--field", "json:str"], "json means something else here"),
        (["things", "--field", "change:str"], "change means something else here"),
        (["things", "--field", "lambda:str"], "lambda is a word of Python"),
        (["things", "--field", "a:ref"], "does not name the referenced domain"),
        (["things", "--field", "a:ref:jobs"], "jobs has nothing that can be referred to"),
        (["things", "--field", "a:ref:zoo"], "there is no domain zoo"),
        (["things", "--field", "a:enum(x)"], "write two or more values"),
        (["things", "--field", "a:json:unique"], "a json can't be unique"),
        (["things", "--field", "a:str", "--field", "a:int"], "Two fields are called a."),
        (["things", "--field", "a:str", "--with-mail"], "--with-mail needs --owned"),
    ],
)
def test_what_can_not_be_is_one_sentence(arguments, said) -> None:
    name, *rest = arguments
    fields = [rest[at + 1] for at, part in enumerate(rest) if part == "--field"]
    with pytest.raises((NameRefused, FieldRefused), match=said.replace("(", r"\(")):
        plan_domain(name, fields, mail="--with-mail" in rest)


def test_a_dry_run_writes_nothing(checkout) -> None:
    before = checkout.changes()
    shown = checkout.tulou("new", "domain", "things", "--field", "a:str", "--dry-run")
    assert "would write domains/things/service.py" in shown.stdout
    assert "One of them is called a thing" in shown.stdout
    assert checkout.changes() == before


def test_a_refusal_is_a_sentence_and_an_exit_code(checkout) -> None:
    refused = checkout.tulou("new", "domain", "things", "--field", "a:blob")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert "blob is not a type" in refused.stderr


def test_what_was_begun_is_put_back(tmp_path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/a.py").write_text("a = 1\n")
    (tmp_path / "kept/b.py").write_text("b = 1\n")
    with pytest.raises(KeyboardInterrupt), Changes(tmp_path) as changes:
        changes.write("kept/a.py", "a = 2\n")
        changes.write("new/deep/c.py", "c = 1\n")
        changes.remove("kept/b.py")
        raise KeyboardInterrupt
    assert {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.py")} == {
        "kept/a.py": "a = 1\n",
        "kept/b.py": "b = 1\n",
    }
    assert not (tmp_path / "new").exists()


def test_generated_parts_have_the_shape_of_those_that_were_written_by_hand() -> None:
    """Whatever a template names of shared/ is named by a domain of ours too, or made for generated ones."""
    fields = [f"a_{kind}:{kind}" for kind in KINDS]
    plan = plan_domain("things", fields, owned=True, job=True, mail=True)
    rooms = {
        path.split("/")[-1] for path in files_of(plan) if path.startswith("domains/") and path.endswith(".py")
    }
    ours = {path.name for path in (PROJECT / "domains/users").glob("*.py")} | {"job_types.py", "tasks.py"}
    assert rooms <= ours
    edited = with_new_domain(plan, (PROJECT / "bootstrap/container.py").read_text())
    given = "users=users.lookup, mailer=emails.mailer"
    assert f"    things = providers.Container(ThingsContainer, core=core, {given})\n" in edited
    assert without_domain(edited, name="things") == (PROJECT / "bootstrap/container.py").read_text()


@pytest.mark.long
@pytest.mark.timeout(300)
def test_every_type_with_every_option_works(new_checkout) -> None:
    checkout = new_checkout()
    countries = checkout.tulou(
        "new", "domain", "countries", *options(["code:str:index", "name:str:optional"])
    )
    assert countries.returncode == 0, countries.stderr
    fields = [f"a_{kind}:{kind}" for kind in KINDS] + [f"any_{kind}:{kind}:optional" for kind in KINDS]
    fields += ["state:enum(open,paid)", "color:enum(red,blue):optional", "total:money", "tip:money:optional"]
    fields += [
        "country:ref:countries",
        "boss:ref:users:optional",
        "scan:file",
        "key:uuid:unique",
        "rank:int:index",
    ]
    orders = checkout.tulou(
        "new", "domain", "purchase_orders", *options(fields), "--owned", "--with-job", "--with-mail"
    )
    assert orders.returncode == 0, orders.stderr
    forgetting = checkout.tulou("new", "job", "purchase_orders", "forget_country", "--on", "CountryDeleted")
    assert forgetting.returncode == 0, forgetting.stderr
    shutil.copy(
        PROJECT / "tests/tools/scaffold/more_of_orders.py",
        checkout.folder / "tests/domains/purchase_orders/test_more.py",
    )
    tested = checkout.run(
        ".venv/bin/python", "-m", "pytest", "-q", "tests/domains/countries", "tests/domains/purchase_orders"
    )
    assert tested.returncode == 0, tested.stdout
    checked = checkout.run(".venv/bin/mypy")
    assert "domains/countries" not in checked.stdout
    assert "domains/purchase_orders" not in checked.stdout


WORDS = (
    "type",
    "order",
    "user",
    "group",
    "select",
    "table",
    "owner",
    "row_id",
    "page_limit",
    "page_key",
    "statement",
)
MORE_WORDS = (
    "filters",
    "flags",
    "primary",
    "default",
    "column",
    "row",
    "request",
    "value",
    "count",
    "match",
)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_fields_called_like_words_of_the_code_or_of_sql_plant_nothing_and_hide_nothing(new_checkout) -> None:
    checkout = new_checkout()
    fields = [f"{name}:str" for name in (*WORDS, *MORE_WORDS)] + ["recipient:ref:users:optional"]
    written = checkout.tulou("new", "domain", "parcels", *options(fields), "--owned")
    assert written.returncode == 0, written.stderr
    shutil.copy(
        PROJECT / "tests/tools/scaffold/more_of_parcels.py",
        checkout.folder / "tests/domains/parcels/test_more.py",
    )
    tested = checkout.run(".venv/bin/python", "-m", "pytest", "-q", "tests/domains/parcels")
    assert tested.returncode == 0, tested.stdout


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_domain_with_a_singular_of_its_own_can_be_referred_to(new_checkout) -> None:
    checkout = new_checkout()
    for arguments in (
        ("new", "domain", "series", "--singular", "show", *options(["title:str", "price:money:optional"])),
        ("new", "domain", "episodes", *options(["title:str", "show:ref:series"]), "--owned"),
    ):
        done = checkout.tulou(*arguments)
        assert done.returncode == 0, done.stderr
    router = (checkout.folder / "domains/episodes/router.py").read_text()
    assert "/v1/series/{show_id}" in router
    migrations = ("tests/bootstrap/test_migrations.py", "tests/bootstrap/test_lineage.py")
    folders = ("tests/domains/series", "tests/domains/episodes", *migrations)
    tested = checkout.run(".venv/bin/python", "-m", "pytest", "-q", *folders)
    assert tested.returncode == 0, tested.stdout
    for name in ("mypy", "lint-imports"):
        checked = checkout.run(f".venv/bin/{name}")
        assert checked.returncode == 0, checked.stdout
