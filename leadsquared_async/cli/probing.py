"""`leadsquared doctor --probe`: its options, and what it says to configure."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from leadsquared_async import RetryPolicy
from leadsquared_async.cli.connecting import Connection
from leadsquared_async.cli.doctor_checks import Check
from leadsquared_async.cli.options import option
from leadsquared_async.cli.probe import Probed, probe
from leadsquared_async.cli.probe_keys import ProbedKeys, probe_keys
from leadsquared_async.cli.shell_lines import setting_lines
from leadsquared_async.client import parts_of
from leadsquared_async.config import ENVIRONMENT, keys_in_from

__all__ = ["ProbeOptions", "Probes", "run_probes"]

WITHIN = 20.0
"""Seconds for one call, the wait for the rate limit included."""
PROBE = "Probe"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOptions:
    """What to find out about the account's host, and where to write it."""

    probe: Annotated[
        bool,
        option(
            "--probe",
            "Find out which status and metrics paths the host has: 15 to 40 calls that change nothing.",
            PROBE,
        ),
    ] = False
    probe_keys: Annotated[
        bool,
        option(
            "--probe-keys",
            "As --probe, and find out where the host takes the keys, by posting an empty body three times. "
            "That creates no lead.",
            PROBE,
        ),
    ] = False
    report: Annotated[
        Path | None,
        option(
            "--report FILE", "Write what was found as Markdown for an issue, without keys and hosts.", PROBE
        ),
    ] = None

    @property
    def is_wanted(self) -> bool:
        return self.probe or self.probe_keys


@dataclass(frozen=True, slots=True)
class Probes:
    """What was found.

    Attributes:
        paths: about the paths.
        keys: about the place of the keys; None if that was not probed.
        configured: paths that are configured already, by call name.
    """

    paths: Probed
    keys: ProbedKeys | None
    configured: Mapping[str, str]

    def checks(self) -> list[Check]:
        return [*self.paths.checks(), *([] if self.keys is None else [self.keys.check])]

    @property
    def options(self) -> dict[str, Any]:
        """The options of `LeadSquared` to configure."""
        found: dict[str, Any] = {}
        if self.paths.found:
            found["paths"] = {**self.configured, **self.paths.found}
        if self.keys is not None and self.keys.keys_in is not None:
            found["keys_in"] = self.keys.keys_in
        return found

    @property
    def variables(self) -> dict[str, str]:
        """The same as variables of the environment."""
        return {
            ENVIRONMENT[name]: value if isinstance(value, str) else json.dumps(value)
            for name, value in self.options.items()
        }

    def lines(self) -> list[str]:
        """The lines to configure, for a shell and for Python; none if nothing is missing."""
        if not self.options:
            return []
        arguments = ", ".join(f"{name}={json.dumps(value)}" for name, value in self.options.items())
        return [
            "",
            "# configure it in the environment:",
            *setting_lines(self.variables),
            "# or in Python:",
            f"LeadSquared({arguments})",
        ]

    def data(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "paths": [
                {
                    "name": asked.name or None,
                    "path": asked.path,
                    "source": asked.source,
                    "status": asked.answer.status,
                    "finding": asked.finding,
                    "detail": asked.words,
                }
                for asked in self.paths.calls
            ],
            "keys": [
                {
                    "place": posted.place,
                    "status": posted.answer.status,
                    "accepts": posted.accepts,
                    "detail": posted.words,
                }
                for posted in ([] if self.keys is None else self.keys.posted)
            ],
            "configure": self.variables,
        }


async def run_probes(connection: Connection, options: ProbeOptions, tell: Callable[[str], None]) -> Probes:
    """Make the probing calls, each once; the keys are probed only if the paths are not in trouble."""
    tell("asking the host for its paths; no call changes anything")
    in_use = keys_in_from(connection.keys_in, os.environ)
    async with replace(connection, keys_in="query").client() as lsq:
        sender = parts_of(lsq.with_options(deadline=WITHIN, retry=RetryPolicy(attempts=1))).sender
        configured = sender.session.options.paths
        paths = await probe(sender, configured, tell)
        keys = None
        if options.probe_keys and paths.trouble is None:
            keys = await probe_keys(sender, configured, in_use, tell)
    return Probes(paths, keys, configured)
