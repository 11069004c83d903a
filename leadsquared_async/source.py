"""The iterable or async iterable that many items are read from."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from typing import Generic, Self, TypeVar, cast

from leadsquared_async.errors import ConfigurationError

__all__ = ["Source"]

S = TypeVar("S")


class Source(Generic[S]):
    """The caller's iterable or async iterable, read by one task.

    `aclose` closes a generator, so that its clean-up, such as closing a file or a cursor, does not wait for
    the garbage collector. Other iterators stay open, since the caller may continue to read them.
    """

    def __init__(self, items: Iterable[S] | AsyncIterable[S], call: str, of: str) -> None:
        given: object = items
        if isinstance(given, str | bytes | bytearray | Mapping) or not isinstance(  # pyright: ignore[reportUnnecessaryIsInstance]
            given, Iterable | AsyncIterable
        ):
            raise ConfigurationError(
                f"{call}() expects an iterable or async iterable of {of}, got {type(items).__name__}; "
                "pass a list, even for a single item: [item]"
            )
        self._given = items
        self._reading: Iterator[S] | AsyncIterator[S] | None = None

    def __aiter__(self) -> Self:
        given = self._given
        self._reading = aiter(given) if isinstance(given, AsyncIterable) else iter(given)
        return self

    async def __anext__(self) -> S:
        if isinstance(self._reading, AsyncIterator):
            return await anext(self._reading)
        assert self._reading is not None
        try:
            for item in self._reading:
                return item
        except StopAsyncIteration as error:  # it would look like the end of the source
            raise RuntimeError("the source raised StopAsyncIteration") from error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Close a generator, in the task that read it."""
        reading: object = self._reading
        if isinstance(reading, AsyncGenerator):
            await cast("AsyncGenerator[object]", reading).aclose()
        elif isinstance(reading, Generator):
            cast("Generator[object]", reading).close()
