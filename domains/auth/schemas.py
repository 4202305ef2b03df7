"""Bodies of auth's operations, and the rows that are read for them."""

import ipaddress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from domains.auth.models import AccountStatus, Role
from domains.users.public import EmailText, NameText
from shared.field_types import INTEGRAL
from shared.identity import SCOPES
from shared.languages import LanguageTag
from shared.schemas import RequestBody, ResponseBody, RevisedBody, Row, UtcDatetime
from shared.text import as_line, composed_within

MAX_PASSWORD = 256
MAX_AGENT = 300

NewPassword = Annotated[
    str,
    Field(
        min_length=8,
        max_length=MAX_PASSWORD,
        description="8 to 256 characters of any kind; not one of the common ones, not the address.",
        examples=["correct horse battery staple"],
        json_schema_extra={"format": "password"},
    ),
    composed_within(MAX_PASSWORD),
]
GivenPassword = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_PASSWORD,
        description="The present password.",
        examples=["correct horse battery staple"],
        json_schema_extra={"format": "password"},
    ),
    composed_within(MAX_PASSWORD),
]
OneTimeTokenText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="The token from the mail.",
        examples=["nRkYc0oV3bq1Yt4mB7Zs9w"],
    ),
]


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


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """From where and with what somebody calls."""

    address: str
    agent: str

    @classmethod
    def of(cls, address: str | None, agent: str | None) -> "ClientInfo":
        """Make one of what a connection says; the agent's text is cut, and cleaned of what could forge a log line."""
        return cls(address=address or "unknown", agent=as_line(agent or "")[:MAX_AGENT])

    @property
    def network(self) -> str:
        """The /24 or /64 that the address is in: who has one address of it has them all."""
        try:
            address = ipaddress.ip_address(self.address)
        except ValueError:
            return self.address
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        prefix = 24 if address.version == 4 else 64  # noqa: PLR2004  # the version's number
        return str(ipaddress.ip_network(f"{address}/{prefix}", strict=False))


class SignInRow(Row):
    """What is read of an account to check a password."""

    user_id: UUID
    password_hash: str
    credentials_version: int
    registration_id: UUID | None
    status: AccountStatus
    role: Role

    @property
    def usable_hash(self) -> str | None:
        """The hash to check against, unless nobody may come in."""
        return self.password_hash if self.status is AccountStatus.ACTIVE else None


class LogInRow(SignInRow):
    """A `SignInRow`, and whether the account has a session from the network of this sign-in."""

    is_known: bool


class CallerRow(Row):
    """What is read of a session and its account to authenticate a request."""

    id: UUID
    user_id: UUID
    ended_at: UtcDatetime | None
    absolute_expires_at: UtcDatetime
    status: AccountStatus
    role: Role
    scopes: list[str]


class AccountIdRow(Row):
    """The id of an account."""

    user_id: UUID


class LockedRow(Row):
    """That a lock was taken."""

    is_locked: bool


class AccountInfoRow(Row):
    """What administrators see of an account."""

    user_id: UUID
    status: AccountStatus
    role: Role
    last_sign_in_at: UtcDatetime | None


class LimitOverrides(Row):
    """Limits of a person that override the settings; None: the setting's."""

    max_bytes: int | None = None
    max_files: int | None = None
    max_requests: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether all limits are the settings'."""
        return self.max_bytes is None and self.max_files is None and self.max_requests is None


class AllowanceRow(LimitOverrides):
    """Whose limits they are, and how often they were changed."""

    user_id: UUID
    revision: int = 0


class AllowancesState(Row):
    """How many people have limits, and how often and when those were changed."""

    number: int
    revisions: int
    latest: UtcDatetime | None


class SessionRow(Row):
    """What is read of a session."""

    id: UUID
    user_id: UUID
    address: str
    network: str
    agent: str
    created_at: UtcDatetime
    last_used_at: UtcDatetime


class NetworkRow(Row):
    """A network in which a person has had a session."""

    network: str


class Counter(Row):
    """A counter of attempts of a person in its present window, and how many are allowed.

    `network`: where they were made, if only those are counted.
    """

    kind: str
    network: str | None
    count: int
    most: int
    until: UtcDatetime


class FamiliarityRow(Row):
    """How many sessions a person began before, and how many of them from the same network with the same agent."""

    earlier: int
    alike: int


class AttemptsRow(Row):
    """A counter after it was raised."""

    count: int
    expires_at: UtcDatetime


class TokenRow(Row):
    """What is read of a one-time token before it is used."""

    user_id: UUID
    registration_id: UUID | None
    used_at: UtcDatetime | None
    expires_at: UtcDatetime


class RegistrationRow(Row):
    """What is read of a registration."""

    id: UUID
    user_id: UUID
    locale: str | None
    created_at: UtcDatetime


