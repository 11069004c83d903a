"""Chromium for tests of the sandbox's window. Errors on the page and requests elsewhere fail the test."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright, expect

from leadsquared_async.sandbox import Sandbox

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ELSEWHERE = "elsewhere.example"
"""A name that this browser resolves to this machine, as after a rebinding of its DNS entry."""

expect.set_options(timeout=15_000)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A headless browser: that of the system, else the one that playwright has installed."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    arguments = [f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        await browser.close()


@asynccontextmanager
async def window_of(
    browser: Browser, sandbox: Sandbox, *, expected_errors: str = "", **options: Any
) -> AsyncIterator[Page]:
    """The window of a sandbox, connected; `options` are those of a browser's context.

    An error in the console, such as a violation of the content security policy, fails the test, unless it
    contains `expected_errors`.
    """
    address = sandbox.url
    context = await browser.new_context(**options)
    page = await context.new_page()
    page.set_default_timeout(15_000)
    errors: list[str] = []

    def note_request(request: Request) -> None:
        if not request.url.startswith(address):
            errors.append(f"a request to {request.url}")

    def note_message(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    page.on("console", note_message)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", note_request)
    await page.goto(f"{address}/")
    await expect(page.locator("#live")).to_have_text("Live")
    yield page
    await context.close()
    assert [error for error in errors if not expected_errors or expected_errors not in error] == []
