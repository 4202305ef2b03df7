"""The program of the sandbox process, which opens untrusted images and documents.

It reads one JSON object per line from standard input and writes one per line to standard output. Of the rest of Tulou
it imports `shared.normal_forms` only. It holds no secret, and is confined before the first request: see `confinement`.
"""

import codecs
import json
import sys

from domains.files.gateway import confinement, linux
from domains.files.gateway.rendering import documents, pictures
from domains.files.gateway.rendering.responses import Operation, Request, Response, run_operation


def main() -> None:
    """Confine this process, then serve requests until standard input ends."""
    given = json.loads(sys.stdin.readline())
    confined = given.pop("confined")
    limits = confinement.Limits(**given)
    try:
        _confine(limits) if confined else _prepare_without_confinement(limits)
    except linux.ConfinementUnavailableError as error:
        _write_response({"unavailable": str(error)})
        return
    except Exception as error:  # noqa: BLE001  # every reason is reported to the worker
        _write_response(
            {"unavailable": f"The confined process does not start ({type(error).__name__}: {error})."[:500]}
        )
        return
    _write_response({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        _write_response({"id": request["id"], **_perform(request)})


def _confine(limits: confinement.Limits) -> None:
    confinement.give_up_files(limits)
    _load_libraries()
    confinement.give_up_capabilities()
    _prepare_libraries()
    confinement.give_up_the_rest(limits)


def _prepare_without_confinement(limits: confinement.Limits) -> None:
    _load_libraries()
    _prepare_libraries()
    confinement.limit_resources(limits)


def _load_libraries() -> None:
    """Import the parsers without using them: no thread may start before `give_up_capabilities`.

    Later imports fail if the interpreter lies in a folder that only root may enter.
    """
    import pypdfium2  # noqa: F401, PLC0415  # only this process may load it
    import pyvips  # noqa: F401, PLC0415

    codecs.lookup("utf-16-le")  # the encoding of text in pdfium


def _prepare_libraries() -> None:
    """Use both libraries once, so that the first request is as fast as the others."""
    pictures.prepare()
    documents.prepare()


def _write_response(response: Response) -> None:
    sys.stdout.write(json.dumps(response) + "\n")
    sys.stdout.flush()


def _perform(request: Request) -> Response:
    return run_operation(OPERATIONS[request["operation"]], request)


OPERATIONS: dict[str, Operation] = {**pictures.OPERATIONS, **documents.OPERATIONS}
