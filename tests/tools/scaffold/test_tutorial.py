"""Every step of docs/adding-a-domain.md works as written."""

import re
from pathlib import Path

import pytest

from tests.installations import isolated_settings

PAGE = Path(__file__).parents[3] / "docs/adding-a-domain.md"


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_the_tutorial_works_as_printed(new_checkout, settings, servers, tmp_path) -> None:
    checkout = new_checkout()
    own = await isolated_settings(settings, servers.superuser_url, tmp_path)
    checkout.environment |= servers.environment | {
        "DATABASE_URL": own.database_url.get_secret_value(),
        "TULOU_DATABASE_OWNER_URL": own.database_owner_url.get_secret_value(),
    }
    commands = "".join(re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL))
    assert len(commands.splitlines()) >= 10
    done = checkout.run("bash", "-euxo", "pipefail", "-s", stdin=commands)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    left = {line[3:] for line in checkout.changes()}
    assert not any("invoices" in path for path in left if "migrations" not in path)
    assert "domains/customers/service.py" in left
