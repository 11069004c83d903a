"""The window in a browser, as a person uses it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from leadsquared_async import RetryPolicy
from leadsquared_async.sandbox import COUNTERS, FAULTS, Faults, Sandbox
from leadsquared_async.testing import client_of

from .browser import ELSEWHERE, chromium, window_of
from .calls import ACCESS_KEY, API_KEY, BRET, HEADERS, KEYS, SECRET_KEY

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests of a worker; each test has a context of its own."""
    async with chromium() as started:
        yield started


async def post(sandbox: Sandbox, *bodies: bytes, **changes: str) -> None:
    """Captures at the same time, without a client's limit."""
    url = f"{sandbox.url}/lead/capture?{KEYS}"
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        await asyncio.gather(*(client.post(url, content=body, headers=HEADERS | changes) for body in bodies))


def lead(**values: str) -> bytes:
    return httpx.Request("POST", "/", json=[{"Attribute": k, "Value": v} for k, v in values.items()]).content


def rows(page: Page) -> Locator:
    """The rows of the list of calls or leads."""
    return page.get_by_role("listbox").get_by_role("option")


async def test_a_test_lead_and_its_history(browser: Browser):
    """It appears by itself; its history has what was sent and answered, without keys."""
    async with Sandbox() as sandbox, window_of(browser, sandbox) as page:
        await expect(page.get_by_role("heading", name="No calls yet")).to_be_visible()
        await page.get_by_role("banner").get_by_role("button", name="Send a test lead").click()
        await page.get_by_label("Value of FirstName").fill("Bret")
        await page.get_by_label("Value of LastName").fill("Lee")
        await page.get_by_role("button", name="Add an attribute").click()
        await page.get_by_label("Attribute", exact=True).last.fill("mx_City")
        await page.get_by_label("Value", exact=True).fill("Pune")
        await page.get_by_role("button", name="Send", exact=True).click()
        await expect(rows(page)).to_have_count(1)
        await expect(rows(page)).to_contain_text(["Bret Lee"])
        await expect(rows(page)).to_contain_text(["Success"])
        await rows(page).click()
        history = page.get_by_role("region", name="Bret Lee")
        await expect(history).to_contain_text("Created a new lead")
        sent = history.get_by_label("Sent body", exact=True)
        await expect(sent).to_contain_text('"Attribute": "mx_City",\n    "Value": "Pune"')
        answered = history.get_by_label("Reply body", exact=True)
        await expect(answered).to_contain_text('"RequestID": "')
        await history.get_by_text("Query (2)").click()
        await expect(history).to_contain_text("accessKey•••")
        shown = await page.content()
        assert [key for key in (ACCESS_KEY, SECRET_KEY, API_KEY, "u%24r") if key in shown] == []
        (stored,) = sandbox.books.leads.values()
        assert stored.attributes["mx_City"] == "Pune"


async def test_a_test_lead_without_attributes_is_refused(browser: Browser):
    """The dialog stays open and says why."""
    async with Sandbox() as sandbox, window_of(browser, sandbox, expected_errors="400") as page:
        await page.get_by_role("banner").get_by_role("button", name="Send a test lead").click()
        for name in ("FirstName", "LastName", "EmailAddress"):
            await page.get_by_role("button", name=f"Remove {name}").click()
        await page.get_by_role("button", name="Send", exact=True).click()
        await expect(page.get_by_role("alert")).to_contain_text("A test lead has 1 to 100 attributes")
        assert sandbox.books.arrivals == []


async def test_switched_faults_and_the_retries_of_a_client(browser: Browser):
    """500s while the switch is on; the history shows each attempt, and the one that succeeded."""
    async with Sandbox() as sandbox, window_of(browser, sandbox) as page:
        row = page.locator("[data-fault='500']")
        await row.get_by_label("Share of calls").fill("100")
        await row.get_by_role("switch", name="500").check()
        await expect(page.locator("#faults-on")).to_have_text("on: 500 100%")
        assert sandbox.faults.probabilities == {"500": 1.0}
        async with client_of(sandbox, retry=RetryPolicy(attempts=50, base=0.05, cap=0.1)) as lsq:
            capture = asyncio.create_task(lsq.leads.capture({"EmailAddress": "bret.lee@example.com"}))
            await expect(rows(page).filter(has_text="fault").first).to_be_visible()
            await row.get_by_role("switch", name="500").uncheck()
            await capture
        await expect(rows(page).first).to_contain_text("Success")
        await rows(page).first.click()
        attempts = len(sandbox.books.arrivals)
        history = page.get_by_role("region", name="bret.lee@example.com")
        await expect(history).to_contain_text("capture, attempt 1")
        await expect(history).to_contain_text(f"capture, attempt {attempts}")
        await expect(history.locator(".badge.fault")).to_have_count(attempts - 1)
        await rows(page).last.click()
        await expect(history.locator(".problem")).to_contain_text("500, fault")
        await expect(history.locator(".problem")).to_contain_text("fault 500: Internal server error")


