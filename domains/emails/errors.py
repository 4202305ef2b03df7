"""Facts about mails that stop a request or a job."""

from shared.errors import Conflict, NotFound, Unavailable, Unprocessable


class EmailNotFound(NotFound):
    """No mail has this id."""

    code = "emails.not_found"
    detail = "There is no such mail."


class EmailNotOnHold(Conflict):
    """Only an uncertain mail that no job works on waits for somebody's decision."""

    code = "emails.not_on_hold"
    detail = "Only an uncertain mail that is not going to be sent again by itself can be resolved."


class EmailTooOld(Conflict):
    """The mail is past `emails_give_up_hours`: its job would give it up instead of sending it."""

    code = "emails.too_old"
    detail = "This mail is too old to be sent again. Resolve it as sent or as failed."


class AddressRefused(Unprocessable):
    """Not exactly one address (RFC 5321, section 4.1.2)."""

    code = "emails.address_refused"
    detail = "The recipient must be exactly one mail address, without a name."


class HeaderRefused(Unprocessable):
    """A line break or another control character would let its author write headers of their own."""

    code = "emails.header_refused"
    detail = "Subject and names must be one line without control characters."


class MailRefused(Unprocessable):
    """The mail server answered 5xx: it will never take this mail."""

    code = "emails.refused"
    detail = "The mail server refused this mail for good."


class MailDeferredTooLong(Unprocessable):
    """The mail server answered 4xx each time."""

    code = "emails.put_off_too_long"
    detail = "The mail server put this mail off each time, until we gave up."


class MailExpired(Unprocessable):
    """It was too old to be sent."""

    code = "emails.expired"
    detail = "This mail could not be sent while it was still of use."


class MailGivenUp(Unprocessable):
    """An administrator decided that an uncertain mail counts as not sent."""

    code = "emails.given_up"
    detail = "The mail server never confirmed this mail, and an administrator gave it up."


class MailStopped(Unprocessable):
    """The job that sends it was cancelled or failed before its content had left. The content is kept for a while."""

    code = "emails.stopped"
    detail = "The job that sends this mail was cancelled or failed. Starting the job again sends the mail."


class MailUnreadable(Unavailable):
    """The stored bytes can't be decrypted: their key is gone from the settings. Tried again: it may come back."""

    code = "emails.unreadable"
    detail = "The key that this mail was encrypted with is not in the settings."


class MailDeferred(Unavailable):
    """The mail server answered 4xx, or nothing that is SMTP; another try follows."""

    code = "emails.deferred"
    detail = "The mail server can't take this mail at the moment. It will be tried again."


class MailUncertain(Unavailable):
    """The connection broke after the last byte; the same bytes follow once more."""

    code = "emails.uncertain"
    detail = (
        "The connection broke before the mail server confirmed this mail. The same mail will be sent again."
    )
