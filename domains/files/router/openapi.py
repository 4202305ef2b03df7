"""What the OpenAPI document says about uploads and downloads, whose bodies FastAPI doesn't see."""

from typing import Any

from shared.http.middleware.response_headers import sends

_BINARY = {"schema": {"type": "string", "format": "binary"}}
DOWNLOAD_HEADERS = sends("Accept-Ranges", "Cache-Control", "Content-Disposition", "ETag", "Last-Modified")
_TEXT = {"type": "string"}

UPLOAD_OPENAPI: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "title": "FileUpload",
                    "description": "A file, and what you say about it.",
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
                            "description": "What to find it by; an empty one is left out.",
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
        {
            "name": "Repr-Digest",
            "in": "header",
            "schema": _TEXT,
            "description": "`sha-256=:<base64>:` of the file (RFC 9530); other bytes than these are refused.",
            "example": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
        },
        {
            "name": "Content-Disposition",
            "in": "header",
            "schema": _TEXT,
            "description": "For a raw body: `attachment; filename*=UTF-8''name.ext`.",
            "example": "attachment; filename*=UTF-8''holiday.jpg",
        },
    ],
}

DOWNLOAD_PARAMETERS: dict[str, Any] = {
    "parameters": [
        {
            "name": "Range",
            "in": "header",
            "schema": _TEXT,
            "description": "Which bytes (RFC 9110, section 14.2).",
            "example": "bytes=1000-1999",
        },
        {
            "name": "If-Range",
            "in": "header",
            "schema": _TEXT,
            "description": "An ETag or a date: answers the whole if it isn't the present one.",
            "example": '"9f86d081884c7d65"',
        },
        {
            "name": "If-None-Match",
            "in": "header",
            "schema": _TEXT,
            "description": "Answers 304 if one of these ETags is the present one.",
            "example": '"9f86d081884c7d65"',
        },
        {
            "name": "If-Match",
            "in": "header",
            "schema": _TEXT,
            "description": "Answers 412 unless one of these ETags is the present one.",
            "example": "*",
        },
    ],
}

DOWNLOAD_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The bytes, in the type of the file.",
        "headers": DOWNLOAD_HEADERS,
        "content": {"application/octet-stream": _BINARY, "*/*": _BINARY},
    },
    206: {
        "description": "The ranges asked for.",
        "headers": DOWNLOAD_HEADERS | sends("Content-Range"),
        "content": {"application/octet-stream": _BINARY, "*/*": _BINARY},
    },
    304: {"description": "You have it already.", "headers": sends("ETag", "Cache-Control")},
}
