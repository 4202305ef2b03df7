"""OpenAPI of uploads and downloads, whose bodies FastAPI does not know."""

from typing import Any

from shared.http.response_headers import sends

_BINARY = {"schema": {"type": "string", "format": "binary"}}
DOWNLOAD_HEADERS = sends("Accept-Ranges", "Cache-Control", "Content-Disposition", "ETag", "Last-Modified")
_ETAG = '"9f86d081884c7d65"'


def _header(name: str, description: str, example: str) -> dict[str, Any]:
    schema = {"type": "string"}
    return {"name": name, "in": "header", "schema": schema, "description": description, "example": example}


UPLOAD_OPENAPI: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "title": "FileUpload",
                    "description": "A file with its tags and metadata.",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "The bytes, with a name.",
                            "examples": ["(the bytes)"],
                        },
                        "tags": {
                            "type": "array",
                            "items": {"type": "string", "maxLength": 64},
                            "description": "The tags; empty ones are ignored.",
                            "examples": [["holiday"]],
                        },
                        "metadata": {
                            "type": "string",
                            "description": "A JSON object of yours.",
                            "examples": ['{"camera": "mine"}'],
                        },
                    },
                },
                "encoding": {"tags": {"style": "form", "explode": True}},
            },
            "application/octet-stream": _BINARY,
        },
    },
    "parameters": [
        _header(
            "Repr-Digest",
            "`sha-256=:<base64>:` of the file (RFC 9530); other bytes are refused.",
            "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
        ),
        _header(
            "Content-Disposition",
            "For a raw body: `attachment; filename*=UTF-8''name.ext`.",
            "attachment; filename*=UTF-8''holiday.jpg",
        ),
    ],
}
DOWNLOAD_PARAMETERS: dict[str, Any] = {
    "parameters": [
        _header("Range", "Which bytes (RFC 9110, section 14.2).", "bytes=1000-1999"),
        _header("If-Range", "An ETag or a date: returns all bytes unless it is the present one.", _ETAG),
        _header("If-None-Match", "Returns 304 if one of these ETags is the present one.", _ETAG),
        _header("If-Match", "Returns 412 unless one of these ETags is the present one.", "*"),
    ],
}

DOWNLOAD_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The bytes, in the type of the file.",
        "headers": DOWNLOAD_HEADERS,
        "content": {"application/octet-stream": _BINARY, "*/*": _BINARY},
    },
    206: {
        "description": "The requested ranges.",
        "headers": DOWNLOAD_HEADERS | sends("Content-Range"),
        "content": {"application/octet-stream": _BINARY, "*/*": _BINARY},
    },
    304: {"description": "The client has the present bytes.", "headers": sends("ETag", "Cache-Control")},
}
