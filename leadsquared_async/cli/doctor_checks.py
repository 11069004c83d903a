"""What `leadsquared doctor` has checked, one row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from leadsquared_async.cli.exits import ExitStatus

__all__ = ["Check", "Word"]

Word = Literal["ok", "look", "wrong", "unknown"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked.

    The verdict "look" means that it works, but somebody has to act. The detail holds no key.
    """

    name: str
    verdict: Word
    detail: str
    status: ExitStatus = ExitStatus.DONE
