"""Mails that the mail catcher has received."""

import email
import email.policy
from email.message import EmailMessage
from pathlib import Path


def mails_to(folder: Path, address: str) -> list[EmailMessage]:
    """Return the mails to an address, oldest first."""
    return [
        email.message_from_bytes(content, policy=email.policy.default)
        for content in contents_to(folder, address)
    ]


def contents_to(folder: Path, address: str) -> list[bytes]:
    """Return their bytes. There are those of all other tests too, and to parse a mail takes a millisecond."""
    contents = (path.read_bytes() for path in sorted(folder.glob("*.eml")))
    return [content for content in contents if f"X-RcptTo: {address}".encode() in content]
