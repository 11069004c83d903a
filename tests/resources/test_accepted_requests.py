"""What `lsq.leads.metrics` makes of an answer."""

from __future__ import annotations

import httpx
import pytest

from leadsquared_async import Delivery, Fault, Scope, ServerError
from tests.clients import answering


@pytest.mark.parametrize("body", ["[]", "null", "7", "{}", '{"Delay": "soon"}'])
async def test_an_answer_without_metrics_is_an_error_of_the_server(body: str) -> None:
    """It says that asking again is safe, and keeps the answer for whoever looks into it."""
    async with answering(lambda _: httpx.Response(200, text=body)) as lsq:
        with pytest.raises(ServerError, match="the answer contains no metrics") as caught:
            await lsq.leads.metrics()
    error = caught.value
    assert (error.delivery, error.fault, error.scope) == (Delivery.UNKNOWN, Fault.SERVER, Scope.OPERATION)
    assert (error.safe_to_retry, error.attempts, error.status_code, error.body) == (True, 1, 200, body)
