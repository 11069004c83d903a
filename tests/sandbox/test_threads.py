"""An account that several threads use, as a test does whose sandbox runs in another thread."""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from leadsquared_async.sandbox import Account, Books

from .calls import capture_request

LEADS = 400


@pytest.fixture(autouse=True)
def switching_often() -> Iterator[None]:
    """Threads switch so often that they meet in every line."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_no_thread_breaks_or_loses_what_another_one_does() -> None:
    """Each lead is processed once, whoever asks while others send and look."""
    account = Account(limit=None, processing_rate=600_000)
    books = Books(account, lambda: 1000.0)

    def send(number: int) -> None:
        lead = [{"Attribute": "EmailAddress", "Value": f"{number}@example.com"}]
        account.decide(capture_request(json.dumps(lead).encode()), 0.0)
        account.advance(1000.0)
        assert len(books.submitted()) <= LEADS
        assert len(books.requests) <= LEADS

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, range(LEADS)))
    assert len(books.leads) == books.accepted == LEADS
    assert {request["status"] for request in books.requests} == {"Success"}
    assert {len(lead.activities) for lead in books.leads.values()} == {1}
