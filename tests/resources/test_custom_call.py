"""What `lsq.request` takes."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from leadsquared_async import ConfigurationError
from leadsquared_async.resources.custom_call import LONGEST_PATH
from tests.clients import answering


@pytest.mark.parametrize(
    ("method", "path", "options", "why"),
    [
        ("GET /", "/x", {}, "method must be an HTTP method"),
        ("", "/x", {}, "method must be an HTTP method"),
        ("GÉT", "/x", {}, "method must be an HTTP method"),
        ("GET", "x", {}, "path must start with a slash"),
        ("GET", "/x?id=1", {}, "pass the query as query="),
        ("GET", "/x\n", {}, "path must start with a slash"),
        ("GET", f"/{'x' * LONGEST_PATH}", {}, "path is longer than 2000 characters"),
        ("GET", "/x", {"host": "other"}, 'host must be "async" or "sync"'),
        ("GET", "/x", {"keys": "none"}, 'keys "all" or "api_key"'),
    ],
)
async def test_an_invalid_call_is_not_sent(method: str, path: str, options: dict[str, Any], why: str) -> None:
    """The error says which argument is wrong; nothing reaches the network."""
    sent: list[httpx.Request] = []
    async with answering(sent.append) as lsq:
        with pytest.raises(ConfigurationError, match=why):
            await lsq.request(method, path, **options)
    assert not sent


async def test_the_longest_path_and_a_method_in_small_letters() -> None:
    """Both are sent, the method in capitals."""
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={})

    async with answering(answer) as lsq:
        await lsq.request("get", f"/{'x' * (LONGEST_PATH - 1)}")
    assert [request.method for request in sent] == ["GET"]
