"""The examples of fleets route each path to a fleet that serves it, and have a worker for every job."""

import asyncio
import contextlib
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

from bootstrap.api.app import routes_of
from bootstrap.cli.main import app as tulou
from bootstrap.compose import compose
from bootstrap.container import domains_of, exports
from bootstrap.domain_selection import kinds_of, queues_of, with_domains
from shared.jobs import handlers_in
from tests.deployment.examples import (
    KUBERNETES,
    OVERRIDE,
    PROXY,
    Example,
    compose_services,
    with_compose,
    with_kubernetes,
)
from tests.programs import Program, free_port

CHOICES = {"IMAGE", "PROXY_IMAGE", "API_PORT", "SETTINGS_FILE"}
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
KUBECTL = shutil.which("kubectl")

each_example = pytest.mark.parametrize(
    "example", [with_compose(), with_kubernetes()], ids=["compose", "kubernetes"]
)


def option(command: list[str], *names: str) -> str | None:
    return next((command[command.index(name) + 1] for name in names if name in command), None)


@pytest.fixture(scope="module")
def paths_of(settings):
    """Tell which paths processes that serve some domains have, whatever their domains; None: all of them."""

    def find(domains: str | None) -> set[str]:
        return {route.path for route in routes_of(compose(with_domains(settings, domains), "api"))}

    return find


@each_example
def test_each_path_is_sent_to_a_service_that_serves_it(example: Example, paths_of) -> None:
    served = {name: paths_of(option(command, "--domains")) for name, command in example.of("serve").items()}
    assert len(served) == 2
    astray = {
        path: example.service_of(path)
        for path in paths_of(None)
        if path not in served[example.service_of(path)]
    }
    assert astray == {}


@each_example
def test_a_service_of_some_domains_is_sent_all_that_is_theirs(
    example: Example, paths_of, composition
) -> None:
    for name, command in example.of("serve").items():
        if domains := option(command, "--domains"):
            others = set(domains_of(composition)) - set(domains.split(","))
            theirs = paths_of(domains) - paths_of(",".join(others))
            assert {example.service_of(path) for path in theirs} == {name}
            prefixes = {prefix for prefix, service in example.prefixes.items() if service == name}
            assert prefixes == {"/".join(path.split("/")[:3]) for path in theirs}


@each_example
def test_every_job_has_a_worker_and_every_queue_one_kind(example: Example, settings, composition) -> None:
    tasks = exports(composition, "tasks").values()
    jobs = [handler.type for module in tasks for handler in handlers_in(module)]
    done, kinds = set(), Counter()
    for command in example.of("worker").values():
        of_these = with_domains(settings, option(command, "--domains"))
        queues = queues_of(of_these, [option(command, "--queue", "--queues")])
        kinds.update(queues)
        mine = kinds_of(compose(of_these, "worker")) or {job.kind for job in jobs}
        done |= {job.kind for job in jobs if job.queue.name in queues and job.kind in mine}
    assert done == {job.kind for job in jobs}
    assert kinds == dict.fromkeys({job.queue.name for job in jobs}, 1)


@each_example
def test_each_command_is_one_that_the_program_takes(example: Example) -> None:
    for command in example.commands.values():
        assert CliRunner().invoke(tulou, [*command, "--help"]).exit_code == 0, command


def test_only_the_proxy_is_reached_where_the_api_was() -> None:
    plain, overridden = (
        yaml.safe_load((OVERRIDE.parents[2] / "docker-compose.yml").read_text())["services"],
        compose_services(),
    )
    assert {name for name, service in overridden.items() if "ports" in service} == {"proxy", "mail"}
    assert overridden["proxy"]["ports"] == plain["api"]["ports"]
    like_the_api = {**overridden["api"], "command": ["serve", "--domains", "files"]}
    assert overridden["api-files"] == {key: value for key, value in like_the_api.items() if key != "build"}


