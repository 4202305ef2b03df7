"""Every name that the API accepts can be mailed, to one recipient only."""

import asyncio
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.utils import getaddresses

import pytest

from shared.text import composed
from tests.mails import contents_to, mails_to

NAMES = {
    "persian": "شب\u200cنم",
    "sinhala": "ශ්\u200dරී ලංකා",
    "family": "The 👨\u200d👩\u200d👧\u200d👦 family",
    "flag": "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "newer emoji": "Ann \U0001faea",
    "decomposed": "Zoe\u0308",
    "ideographic space": "山田\u3000太郎",
    "sixty letters and an address": "a" * 60 + " <other@example>, ",
    "address": "x, other@example.com",
    "group": "friends: a@example.com;",
    "quotes": 'Ann "the\\1st" Ö',
    "encoded word": "=?utf-8?q?a=40b=2C?= x",
    "no end": "Ann (",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
async def test_a_name_that_is_accepted_can_be_mailed_to_one_recipient(
    client, people, user, servers, work_off, name
):
    await work_off()
    (welcome,) = await asyncio.to_thread(mails_to, servers.mails, user.email)
    token = welcome.get_body(("plain",)).get_content().partition("token=")[2].split()[0]
    assert (await client.post("/v1/auth/email/verify", json={"token": token})).status_code == 204
    user = await people.sign_in(user.email)
    changed = await client.patch("/v1/users/me", json={"name": name}, headers=user.headers)
    assert changed.status_code == 200, changed.text
    await client.post("/v1/auth/password/forgot", json={"email": user.email})
    await work_off()
    contents = await asyncio.to_thread(contents_to, servers.mails, user.email)
    assert len(contents) == 2, "no mail left"
    assert recipients(contents[-1]) == [(changed.json()["name"], user.email)]
    assert changed.json()["name"] == composed(name).strip()


def recipients(content: bytes) -> list[tuple[str, str]]:
    """Return the names and addresses of `To` as two readers of the standard library agree on them."""
    modern = message_from_bytes(content, policy=policy.default)["To"].addresses
    read = getaddresses(message_from_bytes(content).get_all("To"))
    assert [address.addr_spec for address in modern] == [address for _, address in read]
    return [(str(make_header(decode_header(name))), address) for name, address in read]
