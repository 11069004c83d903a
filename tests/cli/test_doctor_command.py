"""`leadsquared doctor`."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest

from leadsquared_async import LeadSquared, Outbox, RetryPolicy
from leadsquared_async.cli import connecting
from leadsquared_async.outbox import adopt
from leadsquared_async.sandbox import Sandbox
from leadsquared_async.sandbox.settings import ACCESS_KEY, API_KEY, SECRET_KEY
from tests.cli.commands import Finished, environment, run, with_fields
from tests.http.proxies import TRUSTED

KEYS = {
    "LEADSQUARED_ACCESS_KEY": ACCESS_KEY,
    "LEADSQUARED_SECRET_KEY": SECRET_KEY,
    "LEADSQUARED_API_KEY": API_KEY,
}


def verdicts(done: Finished) -> dict[str, str]:
    return {check["name"]: check["verdict"] for check in done.json["checks"]}


async def test_everything_right_is_exit_0(sandbox: Sandbox, tmp_path: Path) -> None:
    """Only length and source of keys are shown; the one call changes nothing."""
    path = tmp_path / "leads.outbox"
    async with Outbox(path):
        pass
    done = await run("doctor", "--outbox", path, "--json", env=environment(sandbox))
    assert done.code == 0
    assert verdicts(done) == {
        **dict.fromkeys(["access_key", "secret_key", "api_key", "host", "proxy", "rate limit"], "ok"),
        "x-api-key": "ok",
        **dict.fromkeys(["sync host", "keys"], "unknown"),
        "outbox": "ok",
    }
    assert "35 characters, from LEADSQUARED_ACCESS_KEY" in done.out
    assert "accepted; 0 waiting in LeadSquared's queue" in done.out
    assert [arrival.operation for arrival in sandbox.books.arrivals] == ["metrics"]


async def test_a_wrong_api_key_is_exit_4(sandbox: Sandbox) -> None:
    """A 403 of the gateway is reported as a wrong x-api-key."""
    done = await run("doctor", "--json", env=environment(sandbox, LEADSQUARED_API_KEY="wrong-key-of-a-test"))
    assert (done.code, verdicts(done)["x-api-key"]) == (4, "wrong")
    assert "wrong-key" not in done.out + done.err


async def test_no_environment_is_exit_2() -> None:
    """Each missing variable is named, including the host; no call is made."""
    done = await run("doctor", "--json")
    assert done.code == 2
    assert {name for name, verdict in verdicts(done).items() if verdict == "wrong"} == {
        "access_key",
        "secret_key",
        "api_key",
        "host",
    }


async def test_a_host_that_does_not_answer_is_exit_3(sandbox: Sandbox) -> None:
    """Without an answer, the keys are unknown."""
    done = await run("doctor", "--json", "--host", "http://127.0.0.1:9", env=environment(sandbox))
    assert (done.code, verdicts(done)["x-api-key"]) == (3, "unknown")
    assert "from --host" in done.out


@pytest.mark.parametrize(
    ("status", "code", "verdict"), [(200, 0, "ok"), (401, 4, "wrong"), (500, 3, "unknown")]
)
async def test_the_keys_are_checked_at_the_synchronous_host(
    status: int, code: int, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a region, the user of the access key is requested at the synchronous host."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.host}{request.url.path}")
        if request.url.path.endswith("/metrics"):
            metrics = {"PendingMessages": 0, "MaxDelayInSeconds": 0, "ProcessingRatePerMinute": 1}
            return httpx.Response(200, json=metrics)
        return httpx.Response(status, json={"Id": "x"} if status == 200 else {"message": "no"})

    class Client(LeadSquared):
        def __init__(self, **options: Any) -> None:
            super().__init__(transport=httpx.MockTransport(answer), **options)

    monkeypatch.setattr(connecting, "LeadSquared", Client)
    monkeypatch.setattr(connecting, "QUICK", RetryPolicy(attempts=1))
    done = await run("doctor", "--region", "in21", "--json", env=KEYS)
    assert (done.code, verdicts(done)["keys"]) == (code, verdict)
    assert asked == [
        "GET asyncapi-in21.leadsquared.com/lead/capture/metrics",
        "GET api-in21.leadsquared.com/v2/Authentication.svc/UserByAccessKey.Get",
    ]


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        ([], {"REGION": "us11"}, "https://api-us11.leadsquared.com, from LEADSQUARED_REGION"),
        ([], {"REGION": "us11", "SYNC_HOST": "https://sync.invalid"}, "from LEADSQUARED_SYNC_HOST"),
        (
            ["--region", "in21"],
            {"SYNC_HOST": "https://sync.invalid"},
            "api-in21.leadsquared.com, from --region",
        ),
        (["--host", "https://a.invalid"], {"SYNC_HOST": "https://sync.invalid"}, "pass --region, or set"),
        ([], {"HOST": "https://a.invalid"}, "LEADSQUARED_SYNC_HOST beside LEADSQUARED_HOST"),
    ],
)
async def test_the_source_of_the_synchronous_host_is_shown(
    arguments: list[str], env: dict[str, str], said: str
) -> None:
    """It comes from an option, a variable or a region; an option excludes the variables."""
    variables = {f"LEADSQUARED_{name}": value for name, value in env.items()}
    done = await run("doctor", *arguments, "--json", env=variables)
    (detail,) = [check["detail"] for check in done.json["checks"] if check["name"] == "sync host"]
    assert said in detail


@pytest.mark.parametrize(
    ("required", "code", "verdict"), [(["mx_City", "Phone"], 0, "ok"), (["mx_City", "mx_Citty"], 4, "wrong")]
)
async def test_required_fields_are_checked(required: list[str], code: int, verdict: str) -> None:
    """A required field that the account lacks is exit 4; the nearest name is suggested."""
    async with Sandbox(limit=None, attributes="account") as sandbox:
        options = [word for name in required for word in ("--require", name)]
        done = await run("doctor", *options, "--json", env=with_fields(sandbox))
    assert (done.code, verdicts(done)["fields"]) == (code, verdict)
    assert ("did you mean mx_City?" in done.out) is (code == 4)


async def test_required_fields_without_a_synchronous_host_are_exit_2(sandbox: Sandbox) -> None:
    """Without a synchronous host, a required field is unknown."""
    done = await run("doctor", "--require", "mx_City", "--json", env=environment(sandbox))
    assert (done.code, verdicts(done)["fields"]) == (2, "unknown")


async def test_a_host_of_another_region_is_exit_4(monkeypatch: pytest.MonkeyPatch) -> None:
    """If LeadSquared names another region for the account, the configured host is wrong."""
    urls = {"LSQCommonServiceURLs": {"api": "api-us11.leadsquared.com"}}

    def answer(request: httpx.Request) -> httpx.Response:
        metrics = {"PendingMessages": 0, "MaxDelayInSeconds": 0, "ProcessingRatePerMinute": 1}
        return httpx.Response(200, json=metrics if request.url.path.endswith("/metrics") else urls)

    class Client(LeadSquared):
        def __init__(self, **options: Any) -> None:
            super().__init__(transport=httpx.MockTransport(answer), **options)

    monkeypatch.setattr(connecting, "LeadSquared", Client)
    done = await run("doctor", "--region", "in21", "--json", env=KEYS)
    assert (done.code, verdicts(done)["region"]) == (4, "wrong")
    assert "us11" in done.out


async def test_an_outbox_is_checked_and_not_created(sandbox: Sandbox, tmp_path: Path) -> None:
    """Its mode is shown; a missing outbox is not created, and another program's file is wrong."""
    missing, other, shared = (tmp_path / name for name in ("missing.outbox", "other.txt", "shared.outbox"))
    other.write_text("mine " * 500)
    async with Outbox(shared):
        pass
    shared.chmod(0o644)
    done = await run("doctor", "--outbox", missing, env=environment(sandbox))
    assert "does not exist yet" in done.out
    assert not missing.exists()
    done = await run("doctor", "--outbox", other, "--json", env=environment(sandbox))
    assert (done.code, verdicts(done)["outbox"]) == (2, "wrong")
    done = await run("doctor", "--outbox", shared, env=environment(sandbox))
    assert "mode 0644" in done.out
    assert stat.S_IMODE(shared.stat().st_mode) == 0o600


