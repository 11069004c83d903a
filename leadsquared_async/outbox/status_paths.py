"""Which of the paths at which outcomes are asked for are known to be right."""

from __future__ import annotations

from collections.abc import Iterator

from leadsquared_async.operations import OPERATIONS, Certainty
from leadsquared_async.outbox.store import Store
from leadsquared_async.outbox.writer import Writer
from leadsquared_async.tracking import Tracker, Trackers

__all__ = ["StatusPaths"]


class StatusPaths:
    """Those that are documented, and those at which a request was ever known; that is kept in the file.

    At another one "not found" may be said of the path as well as of the request.

    Args:
        writer: the way to the file.
        trackers: ask.
    """

    def __init__(self, writer: Writer, trackers: Trackers) -> None:
        self._writer = writer
        self._trackers = trackers
        self._known: dict[str, str] = {}
        self._answers: dict[str, int] = {}

    def tracker(self, operation: str) -> Tracker:
        """What asks for the outcomes of an operation."""
        return self._trackers.of(OPERATIONS[operation])

    async def read(self) -> None:
        """Take up what earlier processes learnt.

        Raises:
            OutboxError: the file cannot be read.
        """
        self._known = await self._writer.read(lambda store: store.status_paths())

    def is_known(self, operation: str) -> bool:
        """Whether the path of an operation's status is right for sure."""
        path = self.tracker(operation).path
        return path.certainty is Certainty.DOCUMENTED or self._known.get(operation) == path.text

    def mark(self, operation: str) -> None:
        """What was answered of an operation up to now is no news."""
        self._answers[operation] = self.tracker(operation).answers

    async def answered(self) -> list[str]:
        """The operations of which a request was known since the last time this was asked, or since `mark`.

        Raises:
            OutboxError: it cannot be noted which paths that shows to be right; then it is said again.
        """
        news = list(self._news())
        learnt = {name: self.tracker(name).path.text for name in news if not self.is_known(name)}
        if learnt:
            known = {**self._known, **learnt}

            def note(store: Store) -> None:
                store.set_status_paths(known)

            await self._writer.write(note)
            self._known = known
        for operation in news:
            self.mark(operation)
        return news

    def _news(self) -> Iterator[str]:
        for operation in OPERATIONS:
            if self.tracker(operation).answers > self._answers.get(operation, 0):
                yield operation
