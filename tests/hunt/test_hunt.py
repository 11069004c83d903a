"""Each piece of `make hunt`, for a second or two."""

from __future__ import annotations

import sys
import time

import pytest
from hypothesis.stateful import RuleBasedStateMachine

from tests.hunt import bad_network, cancellations, fault_pairs, fuzz, fuzz_files, mutants
from tests.hunt.limiter_machine import QueueMachine, TokensMachine
from tests.hunt.machines import play
from tests.hunt.outbox_machine import OutboxMachine
from tests.hunt.tracker_machine import TrackerMachine
from tests.interruptions import WAYS


@pytest.mark.parametrize("machine", [TokensMachine, QueueMachine, OutboxMachine, TrackerMachine])
def test_state_machines_find_nothing_in_a_few_runs(machine: type[RuleBasedStateMachine]) -> None:
    """Crashes, cancellations, lost answers and changed limits lose no token, no promise and no outcome."""
    assert play(machine, 0.0, steps=12, at_once=6)


def test_a_capture_and_a_put_may_be_cancelled_at_every_await() -> None:
    """All tokens come back, nobody waits, and a lead that is put again is one item."""
    way = WAYS["by its task"]
    assert cancellations.puts([way], time.monotonic() + 60.0) >= 1
    assert cancellations.captures([("503",), ("drip-body", "401")], [way], time.monotonic() + 60.0) >= 12


def test_a_fault_followed_by_another_is_said_as_it_is_in_the_books() -> None:
    """Accepted, rejected, not sent and unknown agree with what LeadSquared has."""
    assert len(fault_pairs.pairs()) > 4000
    assert fault_pairs.hunt(fault_pairs.pairs()[::40]) > 100


def test_any_answer_header_and_lead_is_read_or_refused() -> None:
    """An answer has an outcome and a Retry-After a bound, whatever they hold."""
    assert fuzz.run(0.0, 0, examples=40)


def test_any_file_is_read_or_refused() -> None:
    """No traceback, no row lost, and no cell in a message, whatever the bytes and the options."""
    assert fuzz_files.run(0.0, 0, examples=60)


@pytest.mark.skipif(sys.platform == "win32", reason="sockets are reset in another way there")
def test_a_bad_network_takes_no_token_and_tells_no_lie() -> None:
    """Connections that are cut, reset, stalled and halved: each capture's error agrees with the books."""
    assert bad_network.run(0.0, 7, calls=25)


def test_a_mutant_changes_one_thing() -> None:
    """An operator, a comparison, a number or a condition; or a statement is left out."""
    source = "def f(self, a):\n    self.b = a + 1\n    if a < 2 and self.b:\n        return True\n"
    pytest.importorskip("cosmic_ray")
    made = {mutant.after for mutant in mutants.mutants_of(source)}
    assert {"self.b = a - 1", "self.b = a + 2", "pass", "return False", "if a < 2 or self.b:"} <= made
    assert {"if a <= 2 and self.b:", "if a >= 2 and self.b:"} <= made


def test_a_mutant_changes_a_condition_of_a_statement() -> None:
    """In the text of a query or a change; other texts, and those that create a table, stay."""
    pytest.importorskip("cosmic_ray")
    source = 'Q = f"SELECT a FROM b WHERE NOT c AND d > {e} LIMIT ?"\n'
    made = {mutant.after for mutant in mutants.mutants_of(source)}
    assert 'Q = f"SELECT a FROM b WHERE c AND d > {e} LIMIT ?"' in made
    assert 'Q = f"SELECT a FROM b WHERE NOT c OR d > {e} LIMIT ?"' in made
    assert 'Q = f"SELECT a FROM b WHERE NOT c AND d >= {e} LIMIT ?"' in made
    for other in ("a = b", "NOT THIS", "CREATE INDEX a ON b (c) WHERE NOT d"):
        assert not [*mutants.mutants_of(f"Q = {other!r}\n")]