async def test_an_outbox_of_another_account_is_wrong(sandbox: Sandbox, tmp_path: Path) -> None:
    """Keys of another account than the outbox's are reported, even if they work."""
    path = tmp_path / "leads.outbox"
    other = LeadSquared(
        host=sandbox.url, access_key="u$r-of-another-account", secret_key="x", api_key="of-another-account"
    )
    async with Outbox(path) as outbox:
        await adopt(outbox, other)
    done = await run("doctor", "--outbox", path, "--json", env=environment(sandbox))
    assert (done.code, verdicts(done)["x-api-key"], verdicts(done)["outbox"]) == (2, "ok", "wrong")
    assert "its leads were delivered to another account" in done.out


async def test_a_key_of_an_unusual_shape_is_unknown(sandbox: Sandbox) -> None:
    """For a key that does not look like LeadSquared's, the usual shape is shown, and never the key."""
    done = await run("doctor", env=environment(sandbox, LEADSQUARED_SECRET_KEY="zq-odd-key"))
    assert "10 characters, from LEADSQUARED_SECRET_KEY; it usually has 40 hexadecimal digits" in done.out
    assert "zq-odd" not in done.out


PROXIED = {"LEADSQUARED_REGION": "in21", "HTTPS_PROXY": "http://me:hunter22@proxy.invalid:3128"}


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (
            PROXIED | {"NO_PROXY": "asyncapi-in21.leadsquared.com"},
            {
                "proxy": "none: https://asyncapi-in21.leadsquared.com is reached directly",
                "sync proxy": "http://proxy.invalid:3128, with a user and password, from HTTPS_PROXY",
                "certificates": "those bundled with httpx (certifi)",
            },
        ),
        (
            {"LEADSQUARED_HOST": "https://a.invalid", "all_proxy": "proxy.invalid:3128"}
            | {"SSL_CERT_FILE": str(TRUSTED)},
            {
                "proxy": "http://proxy.invalid:3128, from all_proxy",
                "certificates": f"{TRUSTED}, from SSL_CERT_FILE",
            },
        ),
        (
            {
                "LEADSQUARED_HOST": "http://127.0.0.1:9",
                "ALL_PROXY": "gopher://x",
                "SSL_CERT_FILE": "/not/there",
            },
            {"proxy": "none: http://127.0.0.1:9 is reached directly"},
        ),
    ],
)
async def test_proxies_and_certificates_in_force_are_shown(env: dict[str, str], said: dict[str, str]) -> None:
    """Each host has its proxy with the variable that names it, never its password; no call is made."""
    done = await run("doctor", "--json", env=env)
    shown = {check["name"]: check["detail"] for check in done.json["checks"]}
    assert {name: shown[name] for name in ("proxy", "sync proxy", "certificates") if name in shown} == said
    assert "hunter22" not in done.out + done.err


