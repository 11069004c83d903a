"""Which rows go first, and under which numbers the file keeps them."""

from __future__ import annotations

from zlib import crc32

from leadsquared_async.operations import LEADS_CAPTURE

__all__ = ["FILES", "FORMS", "lane_of"]

FORMS, FILES = range(2)
"""The lanes of `put` and of `put_many`."""


def lane_of(operation: str, lane: int) -> int:
    """The number of an operation's lane: its rows are found without passing those of others, and stay found.

    Captures keep the numbers 0 and 1, which are all that there was in the first version of the file. A
    process of that version may still deliver when this one puts: it sends whatever stands under these two as
    a capture, and pulls to 0 what is of the same lead and has a higher number. So all others are negative. A
    form's number is even, and one less than that of the operation's files.
    """
    return lane if operation == LEADS_CAPTURE.name else lane - 2 * (1 + crc32(operation.encode()))
