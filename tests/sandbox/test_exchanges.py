"""The last calls with their requests, replies and effects: what is kept, and how much."""

from dataclasses import replace

from leadsquared_async.sandbox import Account, Faults, Request
from leadsquared_async.sandbox.exchanges import LARGEST_KEPT, MOST_BYTES, MOST_KEPT

from .calls import BRET, HEADERS, KEYS, bulk_request, capture_request, row, status_request

GOOD = capture_request(BRET)


def test_a_call_is_kept_with_its_request_and_reply():
    """Why a call was rejected can be read from what was sent and what was answered."""
    account = Account()
    account.decide(GOOD, 0.0)
    account.decide(replace(GOOD, headers={**HEADERS, "Content-Type": "text/plain"}), 1.0)
    first, second = account.exchanges
    assert (first.number, first.request.body, first.arrival) == (1, BRET, account.arrivals[0])
    assert (second.number, second.reply.status, second.arrival.outcome) == (2, 415, "415")
    assert second.request.headers["content-type"] == "text/plain"
    assert b"Unsupported Media Type" in second.reply.body


def test_a_submission_leads_to_a_request_even_if_its_answer_is_lost():
    """What was accepted is known whatever the client received."""
    account = Account(faults=Faults(script=("lost+taken", "504+taken", "504", "ok")))
    for number in range(4):
        account.decide(capture_request(FirstName=str(number)), 0.0)
    tasks = [exchange.effects.task for exchange in account.exchanges]
    assert [task is not None for task in tasks] == [True, True, False, True]
    assert list(account.queues["capture"].tasks.values()) == [task for task in tasks if task]


def test_a_bulk_call_leads_to_its_leads():
    """Rows that the reply does not mention are included, failed ones are not."""
    account = Account(attributes={"FirstName"}, faults=Faults(missing_rows=1.0))
    account.decide(bulk_request([row(FirstName="A"), row(mx_Typo="B"), row(FirstName="C")]), 0.0)
    (exchange,) = account.exchanges
    assert exchange.reply.body == b"[]"
    assert list(exchange.effects.lead_ids) == list(account.records.leads)
    assert len(exchange.effects.lead_ids) == 2


def test_a_processed_request_knows_its_lead_and_how_it_was_found():
    """A new lead was found by nothing."""
    account = Account()
    for lead in (
        {"EmailAddress": "a@b.c"},
        {"EmailAddress": "A@b.c"},
        {"Phone": "1", "EmailAddress": "a@b.c"},
    ):
        account.decide(capture_request(**lead), 0.0)
    account.advance(1.0)
    (lead_id,) = account.records.leads
    tasks = account.queues["capture"].tasks.values()
    assert [(task.lead_id, task.matched_by) for task in tasks] == [
        (lead_id, ""),
        (lead_id, "EmailAddress"),
        (lead_id, "EmailAddress"),
    ]


def test_the_attempts_of_a_submission_are_equal():
    """Keys may differ; the path, the rest of the query and the body may not, even behind the cut."""
    account = Account(limit=None)
    long = b" " * LARGEST_KEPT
    for request in (
        GOOD,
        replace(GOOD, query="accessKey=other&secretKey=other"),
        replace(GOOD, query=f"{KEYS}&LeadUpdateBehavior=DoNotUpdate"),
        replace(GOOD, path="/lead/update"),
        capture_request(long + b"[]"),
        capture_request(long + b" []"),
    ):
        account.decide(request, 0.0)
    exchanges = list(account.exchanges)
    assert (exchanges[4].request.body, exchanges[5].request.body) == (long, long)
    assert exchanges[0].submission == exchanges[1].submission
    assert len({exchange.submission for exchange in exchanges}) == 5


def test_the_number_of_calls_that_are_kept_is_bounded():
    """The oldest are forgotten, the count goes on."""
    account = Account(limit=None)
    for _ in range(MOST_KEPT + 5):
        account.decide(status_request("1"), 0.0)
    assert (len(account.exchanges), account.exchanges.count) == (MOST_KEPT, MOST_KEPT + 5)
    assert [account.exchanges.find(n) is not None for n in (0, 5, 6, MOST_KEPT + 5, MOST_KEPT + 6)] == [
        *(False, False, True, True, False)
    ]
    newest = next(reversed(account.exchanges))
    assert account.exchanges.find(MOST_KEPT + 5) is newest
    account.reset()
    assert (len(account.exchanges), account.exchanges.count, account.exchanges.find(1)) == (0, 0, None)


def test_the_bytes_that_are_kept_are_bounded():
    """A body is cut, its size is kept; many long bodies push the oldest calls out."""
    account = Account(limit=None, faults=Faults(script=("huge",)))
    account.decide(GOOD, 0.0)
    (huge,) = account.exchanges
    assert len(huge.reply.body) == LARGEST_KEPT
    assert huge.sizes[1] > 1_200_000
    for _ in range(2 * MOST_BYTES // LARGEST_KEPT):
        account.decide(Request("POST", "/lead/capture", KEYS, HEADERS, b"x" * (LARGEST_KEPT + 9)), 0.0)
    kept = [len(each.request.body) + len(each.reply.body) for each in account.exchanges]
    assert MOST_BYTES - 2 * LARGEST_KEPT < sum(kept) <= MOST_BYTES


def test_the_repr_shows_neither_keys_nor_values():
    """It may reach a log."""
    account = Account()
    account.decide(GOOD, 0.0)
    shown = repr(list(account.exchanges))
    assert "accessKey" not in shown
    assert "Bret" not in shown
