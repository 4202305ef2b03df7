"""Facts about files that stop a request or a job."""

from shared.errors import AppError, BadRequest, Conflict, NotFound, TooLarge, Unavailable, Unprocessable


class FileNotFound(NotFound):
    """The file does not exist, or belongs to another user."""

    code = "files.not_found"
    detail = "No file has this id."


class SearchTooLong(Unprocessable):
    """The search has more words and phrases than allowed."""

    code = "files.search_too_long"
    remedy = "Search for fewer words."
    detail = "The search has too many words and phrases; `limit` is the largest number."


class FileInTrash(Conflict):
    """The file is in the trash, where it can only be read and restored."""

    code = "files.in_trash"
    remedy = "Restore the file first."
    detail = "This file is in the trash. Restore it first."


class FileNotComplete(Conflict):
    """The bytes of the file are still arriving."""

    code = "files.not_complete"
    remedy = "Wait until the upload has ended."
    detail = "The upload of this file is not complete."


class FileTooLarge(TooLarge):
    """The file is larger than the limit."""

    code = "files.too_large"
    detail = "The file is larger than this server accepts. Nothing was stored."


class QuotaExceeded(TooLarge):
    """The file does not fit into the quota of its owner."""

    code = "files.quota_exceeded"
    remedy = "Delete files, and wait until they are purged from the trash, or ask an administrator for a higher quota."
    detail = (
        "Your quota is too small for this file. Nothing was stored. Files in the trash count until they are"
        " purged."
    )


class TypeRefused(AppError):
    """The detected type of the file is not accepted."""

    code = "files.type_refused"
    remedy = "Upload a file of another type, or ask the operator to allow this one."
    status, title = 415, "Unsupported type"
    detail = "Files of this type are not accepted. Nothing was stored."


class DigestMismatch(BadRequest):
    """The received bytes differ from the digest that the client sent."""

    code = "files.digest_mismatch"
    remedy = "Compute the digest again and upload the file again."
    detail = "The received bytes do not match the digest in Repr-Digest. Nothing was stored."


class MalformedDigest(BadRequest):
    """`Repr-Digest` can't be parsed (RFC 9530)."""

    code = "files.malformed_digest"
    detail = "Repr-Digest must hold one SHA-256 digest: sha-256=:<base64 of 32 bytes>:."


class MalformedMultipart(BadRequest):
    """The multipart body can't be parsed (RFC 7578)."""

    code = "files.malformed_multipart"
    detail = "The multipart body can't be parsed. Nothing was stored."


class NothingSent(BadRequest):
    """The request has no body and no headers that announce one. This is more likely a mistake than an empty file."""

    code = "files.nothing_sent"
    remedy = "Send the file. For an empty file, send a `Content-Type`."
    detail = (
        "Send a form with the part `file`, or the bytes with their Content-Type, also when there are none."
    )


class NothingChosen(Unprocessable):
    """The form was sent without choosing a file (HTML standard, section 4.10.22.4)."""

    code = "files.nothing_chosen"
    remedy = "Choose a file and send the form again."
    detail = "No file was chosen: the part `file` of the form has neither a name nor bytes. Choose a file and send it."


class NoFileInBody(AppError):
    """The body has a type that clients use for parameters. A file of this type needs a name."""

    code = "files.no_file_in_body"
    remedy = "Send a form with the part `file`, or add a `Content-Disposition` with the file's name."
    status, title = 415, "Unsupported type"
    detail = (
        "The body holds parameters and no file. Send a form (multipart/form-data) with the file in the part `file`, or"
        " the bytes of the file as the body, with its name in Content-Disposition."
    )


class MalformedDisposition(BadRequest):
    """`Content-Disposition` can't be parsed (RFC 6266)."""

    code = "files.malformed_disposition"
    detail = "Content-Disposition can't be read; write it like: attachment; filename*=UTF-8''holiday.jpg."


class UploadInterrupted(BadRequest):
    """The client disconnected before the end of the upload."""

    code = "files.upload_torn"
    remedy = "Upload the file again."
    detail = "The upload ended before all bytes had arrived. Nothing was stored."


class DetailsRefused(Unprocessable):
    """A name, tag or metadata value breaks a rule or a limit."""

    code = "files.details_refused"
    detail = "The name, the tags or the metadata of this file are invalid."


