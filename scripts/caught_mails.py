"""Mails that a catcher kept: the folder of `make run`, Mailpit, or a plain list of files over HTTP."""

import os
import re
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

import httpx

PROJECT = Path(__file__).resolve().parents[1]
PLACE = os.environ.get(
    "MAIL_CATCHER", str(Path(os.environ.get("TULOU_DATA_DIR", PROJECT / ".tulou")) / "mail")
)
"""A folder, or the address of a catcher's web page."""


def mails_to(address: str) -> list[EmailMessage]:
    """Return the mails to this address, the oldest first."""
    parser = BytesParser(policy=policy.default)
    mails = [parser.parsebytes(content) for content in _contents(address)]
    return [mail for mail in mails if address in f"{mail['X-RcptTo']} {mail['To']}"]


def _contents(address: str) -> list[bytes]:
    if not PLACE.startswith("http"):
        return [path.read_bytes() for path in sorted(Path(PLACE).glob("*.eml"))]
    with httpx.Client(base_url=PLACE, timeout=10) as catcher:
        found = catcher.get("/api/v1/search", params={"query": f"to:{address}"})
        if found.status_code == httpx.codes.OK:
            ids = [message["ID"] for message in reversed(found.json()["messages"])]
            paths = [f"/api/v1/message/{message_id}/raw" for message_id in ids]
        else:
            paths = sorted(set(re.findall(r'href="([^"/]+\.eml)"', catcher.get("/").text)))
        return [catcher.get(path).content for path in paths]
