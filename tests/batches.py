"""What the tests of many calls share: their leads, and reading their results."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from leadsquared_async import RateLimit, Result, Results, RetryPolicy
from leadsquared_async.models import field_of

WIDE = RateLimit(1000, per=0.01)
"""A limit that is out of the way."""
SYNC = {"sync_host": "https://api.sandbox.invalid"}
ONCE = RetryPolicy(attempts=1)


def lead(number: int, **more: str) -> dict[str, str]:
    return {"EmailAddress": f"b{number}@example.com", **more}


def leads(count: int | None = None) -> Iterator[dict[str, str]]:
    """So many leads; without a count, there is no end to them."""
    return (lead(number) for number in (itertools.count() if count is None else range(count)))


class Counted:
    """So many leads, and how many of them were pulled."""

    def __init__(self, count: int) -> None:
        self._leads = leads(count)
        self.pulled = 0

    def __iter__(self) -> Iterator[dict[str, str]]:
        return self

    def __next__(self) -> dict[str, str]:
        item = next(self._leads)
        self.pulled += 1
        return item


async def read(results: Results[Any], raises: type[BaseException] | None = None) -> list[Result[Any]]:
    """The results as they come, to their end or to the error that the iteration has to raise."""
    found: list[Result[Any]] = []
    try:
        async for result in results:
            found.append(result)  # noqa: PERF401 - kept when it raises
    except BaseException as error:
        if raises is None or not isinstance(error, raises):
            raise
        return found
    assert raises is None, f"{raises.__name__} was not raised"
    return found


async def taken(results: Results[Any], raises: type[BaseException] | None = None) -> list[Result[Any]]:
    """Enter the block and read the results; in the order of the source."""
    async with results:
        return sorted(await read(results, raises), key=lambda result: result.index)


def row(number: object, **other: object) -> dict[str, object]:
    """A row of the answer as documented."""
    known = {"LeadId": f"lead-{number}", "LeadCreated": True, "LeadUpdated": False, "AffectedRows": 1}
    return {"RowNumber": number, **known, **other}


def lead_id(result: Result[Any]) -> str | None:
    return None if result.status is None else result.status.lead_id


def facts(result: Result[Any]) -> tuple[str | None, bool | None, bool | None]:
    """The lead's id, whether it is new, and whether LeadSquared says that it was updated."""
    if result.status is None:
        return None, None, None
    assert result.status.succeeded
    assert result.status.is_final
    return (
        result.status.lead_id,
        result.status.created,
        result.status.message and field_of(result.status.message, "LeadUpdated"),
    )
