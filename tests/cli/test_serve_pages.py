"""The pages of `leadsquared outbox serve`, without a process."""

from __future__ import annotations

import builtins
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse, Response

from leadsquared_async.cli.addresses import Address
from leadsquared_async.cli.serve_pages import metrics_page, pages


def client(*, is_ready: bool = True) -> httpx.AsyncClient:
    def metrics() -> Response:
        return PlainTextResponse("up 1")

    application = pages(lambda: (is_ready, {"ready": is_ready}), metrics)
    return httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://pages")


@pytest.mark.parametrize(("is_ready", "status"), [(True, 200), (False, 503)])
async def test_readiness_is_the_status(is_ready: bool, status: int) -> None:
    """A probe needs no JSON; `/healthz` does not depend on it."""
    async with client(is_ready=is_ready) as http:
        response = await http.get("/readyz")
        assert (response.status_code, response.json()) == (status, {"ready": is_ready})
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/metrics")).text == "up 1"


async def test_pages_take_get_only() -> None:
    """Nothing can be changed through them, and there are no other pages."""
    async with client() as http:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await http.post(path)).status_code == 405
        assert (await http.get("/")).status_code == 404


def test_metrics_name_the_extra_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without OpenTelemetry's exporter the page is 501, with the command that installs it."""
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("opentelemetry.exporter"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    response = metrics_page()()
    assert response.status_code == 501
    assert b'pip install "leadsquared_async[prometheus]"' in response.body


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:8026", ("127.0.0.1", 8026)), ("[::1]:0", ("::1", 0)), ("localhost:80", ("localhost", 80))],
)
def test_an_address_is_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    """It is shown as it was written."""
    assert Address.parse(text) == address
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize("text", ["8026", ":8026", "localhost:", "localhost:http", "localhost:65536"])
def test_an_invalid_address_is_refused(text: str) -> None:
    """An empty host is, too: it would be every address of the machine."""
    with pytest.raises(ValueError, match="HOST:PORT"):
        Address.parse(text)
