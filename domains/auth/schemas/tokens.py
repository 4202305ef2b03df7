"""Forms and bodies of OAuth2."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from domains.auth.schemas.accounts import MAX_PASSWORD
from shared.identity import SCOPES
from shared.schemas import ResponseBody
from shared.text import composed_within

ClientIdText = Annotated[
    str,
    Field(
        description="Optional. Any other client_id than that of this installation is refused.",
        examples=[""],
    ),
]
ClientSecretText = Annotated[
    str,
    Field(
        description="Leave it out: the client is public and has no secret.",
        examples=[""],
        json_schema_extra={"format": "password"},
    ),
    composed_within(MAX_PASSWORD),
]


def _grant_types(schema: dict[str, Any]) -> None:
    schema.pop("default", None)
    schema.update(enum=["password", "refresh_token"])


class TokenForm(BaseModel):
    """The form of RFC 6749. Which fields a grant needs is checked by hand, to answer in the words of OAuth2."""

    model_config = ConfigDict(json_schema_extra={"required": ["grant_type"]})

    grant_type: str = Field("", description="What is shown for the tokens.", json_schema_extra=_grant_types)
    username: str = Field(
        "", description="The address, for `grant_type=password`.", examples=["ada@example.com"]
    )
    password: str = Field(
        "",
        description="For `grant_type=password`.",
        examples=["correct horse battery staple"],
        json_schema_extra={"format": "password"},
    )
    refresh_token: str = Field("", description="For `grant_type=refresh_token`.", examples=[""])
    scope: str = Field("", description="Ignored: a session has all scopes of its account.", examples=[""])
    client_id: ClientIdText = ""
    client_secret: ClientSecretText = ""


class RevocationForm(BaseModel):
    """A revocation request (RFC 7009, section 2.1)."""

    model_config = ConfigDict(json_schema_extra={"required": ["token"]})

    token: str = Field(
        "",
        description="A refresh or an access token.",
        examples=["0199c3f07a6e7bd48f2e3d1c5a9b7e42.1.mW3qYp0c"],
    )
    token_type_hint: str = Field(
        "", description="Ignored: the format of a token shows its type.", examples=[""]
    )
    client_id: ClientIdText = ""
    client_secret: ClientSecretText = ""


class IssuedTokens(ResponseBody):
    """The tokens of a session (RFC 6749, section 5.1)."""

    access_token: str = Field(
        description="For `Authorization: Bearer ...`.", examples=["eyJhbGciOiJFZERTQSJ9.e30.c2ln"]
    )
    token_type: str = Field("Bearer", description="How to send it.", examples=["Bearer"])
    expires_in: int = Field(description="Seconds until the access token expires.", examples=[900])
    refresh_token: str = Field(
        description="Gets the next pair, once.", examples=["0199c3f07a6e7bd48f2e3d1c5a9b7e42.1.mW3qYp0c"]
    )
    session_id: UUID = Field(description="The session that the tokens belong to.")


class KeySet(ResponseBody):
    """The public keys that verify access tokens (RFC 7517)."""

    keys: list[dict[str, str]] = Field(
        description="JSON Web Keys as defined in RFC 8037 and RFC 7518, section 6.2.",
        examples=[
            [
                {
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                    "kid": "2026-03",
                    "alg": "EdDSA",
                    "use": "sig",
                }
            ]
        ],
    )


class ServerMetadata(ResponseBody):
    """The metadata of RFC 8414, section 2."""

    issuer: str = Field(
        description="The `iss` of access tokens, and the base URL of all endpoints.",
        examples=["https://api.example.com"],
    )
    token_endpoint: str = Field(
        description="URL that issues tokens.", examples=["https://api.example.com/v1/auth/token"]
    )
    revocation_endpoint: str = Field(
        description="URL that revokes tokens (RFC 7009).", examples=["https://api.example.com/v1/auth/revoke"]
    )
    jwks_uri: str = Field(
        description="URL of the keys that verify access tokens.",
        examples=["https://api.example.com/.well-known/jwks.json"],
    )
    grant_types_supported: list[str] = Field(
        description="The grant types of the token endpoint.", examples=[["password", "refresh_token"]]
    )
    response_types_supported: list[str] = Field(
        description="None: there is no authorization endpoint.", examples=[[]]
    )
    scopes_supported: list[str] = Field(description="Scopes that an account may have.", examples=[["admin"]])
    token_endpoint_auth_methods_supported: list[str] = Field(
        description="`none`: the client is public.", examples=[["none"]]
    )
    revocation_endpoint_auth_methods_supported: list[str] = Field(
        description="`none`: the client is public.", examples=[["none"]]
    )

    @classmethod
    def of(cls, issuer: str) -> "ServerMetadata":
        """Return the metadata of the server with this issuer."""
        url = issuer.rstrip("/")
        return cls(
            issuer=issuer,
            token_endpoint=f"{url}/v1/auth/token",
            revocation_endpoint=f"{url}/v1/auth/revoke",
            jwks_uri=f"{url}/.well-known/jwks.json",
            grant_types_supported=["password", "refresh_token"],
            response_types_supported=[],
            scopes_supported=sorted(SCOPES),
            token_endpoint_auth_methods_supported=["none"],
            revocation_endpoint_auth_methods_supported=["none"],
        )
