"""The values of gauges, read when metrics are collected, in the collector's thread."""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

__all__ = ["Attributes", "Reading", "observed", "watch"]

T = TypeVar("T")
Attributes = tuple[tuple[str, str], ...]


class Reading(NamedTuple):
    """A value of a gauge.

    Attributes:
        value: the value.
        source: the object that was read, such as a file; readings of one source with the same attributes
            count once.
        attributes: by name; an attribute that is None is left out.
    """

    value: float
    source: Hashable
    attributes: Mapping[str, str | None]


Readers = Mapping[str, Callable[[T], Iterable[Reading]]]
_watched: dict[int, tuple[weakref.ref[Any], Readers[Any]]] = {}


def watch(owner: T, readers: Readers[T]) -> Callable[[], None]:
    """Read gauges of `owner` until the returned function is called, or the owner no longer exists.

    Args:
        owner: the object that the gauges describe, such as a client's session.
        readers: by gauge name; each may be called in any thread and must not hold a reference to the owner.
    """

    def stop(_: object = None) -> None:
        _watched.pop(number, None)

    number = id(owner)
    _watched[number] = weakref.ref(owner, stop), readers
    return stop


def observed(name: str) -> dict[Attributes, list[float]]:
    """The values of a gauge, one for each source, by their attributes."""
    values: defaultdict[Attributes, dict[Hashable, float]] = defaultdict(dict)
    for owner_of, readers in list(_watched.values()):  # a copy: other threads open and close clients
        owner, read = owner_of(), readers.get(name)
        if owner is not None and read is not None:
            for it in read(owner):
                key = tuple((key, value) for key, value in it.attributes.items() if value is not None)
                values[key][it.source] = it.value
    return {key: list(by_source.values()) for key, by_source in values.items()}
