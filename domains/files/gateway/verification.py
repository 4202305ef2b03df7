"""Verification from outside that a process is confined, by the status of each of its threads (proc(5))."""

from pathlib import Path

_NONE = 0


def find_missing_confinement(pid: int, *, was_root: bool) -> str | None:
    """Return what the confinement of a process lacks; None if nothing.

    All of its threads must be under a seccomp filter, without new privileges, without capabilities and not root's; and
    not of root's group, if the process that started them `was_root`.
    """
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        found = [reason for thread in threads if (reason := _of_thread(thread, was_root=was_root))]
    except OSError as error:
        return f"its state can't be read from /proc ({error.strerror})"
    if not threads:
        return "it has no threads"
    return found[0] if found else None


def _of_thread(thread: Path, *, was_root: bool) -> str | None:
    try:
        lines = (thread / "status").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None  # the thread has ended
    status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    missing = {
        "has no seccomp filter": status.get("Seccomp") != ["2"],
        "may gain privileges": status.get("NoNewPrivs") != ["1"],
        "is root": _is_root(status, "Uid"),
        "is of root's group": was_root and (_is_root(status, "Gid") or bool(status.get("Groups"))),
        "has capabilities": any(
            int("".join(status.get(name, ["1"])), 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")
        ),
    }
    return next((f"the thread {thread.name} {what}" for what, is_so in missing.items() if is_so), None)


def _is_root(status: dict[str, list[str]], name: str) -> bool:
    return "0" in status.get(name, ["0"])