async def test_every_fault_has_a_switch(browser: Browser):
    """With a share, for the next call only, and taken before it fails; delays and an outage too."""
    async with Sandbox() as sandbox, window_of(browser, sandbox) as page:
        names = await page.locator("[data-fault]").evaluate_all(
            "rows => rows.map((row) => row.dataset.fault)"
        )
        assert set(names) == set(FAULTS) - {"ok"}
        row = page.locator("[data-fault='504']")
        await row.get_by_role("button", name="+taken").click()
        await row.get_by_role("switch", name="504").check()
        await expect(page.locator("#faults-on")).to_have_text("on: 504+taken 100%")
        await page.get_by_role("button", name="lost for the next call").click()
        await expect(page.get_by_text("The next call gets the fault lost")).to_be_visible()
        await page.get_by_label("Round trip").fill("0.02")
        await page.get_by_label("Round trip").press("Enter")
        await page.get_by_label("System errors").fill("50")
        await page.get_by_label("System errors").press("Enter")
        await page.locator("#fault-calls").get_by_label("capture").check()
        await page.get_by_role("button", name="Start", exact=True).click()
        await expect(page.locator("#outage-text")).to_contain_text("Each call gets 503 until")
        await expect(page.locator("#faults-on")).to_have_text(
            "on: outage, 504+taken 100%, delays, system errors"
        )
        faults = sandbox.faults
        assert (faults.script, faults.latency, faults.system_error) == (("lost",), 0.02, 0.5)
        assert (faults.operations, faults.probabilities) == (("capture",), {"504+taken": 1.0})
        await page.get_by_role("button", name="Clear all").click()
        await expect(page.locator("#faults-on")).to_have_text("none")
        assert sandbox.faults == Faults()


async def test_shares_of_more_than_everything_are_refused(browser: Browser):
    """The message says why, and the switch goes back."""
    async with Sandbox() as sandbox, window_of(browser, sandbox, expected_errors="400") as page:
        for name in ("500", "502"):
            row = page.locator(f"[data-fault='{name}']")
            await row.get_by_label("Share of calls").fill("60")
            await row.get_by_role("switch").click()
            await expect(page.locator("#faults-on")).to_contain_text("500 60%")
        await expect(page.get_by_text("probabilities: the sum must be at most 1")).to_be_visible()
        await expect(page.get_by_role("switch", name="502")).not_to_be_checked()
        assert sandbox.faults.probabilities == {"500": 0.6}


async def test_a_burst_over_the_limit(browser: Browser):
    """The 429s are counted, marked in the chart and in the list, in colour and in words."""
    async with Sandbox(limit=(5, 5.0)) as sandbox, window_of(browser, sandbox) as page:
        await post(sandbox, *(lead(FirstName=f"Lead {n}") for n in range(8)))
        await expect(page.locator("#count-limit")).to_have_text("3")
        await expect(rows(page).filter(has_text="over the limit")).to_have_count(3)
        chart = page.get_by_role("img", name="Last minute")
        await expect(chart).to_have_attribute(
            "aria-label", "Last minute: 8 calls, at most 8 in 5 s; the limit is 5; 3 calls got a 429"
        )
        await expect(chart.locator(".cross").first).to_be_attached()
        await expect(chart).to_contain_text("limit 5")
        await page.get_by_label("Filter calls").select_option("problems")
        await expect(rows(page)).to_have_count(3)
        await rows(page).first.click()
        await expect(page.locator(".problem")).to_contain_text("429, over the limit")


