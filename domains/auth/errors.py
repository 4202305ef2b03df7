"""Facts about accounts, passwords and tokens that stop a request."""

from shared.errors import (
    AppError,
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    TooManyRequests,
    Unavailable,
    Unprocessable,
)


class TooManyAttempts(TooManyRequests):
    """A limit that protects a password or a mailbox was reached. Existing sessions keep working."""

    code = "auth.too_many_attempts"
    detail = "Too many attempts. Wait before you try again."


class PasswordRefused(Unprocessable):
    """The password is easily guessed: it is on the list of common passwords, or equals the address."""

    code = "auth.password_refused"
    remedy = "Choose another password."
    detail = "This password is easy to guess. Choose another one."


class InvalidToken(BadRequest):
    """The one-time token is unknown, used or expired, or a newer one replaced it."""

    code = "auth.invalid_token"
    remedy = "Request a new link."
    detail = "This link or token is no longer valid. Request a new one."


class WrongPassword(Forbidden):
    """The password that confirms the operation is wrong."""

    code = "auth.wrong_password"
    remedy = "Send your current password."
    detail = "The current password is wrong. Nothing was changed."


class SessionNotFound(NotFound):
    """The session does not exist, has ended, or belongs to another user."""

    code = "auth.session_not_found"
    detail = "You have no session with this id."


class AccountNotFound(NotFound):
    """No account has this id, or the account was deleted."""

    code = "auth.account_not_found"
    detail = "No account has this id."


class OwnAccount(Conflict):
    """Administrators can't disable, erase or demote themselves."""

    code = "auth.own_account"
    remedy = "Ask another administrator."
    detail = "You can't do this to your own account. Another administrator can."


class LastAdministrator(Conflict):
    """The operation would leave no administrator who can sign in."""

    code = "auth.last_administrator"
    remedy = "Make another user an administrator first."
    detail = "This is the last administrator who can sign in. Make another person an administrator first."


class UnverifiedAccount(Conflict):
    """The account's address is not verified, so it may belong to a stranger."""

    code = "auth.unverified_account"
    remedy = "Let the user verify the address first."
    detail = "An administrator needs a verified address, and the address of this account is not verified."


class InactiveAccount(Conflict):
    """The account is disabled, so its owner can't sign in."""

    code = "auth.inactive_account"
    remedy = "Enable the account first."
    detail = "This account is disabled. Enable it first."


class AddressTaken(Conflict):
    """Another account has this address.

    Only commands on the server report this; the API does not reveal which addresses are known.
    """

    code = "auth.address_taken"
    remedy = "Choose another address, or use the existing account."
    detail = "Another account uses this address."


class AddressRefused(Unprocessable):
    """A command on the server got text that is not a mail address."""

    code = "auth.address_refused"
    remedy = "Correct the address."
    detail = "This is not a mail address."


class HashingBusy(Unavailable):
    """More passwords wait to be hashed than the server can hash in reasonable time."""

    code = "auth.busy"
    detail = "Too many sign-ins are in progress. Try again in a few seconds."

    def __init__(self) -> None:
        """Ask the client to come back in three seconds."""
        super().__init__(retry_after=3)


class InvalidTokenRequest(BadRequest):
    """The form lacks a field that the grant requires (`invalid_request`, RFC 6749, section 5.2)."""

    code = "auth.invalid_token_request"
    detail = (
        "Send grant_type=password with username and password, or grant_type=refresh_token with refresh_token,"
        " as a form without a query."
    )


class InvalidRevocation(BadRequest):
    """The form of a revocation lacks the token (RFC 7009, section 2.1)."""

    code = "auth.invalid_revocation"
    remedy = "Send the token to revoke as the field `token` of a form."
    detail = "Send the token to revoke as the field `token` of a form, without a query."


class UnsupportedGrantType(BadRequest):
    """The server does not support this grant type."""

    code = "auth.unsupported_grant_type"
    detail = "grant_type must be password or refresh_token."


class InvalidClient(AppError):
    """The request has an unknown `client_id` or a client secret.

    The only client is public and has no secret (RFC 6749, section 5.2).
    """

    code = "auth.invalid_client"
    remedy = "Leave out `client_id` and `client_secret`, or send only the `client_id` of this installation."
    status, title = 401, "Not authenticated"
    detail = "Omit client_id and client_secret, or send only the client_id of this installation."

    @property
    def headers(self) -> dict[str, str]:
        """The scheme by which a client authenticates itself (RFC 6749, section 2.3.1)."""
        return {"WWW-Authenticate": 'Basic realm="tulou"'}


class PasswordTooLong(BadRequest):
    """The password is longer than passwords of accounts can be, so it is refused before it is hashed."""

    code = "auth.password_too_long"
    detail = "A password has at most 256 characters."


class InvalidCredentials(BadRequest):
    """The address is unknown, the password is wrong, or the account is disabled.

    The response does not reveal which.
    """

    code = "auth.invalid_credentials"
    remedy = "Check address and password, or reset the password with `POST /v1/auth/password/forgot`."
    detail = "The address or the password is wrong."


class AddressNotVerified(BadRequest):
    """The password is correct, but this installation requires a verified address."""

    code = "auth.address_not_verified"
    remedy = "Follow the link in the verification mail. `POST /v1/auth/email/verify/resend` sends it again."
    detail = "Verify your address first: follow the link in the mail that was sent to you."


class InvalidRefreshToken(BadRequest):
    """The refresh token was not issued by this server, or its session has ended."""

    code = "auth.invalid_refresh_token"
    remedy = "Sign in again."
    detail = "This refresh token is no longer valid. Sign in again."


class RefreshReused(BadRequest):
    """An old refresh token was used again, so it may have been copied.

    The session ends for every holder of its tokens (RFC 9700, section 4.14.2).
    """

    code = "auth.refresh_reused"
    remedy = "Sign in again. If you did not send the token twice, change your password."
    detail = "This refresh token was already used, so its session has ended. Sign in again."
