"""Facts about files that stop a request or a job."""

from shared.errors import AppError, BadRequest, Conflict, NotFound, TooLarge, Unavailable, Unprocessable


class FileNotFound(NotFound):
    """No such file, or it is somebody else's."""

    code = "files.not_found"
    detail = "There is no such file."


class SearchTooLong(Unprocessable):
    """More terms than one search may have: each is looked up by itself."""

    code = "files.search_too_long"
    detail = "The search has too many words and phrases; `limit` says how many it may have."


class FileInTrash(Conflict):
    """Trashed files can be looked at and restored, nothing else."""

    code = "files.in_trash"
    detail = "This file is in the trash. Restore it first."


class FileNotComplete(Conflict):
    """Its bytes are still arriving."""

    code = "files.not_complete"
    detail = "The bytes of this file have not all arrived."


class FileTooLarge(TooLarge):
    """One file past the limit."""

    code = "files.too_large"
    detail = "The file is larger than this server accepts. Nothing was kept."


class QuotaExceeded(TooLarge):
    """All files of one person past their quota."""

    code = "files.quota_exceeded"
    detail = "Your quota has no room for this file. Nothing was kept; files in the trash count until they are purged."


class TypeRefused(AppError):
    """Bytes of a kind that isn't accepted."""

    code = "files.type_refused"
    status, title = 415, "Unsupported type"
    detail = "Files of this type are not accepted. Nothing was kept."


class DigestMismatch(BadRequest):
    """The bytes differ from what the client said it sent."""

    code = "files.digest_mismatch"
    detail = "The bytes that arrived do not have the digest that Repr-Digest names. Nothing was kept."


class MalformedDigest(BadRequest):
    """A Repr-Digest that can't be read (RFC 9530)."""

    code = "files.malformed_digest"
    detail = "Repr-Digest must hold one SHA-256 digest: sha-256=:<base64 of 32 bytes>:."


class MalformedMultipart(BadRequest):
    """A multipart body that can't be read (RFC 7578)."""

    code = "files.malformed_multipart"
    detail = "The multipart body can't be read. Nothing was kept."


class NothingSent(BadRequest):
    """Neither a body nor a word about one: a client's mistake more likely than an empty file."""

    code = "files.nothing_sent"
    detail = (
        "Send a form with the part `file`, or the bytes with their Content-Type, also when there are none."
    )


class NothingChosen(Unprocessable):
    """A form that was sent without a file having been chosen (HTML standard, section 4.10.22.4)."""

    code = "files.nothing_chosen"
    detail = "No file was chosen: the part `file` of the form has neither a name nor bytes. Choose a file and send it."


class NoFileInBody(AppError):
    """A body of a type that clients make of parameters. A file of this type comes with a name."""

    code = "files.no_file_in_body"
    status, title = 415, "Unsupported type"
    detail = (
        "The body holds parameters and no file. Send a form (multipart/form-data) with the file in the part `file`, or"
        " the bytes of the file as the body, with its name in Content-Disposition."
    )


class MalformedDisposition(BadRequest):
    """A Content-Disposition that can't be read (RFC 6266)."""

    code = "files.malformed_disposition"
    detail = "Content-Disposition can't be read; write it like: attachment; filename*=UTF-8''holiday.jpg."


class UploadInterrupted(BadRequest):
    """The client went away before the end."""

    code = "files.upload_torn"
    detail = "The upload ended before all bytes had arrived. Nothing was kept."


class DetailsRefused(Unprocessable):
    """Name, tags or metadata that can't be kept."""

    code = "files.details_refused"
    detail = "The name, the tags or the metadata of this file can't be accepted."


class PreconditionFailed(AppError):
    """If-Match or If-Unmodified-Since don't hold (RFC 9110, section 13)."""

    code = "files.precondition_failed"
    status, title = 412, "A precondition failed"
    detail = "The file is not the one that the precondition names."


class RangeNotSatisfiable(AppError):
    """A Range that lies outside, or too many of them (RFC 9110, section 14)."""

    code = "files.range_not_satisfiable"
    status, title = 416, "Range not satisfiable"
    detail = "The file does not have the bytes that Range asks for, or Range asks for too many pieces."

    def __init__(self, *, size: int) -> None:
        """Tell the size of the whole in bytes."""
        super().__init__(size=size)
        self.size = size

    @property
    def headers(self) -> dict[str, str]:
        """The size, as RFC 9110, section 15.5.17 asks for."""
        return {"Content-Range": f"bytes */{self.size}"}


class RenditionNotFound(NotFound):
    """A rendition that is not made of this type of file."""

    code = "files.rendition_not_found"
    detail = "There is no rendition of this name for this file."


class RenditionFailed(Conflict):
    """It could not be made; the extension `problem` says why."""

    code = "files.rendition_failed"
    detail = "This rendition could not be made. The file itself can be downloaded."


class ImageTooLarge(Unprocessable):
    """More pixels, longer sides, more frames or more memory than the limits allow, told from the header."""

    code = "files.image_too_large"
    detail = "The image is larger than this server opens."


class UnsupportedCodec(Unprocessable):
    """The container is known, the codec inside has no decoder in this build of the libraries."""

    code = "files.unsupported_codec"
    detail = "This server has no decoder for how its content is coded. The file itself can be downloaded."


class BrokenDocument(Unprocessable):
    """A parser can't read it."""

    code = "files.broken_document"
    detail = "Its content is damaged or isn't what its type says."


class NoPages(Unprocessable):
    """A document that can be read and has nothing to show."""

    code = "files.no_pages"
    detail = "The document has no pages."


class PasswordRequired(Unprocessable):
    """An encrypted document."""

    code = "files.password_required"
    detail = "It can only be read with a password."


class ParserLimit(Unprocessable):
    """A parser was ended: too much time, memory or output."""

    code = "files.parser_limit"
    detail = "Reading it takes more time or memory than this server allows."


class WorkCancelled(Conflict):
    """Somebody ended the job before everything was made."""

    code = "files.work_cancelled"
    detail = "The work on this file was cancelled. Retry its job to have it made."


class WorkNotFinished(AppError):
    """The job ended without a word."""

    code = "files.work_not_finished"
    title = "Not finished"
    detail = "The work on this file ended without a result. Retry its job to have it made."


class SandboxUnavailable(Unavailable):
    """The confined process can't be started here. `reason` is a sentence for operators; clients don't see it."""

    code = "files.sandbox_unavailable"
    detail = "Images and documents can't be opened safely on this machine at the moment."

    def __init__(self, *, reason: str = "") -> None:
        """Keep the reason."""
        super().__init__()
        self.reason = reason


class StoreUnavailable(Unavailable):
    """The object store can't be reached."""

    code = "files.store_unavailable"
    detail = "The file store can't be reached. Nothing was changed; try again in a moment."


class StoreFull(AppError):
    """No space left (RFC 4918, section 11.5)."""

    code = "files.store_full"
    status, title = 507, "Insufficient storage"
    detail = "The file store has no space left. Nothing was kept."