class SecurityEventRow(Row):
    """A line of the audit log."""

    id: UUID
    event: str
    user_id: UUID | None
    session_id: UUID | None
    address: str | None
    agent: str | None
    request_id: str | None
    details: dict[str, Any]
    created_at: UtcDatetime


class EventFilter(BaseModel):
    """Which events are shown: all conditions together; None is no condition. `until` itself is left out."""

    kind: str | None = None
    user_id: UUID | None = None
    address: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class PrunedRow(Row):
    """How many security events were deleted."""

    number: int


class RegisterBody(RequestBody):
    """Somebody who wants an account."""

    email: EmailText
    password: NewPassword
    name: NameText | None = None
    locale: LanguageTag | None = None


class AddressBody(RequestBody):
    """The address that a mail is asked for."""

    email: EmailText


class TokenBody(RequestBody):
    """A token from a mail."""

    token: OneTimeTokenText


class ResetBody(RequestBody):
    """A token from a mail and the password to have from now on."""

    token: OneTimeTokenText
    password: NewPassword


class ChangePasswordBody(RequestBody):
    """The present password and the next."""

    current_password: GivenPassword
    new_password: NewPassword = Field(examples=["a new horse battery staple"])


class DeleteAccountBody(RequestBody):
    """The password, so that a borrowed session can't delete an account."""

    password: GivenPassword


class AccountChange(RequestBody):
    """What administrators change about an account."""

    role: Role = Field(
        description="`admin`: administers this installation. `user`: does not.", examples=["admin"]
    )


_MaxBytes = Annotated[
    Annotated[int, Field(ge=0, le=2**53 - 1), INTEGRAL] | None,
    Field(
        description="Bytes that the person may store, the trash included; null: the setting applies.",
        examples=[50_000_000_000],
    ),
]
_MaxFiles = Annotated[
    Annotated[int, Field(ge=0, le=1 << 40), INTEGRAL] | None,
    Field(
        description="Files that the person may store, the trash included; null: the setting applies.",
        examples=[500_000],
    ),
]
_MaxRequests = Annotated[
    Annotated[int, Field(ge=1, le=1_000_000), INTEGRAL] | None,
    Field(
        description="Requests that the person may send in a minute; null: the setting applies.",
        examples=[6000],
    ),
]


class LimitsChange(RequestBody):
    """The limits that a person has from now on. Those that are null or absent are the settings'."""

    max_bytes: _MaxBytes = None
    max_files: _MaxFiles = None
    max_requests: _MaxRequests = None


class LimitsBody(RevisedBody):
    """The limits that a person has instead of the settings'."""

    max_bytes: _MaxBytes
    max_files: _MaxFiles
    max_requests: _MaxRequests


class AcceptedBody(ResponseBody):
    """The same answer for every address, so that nobody learns who has an account."""

    message: str = Field(
        "If this address can be written to, a mail is on its way.",
        description="The same for every address.",
        examples=["If this address can be written to, a mail is on its way."],
    )


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


class SecurityEventBody(ResponseBody):
    """A line of the audit log."""

    id: UUID
    kind: str = Field(
        description="What happened. There may be more kinds in later versions.", examples=["login_failed"]
    )
    user_id: UUID | None = Field(
        description="The user that the event is about; null: an address without an account."
    )
    session_id: UUID | None = Field(description="The session that it is about.")
    address: str | None = Field(
        description="The network address that the request came from; null: a job or the command line.",
        examples=["192.0.2.7"],
    )
    agent: str | None = Field(description="The program that sent it.", examples=["curl/8.10"])
    request_id: str | None = Field(
        description="The request.", examples=["0199c3f0-7a6e-7bd4-8f2e-3d1c5a9b7e42"]
    )
    details: dict[str, Any] = Field(
        description="Further details: `by` is the administrator who did it, `operator` the user and host of the"
        " command line.",
        examples=[{"by": "0199c3f0-7a6e-7bd4-8f2e-3d1c5a9b7e42"}],
    )
    created_at: UtcDatetime

    @classmethod
    def of(cls, row: SecurityEventRow) -> "SecurityEventBody":
        """Show a row."""
        return cls(kind=row.event, **row.model_dump(exclude={"event"}))


class SessionBody(ResponseBody):
    """A session: one sign-in, on one device."""

    id: UUID
    address: str = Field(description="From where it was begun.", examples=["192.0.2.7"])
    agent: str = Field(description="The program it was begun with.", examples=["curl/8.10"])
    created_at: UtcDatetime
    last_used_at: UtcDatetime = Field(description="When it was last used; exact to about a minute.")
    current: bool = Field(description="Whether this very request belongs to it.", examples=[True])

    @classmethod
    def of(cls, row: SessionRow, *, current: UUID | None) -> "SessionBody":
        """Show a row."""
        return cls(**row.model_dump(exclude={"user_id", "network"}), current=row.id == current)


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
