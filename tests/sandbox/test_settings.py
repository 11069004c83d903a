"""What is set on a sandbox works or raises: nothing is accepted and then does nothing."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_type_hints

import httpx
import pytest

from leadsquared_async.sandbox import Account, Books, Faults, Sandbox, SandboxTransport, Settings
from leadsquared_async.sandbox.settings import Options

from .calls import API_KEY, BRET, KEYS, capture_request

FIELDS = [field.name for field in fields(Settings)]
FAULTS = [field.name for field in fields(Faults)]
MAKERS: dict[str, Callable[[], Any]] = {
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
    """Setting an attribute either takes effect or raises AttributeError."""
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


@pytest.mark.parametrize("name", ["fault", "nonsense", "faults", "limit"])
def test_an_account_has_no_other_attributes(name: str):
    """A misspelt name raises; `faults` are set with `set_faults`."""
    with pytest.raises(AttributeError):
        setattr(Account(), name, Faults())


@pytest.mark.parametrize("kind", [kind for kind, _ in sorted(WORKS)])
@pytest.mark.parametrize("wrong", [None, {}, {"latency": 1}, "500", ("500",), 500, Settings(), Faults])
def test_only_faults_are_faults(kind: str, wrong: Any):
    """Any other value is refused with the option's name, and the faults stay as they were."""
    made = MAKERS[kind]()
    made.faults = before = Faults(latency=0.5)
    with pytest.raises(ValueError, match="faults must be a Faults"):
        made.faults = wrong
    assert made.faults == before


async def test_faults_take_effect_for_the_next_request():
    """Faults can be set, changed and ended on a running sandbox and on a transport."""
    headers = {"x-api-key": API_KEY, "content-type": "application/json"}
    async with Sandbox() as sandbox:
        transport = SandboxTransport(Account())
        for made, client in (
            (sandbox, httpx.AsyncClient(base_url=sandbox.url, headers=headers, trust_env=False)),
            (transport, httpx.AsyncClient(transport=transport, base_url="http://a", headers=headers)),
        ):
            async with client:
                for faults, seen in (
                    (Faults(script=("500", "401")), [500, 401, 200]),
                    (Faults(probabilities={"503": 1.0}), [503, 503]),
                    (Faults(), [200, 200]),
                ):
                    made.faults = faults
                    posts = [await client.post(f"/lead/capture?{KEYS}", content=BRET) for _ in seen]
                    assert [post.status_code for post in posts] == seen


async def test_an_attribute_of_a_subclass_is_its_own():
    """A subclass may declare attributes."""

    class Mine(SandboxTransport):
        counted = 0

    mine = Mine(Account())
    mine.counted += 1
    assert mine.counted == 1
    with pytest.raises(AttributeError, match="has no attribute 'fault'"):
        mine.fault = Faults()  # type: ignore[attr-defined]


NAMES_OF_FIELDS = [[], {}, {"A"}, ("A", "B")]
NOT_NAMES = [True, 1.5, "EmailAddress", b"x", ["A", 1], [None], object()]
NOT_NUMBERS = [None, True, "x", [], 10**400, float("nan"), float("inf"), object()]
LIMITS = [None, (1, 0.5), [2, 5]]
NOT_LIMITS = [True, 0, "25/5", (1,), (0, 5.0), (1, 0), (1, -1.0), ("1", "5"), (1.5, 5), {}, (1, float("nan"))]

# name: (valid values, invalid values)
OPTIONS: dict[str, tuple[list[Any], list[Any]]] = {
    "limit": (LIMITS, NOT_LIMITS),
    "bulk_limit": (LIMITS, NOT_LIMITS),
    "counting": (["gcra"], [None, 1, "guess", "", "x" * 10_000, "\r\nx-evil: 1"]),
    "count_refused": ([True, False], [None, 1, "x"]),
    "attributes": ([None, "account", *NAMES_OF_FIELDS], NOT_NAMES),
    "mandatory": (NAMES_OF_FIELDS, [None, *NOT_NAMES]),
    "unique": (NAMES_OF_FIELDS, [None, *NOT_NAMES]),
    "fields": ([1, 60], [0, -1, 1.5, *NOT_NUMBERS]),
    "keys": (["query", "headers", "both"], [None, 1, "", "cookie", ["query"], {}]),
    "paths": (
        [{}, {"bulk": "/b"}, {"bulk": None}],
        [None, "x", [], {1: "x"}, {"bulk": 1}, {"captures": "/lead"}],
    ),
    "processing_rate": ([1.5, 10], [0, -1, *NOT_NUMBERS]),
    "speed": ([1.5, 10], [0, -1, *NOT_NUMBERS]),
    "faults": ([Faults()], [None, {}, "500", Faults, [[]] * 1000]),
    "seed": ([None, 0, -1], [True, 1.5, "x", 10**400]),
}


@pytest.mark.parametrize("name", [field.name for field in fields(Settings)])
def test_every_option_is_checked_at_once(name: str):
    """An invalid value is refused in one short line with the option's name; a valid one works."""
    valid, invalid = OPTIONS[name]
    for value in valid:
        account = Account(**{name: value})
        account.decide(capture_request(BRET), 0.0)
        account.advance(10.0)
    for value in invalid:
        with pytest.raises(ValueError, match=name) as caught:
            Account(**{name: value})
        assert len(str(caught.value)) < 400
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("port", [-1, 65_536, "8025", 80.5, True, None])
def test_a_port_is_a_number(port: Any):
    """A port is a whole number within its bounds."""
    with pytest.raises(ValueError, match="port must be a whole number from 0 to 65535"):
        Sandbox(port=port)


@pytest.mark.parametrize("name", ["fault", "latency", "rate_limit", "limits"])
def test_an_unknown_option_is_refused(name: str):
    """A misspelt option is an error, not a default."""
    for make in (Sandbox, Account, Settings):
        with pytest.raises(TypeError, match=name):
            make(**{name: 1})


def test_options_and_settings_have_the_same_fields():
    """Keyword arguments and settings agree in names and types."""
    assert get_type_hints(Options) == get_type_hints(Settings)
