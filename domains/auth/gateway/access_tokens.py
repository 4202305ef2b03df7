"""Access tokens: JWTs (RFC 9068) that other services can verify with the published keys."""

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt

from domains.auth.gateway.signing_keys import SigningKey, decoded, encoded
from shared.clock import Clock
from shared.identity import AccessClaims, ExpiredAccessToken, InvalidAccessToken
from shared.ids import new_id

TYPE = "at+jwt"
# Tokens issued here are shorter; a longer one is refused before any work is done.
MAX_LENGTH = 2048
_LEEWAY = timedelta(seconds=5)
"""Tolerated difference between the clocks of the processes that issue and check tokens."""

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# Without `client_id`, which RFC 9068 requires: the version before did not issue it, and its tokens must be accepted
# while processes are replaced. The release after this one can require it.
_REQUIRED = ["iss", "aud", "sub", "sid", "jti", "iat", "nbf", "exp"]


class AccessTokens:
    """Issues and reads access tokens. The first key signs, all verify: that is how keys rotate.

    `cache_size`: number of tokens whose verified claims are cached. Checking a signature costs 190 microseconds.
    """

    def __init__(
        self,
        keys: Sequence[SigningKey],
        *,
        issuer: str,
        audience: str,
        client_id: str,
        clock: Clock,
        cache_size: int,
    ) -> None:
        self._signer = keys[0]
        self._verifiers = {pair.kid: pair for pair in keys}
        self.issuer = issuer
        self.client_id = client_id
        self._audience = audience
        self._clock = clock
        self._cache_size = cache_size
        self._known: OrderedDict[str, AccessClaims] = OrderedDict()

    def issue(self, user_id: UUID, session_id: UUID, *, expires_at: datetime) -> str:
        """Return a signed token."""
        now = int(self._clock.now().timestamp())
        claims = {
            "iss": self.issuer,
            "aud": self._audience,
            "sub": str(user_id),
            "client_id": self.client_id,
            "sid": str(session_id),
            "jti": str(new_id()),
            "iat": now,
            "nbf": now,
            "exp": int(expires_at.timestamp()),
        }
        # The type keeps other JWTs signed with the same keys from being accepted as access tokens (RFC 8725).
        headers = {"typ": TYPE, "kid": self._signer.kid}
        return jwt.encode(claims, self._signer.private, algorithm=self._signer.algorithm, headers=headers)

    def read(self, token: str) -> AccessClaims:
        """Return the claims of a token.

        Raises:
            InvalidAccessToken: malformed, not signed with our keys, issued for another audience, or not valid yet.
            ExpiredAccessToken: the token has expired.
        """
        claims = self._known.get(token)
        if claims is None:
            claims = self._verified(token)
            self._remember(token, claims)
        now = self._clock.now()
        if now >= claims.expires_at:
            raise ExpiredAccessToken
        if now + _LEEWAY < claims.not_before:
            raise InvalidAccessToken
        return claims

    def published_keys(self) -> list[dict[str, str]]:
        """Return the public keys (RFC 7517)."""
        return [pair.published() for pair in self._verifiers.values()]

    def _verified(self, token: str) -> AccessClaims:
        """Check everything but the times. The header only chooses among our own keys."""
        if len(token) > MAX_LENGTH or not _COMPACT.fullmatch(token) or not _is_canonical(token):
            raise InvalidAccessToken
        try:
            pair = self._key_for(jwt.get_unverified_header(token))
            claims = jwt.decode(
                token,
                pair.public,
                algorithms=[pair.algorithm],
                audience=self._audience,
                issuer=self.issuer,
                options={
                    "require": _REQUIRED,
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
            raise InvalidAccessToken from error

    def _key_for(self, header: Mapping[str, Any]) -> SigningKey:
        # Exactly these: `jwk`, `jku` and `crit` would let a token choose its own key or rules.
        if header.keys() != {"alg", "typ", "kid"} or header["typ"] != TYPE:
            raise InvalidAccessToken
        pair = self._verifiers.get(header["kid"]) if isinstance(header["kid"], str) else None
        # The algorithm belongs to the key; a token must not choose another one (RFC 8725, section 3.1).
        if pair is None or header["alg"] != pair.algorithm:
            raise InvalidAccessToken
        return pair

    def _remember(self, token: str, claims: AccessClaims) -> None:
        self._known[token] = claims
        while len(self._known) > self._cache_size:
            self._known.popitem(last=False)


def _claims(claims: Mapping[str, Any]) -> AccessClaims:
    return AccessClaims(
        user_id=UUID(claims["sub"]),
        session_id=UUID(claims["sid"]),
        not_before=_datetime(claims["nbf"]),
        expires_at=_datetime(claims["exp"]),
    )


def _datetime(seconds: Any) -> datetime:
    if not isinstance(seconds, int):
        message = "a time of a token is a number of seconds"
        raise TypeError(message)
    return datetime.fromtimestamp(seconds, UTC)


def _is_canonical(token: str) -> bool:
    """Refuse a second spelling of the same bytes: the spare bits of a last character must be zero."""
    return all(encoded(decoded(part)) == part for part in token.split("."))
