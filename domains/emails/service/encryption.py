"""Encryption of mails at rest: whoever reads the database, or a dump of it, can't read a reset link in it."""

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from domains.emails.errors import MailUnreadable


class MailEncryption:
    """Encrypts with the first key, decrypts with any of them, so that keys can be changed.

    A key is 32 bytes in base64url, with or without padding.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._fernet = MultiFernet([Fernet(key.rstrip("=") + "=") for key in keys])

    def encrypt(self, content: bytes) -> bytes:
        """Encrypt."""
        return self._fernet.encrypt(content)

    def decrypt(self, encrypted_content: bytes) -> bytes:
        """Decrypt.

        Raises:
            MailUnreadable: none of the keys fits.
        """
        try:
            return self._fernet.decrypt(encrypted_content)
        except InvalidToken as error:
            raise MailUnreadable from error