def test_the_proxy_is_closed_in_and_watched() -> None:
    proxy = compose_services()["proxy"]
    assert (proxy["read_only"], proxy["cap_drop"], proxy["user"]) == (True, ["ALL"], "101:101")
    assert proxy["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "pids_limit", "healthcheck", "stop_grace_period"} <= set(proxy)
    assert "env_file" not in proxy
    assert set(proxy["depends_on"]) == set(with_compose().of("serve"))
    assert f"./{PROXY.relative_to(PROXY.parents[2])}:/etc/nginx/fleets.conf:ro" in proxy["volumes"]


def test_everything_that_the_override_asks_for_is_written_or_chosen() -> None:
    asked = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", OVERRIDE.read_text()))
    assert asked <= CHOICES


@pytest.mark.skipif(KUBECTL is None, reason="kustomize is NOT TESTED: no kubectl here")
def test_kustomize_builds_the_example_with_domain_selection(tmp_path) -> None:
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    overlay = tmp_path / "kubernetes" / "overlays" / "example"
    asked = yaml.safe_load((overlay / "kustomization.yaml").read_text())
    asked["components"].append("../../components/fleets")
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(asked))
    built = subprocess.run([KUBECTL, "kustomize", str(overlay)], capture_output=True, text=True, check=True)
    documents = {
        (found["kind"], found["metadata"]["name"]): found for found in yaml.safe_load_all(built.stdout)
    }
    for document in documents.values():
        if not document["apiVersion"].startswith(("keda.sh/", "monitoring.coreos.com/")):
            kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    paths = documents["Ingress", "tulou"]["spec"]["rules"][0]["http"]["paths"]
    assert {path["path"]: path["backend"]["service"]["name"] for path in paths} == with_kubernetes().prefixes
    for name, command in with_kubernetes().commands.items():
        (container,) = documents["Deployment", name]["spec"]["template"]["spec"]["containers"]
        assert container["args"] == command


@dataclass
class Stub:
    """Answers every request with its name, and keeps what it hears, as it comes."""

    name: str
    heard: bytes = b""

    @property
    def is_heard(self) -> bool:
        """Whether the request has come to its end."""
        return self.heard.endswith(b"\r\n\r\n" if self.heard.startswith(b"GET ") else b"0\r\n\r\n")

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard = b""
        while not self.is_heard and (chunk := await reader.read(1 << 16)):
            self.heard += chunk
        length = f"Content-Length: {len(self.name)}\r\nConnection: close"
        writer.write(f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n{self.name}".encode())
        await writer.drain()
        writer.close()


@pytest.fixture
async def proxied(tmp_path) -> AsyncIterator[tuple[httpx.AsyncClient, dict[str, Stub]]]:
    """The proxy with its own configuration, but for addresses, and stubs behind it."""
    if NGINX is None:
        pytest.skip("the proxy of deploy/compose is NOT TESTED: no nginx here (apt install nginx)")
    stubs = {name: Stub(name) for name in ("api", "api-files")}
    async with contextlib.AsyncExitStack() as stack:
        text, port = PROXY.read_text(), free_port()
        for name, stub in stubs.items():
            behind = await stack.enter_async_context(stub.listening())
            text = text.replace(f"http://{name}:8000;", f"http://127.0.0.1:{behind};")
        text = text.replace("listen 8000;", f"listen 127.0.0.1:{port};").replace(" /tmp/", f" {tmp_path}/")
        (tmp_path / "fleets.conf").write_text(text)
        program = Program([NGINX, "-p", str(tmp_path), "-c", str(tmp_path / "fleets.conf")], {})
        stack.callback(program.stop)
        base = f"http://127.0.0.1:{port}"
        await asyncio.to_thread(program.wait_until_it_answers, base)
        yield await stack.enter_async_context(httpx.AsyncClient(base_url=base)), stubs


async def test_the_proxy_sends_each_path_where_the_example_says(proxied, paths_of) -> None:
    client, stubs = proxied
    paths = [re.sub(r"\{\w+\}", "0199", path) for path in paths_of(None)]
    for path in [*paths, "/", "/v1/filesystems", "/v1/files/a%2Fb"]:
        answer = await client.get(
            f"{path}?q=a%20b", headers={"Host": "api.example.com", "X-Forwarded-For": "192.0.2.7"}
        )
        assert answer.text == with_compose().service_of(path), path
        head = stubs[answer.text].heard.decode()
        assert head.startswith(f"GET {path}?q=a%20b HTTP/1.1\r\nHost: api.example.com\r\n")
        assert "X-Forwarded-For: 192.0.2.7, 127.0.0.1" in head


async def test_uploads_pass_through_the_proxy_as_they_come(proxied) -> None:
    client, stubs = proxied

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        async with asyncio.timeout(10):
            while b"first" not in stubs["api-files"].heard:
                await asyncio.sleep(0.01)
        yield b"last"

    assert (await client.post("/v1/files", content=pieces())).text == "api-files"
    assert b"last" in stubs["api-files"].heard
