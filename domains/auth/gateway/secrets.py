"""One-time tokens, refresh tokens and the keyed hashes of counters."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from domains.auth.errors import InvalidRefreshToken

_COUNTER_BYTES = 8
_MAC_BYTES = 32


def new_one_time_token() -> str:
    """Return 256 random bits as text that fits into an address."""
    return secrets.token_urlsafe(32)


def hash_of_token(token: str) -> bytes:
    """Return the SHA-256 of a one-time token. The token is random, so no slower hash is needed."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


@dataclass(frozen=True, slots=True)
class RefreshClaim:
    """Claims of a valid refresh token: session id and sequence number."""

    session_id: UUID
    counter: int


class TokenKeys:
    """Makes refresh tokens with the first of the installation's own keys, and accepts those made with any of them.

    A key is 32 bytes in base64url.
    """

    def __init__(self, token_keys: Sequence[str]) -> None:
        self._keys = [base64.urlsafe_b64decode(key + "=" * (-len(key) % 4)) for key in token_keys]
        if not self._keys or any(len(key) < _MAC_BYTES for key in self._keys):
            message = "each token key must have 32 bytes, in base64url"
            raise ValueError(message)

    def refresh_token(self, claim: RefreshClaim) -> str:
        """Return the refresh token of a session with a sequence number. Nothing of it has to be stored."""
        body = claim.session_id.bytes + claim.counter.to_bytes(_COUNTER_BYTES, "big")
        return _as_text(body + _mac(self._keys[0], "refresh", body))

    def read_refresh_token(self, token: str) -> RefreshClaim:
        """Return the claims of a refresh token.

        Raises:
            InvalidRefreshToken: made with none of the keys, or altered.
        """
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidRefreshToken from error
        if _as_text(raw) != token:  # other spellings of the same bytes
            raise InvalidRefreshToken
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        # All keys are compared in constant time, so that timing reveals neither the key nor the bytes.
        fits = [hmac.compare_digest(mac, _mac(key, "refresh", body)) for key in self._keys]
        if len(body) != 16 + _COUNTER_BYTES or not any(fits):
            raise InvalidRefreshToken
        return RefreshClaim(UUID(bytes=body[:16]), int.from_bytes(body[16:], "big"))

    def keyed_hash(self, purpose: str, text: str) -> bytes:
        """Return a keyed hash, equal for equal text. Without the key, readers of the database can't guess the text."""
        return _mac(self._keys[0], purpose, text.encode("utf-8", "replace"))


def _mac(key: bytes, purpose: str, message: bytes) -> bytes:
    return hmac.digest(key, purpose.encode() + b"\x00" + message, "sha256")


def _as_text(token: bytes) -> str:
    return base64.urlsafe_b64encode(token).decode().rstrip("=")
