"""The public surface is frozen: exports and signatures, against `surface.txt`.

After a change that is meant, write it anew with `python -m tests.test_surface` and say so in the changelog.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_origin

STORED = Path(__file__).with_name("surface.txt")
MODULES = [
    "leadsquared_async",
    "leadsquared_async.events",
    "leadsquared_async.submissions",
    "leadsquared_async.fields",
    "leadsquared_async.sandbox",
    "leadsquared_async.testing",
    "leadsquared_async.integrations.taskiq",
]


def surface() -> str:
    return "\n".join(line for module in MODULES for line in lines_of(module)) + "\n"


def lines_of(name: str) -> Iterator[str]:
    module = importlib.import_module(name)
    for export in module.__all__:
        yield from described(f"{name}.{export}", getattr(module, export))


def described(name: str, value: object) -> Iterator[str]:
    if isinstance(value, type):
        bases = ", ".join(base.__name__ for base in value.__bases__)
        yield f"{name}: class ({bases})"
        if issubclass(value, enum.Enum):
            yield from (f"{name}.{member.name} = {member.value!r}" for member in value)
            return
        yield f"{name}{signature(value)}"
        own = [base for base in reversed(value.__mro__) if base.__module__.startswith("leadsquared_async")]
        members = {attribute: member for base in own for attribute, member in vars(base).items()}
        for attribute, member in sorted(members.items()):
            if attribute.startswith("_"):
                continue
            if isinstance(member, property):
                yield f"{name}.{attribute}: property"
            elif callable(member) or isinstance(member, classmethod | staticmethod):
                yield f"{name}.{attribute}{signature(getattr(value, attribute))}"
        if name.endswith(".LeadSquared"):
            for resource in ("leads", "activities", "opportunities", "calls", "fields", "bulk"):
                yield from described(f"{name}.{resource}", getattr(value, resource))
    elif get_origin(value) is Literal:
        yield f"{name}: {value}"
    elif callable(value):
        yield f"{name}{signature(value)}"
    else:
        yield f"{name}: {type(value).__name__}"


def signature(value: object) -> str:
    assert callable(value)
    try:
        shown = re.sub(r" at 0x[0-9a-f]+", "", str(inspect.signature(value)))
        return re.sub(r"\*<class '([\w.]+)'>", r"Unpack[\1]", shown)  # as Python has it from 3.12 on
    except ValueError:
        return "(...)"


def test_the_public_surface_is_as_stored() -> None:
    """surface.txt has every export and every public signature."""
    assert surface() == STORED.read_text(), "changed on purpose? python -m tests.test_surface"


def test_every_export_exists() -> None:
    """`__all__` holds only what is there."""
    for name in MODULES:
        module = importlib.import_module(name)
        assert all(hasattr(module, export) for export in module.__all__)


if __name__ == "__main__":
    STORED.write_text(surface())
