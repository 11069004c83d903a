"""Who goes first among the calls that wait for a token."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Lane"]


class Lane(IntEnum):
    """Who goes first. Within a lane it is the order of arrival."""

    INTERACTIVE = 0
    """Somebody waits for the answer: a form. The only lane that may spend a burst."""
    BATCH = 1
    """Many leads; paced, so that a form that comes alone does not wait behind them."""
    STATUS = 2
    """Polls; at most half of the rate, even if nobody else calls."""
