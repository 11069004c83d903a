"""Lead fields of an account, and clients that fetch them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx

from leadsquared_async import (
    LeadSquared,
)
from leadsquared_async.sandbox import Account, Books, Faults
from tests import virtual
from tests.clients import answering, virtual_client

T = TypeVar("T")

FIELDS = [
    {"SchemaName": "FirstName", "DisplayName": "First Name", "DataType": "Text", "MaxLength": "20"},
    {"SchemaName": "EmailAddress", "DisplayName": "Email", "DataType": "Email", "MaxLength": "200"},
    {"SchemaName": "mx_City", "DisplayName": "City", "DataType": "Text", "MaxLength": "50"},
    {
        "SchemaName": "mx_Plan",
        "DisplayName": "Plan",
        "DataType": "Select",
        "Options": [{"Value": "Gold"}, {"Value": "Silver"}],
    },
    {"SchemaName": "LastName", "DisplayName": "Last Name", "DataType": "Text", "IsMandatory": True},
]
GOOD = {"FirstName": "Bret", "LastName": "Lee", "EmailAddress": "bret.lee@example.com"}
BAD = {**GOOD, "mx_Ctiy": "Pune"}


def play(what: Callable[[LeadSquared, Books], Awaitable[T]], client: Any = None, **account: Any) -> T:
    async def main() -> T:
        settings = {"faults": Faults(latency=0.04), "attributes": "account", **account}
        lsq, transport = virtual_client(Account(**settings), **(client or {}))
        async with lsq, asyncio.timeout(50_000):
            return await what(lsq, transport.books)

    return virtual.run(main)


def asked(books: Books) -> int:
    return sum(arrival.operation == "fields" for arrival in books.arrivals)


class Answers:
    """A LeadSquared whose lead fields answer as given, and that accepts every lead."""

    def __init__(self, *fields: Any) -> None:
        self.fields = list(fields)
        self.asked = 0
        self.bodies: list[str] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != "/v2/LeadManagement.svc/LeadsMetaData.Get":
            self.bodies.append(request.content.decode())
            return httpx.Response(200, json={"RequestID": "3f0c2c4e"})
        self.asked += 1
        answer = self.fields.pop(0) if len(self.fields) > 1 else self.fields[0]
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            answer = FIELDS
        return httpx.Response(200, json=answer) if isinstance(answer, list) else httpx.Response(answer)


def client_of(answers: Answers, **options: Any) -> LeadSquared:
    return answering(answers, **{"sync_host": "https://sync.invalid", **options})
