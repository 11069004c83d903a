"""What is set on a sandbox works or raises: nothing is accepted and then does nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import httpx
import pytest

from leadsquared_async.sandbox import Account, Books, Faults, Sandbox, SandboxTransport, Settings

from .calls import API_KEY, BRET, KEYS, capture_request

FIELDS = [field.name for field in fields(Settings)]
FAULTS = [field.name for field in fields(Faults)]
MAKERS: dict[str, Callable[[], Any]] = {
    "Account": Account,
    "Books": lambda: Books(Account(), lambda: 0.0),
    "Sandbox": Sandbox,
    "SandboxTransport": lambda: SandboxTransport(Account(), lambda: 0.0),
    "Settings": Settings,
    "Faults": Faults,
}
WORKS = {("Books", "faults"), ("Sandbox", "faults"), ("SandboxTransport", "faults")}
NAMES = sorted({*FIELDS, *FAULTS, "fault", "nonsense", "port", "keys", "clock", "instance"})


@pytest.mark.parametrize("kind", MAKERS)
def test_every_public_attribute_can_be_set_or_raises(kind: str):
    """Those that exist, those that are options, and those that are neither."""
    made = MAKERS[kind]()
    public = [name for name in dir(made) if not name.startswith("_")]
    if kind == "SandboxTransport":  # a method that a test puts in place of its own works
        public = [name for name in public if not callable(getattr(type(made), name))]
    for name in sorted({*public, *NAMES}):
        value = Faults(latency=0.5)
        if (kind, name) in WORKS:
            setattr(made, name, value)
            assert getattr(made, name) == value
        else:
            with pytest.raises(AttributeError):
                setattr(made, name, value)


@pytest.mark.parametrize("kind", [kind for kind, _ in sorted(WORKS)])
@pytest.mark.parametrize("wrong", [None, {}, {"latency": 1}, "500", ("500",), 500, Settings(), Faults])
def test_only_faults_are_faults(kind: str, wrong: Any):
    """Anything else is refused by its name, and the faults stay as they were."""
    made = MAKERS[kind]()
    made.faults = before = Faults(latency=0.5)
    with pytest.raises(ValueError, match="faults must be a Faults"):
        made.faults = wrong
    assert made.faults == before


def test_faults_for_unknown_operations_are_refused():
    """As at the start."""
    with pytest.raises(ValueError, match="no operation is called 'captures'"):
        Sandbox().faults = Faults(operations=("captures",))


async def test_faults_take_effect_for_the_next_request():
    """On a running sandbox: set, changed, ended."""
    headers = {"x-api-key": API_KEY, "content-type": "application/json"}
    async with (
        Sandbox() as sandbox,
        httpx.AsyncClient(base_url=sandbox.url, headers=headers, trust_env=False) as client,
    ):

        async def status() -> int:
            return (await client.post(f"/lead/capture?{KEYS}", content=BRET)).status_code

        assert await status() == 200
        for faults, seen in (
            (Faults(script=("500", "401")), [500, 401, 200]),
            (Faults(probabilities={"503": 1.0}), [503, 503]),
            (Faults(), [200, 200]),
        ):
            sandbox.faults = faults
            assert [await status() for _ in seen] == seen
        sandbox.faults = Faults(script=("lost",))
        with pytest.raises(httpx.RemoteProtocolError):
            await status()


async def test_faults_of_a_transport_take_effect_for_the_next_request():
    """As those of a sandbox."""
    transport = SandboxTransport(Account())
    async with httpx.AsyncClient(
        transport=transport, base_url="https://sandbox.invalid", headers={"x-api-key": API_KEY}
    ) as client:
        transport.faults = Faults(script=("503", "403"))
        seen = [(await client.get("/lead/capture/metrics")).status_code for _ in range(3)]
    assert seen == [503, 403, 200]


async def test_a_faulty_latency_is_that_of_the_moment():
    """A request on its way has drawn its own."""
    account = Account(faults=Faults(latency=0.01))
    transport = SandboxTransport(account)
    async with httpx.AsyncClient(
        transport=transport, base_url="https://sandbox.invalid", headers={"x-api-key": API_KEY}
    ) as client:
        call = asyncio.create_task(client.get("/lead/capture/metrics"))
        await asyncio.sleep(0)
        transport.faults = Faults()
        assert (await call).status_code == 200


async def test_an_attribute_of_a_subclass_is_its_own():
    """A class of yours may keep what it declares."""

    class Mine(SandboxTransport):
        counted = 0

    mine = Mine(Account())
    mine.counted += 1
    assert mine.counted == 1
    with pytest.raises(AttributeError, match="has no attribute 'fault'"):
        mine.fault = Faults()  # type: ignore[attr-defined]


STRANGE = [None, True, 0, -1, 1.5, float("nan"), float("inf"), 10**400, "x", "", b"x", [], {}, object()]
TAKEN: dict[str, list[Any]] = {
    "limit": [None, (1, 0.5), [2, 5]],
    "bulk_limit": [None, (1, 5)],
    "counting": ["gcra"],
    "count_refused": [True],
    "attributes": [None, "account", [], {}, {"A"}, ("A", "B")],
    "mandatory": [[], {}, {"A"}],
    "unique": [[], {}, ("A",)],
    "fields": [1, 60],
    "paths": [{}, {"bulk": "/b"}],
    "processing_rate": [1.5, 10],
    "speed": [1.5, 10],
    "faults": [Faults()],
    "seed": [None, 0, -1],
}


@pytest.mark.parametrize("name", FIELDS)
def test_every_option_refuses_what_makes_no_sense(name: str):
    """With its name, and at once: what is taken works."""
    for value in TAKEN[name]:
        account = Account(**{name: value})
        account.decide(capture_request(BRET), 0.0)
        account.advance(10.0)
    others = (
        *STRANGE,
        *(["EmailAddress", 1], [None], (1,), (0, 5.0), (1, 0), ("1", "5"), (1.5, 5), {1: "x"}, {"bulk": 1}),
        *("EmailAddress", "25/5", "\r\nx-evil: 1", "\u00e9", "x" * 10_000, Faults, [[]] * 1000),
    )
    for value in others:
        try:
            account = Account(**{name: value})
        except ValueError as error:
            said = str(error)
            assert name in said
            assert len(said) < 400
            assert said.isprintable()
        else:
            assert account.decide(capture_request(BRET), 0.0).status in {200, 429}
            account.advance(10.0)


@pytest.mark.parametrize(("name", "wrong"), [("mandatory", "LastName"), ("attributes", "EmailAddress")])
def test_one_name_is_no_collection_of_names(name: str, wrong: str):
    """It would be one of its letters."""
    with pytest.raises(ValueError, match=f"{name} must be a collection of schema names"):
        Account(**{name: wrong})


@pytest.mark.parametrize("port", [-1, 65_536, "8025", 80.5, True, None])
def test_a_port_is_a_number(port: Any):
    """In its bounds."""
    with pytest.raises(ValueError, match="port must be a whole number from 0 to 65535"):
        Sandbox(port=port)


@pytest.mark.parametrize("name", ["fault", "latency", "rate_limit", "Limit"])
def test_an_option_that_does_not_exist_is_refused(name: str):
    """As by any function."""
    for make in (Sandbox, Account, Settings):
        with pytest.raises(TypeError, match=name):
            make(**{name: 1})
