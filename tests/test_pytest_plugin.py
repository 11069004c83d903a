"""The plugin for pytest, in small projects of its users, each run by a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest

AUTO = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
"""
STRICT = AUTO.replace("auto", "strict")
APP = """
from leadsquared_async import LeadSquared

async def send(lsq, name="a"):
    return await lsq.leads.capture({"EmailAddress": f"{name}@example.com"})

async def send_with_a_client_of_its_own():
    async with LeadSquared() as lsq:
        return await send(lsq)
"""


def run(
    pytester: pytest.Pytester, test: str, *options: str, ini: str = AUTO, conftest: str = ""
) -> pytest.RunResult:
    """Run a test file of a project that has an app, with every warning as an error."""
    pytester.makefile(".ini", pytest=ini)
    pytester.makepyfile(app=APP, test_app="import pytest\nfrom app import *\n" + dedent(test))
    if conftest:
        pytester.makeconftest(conftest)
    return pytester.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider", *options)


@pytest.mark.slow
@pytest.mark.parametrize("of_a_test", ["function", "session"])
def test_a_client_is_in_the_loop_of_its_test(pytester: pytest.Pytester, of_a_test: str) -> None:
    """Whatever the scope of that loop, by default or for one test."""
    result = run(
        pytester,
        """
        async def test_by_default(leadsquared, leadsquared_sandbox):
            await send(leadsquared)
            leadsquared_sandbox.assert_captured(EmailAddress="a@example.com", count=1)

        @pytest.mark.asyncio(loop_scope="session")
        async def test_in_the_loop_of_all(leadsquared, leadsquared_sandbox):
            await send(leadsquared)
            leadsquared_sandbox.assert_captured(count=1)

        @pytest.mark.asyncio(loop_scope="function")
        async def test_in_a_loop_of_its_own(leadsquared, leadsquared_sandbox):
            await send(leadsquared)
            leadsquared_sandbox.assert_captured(count=1)

        @pytest.fixture
        async def service(leadsquared):
            return leadsquared

        @pytest.mark.asyncio(loop_scope="class")
        class TestClass:
            async def test_first(self, leadsquared, service):
                await send(leadsquared)
                assert service is leadsquared

            async def test_second(self, leadsquared):
                await send(leadsquared)
        """,
        "-o",
        f"asyncio_default_test_loop_scope={of_a_test}",
    )
    result.assert_outcomes(passed=5)


@pytest.mark.slow
def test_each_test_begins_anew(pytester: pytest.Pytester) -> None:
    """Without records, faults or spent tokens of the test before, on the one sandbox of the session."""
    result = run(
        pytester,
        """
        import asyncio, os, time

        URLS = set()

        @pytest.mark.parametrize("number", range(3))
        async def test_a_burst(leadsquared, leadsquared_sandbox, number):
            URLS.add(leadsquared_sandbox.url)
            started = time.monotonic()
            await asyncio.gather(*(send(leadsquared, name) for name in range(25)))
            assert time.monotonic() - started < 5
            leadsquared_sandbox.assert_captured(count=25)
            assert leadsquared_sandbox.books.now < 6
            assert len(URLS) == 1

        @pytest.mark.leadsquared_faults(outage=(0, 1), outage_fault="401")
        async def test_a_marker_sets_faults(leadsquared, leadsquared_sandbox):
            with pytest.raises(Exception, match="keys"):
                await send(leadsquared)
            leadsquared_sandbox.assert_nothing_captured()

        async def test_without_a_marker_there_are_none(leadsquared):
            await send(leadsquared)

        def test_the_code_s_own_client(leadsquared_sandbox):
            assert os.environ["LEADSQUARED_HOST"] == leadsquared_sandbox.url
            asyncio.run(send_with_a_client_of_its_own())
            leadsquared_sandbox.assert_captured(count=1)

        def test_the_environment_is_as_before():
            assert os.environ["LEADSQUARED_HOST"] == "https://api.example.com"

        async def test_waiting_takes_no_time(leadsquared, leadsquared_without_waiting):
            assert (await leadsquared.leads.wait(await send(leadsquared))).succeeded
            assert leadsquared_without_waiting.skipped > 0.9
        """,
        conftest='import os\nos.environ["LEADSQUARED_HOST"] = "https://api.example.com"',
    )
    result.assert_outcomes(passed=8)


