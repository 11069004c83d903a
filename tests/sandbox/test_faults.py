"""Faults: which call meets which, whether the lead is taken, and how the answer goes out."""

from dataclasses import replace

import pytest

from leadsquared_async.sandbox import FAULTS, Account, Faults, How
from leadsquared_async.sandbox.faults import describe_fault

from .calls import BRET, capture_request, metrics_request, status_request
from .documented import ANSWERS

GOOD = capture_request(BRET)


def outcomes(account: Account, calls: int, now: float = 0.0) -> list[str]:
    return [str(account.decide(GOOD, now).status) for _ in range(calls)]


@pytest.mark.parametrize(("fault", "status", "text"), [(name, *row) for name, row in ANSWERS.items()])
def test_a_fault_replaces_the_answer(fault: str, status: int, text: str):
    """The lead is not accepted, unless the fault's name says so."""
    account = Account(faults=Faults(script=(fault, f"{fault}+taken")))
    for taken in (0, 1):
        reply = account.decide(GOOD, 0.0)
        assert (reply.status, reply.how) == (status, How.WHOLE)
        assert text in reply.body.decode()
        assert len(account.queues["capture"].tasks) == taken


@pytest.mark.parametrize(
    ("fault", "how", "taken"),
    [
        ("ok", How.WHOLE, 1),
        ("lost", How.LOST, 1),
        ("half-body", How.HALF_BODY, 1),
        ("drip-headers", How.DRIP_HEADERS, 1),
        ("drip-body", How.DRIP_BODY, 1),
        ("reset", How.RESET, 0),
        ("reset+taken", How.RESET, 1),
        ("hang", How.HANG, 0),
        ("hang+taken", How.HANG, 1),
        ("refused", How.REFUSED, 0),
    ],
)
def test_a_fault_of_the_wire_keeps_the_true_answer(fault: str, how: How, taken: int):
    """The reply holds the true answer, and how it goes out; no answer if the lead is not accepted."""
    account = Account(faults=Faults(script=(fault,), drip=0.25))
    reply = account.decide(GOOD, 0.0)
    assert reply.how is how
    assert len(account.queues["capture"].tasks) == taken
    if how is not How.REFUSED:
        assert reply.pace == 0.25
        assert (b"RequestID" in reply.body) == taken


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("500", "Internal server error"),
        ("504+taken", "Gateway timeout; the lead is accepted all the same"),
        ("lost", "The lead is accepted, but the connection closes without a reply"),
        ("lost+taken", "The lead is accepted, but the connection closes without a reply"),
        ("unheard of", "unheard of"),
    ],
)
def test_a_fault_is_described_in_a_line(name: str, line: str):
    """The line says whether the lead is accepted."""
    assert describe_fault(name) == line


def test_every_fault_is_tested():
    """Every fault has a row in the two tables above."""
    wire = {"ok", "lost", "half-body", "drip-headers", "drip-body", "reset", "hang", "refused"}
    assert set(FAULTS) == set(ANSWERS) | wire


def test_the_redirect_and_the_huge_answer():
    """The 307 asks for the same body at another host; the huge answer exceeds a megabyte."""
    account = Account(faults=Faults(script=("redirect", "huge")))
    assert account.decide(GOOD, 0.0).headers["location"] == "https://elsewhere.invalid/lead/capture"
    assert len(account.decide(GOOD, 0.0).body) > 1024 * 1024


def test_a_scripted_429_quotes_the_accounts_limit():
    """It looks like the real refusal, but is not counted as one."""
    account = Account(limit=(10, 5.0), faults=Faults(script=("429",)))
    reply = account.decide(GOOD, 0.0)
    assert reply.status == 429
    assert b"exceeded the limit of 10 in 5 second(s)" in reply.body
    assert [arrival.over_limit for arrival in account.arrivals] == [False]


def test_a_script_applies_to_the_next_calls_in_order():
    """After its last entry calls succeed again."""
    account = Account(faults=Faults(script=("ok", "500", "503")))
    assert outcomes(account, 5) == ["200", "500", "503", "200", "200"]


def test_faults_can_be_limited_to_some_operations():
    """Other calls neither meet them nor use up the script."""
    account = Account(faults=Faults(script=("503",), operations=("status",)))
    assert account.decide(GOOD, 0.0).status == 200
    assert account.decide(metrics_request(), 0.0).status == 200
    assert account.decide(status_request("1"), 0.0).status == 503
    assert account.decide(status_request("1"), 0.0).status == 404


@pytest.mark.slow
def test_probabilities_hold_in_the_long_run():
    """3 % and 10 % of 5,000 calls fail."""
    account = Account(limit=None, seed=1, faults=Faults(probabilities={"500": 0.03, "502": 0.1}))
    seen = outcomes(account, 5000)
    assert 100 <= seen.count("500") <= 200
    assert 430 <= seen.count("502") <= 570


def test_the_same_seed_gives_the_same_run():
    """Faults, latencies, ids and outcomes; another seed gives another run."""

    def run(seed: int) -> list[object]:
        faults = Faults(probabilities={"500": 0.2, "lost": 0.2}, jitter=1.0, tail=0.5, system_error=0.3)
        account = Account(limit=None, seed=seed, faults=faults)
        first = [account.decide(GOOD, now / 10) for now in range(50)]
        account.advance(100.0)
        states = [(task.request_id, task.status) for task in account.queues["capture"].tasks.values()]
        account.reset()
        assert [account.decide(GOOD, now / 10) for now in range(50)] == first
        return [*first, *states]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_latency_does_not_change_which_calls_fail():
    """Each kind of draw has its own stream."""
    quick = Account(limit=None, faults=Faults(probabilities={"500": 0.5}))
    slow = Account(limit=None, faults=Faults(probabilities={"500": 0.5}, jitter=1.0, tail=1.0))
    assert outcomes(quick, 100) == outcomes(slow, 100)


