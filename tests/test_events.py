"""The classes of events: names, levels, records, and that they survive a pickle."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import pickle
from typing import Any, get_args, get_type_hints

import pytest

from leadsquared_async import Delivery, Event, Fault, RateLimit, events
from leadsquared_async.logs import ClientEvents

CLASSES = [getattr(events, name) for name in events.__all__ if name != "Event"]
OF_A_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "event"}
NAMESPACE = {"RateLimit": RateLimit, "Delivery": Delivery, "Fault": Fault}


def example(kind: type[Event], *, sparse: bool = False) -> Event:
    """An event with a value for every field; with None where that is allowed if it is sparse."""
    hints = get_type_hints(kind, localns=NAMESPACE)
    values = {it.name: value_of(hints[it.name], it.name, sparse=sparse) for it in dataclasses.fields(kind)}
    return kind(**values)


def value_of(hint: Any, name: str, *, sparse: bool) -> Any:
    kinds = get_args(hint) or (hint,)
    if type(None) in kinds and sparse:
        return None
    made = {int: 3, float: 1.5, bool: True, str: f"the-{name}", RateLimit: RateLimit(10)}
    kind = next(kind for kind in kinds if kind is not type(None))
    return made[kind] if kind in made else next(iter(kind))


def test_every_event_is_exported_once_with_a_name_of_its_own() -> None:
    """The name is what alerts are about, so no two events share one; a new class cannot be forgotten."""
    defined = {
        name
        for name, thing in vars(events).items()
        if inspect.isclass(thing) and issubclass(thing, events.Event)
    }
    assert defined == set(events.__all__)
    assert len({kind.name for kind in CLASSES}) == len(CLASSES)
    assert sorted(events.__all__) == events.__all__
    for kind in CLASSES:
        words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind.__name__)
        assert kind.name == words.strip("_")


def test_the_levels() -> None:
    """ERROR if a person has to look, WARNING if it may pass, INFO for a retry and the like, else DEBUG."""
    names = {level: {kind.name for kind in CLASSES if kind.level == level} for level in range(51)}
    assert names[logging.ERROR] == {"callback_failed", "dead_letter", "delivery_stopped"}
    assert names[logging.WARNING] == {
        *("abandoned", "fields_unavailable", "held", "limit_doubted", "limit_lowered"),
        *("resumed", "store_back", "store_lost", "throttled"),
    }
    assert names[logging.INFO] == {"credentials_renewed", "limit_raised", "retried"}
    assert names[logging.DEBUG] == {"attempt_failed", "call_ended", "delivered", "processed", "sent"}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.name)
def test_an_event_is_a_small_frozen_value(kind: type[Event]) -> None:
    """It has slots, takes keywords only, and comes back equal from a pickle."""
    event = example(kind)
    assert not hasattr(event, "__dict__")
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        event.client = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        kind("positional")  # type: ignore[misc]
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(event, protocol)) == event


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.name)
def test_no_field_has_a_name_that_logging_uses(kind: type[Event]) -> None:
    """`logging` raises KeyError for an extra attribute of such a name."""
    assert {it.name for it in dataclasses.fields(kind)}.isdisjoint(OF_A_RECORD)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.name)
def test_the_docstring_describes_each_field(kind: type[Event]) -> None:
    """The page of events is made of them."""
    doc = inspect.getdoc(kind) or ""
    for field in dataclasses.fields(kind):
        if field.name != "client":  # described once, at Event
            assert f"\n    {field.name}: " in doc, field.name


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", ["acme", "100 % acme", None])
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.name)
def test_its_record_has_its_name_its_level_and_all_its_fields(
    kind: type[Event], name: str | None, caplog: pytest.LogCaptureFixture, *, sparse: bool
) -> None:
    """One line at its level that begins with the client's name; the fields are attributes."""
    caplog.set_level(logging.DEBUG, "leadsquared_async")
    told: list[Event] = []
    client = ClientEvents(name)
    client.subscribe(told.append)
    client.emit(example(kind, sparse=sparse))
    (event,), (record,) = told, caplog.records
    assert event == dataclasses.replace(example(kind, sparse=sparse), client=name)
    assert (record.name, record.levelno) == ("leadsquared_async", kind.level)
    attributes = vars(record)
    assert attributes["event"] == kind.name
    for field in dataclasses.fields(event):
        value = getattr(event, field.name)
        shown = value if value is None or isinstance(value, int | float) else str(value)
        assert attributes[field.name] == shown, field.name
    message = record.getMessage()
    assert "\n" not in message
    assert message.startswith(f"[{name}] ") == (name is not None)


def test_text_of_others_stays_on_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A reference cannot forge a line or control a terminal: neither in the message nor in an attribute."""
    caplog.set_level(logging.DEBUG, "leadsquared_async")
    ClientEvents(None).emit(
        events.Sent(operation="leads.capture", reference="a\nERROR b\x1b[2J", attempts=1, waited=0.0)
    )
    (record,) = caplog.records
    assert vars(record)["reference"] == "a ERROR b [2J"
    assert record.getMessage().endswith("(reference a ERROR b [2J)")


def test_a_message_is_one_template_for_each_event(caplog: pytest.LogCaptureFixture) -> None:
    """Error trackers group records by `msg`, so no value is in it."""
    caplog.set_level(logging.DEBUG, "leadsquared_async")
    for reference in ("form-1", "form-2"):
        ClientEvents(None).emit(
            events.Sent(operation="leads.capture", reference=reference, attempts=1, waited=0.0)
        )
    assert {record.msg for record in caplog.records} == {events.Sent.template}
