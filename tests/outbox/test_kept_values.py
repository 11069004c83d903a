"""What stays of a row's query and reason when its values are erased."""

from __future__ import annotations

import pytest

from leadsquared_async.outbox.erasure import kept_query, kept_reason


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        (b'[["leadId", "5a8f9f0e"]]', "[]"),
        (
            b'[["LeadUpdateBehavior", "DoNotUpdate"], ["leadId", "5a8f9f0e"]]',
            '[["LeadUpdateBehavior", "DoNotUpdate"]]',
        ),
        (b"", "[]"),
        (b"\xff", "[]"),
        (b"[[]]", "[]"),
        (b"7", "[]"),
        (b"[" * 100_000, "[]"),
    ],
)
def test_the_options_of_a_query_stay(query: bytes, kept: str) -> None:
    """What cannot be read is erased whole, so that the row's state can still be stored."""
    assert kept_query(query) == kept


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        (None, None),
        (b"MXDuplicateEntryException: bret@example.com", "MXDuplicateEntryException"),
        (b"bret@example.com \xff", None),
    ],
)
def test_the_name_of_an_exception_stays(reason: bytes | None, kept: str | None) -> None:
    """The rest of LeadSquared's text may hold values."""
    assert kept_reason(reason) == kept