@pytest.mark.slow
def test_it_works_in_strict_mode_and_beside_anyio(pytester: pytest.Pytester) -> None:
    """The plugin that runs a test opens the client, too."""
    result = run(
        pytester,
        """
        @pytest.mark.asyncio
        async def test_with_pytest_asyncio(leadsquared):
            await send(leadsquared)

        @pytest.mark.anyio
        async def test_with_anyio(leadsquared, anyio_backend):
            await send(leadsquared)
        """,
        ini=STRICT,
        conftest="import pytest\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'",
    )
    result.assert_outcomes(passed=2)


@pytest.mark.slow
def test_it_works_with_anyio_alone(pytester: pytest.Pytester) -> None:
    """On asyncio; a test on trio is told why not."""
    result = run(
        pytester,
        """
        pytestmark = pytest.mark.anyio

        async def test_a_client(leadsquared, leadsquared_sandbox):
            await send(leadsquared)
            leadsquared_sandbox.assert_captured(count=1)

        @pytest.mark.parametrize("anyio_backend", ["trio"])
        async def test_on_trio(leadsquared): ...
        """,
        "-p",
        "no:asyncio",
        ini="[pytest]\n",
        conftest="import pytest\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'",
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*leadsquared needs asyncio: make the fixture anyio_backend return *"])


@pytest.mark.slow
def test_each_worker_of_xdist_has_a_sandbox(pytester: pytest.Pytester) -> None:
    """Tests in several processes do not see each other's leads."""
    result = run(
        pytester,
        """
        @pytest.mark.parametrize("number", range(8))
        async def test_alone(leadsquared, leadsquared_sandbox, number):
            await send(leadsquared, number)
            leadsquared_sandbox.assert_captured(count=1)
        """,
        *("-n", "2"),
    )
    result.assert_outcomes(passed=8)


@pytest.mark.slow
def test_a_conftest_may_set_the_options_of_the_sandbox(pytester: pytest.Pytester) -> None:
    """They hold for the session, and a fixture of its scope may use the sandbox."""
    result = run(
        pytester,
        """
        async def test_a_field_that_does_not_exist(leadsquared, leadsquared_without_waiting, url):
            receipt = await leadsquared.leads.capture({"EmailAddress": "a@example.com", "mx_Typo": "x"})
            status = await leadsquared.leads.wait(receipt)
            assert "mx_Typo" in status.reason
            assert url.startswith("http://127.0.0.1:")
        """,
        conftest="""
import pytest

@pytest.fixture(scope="session")
def leadsquared_sandbox_options():
    return {"attributes": ["EmailAddress"]}

@pytest.fixture(scope="session")
def url(leadsquared_session_sandbox):
    return leadsquared_session_sandbox.url
""",
    )
    result.assert_outcomes(passed=1)


@pytest.mark.slow
def test_what_cannot_work_is_said(pytester: pytest.Pytester) -> None:
    """A client without a loop, and faults that do not exist."""
    result = run(
        pytester,
        """
        def test_without_a_loop(leadsquared): ...

        @pytest.mark.leadsquared_faults(script=("999",))
        def test_no_such_fault(leadsquared_sandbox): ...
        """,
    )
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*leadsquared needs a test that pytest-asyncio (from 0.26) or anyio runs*"])
    result.stdout.fnmatch_lines(["*no fault is called '999': choose from *"])


@pytest.mark.slow
def test_a_project_with_an_old_pytest_asyncio_is_left_alone(pytester: pytest.Pytester) -> None:
    """Before 0.26 it has no loop scopes: tests that use no fixture run, and one that does is told why not."""
    old = "import pytest\ndef fixture(*args, **options): return pytest.fixture(*args, **options)\n"
    pytester.makepyfile(**{"pytest_asyncio/__init__": old, "pytest_asyncio/plugin": ""})
    result = run(
        pytester,
        """
        def test_other(): ...

        def test_with_a_client(leadsquared): ...
        """,
        ini="[pytest]\n",
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*pytest-asyncio (from 0.26)*"])


def test_a_project_that_does_not_use_it_pays_nothing() -> None:
    """pytest loads the plugin everywhere: of the package only the plugin and the lock, and nothing slow."""
    code = "import pytest, sys; before = set(sys.modules); import leadsquared_async.pytest_plugin; "
    code += "print(*sorted(set(sys.modules) - before))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(ran.stdout.split()) <= {
        "leadsquared_async",
        "leadsquared_async._version",
        "leadsquared_async.limiter",
        "leadsquared_async.limiter.lock",
        "leadsquared_async.pytest_plugin",
    }
