"""Encryption of mails at rest, so that the database and its dumps disclose no reset links."""

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from domains.emails.errors import MailUnreadable


class MailEncryption:
    """Encrypts with the first key and decrypts with any, so that keys can be rotated.

    A key is 32 bytes in base64url, with or without padding.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._fernet = MultiFernet([Fernet(key.rstrip("=") + "=") for key in keys])

    def encrypt(self, content: bytes) -> bytes:
        """Encrypt a message."""
        return self._fernet.encrypt(content)

    def decrypt(self, encrypted_content: bytes) -> bytes:
        """Decrypt a message. Raises MailUnreadable if no key fits."""
        try:
            return self._fernet.decrypt(encrypted_content)
        except InvalidToken as error:
            raise MailUnreadable from error
