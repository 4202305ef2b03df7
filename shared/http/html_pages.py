"""The HTML pages of this program: one layout, one stylesheet, and headers that allow nothing else."""

import base64
import hashlib
from html import escape
from pathlib import Path

from starlette.responses import HTMLResponse

_STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
}
_LAYOUT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main{kind}>
<h1>{title}</h1>
{content}
</main>
</body>
</html>
"""


def html_page(title: str, content: str, *, status: int = 200, is_wide: bool = False) -> HTMLResponse:
    """Return a page. `title` is plain text, `content` is HTML whose values are escaped already."""
    kind = ' class="wide"' if is_wide else ""
    page = _LAYOUT.format(title=escape(title), style=_STYLE, kind=kind, content=content)
    return HTMLResponse(page, status, headers=_HEADERS)
