"""Errors about mails, of requests and of jobs."""

from shared.errors import Conflict, NotFound, Unavailable, Unprocessable


class EmailNotFound(NotFound):
    """No mail has this id."""

    code = "emails.not_found"
    detail = "No mail has this id."


class EmailNotOnHold(Conflict):
    """The mail's delivery is not uncertain, or a job is still sending it."""

    code = "emails.not_on_hold"
    remedy = "Read the mail again. Resolve it only while its status is `uncertain` and no job works on it."
    detail = "This mail can't be resolved: its delivery is not uncertain, or it is still being retried."


class EmailTooOld(Conflict):
    """The mail is older than `TULOU_EMAILS_GIVE_UP_HOURS`: its job would give it up instead of sending it."""

    code = "emails.too_old"
    remedy = "Resolve it as sent or as failed."
    detail = "This mail is too old to be sent again. Resolve it as sent or failed."


class AddressRefused(Unprocessable):
    """The recipient is not exactly one address (RFC 5321, section 4.1.2)."""

    code = "emails.address_refused"
    detail = "The recipient must be one mail address without a name."


class HeaderRefused(Unprocessable):
    """A subject or a name has a line break or another control character, with which an attacker could add headers."""

    code = "emails.header_refused"
    detail = "Subject and names must be one line without control characters."


class MailRefused(Unprocessable):
    """The mail server replied 5xx: it will never accept this mail."""

    code = "emails.refused"
    remedy = "Check the address. The mail's `reply` has the reason."
    detail = "The mail server refused this mail permanently."


class MailDeferredTooLong(Unprocessable):
    """The mail server replied 4xx to each attempt."""

    code = "emails.put_off_too_long"
    remedy = "Look for the cause in the log of the mail server. Request a new mail, if it is still needed."
    detail = "The mail server deferred this mail at every attempt, so it was given up."


class MailExpired(Unprocessable):
    """The mail was too old to be sent: it waited longer than `TULOU_EMAILS_GIVE_UP_HOURS`."""

    code = "emails.expired"
    remedy = "Nothing. Request a new mail, if it is still needed."
    detail = "This mail could not be sent in time."


class MailGivenUp(Unprocessable):
    """An administrator or operator decided that an uncertain mail counts as not sent."""

    code = "emails.given_up"
    remedy = "Nothing. Request a new mail, if it is still needed."
    detail = "The mail server never confirmed this mail, and an administrator resolved it as failed."


class MailStopped(Unprocessable):
    """The job that sends the mail was cancelled or failed before the content was sent.

    The content is kept for a while.
    """

    code = "emails.stopped"
    remedy = "Retry the mail's job."
    detail = "The job that sends this mail was cancelled or failed. Retry the job to send the mail."


class MailUnreadable(Unavailable):
    """The stored mail can't be decrypted, because its key is not in `TULOU_MAIL_KEYS`.

    It is tried again, because the key may come back.
    """

    code = "emails.unreadable"
    remedy = "Add the key to `TULOU_MAIL_KEYS`."
    detail = "The settings lack the key that encrypts this mail."


class MailDeferred(Unavailable):
    """The mail server replied 4xx, or not in SMTP."""

    code = "emails.deferred"
    remedy = "Nothing. The mail is tried again automatically."
    detail = "The mail server can't accept this mail at the moment. It will be retried."


class MailUncertain(Unavailable):
    """The connection broke after the last byte, so it is unknown whether the server accepted the mail.

    The same bytes are sent again.
    """

    code = "emails.uncertain"
    remedy = "Nothing. The mail is tried again automatically."
    detail = (
        "The connection broke before the mail server confirmed this mail. The same mail will be sent again."
    )
