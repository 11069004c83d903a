"""Make the screenshots of the sandbox's window, with Chromium: `python docs/scripts/screenshots.py`."""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
from playwright.async_api import Browser, Page, async_playwright

from leadsquared_async.sandbox import Faults, Sandbox

IMAGES = Path(__file__).parents[1] / "images"
PEOPLE = ("Asha Verma", "Bret Lee", "Meera Nair", "Tom Ruiz", "Ines Costa", "Kiran Rao", "Lena Vogt")
CITIES = ("Pune", "Delhi", "Chennai", "Kochi", "Jaipur")


@dataclass
class Clock:
    """The machine's monotonic clock, moved ahead, so that a minute of traffic takes a second."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


class Traffic:
    """Calls of programs that behave well, and of some that do not."""

    def __init__(self, sandbox: Sandbox, clock: Clock, client: httpx.AsyncClient) -> None:
        self._sandbox = sandbox
        self._clock = clock
        self._client = client
        self._sent = 0

    async def make(self) -> None:
        """A paced client, faults that it retries, a burst over the limit, and two mistakes."""
        for number in range(110):
            self._sandbox.faults = Faults(script=("500",)) if number % 23 == 11 else Faults()
            await self._submit(self._next_lead())
            self._clock.ahead += 0.204
        self._clock.ahead += 7
        await asyncio.gather(*(self._submit(self._next_lead()) for _ in range(34)))
        self._clock.ahead += 6.5
        for _ in range(40):
            await self._submit(self._next_lead())
            self._clock.ahead += 0.21
        await self._submit(self._next_lead(), content_type="text/plain")
        self._clock.ahead += 0.4
        await self._submit({**self._next_lead(), "mx_Coursse": "Design"})
        self._clock.ahead += 0.4
        self._sandbox.faults = Faults(script=("503", "504+taken"), probabilities={"500": 0.05}, latency=0.05)
        retried = {"FirstName": "Bret", "LastName": "Lee", "EmailAddress": "bret.lee@example.com"}
        for pause in (0.6, 1.1, 0.4):
            request_id = await self._submit(retried)
            self._clock.ahead += pause
        self._sandbox.faults = Faults(probabilities={"500": 0.05}, latency=0.05)
        for _ in range(3):
            await self._submit(self._next_lead())
            self._clock.ahead += 0.21
        await self._client.get("/lead/status", params={"RequestID": request_id})

    def _next_lead(self) -> dict[str, str]:
        self._sent += 1
        first, last = PEOPLE[self._sent % len(PEOPLE)].split()
        email = f"{first}.{last}{self._sent}@example.com".lower()
        city = CITIES[self._sent % len(CITIES)]
        return {"FirstName": first, "LastName": last, "EmailAddress": email, "mx_City": city}

    async def _submit(self, lead: dict[str, str], content_type: str = "application/json") -> str:
        """Capture a lead; return its RequestID, or nothing."""
        keys = {"accessKey": self._sandbox.access_key, "secretKey": self._sandbox.secret_key}
        body = [{"Attribute": name, "Value": value} for name, value in lead.items()]
        headers = {"content-type": content_type}
        answer = await self._client.post("/lead/capture", params=keys, json=body, headers=headers)
        return str(answer.json().get("RequestID", ""))


async def main() -> None:
    """Make all images against one sandbox."""
    IMAGES.mkdir(exist_ok=True)
    clock = Clock()
    async with (
        Sandbox(attributes="account", processing_rate=600, clock=clock) as sandbox,
        httpx.AsyncClient(
            base_url=sandbox.url, headers={"x-api-key": sandbox.api_key}, trust_env=False
        ) as client,
        async_playwright() as playwright,
    ):
        await Traffic(sandbox, clock, client).make()
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"))
        light = await open_window(browser, sandbox, 1280, 860, "light")
        await light.screenshot(path=IMAGES / "window-light.png")
        dark = await open_window(browser, sandbox, 1280, 860, "dark")
        await dark.get_by_role("listbox").get_by_role("option").filter(has_text="bret.lee@").nth(1).click()
        await dark.get_by_role("region", name="Bret Lee").wait_for()
        await dark.wait_for_timeout(300)
        await dark.screenshot(path=IMAGES / "window-dark.png")
        phone = await open_window(browser, sandbox, 390, 844, "light")
        await phone.screenshot(path=IMAGES / "window-phone.png")
        await browser.close()


async def open_window(browser: Browser, sandbox: Sandbox, width: int, height: int, scheme: str) -> Page:
    """The window in a browser of this size, with its rows and its chart."""
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = await context.new_page()
    await page.goto(sandbox.window_url)
    await page.get_by_role("listbox").get_by_role("option").first.wait_for()
    await page.wait_for_timeout(400)
    return page


if __name__ == "__main__":
    asyncio.run(main())
