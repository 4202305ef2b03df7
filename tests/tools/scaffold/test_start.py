"""Many domains hardly delay the start."""

import itertools
import string
from collections.abc import Callable

import pytest

from bootstrap.settings.generated_secrets import ensure_secrets, read_environment_file
from tests.tools.scaffold.conftest import Checkout
from tools.scaffold.new_domain import CONTAINER_FILE, files_of, with_new_domain
from tools.scaffold.plan import plan_domain

FIVE = ("number:str:unique", "amount:decimal", "due_on:date", "paid:bool", "customer:ref:users")
MANY = 20
LARGEST_SHARE = 0.5
"""Of a start, which takes 1 s of CPU: 25 ms for each domain. Seconds would depend on the load of the machine."""

START = """
import time
from bootstrap.runtime.loading import loading
with loading():
    from bootstrap.api.app import create_api, routes_of
    from bootstrap.compose import compose
    from bootstrap.settings.loading import load_settings
settings = load_settings()
container = compose(settings, "api")
create_api(settings, container)
print(time.process_time(), len(routes_of(container)))
"""
WAITING = """
from bootstrap.container import TulouContainer
from domains.a_papers.repository import APaperRepository
print(sorted({"find", "listing", "purge"} & vars(APaperRepository.statements).keys()))
"""


@pytest.fixture(scope="module")
def checkouts(new_checkout: Callable[[], Checkout], tmp_path_factory) -> tuple[Checkout, Checkout]:
    """The program as it is, and with many domains."""
    plain, large = new_checkout(), new_checkout()
    text = (large.folder / CONTAINER_FILE).read_text()
    for letter in string.ascii_lowercase[:MANY]:
        plan = plan_domain(f"{letter}_papers", FIVE, owned=True)
        for path, content in files_of(plan).items():
            (large.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (large.folder / path).write_text(content)
        text = with_new_domain(plan, text)
    (large.folder / CONTAINER_FILE).write_text(text)
    secrets = read_environment_file(ensure_secrets(tmp_path_factory.mktemp("secrets")))
    for checkout in (plain, large):
        checkout.environment |= secrets | {
            "TULOU_ENV": "test",
            "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "SMTP_URL": "smtp://127.0.0.1:1",
        }
        checkout.environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return plain, large


def printed(checkout: Checkout, program: str) -> str:
    ran = checkout.run(".venv/bin/python", "-c", program)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip().splitlines()[-1]


@pytest.mark.long  # whoever else is busy on this machine takes part
def test_twenty_domains_more_cost_a_small_share_of_a_start(checkouts) -> None:
    least, routes = [60.0, 60.0], [0, 0]
    for _, number in itertools.product(range(5), (0, 1)):
        seconds, count = printed(checkouts[number], START).split()
        least[number], routes[number] = min(least[number], float(seconds)), int(count)
    assert routes[1] == routes[0] + MANY * 5
    added = least[1] - least[0]
    print(f"{MANY} domains add {added:.2f} s to {least[0]:.2f} s")  # noqa: T201  # shown with -s
    assert added < least[0] * LARGEST_SHARE


def test_statements_wait_until_they_are_needed(checkouts) -> None:
    assert printed(checkouts[1], WAITING) == "[]"
