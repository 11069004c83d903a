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
def test_every_option_is_checked_at_once(name: str):
    """An invalid value is refused with the option's name; an accepted one works."""
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


@pytest.mark.parametrize(
    "options",
    [
        *({name: value} for name in ("processing_rate", "speed") for value in (0, -1, float("nan"))),
        *({name: value} for name in ("limit", "bulk_limit") for value in ((0, 5.0), (25, 0.0), (1, -1.0))),
        *({name: "EmailAddress"} for name in ("attributes", "mandatory", "unique")),
        *({"fields": 0}, {"counting": "guess"}),
    ],
)
def test_an_invalid_option_is_refused(options: dict[str, object]):
    """The message names the option. One name is not a collection of names."""
    with pytest.raises(ValueError, match=next(iter(options))):
        Account(**options)


def test_options_and_settings_have_the_same_fields():
    """Keyword arguments and settings agree in names and types."""
    assert get_type_hints(Options) == get_type_hints(Settings)
