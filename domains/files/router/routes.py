"""Files over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from domains.files.errors import (
    DetailsRefused,
    DigestMismatch,
    FileInTrash,
    FileNotComplete,
    FileNotFound,
    FileTooLarge,
    MalformedDigest,
    MalformedDisposition,
    MalformedMultipart,
    NoFileInBody,
    NothingChosen,
    NothingSent,
    PreconditionFailed,
    QuotaExceeded,
    RangeNotSatisfiable,
    RenditionFailed,
    RenditionNotFound,
    SearchTooLong,
    StoreFull,
    StoreUnavailable,
    TypeRefused,
    UploadInterrupted,
)
from domains.files.router.delivery import Representation, deliver
from domains.files.router.disposition import Disposition
from domains.files.router.openapi import (
    DOWNLOAD_HEADERS,
    DOWNLOAD_PARAMETERS,
    DOWNLOAD_RESPONSES,
    UPLOAD_OPENAPI,
)
from domains.files.router.upload_request import parse_upload
from domains.files.schemas import FileBody, FileChanges, RenditionBody, RenditionList, UsageBody
from domains.files.service.file_service import FileService
from domains.files.service.uploads import UploadService
from shared.db.pagination import Page, PageRequest, link_next, page_request
from shared.db.preconditions import WeakCondition
from shared.http.middleware.concurrency import Activity, Busy, RequestSlot, TooManyInProgress, request_slot
from shared.http.middleware.response_headers import sends
from shared.http.routing import Router, problems, streams_body
from shared.identity import Caller
from shared.text import composed
from shared.wiring import accessor

router = Router(prefix="/v1/files", tags=["files"])

Files = Annotated[FileService, Depends(accessor("files.service", FileService))]
Uploads = Annotated[UploadService, Depends(accessor("files.uploads", UploadService))]
UploadSlot = Annotated[RequestSlot, Depends(request_slot(Activity.UPLOAD))]
DownloadSlot = Annotated[RequestSlot, Depends(request_slot(Activity.DOWNLOAD, at_once=False))]
DispositionParameter = Annotated[
    Disposition,
    Query(
        description="`inline` only counts for renditions that are pictures; everything else is an attachment.",
        examples=["inline"],
    ),
]
MediaType = Annotated[
    str | None,
    Query(
        pattern=r"^[A-Za-z0-9.+-]{1,127}(/(\*|[A-Za-z0-9.+-]{1,127}))?$",
        description="A content type, or a kind of them.",
        examples=["image", "application/pdf"],
    ),
]

RenditionName = Annotated[str, Path(description="Which of the renditions.", examples=["thumb"])]
_UPLOAD_PROBLEMS = (
    NothingSent,
    NothingChosen,
    NoFileInBody,
    MalformedMultipart,
    MalformedDisposition,
    MalformedDigest,
    DigestMismatch,
    UploadInterrupted,
    FileTooLarge,
    QuotaExceeded,
    TypeRefused,
    DetailsRefused,
    StoreUnavailable,
    StoreFull,
    TooManyInProgress,
    Busy,
)
_DOWNLOAD_PROBLEMS = (
    FileNotFound,
    FileInTrash,
    FileNotComplete,
    PreconditionFailed,
    WeakCondition,
    RangeNotSatisfiable,
    StoreUnavailable,
    TooManyInProgress,
    Busy,
)


@router.post(
    "",
    summary="Upload a file",
    status_code=201,
    openapi_extra=UPLOAD_OPENAPI,
    responses={201: {"headers": sends("Location")}, **problems(*_UPLOAD_PROBLEMS)},
)
@streams_body
async def upload_file(
    request: Request,
    response: Response,
    caller: Caller,
    uploads: Uploads,
    slot: UploadSlot,  # noqa: ARG001  # held until the upload has ended
) -> FileBody:
    """Store a file: as the part `file` of a form, or as the raw body.

    The type is told from the bytes. Renditions are made in the background: follow the `jobs` in the answer.
    """
    incoming = await parse_upload(request, caller, uploads.settings)
    file = await uploads.receive(incoming)
    response.headers["Location"] = f"/v1/files/{file.id}"
    return file


@router.get("", summary="List your files", responses=problems(SearchTooLong))
async def list_files(  # FastAPI names them
    request: Request,
    response: Response,
    caller: Caller,
    file_service: Files,
    page: Annotated[PageRequest, page_request("created_at", "name", "size")],
    type: MediaType = None,  # noqa: A002  # the parameter's public name
    tag: Annotated[
        str | None, Query(max_length=64, description="A tag that the files have.", examples=["family"])
    ] = None,
    q: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=200,
            description='Words that name or text contain; `"exact phrase"`, `or` and `-without` are understood.',
            examples=["holiday -winter"],
        ),
    ] = None,
    deleted: Annotated[bool, Query(description="List the trash instead.")] = False,  # noqa: FBT002
) -> Page[FileBody]:
    """List your files, newest first."""
    kind, _, subtype = (type or "").partition("/")
    filters = {
        "content_type": type if subtype not in {"", "*"} else None,
        "kind": kind if kind and subtype in {"", "*"} else None,
        "tag": tag and composed(tag),
    }
    found = await file_service.listed(caller.user_id, page, filters, query=q, trashed=deleted)
    link_next(request, response, found)
    return found


@router.get("/usage", summary="See how much you keep")
async def read_usage(caller: Caller, file_service: Files) -> UsageBody:
    """Tell how much you keep and may keep."""
    return await file_service.usage(caller.user_id)


@router.get(
    "/{file_id}",
    summary="Read a file's details",
    responses=problems(FileNotFound),
)
async def read_file(file_id: UUID, caller: Caller, file_service: Files) -> FileBody:
    """Return one file, its renditions and the work under way."""
    return await file_service.get(file_id, caller.user_id)


@router.patch(
    "/{file_id}",
    summary="Change a file's details",
    responses=problems(FileNotFound, FileInTrash, DetailsRefused),
)
async def change_file(file_id: UUID, changes: FileChanges, caller: Caller, file_service: Files) -> FileBody:
    """Change a file's name, tags or metadata."""
    return await file_service.change(file_id, caller.user_id, changes)


