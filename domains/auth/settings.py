"""What can be set about accounts, sessions and passwords."""

from typing import Literal

from pydantic import BaseModel, Field

_DAY = 86_400


class AuthSettings(BaseModel):
    """Times in seconds, unless a name says otherwise."""

    auth_audience: str = Field(
        "tulou",
        description="The `aud` of access tokens: their audience.",
        min_length=1,
        max_length=200,
    )
    auth_client_id: str = Field(
        "tulou",
        description="The `client_id` in access tokens, and the only one that the token endpoint accepts.",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
    )
    auth_signing_algorithm: Literal["EdDSA", "ES256"] = Field(
        "EdDSA",
        description="Signs access tokens; ES256 needs TULOU_SIGNING_KEYS_ES256. Tokens of both are accepted.",
    )
    auth_access_lifetime: int = Field(900, description="How long an access token is good.", ge=30, le=_DAY)
    auth_refresh_idle_days: int = Field(
        30, description="Days after which an unused session ends.", ge=1, le=3650
    )
    auth_refresh_absolute_days: int = Field(
        90, description="Days after which a session ends in any case.", ge=1, le=3650
    )
    auth_refresh_grace: int = Field(
        10,
        description="How long the refresh token before the current one gets the current one again.",
        ge=0,
        le=120,
    )
    auth_verify_lifetime: int = Field(
        _DAY, description="How long the link that verifies an address is good.", ge=60, le=30 * _DAY
    )
    auth_reset_lifetime: int = Field(
        1800, description="How long the link that resets a password is good.", ge=60, le=_DAY
    )
    auth_require_verified_email: bool = Field(
        default=False, description="Refuse sign-ins until the address is verified."
    )
    auth_login_limit: int = Field(
        10,
        description=(
            "Wrong passwords for one address within the window, whether or not it has an account. Each network that the"
            " account has signed in from before has a counter of its own."
        ),
        ge=1,
        le=10_000,
    )
    auth_login_window: int = Field(900, description="That window.", ge=1, le=_DAY)
    auth_network_limit: int = Field(
        100,
        description=(
            "Wrong passwords from one network (/24 or /64) within its window, for addresses that have not signed in"
            " from it before."
        ),
        ge=1,
        le=1_000_000,
    )
    auth_network_window: int = Field(300, description="That window.", ge=1, le=_DAY)
    auth_mail_limit: int = Field(
        5,
        description=(
            "Registrations and requested mails for one mailbox (ignoring its +tag) within the window."
        ),
        ge=1,
        le=10_000,
    )
    auth_mail_window: int = Field(3600, description="That window.", ge=1, le=_DAY)
    auth_mail_network_limit: int = Field(
        100,
        description="Registrations and requested mails from one network (/24 or /64) within its window.",
        ge=1,
        le=1_000_000,
    )
    auth_mail_network_window: int = Field(3600, description="That window.", ge=1, le=_DAY)
    auth_login_waiting: int = Field(
        100,
        description=(
            "Sign-ins of one address that may wait for each other in a process; more are refused with 429. Each network"
            " that the account has signed in from before has a queue of its own."
        ),
        ge=1,
        le=10_000,
    )
    auth_login_wait: float = Field(
        10, description="How long a sign-in waits for others in the same queue.", gt=0, le=60
    )
    auth_hash_time_cost: int = Field(2, description="Argon2id: passes.", ge=1, le=20)
    auth_hash_memory_kib: int = Field(
        19_456, description="Argon2id: memory of one hash, in KiB.", ge=8, le=1 << 20
    )
    auth_hash_threads: int | None = Field(
        None,
        description="Passwords that are hashed at a time; by default one less than there are cores.",
        ge=1,
        le=64,
    )
    auth_hash_waiting: int = Field(
        200, description="Passwords that may wait for that; more are refused with 503.", ge=1, le=10_000
    )
    auth_token_cache: int = Field(
        10_000, description="Access tokens whose verified claims are remembered.", ge=0, le=1_000_000
    )
    auth_stamp_interval: int = Field(
        60, description="How often at most a session's last use is written down.", ge=1, le=_DAY
    )
    auth_limits_refresh: float = Field(
        10,
        description="How long a process may go on with the limits of a person that were changed by another.",
        ge=0,
        le=3600,
    )
    auth_keep_sessions_days: int = Field(30, description="Days that ended sessions are kept.", ge=1, le=3650)
    auth_keep_registrations_days: int = Field(
        60,
        description="Days that a registration whose address was never verified can be verified anew.",
        ge=31,
        le=3650,
    )
    auth_keep_unverified_days: int = Field(
        30,
        description=(
            "Days after which an account is deleted if its address was never verified and no session of it was used"
            " within these days. They begin with the upgrade for accounts that existed before it. 0: never."
        ),
        ge=0,
        le=3650,
    )
    auth_keep_events_days: int = Field(365, description="Days that the audit log is kept.", ge=90, le=36_500)