async def test_the_limit_its_counting_and_the_rate_can_be_changed(browser: Browser):
    """All six ways of counting; the window shows what others change."""
    async with Sandbox(processing_rate=1) as sandbox, window_of(browser, sandbox) as page:
        for counting in COUNTERS:
            await page.get_by_role("radio", name=counting, exact=True).check()
            await expect(page.get_by_role("radio", name=counting, exact=True)).to_be_checked()
        assert sandbox.books.account.settings.counting == list(COUNTERS)[-1]
        await page.get_by_label("Calls", exact=True).fill("2")
        await page.get_by_label("Calls", exact=True).press("Enter")
        await post(sandbox, *(lead(FirstName=str(n)) for n in range(3)))
        await expect(rows(page).filter(has_text="over the limit")).to_have_count(1)
        await expect(page.locator("#waiting")).to_contain_text("2 requests waiting, the oldest for")
        await page.get_by_role("button", name="6,000").click()
        await expect(page.locator("#waiting")).to_contain_text("No requests waiting")
        await expect(rows(page).filter(has_text="Success")).to_have_count(2)
        await page.get_by_role("switch", name="No limit").check()
        await expect(page.get_by_label("Calls", exact=True)).to_be_disabled()
        assert sandbox.books.account.settings.limit is None
        sandbox.books.change_settings({"counting": "gcra", "limit": [7, 2]})
        await expect(page.get_by_label("Calls", exact=True)).to_have_value("7")


async def test_a_search_and_the_leads(browser: Browser):
    """Both lists are searched by the sandbox; nothing found is said."""
    async with Sandbox() as sandbox, window_of(browser, sandbox) as page:
        await post(
            sandbox,
            lead(FirstName="Ann", EmailAddress="ann@example.com"),
            lead(FirstName="Cleo", mx_Notes="Zürich"),
        )
        await expect(rows(page)).to_have_count(2)
        await page.get_by_label("Search").fill("zürich")
        await expect(rows(page)).to_have_count(1)
        await expect(rows(page)).to_contain_text(["Cleo"])
        await page.get_by_label("Search").fill("nobody <b>")
        await expect(page.get_by_text("Nothing contains “nobody <b>”.")).to_be_visible()
        await page.get_by_label("Search").fill("")
        await page.get_by_role("tab", name="Leads").click()
        await expect(rows(page)).to_have_count(2)
        await rows(page).filter(has_text="ann@example.com").click()
        history = page.get_by_role("region", name="Ann")
        await expect(history).to_contain_text("EmailAddressann@example.com")
        await expect(history).to_contain_text("Activities (1)")
        await post(sandbox, lead(EmailAddress="ann@example.com", mx_City="Pune"))
        await expect(history).to_contain_text("Updated the lead matched by EmailAddress")
        await expect(history).to_contain_text("mx_CityPune")


async def test_a_rejected_call_says_why(browser: Browser):
    """The hint, what was sent and what was answered; a failed request says its reason."""
    async with Sandbox(attributes=["FirstName"]) as sandbox, window_of(browser, sandbox) as page:
        await post(sandbox, BRET, **{"Content-Type": "text/plain"})
        await rows(page).first.click()
        await expect(page.locator(".problem")).to_contain_text(
            "send the header Content-Type: application/json"
        )
        await expect(page.get_by_label("Reply body", exact=True)).to_contain_text("Unsupported Media Type")
        await post(sandbox, lead(mx_Typo="x"))
        await expect(rows(page).filter(has_text="FAILURE")).to_have_count(1)
        await rows(page).filter(has_text="FAILURE").click()
        await expect(page.locator(".problem")).to_contain_text("Attribute(s) does not exist - mx_Typo.")


async def test_a_reset_asks_first(browser: Browser):
    """Cancel keeps everything; a reset empties the window."""
    async with Sandbox() as sandbox, window_of(browser, sandbox) as page:
        await post(sandbox, BRET)
        await rows(page).click()
        await page.get_by_role("banner").get_by_role("button", name="Reset").click()
        dialog = page.get_by_role("dialog", name="Reset the sandbox?")
        await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
        await dialog.get_by_role("button", name="Cancel").click()
        await expect(rows(page)).to_have_count(1)
        await page.get_by_role("banner").get_by_role("button", name="Reset").click()
        await dialog.get_by_role("button", name="Reset").click()
        await expect(page.get_by_role("heading", name="No calls yet")).to_be_visible()
        await expect(page.get_by_role("heading", name="Controls")).to_be_visible()
        assert (sandbox.books.arrivals, dict(sandbox.books.leads)) == ([], {})