@router.delete(
    "/{file_id}",
    summary="Put a file into the trash",
    status_code=204,
    responses=problems(FileNotFound),
)
async def delete_file(file_id: UUID, caller: Caller, file_service: Files) -> None:
    """Put a file into the trash. It can be restored until it is purged there."""
    await file_service.trash(file_id, caller.user_id)


@router.post(
    "/{file_id}/restore",
    summary="Take a file out of the trash",
    responses=problems(FileNotFound),
)
async def restore_file(file_id: UUID, caller: Caller, file_service: Files) -> FileBody:
    """Take a file out of the trash."""
    return await file_service.restore(file_id, caller.user_id)


@router.get(
    "/{file_id}/content",
    summary="Download a file",
    response_class=Response,
    openapi_extra=DOWNLOAD_PARAMETERS,
    responses={**DOWNLOAD_RESPONSES, **problems(*_DOWNLOAD_PROBLEMS)},
)
async def download_file(
    request: Request,
    file_id: UUID,
    caller: Caller,
    file_service: Files,
    slot: DownloadSlot,
    disposition: DispositionParameter = "attachment",
) -> Response:
    """Download a file's bytes: all, or the ranges that `Range` asks for."""
    content = await file_service.content(file_id, caller.user_id)
    representation = Representation(
        content.storage_key,
        content.size,
        content.sha256,
        content.media_type,
        content.name,
        content.created_at,
    )
    return await deliver(
        request,
        file_service,
        representation,
        slot=slot,
        disposition=disposition,
        max_ranges=file_service.settings.files_max_ranges,
    )


@router.head(
    "/{file_id}/content",
    summary="Ask about a download",
    response_class=Response,
    openapi_extra=DOWNLOAD_PARAMETERS,
    responses={
        200: {"description": "The headers of a download.", "headers": DOWNLOAD_HEADERS},
        304: DOWNLOAD_RESPONSES[304],
        **problems(*_DOWNLOAD_PROBLEMS),
    },
)
async def head_file_content(
    request: Request,
    file_id: UUID,
    caller: Caller,
    file_service: Files,
    slot: DownloadSlot,
    disposition: DispositionParameter = "attachment",
) -> Response:
    """Return the headers that a download would have."""
    return await download_file(request, file_id, caller, file_service, slot, disposition)


@router.get(
    "/{file_id}/renditions",
    summary="List what was made of a file",
    responses=problems(FileNotFound),
)
async def list_renditions(file_id: UUID, caller: Caller, file_service: Files) -> RenditionList:
    """List what was, is being or could not be made of a file."""
    return RenditionList(data=list(await file_service.renditions(file_id, caller.user_id)))


@router.get(
    "/{file_id}/renditions/{name}",
    summary="Download a rendition",
    response_class=Response,
    openapi_extra=DOWNLOAD_PARAMETERS,
    responses={
        **DOWNLOAD_RESPONSES,
        202: {
            "description": "It is being made; ask again after `Retry-After` seconds.",
            "headers": sends("Retry-After"),
            "model": RenditionBody,
        },
        **problems(*_DOWNLOAD_PROBLEMS, RenditionNotFound, RenditionFailed),
    },
)
async def download_rendition(  # FastAPI names them
    request: Request,
    file_id: UUID,
    name: RenditionName,
    caller: Caller,
    file_service: Files,
    slot: DownloadSlot,
    disposition: DispositionParameter = "attachment",
) -> Response:
    """Download a rendition: `thumb`, `small` and `large` of images, `preview` and `text` of PDFs."""
    row = await file_service.rendition(file_id, caller.user_id, name)
    if row.size is None or row.sha256 is None:
        body = RenditionBody.of(row).model_dump(mode="json")
        return JSONResponse(body, status_code=202, headers={"Retry-After": "1", "Cache-Control": "no-store"})
    ending = "webp" if row.content_type == "image/webp" else "txt"
    representation = Representation(
        row.storage_key,
        row.size,
        row.sha256,
        row.content_type,
        f"{row.name}.{ending}",
        row.updated_at,
        encoded_here=True,
    )
    return await deliver(
        request,
        file_service,
        representation,
        slot=slot,
        disposition=disposition,
        max_ranges=file_service.settings.files_max_ranges,
    )
