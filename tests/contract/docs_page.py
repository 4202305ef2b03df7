"""`/docs` in a browser: sign in with its dialog, fill in parameters, press Execute, read the response."""

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Locator, Page, Request, async_playwright

from tools.faults.people import Person

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_TELL_VIOLATIONS = """document.addEventListener('securitypolicyviolation',
    event => console.error('Content Security Policy: ' + event.violatedDirective + ' ' + event.blockedURI))"""
_POLICY = re.compile("content security policy", re.IGNORECASE)
_OWN_SCHEMES = ("data:", "blob:")
_PATIENCE = 20_000
"""Milliseconds."""


def installed_browser() -> str | None:
    """Return the path of a browser of this machine."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


@asynccontextmanager
async def running_browser(path: str) -> AsyncIterator[Browser]:
    """Start a browser without a window and without a profile."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=list(_FLAGS), chromium_sandbox=False
        )
        try:
            yield browser
        finally:
            await browser.close()


@dataclass(frozen=True)
class Answer:
    """What came back, and what was sent."""

    status: int
    sent: dict[str, str]
    query: str
    shown: str


@dataclass
class DocsPage:
    """One page, which is used for one operation after the other."""

    page: Page
    url: str
    offences: list[str] = field(default_factory=list)
    """What the page was not allowed to do, and what it asked of others."""

    @classmethod
    async def open(cls, context: BrowserContext, url: str, document: dict[str, Any]) -> "DocsPage":
        """Load the page. It shows `document`, which may leave out what takes long to draw."""
        opened = cls(await context.new_page(), url)
        opened.page.set_default_timeout(_PATIENCE)
        await opened.page.add_init_script(_TELL_VIOLATIONS)
        opened.page.on("console", lambda message: opened._note_violation(message.text))
        opened.page.on("request", opened._note_stranger)
        await opened.page.emulate_media(reduced_motion="reduce")
        await opened.page.route("**/openapi.json", lambda route: route.fulfill(json=document))
        await opened.page.goto(f"{url}/docs")
        await opened.page.locator(".opblock").first.wait_for()
        return opened

    async def sign_in(self, person: Person) -> None:
        """Sign in by the dialog of Authorize, in place of who was."""
        await self.page.locator(".auth-wrapper .btn.authorize").click()
        dialog = self.page.locator(".dialog-ux .modal-ux")
        log_out = dialog.get_by_text("Logout", exact=True)
        await dialog.wait_for()
        if await log_out.count():
            await log_out.click()
        await dialog.locator("input[name=username], #oauth_username").first.fill(person.email)
        await dialog.locator("input[type=password]").first.fill(person.password)
        await dialog.locator(".auth-btn-wrapper .authorize").click()
        await log_out.wait_for()
        await dialog.locator(".btn-done").click()

    async def execute(
        self, operation: dict[str, Any], method: str, path: str, *, ids: dict[str, str], upload: Path
    ) -> Answer:
        """Press Execute with nothing else typed than ids, and a file chosen where one is asked for."""
        block = self.page.locator(f"#operations-{operation['tags'][0]}-{operation['operationId']}")
        await block.locator(".opblock-summary-control").first.click()
        await block.locator(".try-out__btn").click()
        for name, value in ids.items():
            await block.locator(f"tr[data-param-name={name!r}] input").fill(value)
        for chooser in await block.locator("input[type=file]").all():
            await chooser.set_input_files(upload)
        pattern = re.compile(
            re.escape(self.url) + re.sub(r"\\{\w+\\}", "[^/?]+", re.escape(path)) + r"(\?.*)?"
        )
        async with self.page.expect_response(
            lambda answer: answer.request.method == method and pattern.fullmatch(answer.url) is not None
        ) as expected:
            await block.locator(".btn.execute").click()
        answer = await expected.value
        shown = await self._shown(block)
        await block.locator(".opblock-summary-control").first.click()
        headers = await answer.request.all_headers()
        return Answer(answer.status, headers, answer.url.partition("?")[2], shown)

    async def _shown(self, block: Locator) -> str:
        status = block.locator(".live-responses-table .response-col_status").last
        return (await status.inner_text()).strip().partition("\n")[0]

    def _note_violation(self, text: str) -> None:
        if _POLICY.search(text):
            self.offences.append(text)

    def _note_stranger(self, request: Request) -> None:
        if not request.url.startswith((self.url, *_OWN_SCHEMES)):
            self.offences.append(f"asked {request.url}")