class PreconditionFailed(AppError):
    """`If-Match` or `If-Unmodified-Since` does not match the file (RFC 9110, section 13)."""

    code = "files.precondition_failed"
    remedy = "Read the file again."
    status, title = 412, "A precondition failed"
    detail = "The file was modified since you read it. Nothing was changed; fetch it again."


class RangeNotSatisfiable(AppError):
    """`Range` is outside of the file, or has too many ranges (RFC 9110, section 14)."""

    code = "files.range_not_satisfiable"
    remedy = "Read the size in `Content-Range` and request fewer bytes or ranges."
    status, title = 416, "Range not satisfiable"
    detail = "The file does not have the bytes in Range, or Range has too many parts."

    def __init__(self, *, size: int) -> None:
        """Tell the size of the whole in bytes."""
        super().__init__(size=size)
        self.size = size

    @property
    def headers(self) -> dict[str, str]:
        """The size, as RFC 9110, section 15.5.17 asks for."""
        return {"Content-Range": f"bytes */{self.size}"}


class RenditionNotFound(NotFound):
    """Renditions of this name are not made of files of this type."""

    code = "files.rendition_not_found"
    remedy = "List the file's renditions."
    detail = "This file has no rendition of this name."


class RenditionFailed(Conflict):
    """The rendition could not be made; `problem` says why."""

    code = "files.rendition_failed"
    remedy = "If the cause is gone, retry the file's job. The file itself can be downloaded."
    detail = "The server could not make this rendition. The original file can be downloaded."


class ImageTooLarge(Unprocessable):
    """The image has more pixels, longer sides or more frames than the limits allow, or needs more memory to decode.

    Its header tells so.
    """

    code = "files.image_too_large"
    remedy = "Upload a smaller image, or ask the operator for a higher limit. The stored file can still be downloaded."
    detail = "The image is larger than this server opens."


class UnsupportedCodec(Unprocessable):
    """The file's format is known, but the server has no decoder for its codec."""

    code = "files.unsupported_codec"
    remedy = "Convert the file and upload it again. The stored file can still be downloaded."
    detail = "This server has no decoder for the encoding of this file. The original file can be downloaded."


class BrokenDocument(Unprocessable):
    """A parser can't read the file: it is damaged, or not of its detected type."""

    code = "files.broken_document"
    remedy = "Upload an undamaged file. The stored file can still be downloaded."
    detail = "The content is damaged or does not match its type."


class NoPages(Unprocessable):
    """The document can be read but has no pages."""

    code = "files.no_pages"
    remedy = "Nothing. The stored file can be downloaded."
    detail = "The document has no pages."


class PasswordRequired(Unprocessable):
    """The document is encrypted."""

    code = "files.password_required"
    remedy = "Upload the document without a password. The stored file can still be downloaded."
    detail = "The document is protected by a password."


class ParserLimit(Unprocessable):
    """The parser exceeded its limit of time, memory or output."""

    code = "files.parser_limit"
    remedy = "Nothing. The stored file can be downloaded."
    detail = "Reading the file takes more time or memory than this server allows."


class WorkCancelled(Conflict):
    """The file's job was cancelled before all renditions were made."""

    code = "files.work_cancelled"
    remedy = "Retry the job."
    detail = "The processing of this file was cancelled. Retry its job."


class WorkNotFinished(AppError):
    """The file's job ended without a result."""

    code = "files.work_not_finished"
    remedy = "Retry the job."
    title = "Not finished"
    detail = "The processing of this file ended without a result. Retry its job."


class SandboxUnavailable(Unavailable):
    """The sandbox process can't be started here. `reason` is a sentence for operators; clients don't see it."""

    code = "files.sandbox_unavailable"
    detail = "The server can't open images and documents safely at the moment."

    def __init__(self, *, reason: str = "") -> None:
        """Keep the reason."""
        super().__init__()
        self.reason = reason


class StoreUnavailable(Unavailable):
    """The object store can't be reached."""

    code = "files.store_unavailable"
    detail = "The file store can't be reached. Nothing was changed. Try again in a moment."


class StoreFull(AppError):
    """The store has no space left (RFC 4918, section 11.5)."""

    code = "files.store_full"
    remedy = "Try again later. The operator has to add space."
    status, title = 507, "Insufficient storage"
    detail = "The file store has no space left. Nothing was stored."
