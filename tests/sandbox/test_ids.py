"""The ids of a sandbox: no two runs share one, unless a seed asks for the same run."""

import json
from collections.abc import Callable

import pytest

from leadsquared_async.sandbox import Account, Books, Faults, Request
from leadsquared_async.sandbox.control import answer

from .calls import BRET, bulk_request, capture_request, content, row, submit
from .documented import LEAD_DETAILS, OPPORTUNITY


def ids_of(account: Account) -> set[str]:
    """Every id that a few calls of each kind leave behind."""
    given = {submit(account, "/lead/capture", json.loads(BRET))}
    given.add(submit(account, "/lead/capture", [{"Attribute": "FirstName", "Value": "Bret"}]))
    given.add(
        submit(account, "/opportunity/capture", {"LeadDetails": LEAD_DETAILS, "Opportunity": OPPORTUNITY})
    )
    given.add(submit(account, "/1/api/telephony/logcallcomplete/key", {"Status": "Answered"}, query=""))
    (bulk,) = content(account.decide(bulk_request([row(EmailAddress="a@b.c")]), 0.0))
    given.add(bulk["LeadId"])
    books = Books(account, lambda: 10.0)
    given |= books.leads.keys() | books.opportunities.keys() | {call.id for call in books.calls}
    given |= {activity.id for lead in books.leads.values() for activity in lead.activities}
    assert len(given) == 13
    return given


def test_a_restarted_sandbox_gives_other_ids():
    """RequestIDs, leads, activities, opportunities and calls of two runs share no id."""
    assert not ids_of(Account()) & ids_of(Account())


def test_a_reset_gives_other_ids():
    """After a reset all ids are new, and so is the instance."""
    account = Account()
    before, first = ids_of(account), account.instance
    account.reset()
    assert account.instance != first
    assert not before & ids_of(account)


@pytest.mark.parametrize("seed", [0, 1, -1])
def test_a_seed_gives_the_same_ids(seed: int):
    """A seed gives the same ids also after a reset; the instance differs."""
    account, other = Account(seed=seed), Account(seed=seed)
    first = ids_of(account)
    assert first == ids_of(other)
    assert account.instance != other.instance
    instance = account.instance
    account.reset()
    assert account.instance != instance
    assert first == ids_of(account)
    assert not first & ids_of(Account(seed=seed + 7))


def test_faults_are_drawn_alike_without_a_seed():
    """Without a seed two runs, and a reset, give the same faults and delays; only the ids differ."""
    faults = Faults(probabilities={"500": 0.3}, jitter=1.0, tail=1.0, missing_rows=0.4)

    def run(account: Account) -> list[object]:
        drawn: list[object] = []
        for now in range(40):
            reply = account.decide(capture_request(BRET), float(now))
            rows = account.decide(bulk_request([row(FirstName="A")] * 5), float(now))
            drawn += [reply.status, reply.delay, rows.status, len(content(rows)), account.transit()]
        return drawn

    first, other, seeded = (
        Account(limit=None, bulk_limit=None, faults=faults, seed=seed) for seed in (None, None, 5)
    )
    drawn = run(first)
    assert drawn == run(other)
    assert drawn != run(seeded)
    first.reset()
    assert drawn == run(first)


@pytest.mark.parametrize("path", ["/_sandbox/", "/_sandbox"])
def test_the_index_names_the_instance(path: str):
    """A program can notice a restart by the instance in the index."""
    account = Account(paths={"bulk": "/bulk"})

    def asked(read: Callable[[dict[str, object]], object]) -> object:
        request = Request("GET", path, headers={"host": "127.0.0.1:8025"})
        return read(content(answer(request, Books(account, lambda: 0.0))))

    assert asked(lambda index: index["instance"]) == account.instance
    assert "POST /lead/capture" in asked(lambda index: index["calls"])
    assert "POST /bulk" in asked(lambda index: index["calls"])
    assert "PUT /_sandbox/faults" in asked(lambda index: index["control"])
    assert "GET /_sandbox/window/page.js" not in asked(lambda index: index["control"])
    before = account.instance
    account.reset()
    assert asked(lambda index: index["instance"]) == account.instance != before