async def test_by_keyboard_only(browser: Browser):
    """Search, list, history, dialogs and switches; the focus is always visible."""
    async with Sandbox() as sandbox, window_of(browser, sandbox) as page:
        for name in ("Ann", "Bea", "Cleo"):
            await post(sandbox, lead(FirstName=name))
        await expect(rows(page)).to_have_count(3)
        press = page.keyboard.press
        seen = []
        for _ in range(9):
            await press("Tab")
            focused = page.locator(":focus")
            seen.append(await focused.evaluate("node => node.id"))
            assert await focused.evaluate("node => getComputedStyle(node).outlineStyle") != "none"
        assert seen[1:] == [
            "ask-reset",
            "ask-lead",
            "tab-calls",
            "search",
            "kind",
            "rows",
            "limit-calls",
            "limit-per",
        ]
        await press("/")  # in a field it is a character
        await expect(page.locator("#limit-per")).to_be_focused()
        await press("Escape")
        await expect(page.locator("#rows")).to_be_focused()
        await press("End")
        await press("ArrowUp")
        await press("Enter")
        heading = page.get_by_role("heading", name="Bea")
        await expect(heading).to_be_focused()
        await press("Escape")
        await expect(heading).to_be_hidden()
        await expect(page.locator("#rows")).to_be_focused()
        await press("/")
        await expect(page.get_by_label("Search")).to_be_focused()
        await page.keyboard.type("ann")
        await expect(rows(page)).to_have_count(1)
        await press("ArrowDown")
        await press("Enter")
        await expect(page.get_by_role("heading", name="Ann")).to_be_focused()
        await press("Escape")
        await page.locator("#tab-calls").focus()
        await press("ArrowRight")
        await expect(page.get_by_role("tab", name="Leads")).to_have_attribute("aria-selected", "true")
        await page.locator("#ask-lead").focus()
        await press("Enter")
        await expect(page.get_by_role("dialog", name="Send a test lead")).to_be_visible()
        await press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await page.get_by_role("switch", name="500", exact=True).focus()
        await press("Space")
        await expect(page.locator("#faults-on")).to_have_text("on: 500 100%")


async def test_what_arrives_does_not_move_the_focus_or_close_what_is_open(browser: Browser):
    """The active row stays active while new rows come above it."""
    async with Sandbox() as sandbox, window_of(browser, sandbox) as page:
        await post(sandbox, lead(FirstName="First"))
        await expect(rows(page).filter(has_text="Success")).to_have_count(1)
        await page.locator("#rows").focus()
        await page.keyboard.press("Enter")
        await page.get_by_text("Headers (").first.click()
        await post(sandbox, lead(FirstName="Second"), lead(FirstName="First"))
        await expect(rows(page)).to_have_count(3)
        await expect(page.get_by_role("region", name="First")).to_contain_text("capture, attempt 2")
        await expect(page.get_by_text("content-type").first).to_be_visible()
        assert await page.locator("#rows").get_attribute("aria-activedescendant") == "row-1"


async def test_on_a_phone(browser: Browser):
    """Nothing is wider than the screen; history and controls cover it and close again."""
    async with Sandbox(attributes=["FirstName"]) as sandbox, window_of(browser, sandbox, **PHONE) as page:
        await post(sandbox, lead(FirstName="x" * 300), lead(mx_Typo="y"))
        await expect(rows(page)).to_have_count(2)

        async def assert_that_it_fits() -> None:
            assert await page.evaluate("document.documentElement.scrollWidth") <= 390
            panel = page.locator("#panel")
            if await panel.is_visible():
                assert await panel.evaluate("panel => panel.scrollWidth <= panel.clientWidth")

        await assert_that_it_fits()
        await rows(page).first.tap()
        await expect(page.locator("#history-title")).to_be_in_viewport()
        await assert_that_it_fits()
        await page.get_by_role("button", name="Close the history").tap()
        await expect(page.locator("#panel")).to_be_hidden()
        await page.get_by_role("button", name="Controls").tap()
        await assert_that_it_fits()
        await page.get_by_role("switch", name="503").check()
        await page.get_by_role("button", name="Close", exact=True).tap()
        await expect(page.locator("#panel")).to_be_hidden()
        assert sandbox.faults.probabilities == {"503": 1.0}


HOSTILE = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>\"'`{{1+1}}&lt;\u202e"


