"""`leadsquared doctor --probe`: which paths the account's host has, by calls that change nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from uuid import uuid4

from leadsquared_async.cli.doctor_checks import Check, Word
from leadsquared_async.cli.exits import ExitStatus, status_of
from leadsquared_async.cli.probe_answers import PAGE, Answer, Finding, ask, finding_of
from leadsquared_async.http.call import Call
from leadsquared_async.http.sender import Sender
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.operations import OPERATIONS, Idempotency, Keys, Operation, Path
from leadsquared_async.protocol import ExpectedBody

__all__ = ["Asked", "Probed", "candidates", "probe"]

Kind = Literal["status", "metrics"]
KINDS: tuple[Kind, ...] = ("status", "metrics")


@dataclass(frozen=True, slots=True)
class Asked:
    """A path that was asked.

    Attributes:
        name: the call, as in `paths=`; "" for the path that cannot exist.
        source: where the path comes from: "documented", "inferred", "configured", "candidate" or "control".
    """

    name: str
    kind: Kind
    path: str
    source: str
    answer: Answer
    finding: Finding
    words: str


@dataclass(slots=True)
class Probed:
    """The result of probing.

    Attributes:
        calls: every call that was made, in order.
        configured: the paths that the client uses, as far as they were asked.
        found: paths that exist, of calls whose configured path does not, by call name.
        trouble: why the probing ended early, or what all answers have in common.
    """

    calls: list[Asked] = field(default_factory=list[Asked])
    configured: list[Asked] = field(default_factory=list[Asked])
    found: dict[str, str] = field(default_factory=dict[str, str])
    trouble: Check | None = None

    def checks(self) -> list[Check]:
        """One row if all is as configured, else a row for each path that is not."""
        if self.trouble is not None:
            return [self.trouble]
        differing = [self._check(asked) for asked in self.configured if asked.finding is not Finding.EXISTS]
        total = len(self.configured)
        summary = f"{total - len(differing)} of {total} exist as configured ({len(self.calls)} calls)"
        return [Check("paths", "look" if differing else "ok", summary), *differing]

    def _check(self, asked: Asked) -> Check:
        if asked.finding is not Finding.MISSING:
            return Check(asked.name, "unknown", f"{asked.path}: {asked.words}")
        path = self.found.get(asked.name)
        if path is None:
            tried = candidates(OPERATIONS[asked.name.partition(" ")[0]], asked.kind, asked.path)
            others = f", and neither does {' or '.join(tried)}" if tried else ""
            detail = f"{asked.path} does not exist{others}: ask LeadSquared's support for the path"
            return Check(asked.name, "unknown", detail)
        shared = [other.name for other in self.configured if other.path == path]
        doubt = f"; it is also the path of {shared[0]}, so confirm it with a test lead" if shared else ""
        detail = f"{asked.path} does not exist, but {path} does: configure it{doubt}"
        return Check(asked.name, "look", detail, ExitStatus.USAGE)


def candidates(operation: Operation, kind: Kind, configured: str) -> list[str]:
    """Other paths that a call may have, likeliest first: below and beside the path of the submission."""
    submit = operation.submit.text
    usual: Path = getattr(operation, kind)
    parent = submit.rpartition("/")[0]
    guesses = [usual.text, f"{submit}/{kind}", f"{parent}/{kind}"]
    if submit.startswith("/1/"):  # call logs were seen below /2/ as well
        guesses.append(f"/2/{submit.removeprefix('/1/')}/{kind}")
    return [path for path in dict.fromkeys(guesses) if path != configured]


async def probe(sender: Sender, configured: Mapping[str, str], tell: Callable[[str], None]) -> Probed:
    """Ask every path of status and metrics, then the candidates of those that do not exist.

    Args:
        sender: sends each call once, within the rate limit.
        configured: paths that replace the default ones, by call name.
        tell: called with a line for each call.
    """
    return await _Probe(sender, configured, tell).run()


class _Probe:
    def __init__(self, sender: Sender, configured: Mapping[str, str], tell: Callable[[str], None]) -> None:
        self._sender = sender
        self._configured = configured
        self._tell = tell
        self._probed = Probed()
        self._by_path: dict[tuple[str, str], Asked] = {}
        self._request_id = str(uuid4())
        self._is_404_missing = True

    async def run(self) -> Probed:
        self._probed.trouble = await self._control() or await self._paths() or await self._others()
        return self._probed

    async def _control(self) -> Check | None:
        """Learn what the host answers for a path that cannot exist."""
        asked = await self._ask("", "metrics", f"/lead/{uuid4().hex[:12]}/metrics", "control")
        self._is_404_missing = asked.answer.status == 404
        if asked.answer.is_page:
            return Check("paths", "wrong", f"the host answers with {PAGE}", ExitStatus.ACCOUNT)
        if asked.finding in {Finding.NO_ANSWER, Finding.REJECTED}:
            return _stopped(asked)
        if asked.finding is Finding.MISSING:
            return None
        detail = f"the host has an answer for a path that cannot exist ({asked.answer.words}): check the host"
        return Check("paths", "wrong", detail, ExitStatus.ACCOUNT)

    async def _paths(self) -> Check | None:
        for operation in OPERATIONS.values():
            for kind in KINDS:
                name = f"{operation.name} {kind}"
                usual: Path = getattr(operation, kind)
                path = self._configured.get(name)
                source = usual.certainty.value if path is None else "configured"
                asked = await self._ask(name, kind, path or usual.text, source)
                self._probed.configured.append(asked)
                exists = any(one.finding is Finding.EXISTS for one in self._probed.configured)
                if asked.finding is Finding.NO_ANSWER or (asked.finding is Finding.REJECTED and not exists):
                    return _stopped(asked)
        findings = {asked.finding for asked in self._probed.configured}
        if findings == {Finding.MISSING}:
            detail = "this host has none of the paths: check the host and the region"
            return Check("paths", "wrong", detail, ExitStatus.ACCOUNT)
        if all(asked.answer.is_page for asked in self._probed.configured):
            return Check("paths", "wrong", f"the host answers with {PAGE}", ExitStatus.ACCOUNT)
        return None

    async def _others(self) -> Check | None:
        for missing in self._probed.configured:
            if missing.finding is not Finding.MISSING:
                continue
            operation = OPERATIONS[missing.name.partition(" ")[0]]
            for path in candidates(operation, missing.kind, missing.path):
                asked = await self._ask(missing.name, missing.kind, path, "candidate")
                if asked.finding is Finding.NO_ANSWER:
                    return _stopped(asked)
                if asked.finding is Finding.EXISTS:
                    self._probed.found[missing.name] = path
                    break
        return None

    async def _ask(self, name: str, kind: Kind, path: str, source: str) -> Asked:
        """Ask a path, at most once for each kind."""
        known = self._by_path.get((kind, path))
        if known is not None:
            return replace(known, name=name, source=source)
        call = Call(
            operation="doctor --probe",
            method="GET",
            path=path,
            query=(("RequestID", self._request_id),) if kind == "status" else (),
            keys=Keys.API_KEY,
            expect=ExpectedBody.JSON,
            repeat=Idempotency.READ,
            lane=Lane.STATUS,
        )
        answer = await ask(self._sender, call)
        finding, words = finding_of(answer, kind, is_404_missing=self._is_404_missing)
        asked = self._by_path[kind, path] = Asked(name, kind, path, source, answer, finding, words)
        self._probed.calls.append(asked)
        label = {"control": "a path that cannot exist", "candidate": f"{name}, candidate"}.get(source, name)
        self._tell(f"{len(self._probed.calls)}. {label}: {path} {finding.sentence} ({words})")
        return asked


def _stopped(asked: Asked) -> Check:
    """The check for an answer that ends the probing."""
    error = asked.answer.error
    status = ExitStatus.LEFT if error is None else status_of(error)
    verdict: Word = "wrong" if status is ExitStatus.ACCOUNT else "unknown"
    return Check("paths", verdict, f"stopped at {asked.path}: {asked.words}", status)
