"""The renderer's program with one compromised operation, which attacks from a thread of the chosen kind.

Run by the sandbox in place of the renderer: `python -I -c "..."`, see `program`.
"""

import ctypes
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from domains.files.gateway import confinement, landlock, linux, renderer, seccomp
from tests.security.sandbox.attacks import attack

PROJECT = Path(__file__).parents[3]
CALLBACK = ctypes.CFUNCTYPE(None)(lambda: None)
"""As long as there is one callback, others need no new executable memory, which the filter refuses."""


def program(kind: str, without: str) -> tuple[str, ...]:
    """Return the command of a renderer that is hostile on a thread of this kind, and lacks one layer."""
    code = (
        f"import sys; sys.path.insert(0, {str(PROJECT)!r});"
        f"from tests.security.sandbox import hostile; hostile.main({kind!r}, {without!r})"
    )
    return (sys.executable, "-I", "-c", code)


def main(kind: str, without: str) -> None:
    WEAKENED[without]()
    renderer.OPERATIONS["extract_text"] = lambda request: _take_over(kind, request)
    renderer.main()


def _take_over(kind: str, request: dict[str, Any]) -> dict[str, Any]:
    target = json.loads(Path(request["input"]).read_text()) | {
        "output": request["output"],
        "source": request["input"],
    }
    found: dict[str, Any] = {}

    def once() -> None:
        if not found and (kind != "pool" or threading.current_thread() is not threading.main_thread()):
            found["main"] = threading.current_thread() is threading.main_thread()
            try:
                found["outcomes"] = attack(target)
            except BaseException:  # noqa: BLE001  # told to the test
                found["error"] = traceback.format_exc()

    THREADS[kind](once)
    text = json.dumps(found)
    Path(request["output"]).write_text(text, encoding="utf-8")
    return {"characters": len(text), "truncated": False, "damaged": False}


def _from_pool(attack_once: Callable[[], None]) -> None:
    """Decode a picture whose bytes come from a function: libvips calls it on the threads that decode."""
    import pyvips

    noise = pyvips.Image.gaussnoise(1000, 1000).cast("uchar")
    data, position = noise.pngsave_buffer(), 0

    def read(size: int) -> bytes:
        nonlocal position
        attack_once()
        piece = data[position : position + size]
        position += len(piece)
        return piece

    source = pyvips.SourceCustom()
    source.on_read(read)
    pyvips.Image.pngload_source(source, access="sequential").avg()


def _from_pdfium(attack_once: Callable[[], None]) -> None:
    """Open a document whose bytes come from an object: pdfium calls back for each piece."""
    import io

    import pypdfium2

    class Stream(io.BytesIO):
        def readinto(self, buffer: Any) -> int:
            attack_once()
            return super().readinto(buffer)

    try:
        pypdfium2.PdfDocument(Stream(b"%PDF-1.4\n" + bytes(2000)))
    except pypdfium2.PdfiumError:
        return


THREADS: dict[str, Callable[[Callable[[], None]], None]] = {
    "main": lambda attack_once: attack_once(),
    "pool": _from_pool,
    "pdfium": _from_pdfium,
}


def _nothing(*_arguments: object, **_named: object) -> None:
    return


def _without_landlock() -> None:
    landlock.restrict_thread = _nothing
    confinement._require_refusals = _nothing


def _in_the_old_order() -> None:
    """Load and use the libraries first; then confine the thread that asks for it."""
    seccomp._FLAG_TSYNC = 0
    confinement._require_one_thread = _nothing
    confinement._require_refusals = _nothing

    def confine(limits: confinement.Limits) -> None:
        renderer._load_libraries()
        renderer._prepare_libraries()
        confinement.give_up_files(limits)
        linux.keep_capabilities(0)
        confinement.give_up_the_rest(limits)

    renderer._confine = confine


def _for_one_thread() -> None:
    """Filter the system calls of the thread that asks for it, and of those that it starts."""
    seccomp._FLAG_TSYNC = 0


def _without_the_allow_list() -> None:
    seccomp.filter_program = lambda _machine: seccomp._return(seccomp.ALLOW)
    confinement._require_refusals = _nothing


def _whatever_the_arguments() -> None:
    seccomp._checked = lambda _alternatives: [seccomp._return(seccomp.ALLOW)]
    confinement._require_refusals = _nothing


def _with_an_old_landlock() -> None:
    landlock._NEWEST_KNOWN = 1


def _without_limits() -> None:
    confinement.limit_resources = _nothing


def _as_the_worker() -> None:
    confinement._drop_root = _nothing


def _with_a_thread() -> None:
    threading.Thread(target=threading.Event().wait, daemon=True).start()


def _of_another_worker() -> None:
    confinement.os = SimpleNamespace(**{**vars(os), "getppid": lambda: 1})


def _on_another_architecture() -> None:
    seccomp.platform = SimpleNamespace(machine=lambda: "vax")


WEAKENED: dict[str, Callable[[], None]] = {
    "nothing": _nothing,
    "landlock": _without_landlock,
    "order": _in_the_old_order,
    "TSYNC": _for_one_thread,
    "newer Landlock": _with_an_old_landlock,
    "allow list": _without_the_allow_list,
    "arguments": _whatever_the_arguments,
    "limits": _without_limits,
    "user": _as_the_worker,
    "one thread": _with_a_thread,
    "parent": _of_another_worker,
    "architecture": _on_another_architecture,
}