@pytest.mark.parametrize(
    ("env", "name", "said"),
    [
        ({"HTTPS_PROXY": "gopher://me:hunter22@x"}, "proxy", "HTTPS_PROXY is not a valid proxy address"),
        ({"SSL_CERT_FILE": "/not/there.pem"}, "certificates", "SSL_CERT_FILE points to '/not/there.pem'"),
    ],
)
async def test_an_invalid_proxy_or_certificate_is_exit_2(env: dict[str, str], name: str, said: str) -> None:
    """The variable is named, and no call is made."""
    done = await run("doctor", "--region", "in21", "--json", env=KEYS | env)
    assert done.code == 2
    assert {name, "calls"} <= verdicts(done).keys()
    (detail,) = [check["detail"] for check in done.json["checks"] if check["name"] == name]
    assert detail.startswith(said)
    assert "none was made" in done.out
    assert "hunter22" not in done.out + done.err


@pytest.mark.parametrize(
    ("command", "options", "said"),
    [
        (
            "doctor",
            ("--region", "xx"),
            "set the LEADSQUARED_HOST and LEADSQUARED_SYNC_HOST that LeadSquared gave",
        ),
        (
            "fields",
            ("--region", "in21"),
            "missing LEADSQUARED_ACCESS_KEY, LEADSQUARED_SECRET_KEY, LEADSQUARED_API_KEY:",
        ),
        ("fields", (), "pass --region (in21, us11, sg) or --host, or set LEADSQUARED_REGION"),
    ],
)
async def test_errors_name_options_and_variables(command: str, options: tuple[str, ...], said: str) -> None:
    """Errors about the configuration name no arguments of Python."""
    done = await run(command, *options, env={})
    assert said in done.out + done.err
    assert not re.search(r"\w=|\(or ", done.out + done.err)


async def test_a_key_with_quotes_around_it_is_exit_2(sandbox: Sandbox) -> None:
    """A key with quotes is wrong, and a blank key is not set."""
    env = environment(sandbox, LEADSQUARED_API_KEY=f'"{API_KEY}"', LEADSQUARED_SECRET_KEY=" ")
    done = await run("doctor", "--json", env=env)
    assert (done.code, verdicts(done)["api_key"], verdicts(done)["secret_key"]) == (2, "wrong", "wrong")
    assert '"LEADSQUARED_API_KEY contains quotes' in done.out
    assert "LEADSQUARED_SECRET_KEY is not set" in done.out
    assert API_KEY not in done.out + done.err
