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
    UploadTorn,
)
from domains.files.router.delivery import Representation, deliver
from domains.files.router.disposition import Disposition
from domains.files.router.intake import incoming_of
from domains.files.router.wording import ASKING, DOWNLOAD, DOWNLOAD_HEADERS, UPLOAD
from domains.files.schemas import FileBody, FileChanges, RenditionBody, RenditionList, UsageBody
from domains.files.service.library import LibraryService
from domains.files.service.uploads import UploadService
from shared.db.pagination import Page, PageRequest, link_next, page_request
from shared.db.preconditions import WeakCondition
from shared.http.middleware.concurrency import Activity, Busy, Room, TooManyInProgress, room_for
from shared.http.middleware.response_headers import sends
from shared.http.routing import Router, problems, streams_body
from shared.identity import Caller
from shared.text import composed
from shared.wiring import accessor

router = Router(prefix="/v1/files", tags=["files"])

Library = Annotated[LibraryService, Depends(accessor("files.library", LibraryService))]
Uploads = Annotated[UploadService, Depends(accessor("files.uploads", UploadService))]
RoomForUpload = Annotated[Room, Depends(room_for(Activity.UPLOAD))]
RoomForDownload = Annotated[Room, Depends(room_for(Activity.DOWNLOAD, at_once=False))]
Shown = Annotated[
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
    UploadTorn,
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
    openapi_extra=UPLOAD,
    responses={201: {"headers": sends("Location")}, **problems(*_UPLOAD_PROBLEMS)},
)
@streams_body
async def upload_file(
    request: Request,
    response: Response,
    caller: Caller,
    uploads: Uploads,
    room: RoomForUpload,  # noqa: ARG001  # held until the upload has ended
) -> FileBody:
    """Store a file: as the part `file` of a form, or as the raw body.

    The type is told from the bytes. Renditions are made in the background: follow the `jobs` in the answer.
    """
    incoming = await incoming_of(request, caller, uploads.settings)
    file = await uploads.receive(incoming)
    response.headers["Location"] = f"/v1/files/{file.id}"
    return file


@router.get("", summary="List your files", responses=problems(SearchTooLong))
async def list_files(  # FastAPI names them
    request: Request,
    response: Response,
    caller: Caller,
    library: Library,
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
    found = await library.listed(caller.user_id, page, filters, looked_for=q, trashed=deleted)
    link_next(request, response, found)
    return found


@router.get("/usage", summary="See how much you keep")
async def read_usage(caller: Caller, library: Library) -> UsageBody:
    """Tell how much you keep and may keep."""
    return await library.usage(caller.user_id)


@router.get(
    "/{file_id}",
    summary="Read a file's details",
    responses=problems(FileNotFound),
)
async def read_file(file_id: UUID, caller: Caller, library: Library) -> FileBody:
    """Return one file, its renditions and the work under way."""
    return await library.get(file_id, caller.user_id)


@router.patch(
    "/{file_id}",
    summary="Change a file's details",
    responses=problems(FileNotFound, FileInTrash, DetailsRefused),
)
async def change_file(file_id: UUID, changes: FileChanges, caller: Caller, library: Library) -> FileBody:
    """Change a file's name, tags or metadata."""
    return await library.change(file_id, caller.user_id, changes)


@router.delete(
    "/{file_id}",
    summary="Put a file into the trash",
    status_code=204,
    responses=problems(FileNotFound),
)
async def delete_file(file_id: UUID, caller: Caller, library: Library) -> None:
    """Put a file into the trash. It can be restored until it is purged there."""
    await library.trash(file_id, caller.user_id)


@router.post(
    "/{file_id}/restore",
    summary="Take a file out of the trash",
    responses=problems(FileNotFound),
)
async def restore_file(file_id: UUID, caller: Caller, library: Library) -> FileBody:
    """Take a file out of the trash."""
    return await library.restore(file_id, caller.user_id)


@router.get(
    "/{file_id}/content",
    summary="Download a file",
    response_class=Response,
    openapi_extra=ASKING,
    responses={**DOWNLOAD, **problems(*_DOWNLOAD_PROBLEMS)},
)
async def download_file(
    request: Request,
    file_id: UUID,
    caller: Caller,
    library: Library,
    room: RoomForDownload,
    disposition: Shown = "attachment",
) -> Response:
    """Download a file's bytes: all, or the ranges that `Range` asks for."""
    content = await library.content(file_id, caller.user_id)
    what = Representation(
        content.storage_key,
        content.size,
        content.sha256,
        content.media_type,
        content.name,
        content.created_at,
    )
    return await deliver(
        request,
        library,
        what,
        room=room,
        disposition=disposition,
        max_ranges=library.settings.files_max_ranges,
    )


@router.head(
    "/{file_id}/content",
    summary="Ask about a download",
    response_class=Response,
    openapi_extra=ASKING,
    responses={
        200: {"description": "The headers of a download.", "headers": DOWNLOAD_HEADERS},
        304: DOWNLOAD[304],
        **problems(*_DOWNLOAD_PROBLEMS),
    },
)
async def head_file_content(
    request: Request,
    file_id: UUID,
    caller: Caller,
    library: Library,
    room: RoomForDownload,
    disposition: Shown = "attachment",
) -> Response:
    """Return the headers that a download would have."""
    return await download_file(request, file_id, caller, library, room, disposition)


@router.get(
    "/{file_id}/renditions",
    summary="List what was made of a file",
    responses=problems(FileNotFound),
)
async def list_renditions(file_id: UUID, caller: Caller, library: Library) -> RenditionList:
    """List what was, is being or could not be made of a file."""
    return RenditionList(data=list(await library.renditions(file_id, caller.user_id)))


@router.get(
    "/{file_id}/renditions/{name}",
    summary="Download a rendition",
    response_class=Response,
    openapi_extra=ASKING,
    responses={
        **DOWNLOAD,
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
    library: Library,
    room: RoomForDownload,
    disposition: Shown = "attachment",
) -> Response:
    """Download a rendition: `thumb`, `small` and `large` of images, `preview` and `text` of PDFs."""
    row = await library.rendition(file_id, caller.user_id, name)
    if row.size is None or row.sha256 is None:
        body = RenditionBody.of(row).model_dump(mode="json")
        return JSONResponse(body, status_code=202, headers={"Retry-After": "1", "Cache-Control": "no-store"})
    ending = "webp" if row.content_type == "image/webp" else "txt"
    what = Representation(
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
        library,
        what,
        room=room,
        disposition=disposition,
        max_ranges=library.settings.files_max_ranges,
    )
