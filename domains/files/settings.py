"""What can be set about files."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

_MIB = 1 << 20
_GIB = 1 << 30

_OFFICE = "application/vnd.openxmlformats-officedocument"
_DEFAULT_TYPES = (
    "image/jpeg", "image/png", "image/webp", "image/gif", "image/tiff", "image/avif", "image/heic", "image/bmp",
    "application/pdf", "text/plain", "text/csv", "application/json",
    "application/zip", "application/gzip", "application/x-bzip2", "application/x-xz", "application/zstd",
    "application/x-7z-compressed", "application/x-tar", "application/vnd.rar",
    "audio/*", "video/*", "application/ogg",
    f"{_OFFICE}.wordprocessingml.document", f"{_OFFICE}.spreadsheetml.sheet",
    f"{_OFFICE}.presentationml.presentation", "application/vnd.oasis.opendocument.text",
    "application/vnd.oasis.opendocument.spreadsheet", "application/vnd.oasis.opendocument.presentation",
    "application/epub+zip", "application/x-ole-storage", "application/rtf",
)  # fmt: skip


def _split(value: object) -> object:
    return (
        tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
    )


class FilesSettings(BaseModel):
    """Limits, the store and the sandbox of the files domain."""

    files_store_url: str | None = Field(
        None,
        description="Where bytes are kept: s3://bucket/prefix, gs://..., az://... or file:///...; by default a folder"
        " `files` in the data folder. Credentials come from the environment as the provider documents.",
    )
    files_store_endpoint: str | None = Field(
        None,
        description="Another server that speaks S3 (MinIO, Garage, R2 ...): https://host:port; by default AWS.",
        pattern=r"^https?://",
    )
    files_store_region: str | None = Field(None, description="Region of an S3 bucket.")
    files_store_path_style: Literal["on", "off"] = Field(
        "on",
        description="With an endpoint of your own: whether the bucket stands in the path, or in the host's name.",
    )
    files_store_key_id: SecretStr | None = Field(
        None,
        description="Access key of an S3 store; by default what the environment or the machine's role gives.",
    )
    files_store_secret: SecretStr | None = Field(None, description="Secret of that access key.")
    files_store_patience: float = Field(
        20, description="Seconds in which a request to a store in the network is tried again.", gt=0, le=600
    )
    files_max_bytes: int = Field(_GIB, description="The largest file, in bytes.", gt=0, le=1 << 50)
    files_quota_bytes: int = Field(
        10 * _GIB, description="What one person may keep, the trash included, in bytes.", gt=0, le=1 << 60
    )
    files_max_count: int = Field(
        100_000, description="How many files one person may keep, the trash included.", gt=0, le=1 << 40
    )
    files_allowed_types: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        _DEFAULT_TYPES,
        description="Content types that are accepted, told from the bytes; separated by commas; `audio/*` means all"
        " of a kind. HTML and SVG are never accepted.",
    )
    files_trash_days: int = Field(
        30, description="Days until a deleted file is gone for good.", ge=0, le=3650
    )
    files_erasures_days: int = Field(
        400,
        description="Days that the store keeps the ids of erased accounts, which a restore erases again. No backup that"
        " is ever restored should be older.",
        ge=1,
        le=36_500,
    )
    files_abandoned_hours: float = Field(
        24, description="Hours after which an upload that never ended is swept away.", gt=0, le=720
    )
    files_max_tags: int = Field(20, description="Tags of one file.", ge=0, le=100)
    files_max_metadata_bytes: int = Field(
        8192, description="Metadata of one file, in bytes of JSON.", ge=2, le=65536
    )
    files_max_metadata_values: int = Field(
        256, description="Members and elements in the metadata of one file, at every depth.", ge=1, le=10_000
    )
    files_search_terms: int = Field(
        16, description="Words and phrases that one search may look for.", ge=1, le=100
    )
    files_max_ranges: int = Field(
        10, description="Ranges that one download request may ask for.", ge=1, le=100
    )
    files_multipart_max_parts: int = Field(32, description="Parts of a multipart upload.", ge=1, le=1000)
    files_multipart_max_header_bytes: int = Field(
        8192, description="One header of a part of a multipart upload, in bytes.", ge=256, le=65536
    )
    files_multipart_max_field_bytes: int = Field(
        8192, description="One field beside the file in a multipart upload, in bytes.", ge=64, le=_MIB
    )
    files_max_pixels: int = Field(
        40_000_000, description="The largest image that is opened, in pixels.", gt=0, le=1_000_000_000
    )
    files_max_side: int = Field(
        65_535,
        description="The longest side of an image that is opened, in pixels. 65,535 is the most that JPEG has.",
        gt=0,
        le=1_000_000,
    )
    files_max_frames: int = Field(
        1000,
        description="Pages or frames of an image that is opened; the first is shown.",
        gt=0,
        le=1_000_000,
    )
    files_text_max_pages: int = Field(
        2000, description="Pages of a document of which the text is kept.", gt=0, le=1_000_000
    )
    files_text_max_characters: int = Field(
        _MIB, description="Text kept of a document, in characters.", gt=0, le=64 * _MIB
    )
    files_sandbox: Literal["on", "off"] = Field(
        "on",
        description="Take network, new processes and foreign files from the process that opens images and documents"
        " (Linux, x86_64 and aarch64). Where that is impossible nothing is rendered, unless this is `off`,"
        " which production refuses.",
    )
    files_sandbox_user: int = Field(
        65533,
        description="User and group id that this process takes when the worker runs as root. Nothing else should run as"
        " or belong to it.",
        ge=1,
        le=4_294_967_294,
    )
    files_sandbox_threads: int = Field(
        4096,
        description="Processes and threads that the user of this process may have on the machine in all (RLIMIT_NPROC)"
        " when it wants another thread.",
        ge=16,
        le=1_000_000,
    )
    files_sandbox_memory_bytes: int = Field(
        512 * _MIB, description="Address space of that process, in bytes.", ge=128 * _MIB, le=16 * _GIB
    )
    files_sandbox_cpu_seconds: int = Field(
        10, description="Processor time of one operation on a file, in seconds.", ge=1, le=3600
    )
    files_sandbox_seconds: float = Field(60, description="Time of one rendition, in seconds.", gt=0, le=3600)
    files_sandbox_output_bytes: int = Field(
        64 * _MIB, description="The largest rendition, in bytes.", ge=65536, le=4 * _GIB
    )
    files_sandbox_operations: int = Field(
        500, description="Renditions after which that process is replaced by a fresh one.", ge=1, le=1_000_000
    )
    files_sandbox_shared: Literal["on", "off"] = Field(
        "off",
        description="Keep that process for the files of the next person. That saves a tenth of a second of processor"
        " time whenever another person's file is next; but a process that was taken over would see the files after.",
    )
    files_scratch_folder: Path | None = Field(
        None,
        description="Where files are copied to while they are worked on; by default the system's temporary folder.",
    )