def test_a_round_trip_is_two_ways_of_half_the_latency():
    """Half of the latency passes before the decision, half after it."""
    account = Account(faults=Faults(latency=0.5))
    assert account.transit() == 0.25
    assert account.decide(GOOD, 0.0).delay == 0.25


def test_jitter_is_uniform_and_the_tail_exponential():
    """Jitter has a bound, the tail a mean."""
    account = Account(faults=Faults(latency=0.1, jitter=0.2))
    ways = [account.transit() for _ in range(2000)]
    assert 0.05 <= min(ways) < 0.055
    assert 0.145 < max(ways) <= 0.15
    account.set_faults(Faults(tail=2.0), 0.0)
    ways = [account.transit() for _ in range(5000)]
    assert 0.9 < sum(ways) / len(ways) < 1.1
    assert max(ways) > 5


def test_an_outage_has_a_beginning_and_an_end():
    """From and until, by the sandbox's clock; the script waits for it to pass."""
    account = Account(limit=None, faults=Faults(outage=(10, 20), script=("500",)))
    assert [account.decide(GOOD, now).status for now in (9.9, 10.0, 19.9, 20.0)] == [500, 503, 503, 200]
    account.set_faults(Faults(outage=(30, 40), outage_fault="401"), 25.0)
    assert [account.decide(GOOD, now).status for now in (29.0, 30.0, 40.0)] == [200, 401, 200]
    account.set_faults(Faults(outage=(50, 60), outage_fault="quota"), 45.0)
    assert [account.decide(GOOD, now).status for now in (49.0, 50.0, 60.0)] == [200, 429, 200]


def test_the_accounts_own_refusals_take_precedence():
    """A fault does not hide a refusal; a fault of the wire still changes how it goes out."""
    account = Account(limit=(1, 5.0), faults=Faults(script=("503", "503", "503", "lost")))
    assert account.decide(capture_request(b"{}"), 0.0).status == 400
    assert account.decide(replace(GOOD, path="/nowhere"), 0.0).status == 403
    assert account.decide(GOOD, 0.0).status == 429
    reply = account.decide(replace(GOOD, headers={}), 0.0)
    assert (reply.status, reply.how) == (403, How.LOST)


def test_a_refused_connection_never_arrives():
    """A refused connection is neither recorded nor counted; a reset one is both."""
    account = Account(limit=(1, 5.0), faults=Faults(script=("refused", "reset")))
    account.decide(GOOD, 0.0)
    assert account.arrivals == []
    account.decide(GOOD, 1.0)
    assert [arrival.outcome for arrival in account.arrivals] == ["reset"]
    assert account.decide(GOOD, 2.0).status == 429


def test_new_faults_apply_from_now_on():
    """What was processed before does not change."""
    account = Account()
    account.decide(GOOD, 0.0)
    account.set_faults(Faults(system_error=1.0), 5.0)
    account.decide(GOOD, 6.0)
    account.advance(7.0)
    assert [task.status for task in account.queues["capture"].tasks.values()] == ["Success", "In-Queue"]


NO_SPAN = "outage must be two times"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        *(({"script": [name]}, "no fault is called") for name in ("501", "500+", "500+x", "refused+taken")),
        *(({"script": script}, "script must be a list or tuple of strings") for script in ("500", [500])),
        ({"probabilities": {"501": 0.1}}, "no fault is called '501'"),
        *(({"probabilities": {"500": p}}, "500 must be a number from 0 to 1") for p in (1.5, "1")),
        ({"probabilities": {"500": 0.6, "502": 0.6}}, "probabilities: the sum must be at most 1"),
        *(({"probabilities": value}, "probabilities must be a mapping") for value in ([1], None)),
        *(
            ({name: value}, f"{name} must be a number from 0 to 86400")
            for name in ("latency", "jitter", "tail", "drip")
            for value in (-1, float("nan"), 10**400, True, None)
        ),
        *(({name: 1.5}, f"{name} must be a number from 0 to 1") for name in ("system_error", "missing_rows")),
        ({"processing_script": ["fail"]}, "processing_script must be"),
        *(({"outage": span}, NO_SPAN) for span in ([2, 1], [1, float("inf")], 5, [1, "2"], [1])),
        ({"outage_fault": "501"}, "no fault is called"),
        ({"outage_fault": 503}, "outage_fault must be the name of a fault"),
        ({"surprise": 1}, "surprise"),
        *((value, "JSON object") for value in ([], None)),
    ],
)
def test_invalid_faults_are_refused(wrong: object, message: str):
    """The ValueError names the invalid option."""
    with pytest.raises(ValueError, match=message):
        Faults().changed(wrong)


def test_faults_for_an_operation_that_does_not_exist_are_refused():
    """They are refused at the start and later."""
    wrong = Faults(operations=("captures",))
    with pytest.raises(ValueError, match="operations: 'captures' does not exist: choose from activity, "):
        Account(faults=wrong)
    with pytest.raises(ValueError, match="operations: 'captures' does not exist: choose from activity, "):
        Account().set_faults(wrong, 0.0)
