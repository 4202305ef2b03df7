"""nginx, where the machine has it: it sends the file `to-download` with `sendfile`, and does nothing else."""

import os
import shutil
from pathlib import Path

PROGRAM = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
_CONFIGURATION = """
daemon off;
worker_processes 1;
{user}
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    sendfile on;
    client_body_temp_path {folder}/nginx-bodies;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    server {{
        listen 127.0.0.1:{port};
        location = / {{ return 200; }}
        location = /download {{ alias {folder}/to-download; }}
    }}
}}
"""


def main() -> None:
    """Become nginx."""
    if PROGRAM is None:
        raise SystemExit("There is no nginx here.")
    folder = Path(os.environ["BENCH_FOLDER"])
    # As root, workers would run as the user nobody, which can't read the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    configuration = folder / "nginx.conf"
    configuration.write_text(
        _CONFIGURATION.format(user=user, folder=folder, port=int(os.environ["TULOU_PORT"]))
    )
    os.execv(PROGRAM, [PROGRAM, "-c", str(configuration), "-e", "stderr"])  # noqa: S606  # the program, no shell


if __name__ == "__main__":
    main()