async def test_values_are_text_and_never_html(browser: Browser):
    """Names, values, paths, headers and the search are shown as they are."""
    async with Sandbox() as sandbox, window_of(browser, sandbox, expected_errors="400") as page:
        await post(
            sandbox,
            lead(FirstName=HOSTILE, EmailAddress=HOSTILE, mx_Notes=HOSTILE),
            **{"x-note": "<svg onload=hacked=1>"},
        )
        await post(sandbox, f'[{{"Attribute": "{"<b>"}", "Value": "x"}}, "<i>"]'.encode())
        async with httpx.AsyncClient(base_url=sandbox.url, trust_env=False) as client:
            await client.get("/<img src=x onerror=hacked=1>")
        await expect(rows(page)).to_have_count(3)
        await expect(rows(page).nth(2)).to_contain_text("<img src=x onerror='window.hacked=1'>")
        for number in range(3):
            await rows(page).nth(number).click()
            await expect(page.locator(".events details[open]").first).to_be_visible()
            await page.evaluate("document.querySelectorAll('details').forEach((it) => { it.open = true; })")
        await page.get_by_label("Search").fill(HOSTILE)
        await page.get_by_role("tab", name="Leads").click()
        await expect(rows(page).filter(has_text="<img src=x")).to_have_count(1)
        await rows(page).click()
        await expect(page.get_by_role("region", name="<img src=x")).to_contain_text("window.hacked=1")
        assert await page.evaluate("window.hacked") is None
        assert await page.locator("main img, main svg svg, main script, main b, main i").count() == 0


ATTACKS = """async (url) => {
    const json = {"content-type": "application/json"};
    const attacks = [
        ["leads", {}],
        ["leads", {mode: "no-cors"}],
        ["window/events", {mode: "no-cors"}],
        ["reset", {method: "POST", mode: "no-cors"}],
        ["faults", {method: "PUT", headers: json, body: '{"latency": 9}'}],
    ];
    const read = async ([page, options]) => (await (await fetch(url + page, options)).text()).length;
    return await Promise.all(attacks.map((attack) => read(attack).catch(() => 0)));
}"""


async def test_other_sites_reach_nothing(browser: Browser):
    """Neither a page of another origin nor a name that resolves to this machine."""
    async with Sandbox() as sandbox:
        await post(sandbox, BRET)
        port = httpx.URL(sandbox.url).port
        context = await browser.new_context()
        page = await context.new_page()
        answer = await page.goto(f"http://{ELSEWHERE}:{port}/_sandbox/")
        assert answer is not None
        assert answer.status == 403
        await page.goto("about:blank")  # without the policy of the sandbox's own pages
        assert await page.evaluate(ATTACKS, f"{sandbox.url}/_sandbox/") == [0] * 5
        await page.set_content(f'<iframe src="{sandbox.url}/_sandbox/"></iframe>')
        assert await page.frames[1].locator("#live").count() == 0
        await context.close()
        assert (len(sandbox.books.arrivals), sandbox.faults) == (1, Faults())


async def test_a_sandbox_that_stops_and_comes_back(browser: Browser):
    """The window says that it is not connected, and connects again by itself."""
    sandbox = Sandbox()
    async with sandbox:
        port = httpx.URL(sandbox.url).port
        window = window_of(browser, sandbox, expected_errors="ERR_")
        page = await window.__aenter__()
    await expect(page.locator("#live")).to_have_text("Disconnected, reconnecting")
    async with Sandbox(port=port or 0) as again:
        await expect(page.locator("#live")).to_have_text("Live")
        await post(again, BRET)
        await expect(rows(page)).to_have_count(1)
        await window.__aexit__(None, None, None)


async def test_light_and_dark(browser: Browser):
    """The colours follow the system."""
    async with Sandbox() as sandbox:
        seen = {}
        for scheme in ("light", "dark"):
            async with window_of(browser, sandbox, color_scheme=scheme) as page:
                colour = partial(page.evaluate, "name => getComputedStyle(document.body)[name]")
                seen[scheme] = (await colour("backgroundColor"), await colour("color"))
        assert seen["light"] != seen["dark"]
        assert seen == {
            "light": ("rgb(245, 246, 248)", "rgb(27, 34, 48)"),
            "dark": ("rgb(17, 20, 26)", "rgb(232, 235, 241)"),
        }
