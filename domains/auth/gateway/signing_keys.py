"""Key pairs that sign access tokens: Ed25519 (RFC 8037), and P-256 (RFC 7518) for verifiers without EdDSA."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

EDDSA, ES256 = "EdDSA", "ES256"
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair. `kid`, its id in tokens, is the thumbprint of its public key (RFC 7638)."""

    algorithm: str
    private: Ed25519PrivateKey | ec.EllipticCurvePrivateKey
    public: Ed25519PublicKey | ec.EllipticCurvePublicKey
    members: dict[str, str]
    kid: str

    @classmethod
    def ed25519(cls, seed: str) -> "SigningKey":
        """Create a key pair from a seed: 32 bytes in base64url.

        Raises:
            ValueError: the seed is not 32 bytes long.
        """
        private = Ed25519PrivateKey.from_private_bytes(_key_bytes(seed))
        public = private.public_key()
        x = encoded(public.public_bytes(Encoding.Raw, PublicFormat.Raw))
        members = {"crv": "Ed25519", "kty": "OKP", "x": x}
        return cls(EDDSA, private, public, members, _thumbprint(members))

    @classmethod
    def p256(cls, scalar: str) -> "SigningKey":
        """Create a key pair from a private scalar: 32 bytes in base64url.

        Raises:
            ValueError: the scalar is not 32 bytes long, or not between 1 and the order of the curve.
        """
        private = ec.derive_private_key(int.from_bytes(_key_bytes(scalar), "big"), ec.SECP256R1())
        public = private.public_key()
        point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
        x, y = encoded(point[:_KEY_BYTES]), encoded(point[_KEY_BYTES:])
        members = {"crv": "P-256", "kty": "EC", "x": x, "y": y}
        return cls(ES256, private, public, members, _thumbprint(members))

    def published(self) -> dict[str, str]:
        """Return the public half as a JSON Web Key."""
        return {**self.members, "kid": self.kid, "alg": self.algorithm, "use": "sig"}


def key_ring(ed25519: Sequence[str], p256: Sequence[str], *, algorithm: str) -> list[SigningKey]:
    """Return all key pairs, those of `algorithm` first: the first pair signs."""
    pairs = [*map(SigningKey.ed25519, ed25519), *map(SigningKey.p256, p256)]
    return sorted(pairs, key=lambda pair: pair.algorithm != algorithm)


def decoded(part: str) -> bytes:
    """Decode base64url without padding; return empty bytes for other text."""
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        return b""


def encoded(raw: bytes) -> str:
    """Encode as base64url without padding."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _key_bytes(text: str) -> bytes:
    raw = decoded(text)
    if len(raw) != _KEY_BYTES:
        message = "a signing key must have 32 bytes, in base64url"
        raise ValueError(message)
    return raw


def _thumbprint(members: dict[str, str]) -> str:
    required = json.dumps(members, separators=(",", ":"), sort_keys=True)
    return encoded(hashlib.sha256(required.encode()).digest())
