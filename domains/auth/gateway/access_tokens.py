"""Access tokens: JWTs (RFC 9068) signed with Ed25519, which other services can verify with the published keys."""

import base64
import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.clock import Clock
from shared.identity import NotAuthenticated
from shared.ids import new_id

ALGORITHM = "EdDSA"
TYPE = "at+jwt"
MAX_LENGTH = 2048
_LEEWAY = timedelta(seconds=5)
"""By how much the clocks of two processes that issue and check tokens may differ."""

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_SEED_BYTES = 32


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What a genuine access token says."""

    user_id: UUID
    session_id: UUID
    not_before: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair, and its name in tokens: the thumbprint of RFC 7638."""

    private: Ed25519PrivateKey
    public: Ed25519PublicKey
    x: str
    kid: str

    @classmethod
    def of(cls, seed: str) -> "SigningKey":
        """Make the pair of a seed of 32 bytes in base64url."""
        raw = _decoded(seed)
        if len(raw) != _SEED_BYTES:
            message = "a signing key must be a seed of 32 bytes, in base64url"
            raise ValueError(message)
        private = Ed25519PrivateKey.from_private_bytes(raw)
        public = private.public_key()
        x = _encoded(public.public_bytes(Encoding.Raw, PublicFormat.Raw))
        members = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": x}, separators=(",", ":"), sort_keys=True)
        return cls(private, public, x, _encoded(hashlib.sha256(members.encode()).digest()))

    def published(self) -> dict[str, str]:
        """Return the public half as a JSON Web Key (RFC 8037)."""
        return {"kty": "OKP", "crv": "Ed25519", "x": self.x, "kid": self.kid, "alg": ALGORITHM, "use": "sig"}


class AccessTokens:
    """Issues and reads access tokens. The first key signs, all verify: that is how keys rotate.

    `remembered`: of how many tokens the verified claims are kept, since checking a signature costs 190 microseconds.
    """

    def __init__(
        self, keys: Sequence[str], *, issuer: str, audience: str, clock: Clock, remembered: int
    ) -> None:
        pairs = [SigningKey.of(seed) for seed in keys]
        self._signer = pairs[0]
        self._verifiers = {pair.kid: pair for pair in pairs}
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._remembered = remembered
        self._known: OrderedDict[str, AccessClaims] = OrderedDict()

    def issue(self, user_id: UUID, session_id: UUID, *, expires_at: datetime) -> str:
        """Return a signed token."""
        now = int(self._clock.now().timestamp())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(user_id),
            "sid": str(session_id),
            "jti": str(new_id()),
            "iat": now,
            "nbf": now,
            "exp": int(expires_at.timestamp()),
        }
        headers = {"typ": TYPE, "kid": self._signer.kid}
        return jwt.encode(claims, self._signer.private, algorithm=ALGORITHM, headers=headers)

    def read(self, token: str) -> AccessClaims:
        """Return what a token says.

        Raises:
            NotAuthenticated: malformed, not signed by us, meant for somebody else, expired or not good yet.
        """
        claims = self._known.get(token)
        if claims is None:
            claims = self._verified(token)
            self._remember(token, claims)
        now = self._clock.now()
        if now >= claims.expires_at or now + _LEEWAY < claims.not_before:
            raise NotAuthenticated
        return claims

    def published_keys(self) -> list[dict[str, str]]:
        """Return the public keys (RFC 7517)."""
        return [pair.published() for pair in self._verifiers.values()]

    def _verified(self, token: str) -> AccessClaims:
        """Check everything but the times. The header only chooses among our own keys."""
        if len(token) > MAX_LENGTH or not _COMPACT.fullmatch(token) or not _is_canonical(token):
            raise NotAuthenticated
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(
                token,
                self._key_for(header).public,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                options={
                    "require": ["iss", "aud", "sub", "sid", "jti", "iat", "nbf", "exp"],
                    "verify_exp": False,  # the times are checked against our clock, also for tokens that are remembered
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
            return _claims(claims)
        except (
            jwt.InvalidTokenError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            OverflowError,
        ) as error:
            raise NotAuthenticated from error

    def _key_for(self, header: Mapping[str, Any]) -> SigningKey:
        if header.keys() != {"alg", "typ", "kid"} or header["alg"] != ALGORITHM or header["typ"] != TYPE:
            raise NotAuthenticated
        pair = self._verifiers.get(header["kid"]) if isinstance(header["kid"], str) else None
        if pair is None:
            raise NotAuthenticated
        return pair

    def _remember(self, token: str, claims: AccessClaims) -> None:
        self._known[token] = claims
        while len(self._known) > self._remembered:
            self._known.popitem(last=False)


def _claims(claims: Mapping[str, Any]) -> AccessClaims:
    return AccessClaims(
        user_id=UUID(claims["sub"]),
        session_id=UUID(claims["sid"]),
        not_before=_moment(claims["nbf"]),
        expires_at=_moment(claims["exp"]),
    )


def _moment(seconds: Any) -> datetime:
    if not isinstance(seconds, int):
        message = "a time of a token is a number of seconds"
        raise TypeError(message)
    return datetime.fromtimestamp(seconds, UTC)


def _is_canonical(token: str) -> bool:
    """Refuse a second spelling of the same bytes: the spare bits of a last character must be zero."""
    return all(_encoded(_decoded(part)) == part for part in token.split("."))


def _decoded(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        return b""


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
