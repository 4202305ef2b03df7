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
    """A limit that protects a secret was reached. Sessions that exist go on working."""

    code = "auth.too_many_attempts"
    detail = "Too many attempts. Wait before you try again."


class PasswordRefused(Unprocessable):
    """A password that is easily guessed. Its length is the body's own rule."""

    code = "auth.password_refused"
    detail = "This password is easily guessed. Choose another one."


class InvalidToken(BadRequest):
    """A one-time token that is unknown, used, expired or overtaken by a newer one."""

    code = "auth.invalid_token"
    detail = "This link or token is not valid any more. Ask for a new one."


class WrongPassword(Forbidden):
    """The password that confirms an operation is wrong."""

    code = "auth.wrong_password"
    detail = "The current password is wrong. Nothing was changed."


class SessionNotFound(NotFound):
    """No such session, or another's, or one that has ended."""

    code = "auth.session_not_found"
    detail = "You have no such session."


class AccountNotFound(NotFound):
    """No account has this id."""

    code = "auth.account_not_found"
    detail = "There is no account with this id."


class OwnAccount(Conflict):
    """Administrators can't lock themselves out."""

    code = "auth.own_account"
    detail = "You can't do this to your own account. Another administrator can."


class LastAdministrator(Conflict):
    """Without any administrator who can sign in, nobody could administer this installation over HTTP."""

    code = "auth.last_administrator"
    detail = "This is the last administrator who can sign in. Make somebody else an administrator first."


class UnverifiedAccount(Conflict):
    """A stranger may have registered the address."""

    code = "auth.unverified_account"
    detail = "The address of this account is not verified, so it can't be an administrator's."


class InactiveAccount(Conflict):
    """The account is disabled: nobody can sign in."""

    code = "auth.inactive_account"
    detail = "This account is disabled. Enable it first."


class AddressTaken(Conflict):
    """Told only to who works on the server itself: over HTTP nobody learns which addresses are known."""

    code = "auth.address_taken"
    detail = "Another account uses this address."


class AddressRefused(Unprocessable):
    """Text that is no mail address, given on the server itself."""

    code = "auth.address_refused"
    detail = "This is not a mail address."


class HashingBusy(Unavailable):
    """More passwords wait to be checked than can be in good time."""

    code = "auth.busy"
    detail = "Too many people sign in at this moment. Try again in a few seconds."

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
    detail = "Send the token to revoke as the field `token` of a form, without a query."


class UnsupportedGrantType(BadRequest):
    """A grant that this server doesn't offer."""

    code = "auth.unsupported_grant_type"
    detail = "grant_type must be password or refresh_token."


class InvalidClient(AppError):
    """An unknown client_id, or a client secret: the only client is public and has none (RFC 6749, section 5.2)."""

    code = "auth.invalid_client"
    status, title = 401, "Not authenticated"
    detail = "Leave out client_id and client_secret, or send the client_id of this installation alone."

    @property
    def headers(self) -> dict[str, str]:
        """The scheme by which a client authenticates itself (RFC 6749, section 2.3.1)."""
        return {"WWW-Authenticate": 'Basic realm="tulou"'}


class PasswordTooLong(BadRequest):
    """The password is longer than any account's can be, so it is refused before it is hashed."""

    code = "auth.password_too_long"
    detail = "A password has at most 256 characters."


class InvalidCredentials(BadRequest):
    """Unknown address, wrong password or disabled account: the response does not reveal which."""

    code = "auth.invalid_credentials"
    detail = "Address or password is wrong."


class AddressNotVerified(BadRequest):
    """The password is right, but the address has to be verified first."""

    code = "auth.address_not_verified"
    detail = "Verify your address first: follow the link in the mail that you were sent."


class InvalidRefreshToken(BadRequest):
    """Not made here, or its session has ended."""

    code = "auth.invalid_refresh_token"
    detail = "This refresh token is not valid any more. Sign in again."


class RefreshReused(BadRequest):
    """An old refresh token came back, so it was copied: the session ends for all who hold one (RFC 9700, 4.14.2)."""

    code = "auth.refresh_reused"
    detail = "This refresh token was used before, so its session was ended. Sign in again."
