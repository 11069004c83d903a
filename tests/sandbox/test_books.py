"""The books record what the account has seen, without a client's help."""

from dataclasses import replace

import pytest

from leadsquared_async.sandbox import Account, Books, Faults

from .calls import ACCESS_KEY, API_KEY, BRET, HEADERS, KEYS, SECRET_KEY, capture_request, status_request

GOOD = capture_request(BRET)


def books_of(account: Account, now: float = 100.0) -> Books:
    return Books(account, lambda: now)


def test_arrivals_are_kept_with_time_operation_and_outcome():
    """Every call that arrived is recorded, refused or not."""
    account = Account(limit=(2, 5.0), faults=Faults(script=("ok", "lost")))
    for now in (0.0, 1.0, 2.0):
        account.decide(GOOD, now)
    account.decide(replace(GOOD, path="/nowhere"), 3.0)
    arrivals = [(a.time, a.operation, a.outcome, a.over_limit) for a in books_of(account).arrivals]
    assert arrivals == [
        (0.0, "capture", "200", False),
        (1.0, "capture", "lost", False),
        (2.0, "capture", "429", True),
        (3.0, "unknown", "403", False),
    ]


def test_the_most_arrivals_are_those_of_one_limit():
    """By default all calls but bulk calls count; an operation's name selects its own."""
    account = Account(limit=None, bulk_limit=(1, 2.0))
    for now in (0.0, 1.0, 4.0):
        account.decide(replace(GOOD, path="/v2/LeadManagement.svc/Lead/Bulk/CreateOrUpdate"), now)
        account.decide(GOOD, now)
        account.decide(status_request("1"), now)
    books = books_of(account)
    assert books.most_arrivals() == 6
    assert books.most_arrivals(operation="bulk") == 2
    assert books.most_arrivals(5.0, "bulk") == 3
    assert books.most_arrivals(operation="status") == 3
    assert books.most_arrivals(operation="metrics") == 0


def test_accepted_submissions_are_counted_even_if_the_answer_was_lost():
    """A lost answer leaves a lead behind, and its repetition is counted."""
    account = Account(faults=Faults(script=("503", "lost")))
    for now in (0.0, 1.0, 2.0):
        account.decide(GOOD, now)
    books = books_of(account)
    assert books.accepted == 2
    assert books.repeated == 1
    assert books.attempts == {BRET.decode(): 3}
    assert len(books.leads) == 1
    assert books.duplicates == 0


@pytest.mark.parametrize(
    ("leads", "duplicates"),
    [
        ([{"FirstName": "A"}, {"FirstName": "B"}], 0),
        ([{"FirstName": "A"}, {"FirstName": "A"}, {"FirstName": "A"}], 2),
        ([{"EmailAddress": "a@b.c"}, {"EmailAddress": "a@b.c"}], 0),
    ],
)
def test_duplicates_are_leads_beyond_the_first_of_a_person(leads: list[dict[str, str]], duplicates: int):
    """Leads without e-mail address and phone are the same person if all attributes are equal."""
    account = Account()
    for lead in leads:
        account.decide(capture_request(**lead), 0.0)
    assert books_of(account).duplicates == duplicates


def test_requests_show_their_current_state():
    """The books read the queue at their own clock's time."""
    account = Account(processing_rate=60, attributes={"FirstName"})
    account.decide(capture_request(FirstName="A"), 0.0)
    account.decide(capture_request(mx_B="B"), 0.0)
    account.decide(capture_request(FirstName="C"), 0.0)
    states = [(r["operation"], r["status"], r["reason"]) for r in books_of(account, 2.0).requests]
    assert states == [
        ("capture", "Success", ""),
        ("capture", "FAILURE", "MXUnknownAttributeException: Attribute(s) does not exist - mx_B."),
        ("capture", "In-Queue", ""),
    ]


STRAY = {
    "status with keys": (
        replace(status_request("1"), query=f"RequestID=1&{KEYS}"),
        ["status: a key in the query"],
    ),
    "status with another's keys": (
        replace(status_request("1"), query="RequestID=1&accesskey=x"),
        ["status: a key in the query"],
    ),
    "x-api-key in the query": (
        capture_request(BRET, query=f"{KEYS}&x-api-key={API_KEY}"),
        ["capture: a key in the query"],
    ),
    "swapped": (
        capture_request(BRET, query=f"accessKey={SECRET_KEY}&secretKey={ACCESS_KEY}"),
        ["capture: a key in the query"],
    ),
    "keys in headers": (
        replace(GOOD, headers={**HEADERS, "x-LSQ-SecretKey": SECRET_KEY}),
        ["capture: a key in the header x-lsq-secretkey"],
    ),
    "a referer": (
        replace(GOOD, headers={**HEADERS, "Referer": f"https://a.b/?secretKey={SECRET_KEY}"}),
        ["capture: a key in the header referer"],
    ),
    "the body": (capture_request(Notes=f"my key is {API_KEY}"), ["capture: a key in the body"]),
    "the path": (
        replace(GOOD, path=f"/{ACCESS_KEY.replace('$', '%24')}", query=""),
        ["unknown path: a key in the path"],
    ),
    "another origin": (
        replace(GOOD, headers={**HEADERS, "Host": "elsewhere.invalid"}),
        ["capture: a key in a request to another origin"],
    ),
}


@pytest.mark.parametrize(("request_", "noted"), STRAY.values(), ids=STRAY.keys())
def test_a_misplaced_key_is_recorded(request_, noted: list[str]):
    """A key in a wrong place is recorded without the key."""
    account = Account()
    account.decide(request_, 0.0)
    assert books_of(account).misplaced_keys == noted


def test_keys_in_the_right_place_are_not_recorded():
    """Right and wrong keys are fine where the call takes keys."""
    account = Account()
    account.decide(GOOD, 0.0)
    account.decide(status_request("1"), 0.0)
    account.decide(capture_request(BRET, query="accessKey=1&secretKey=2"), 0.0)
    assert books_of(account).misplaced_keys == []


def test_the_summary_has_counts_only():
    """The summary holds no personal data."""
    account = Account(limit=(2, 5.0))
    for _ in range(3):
        account.decide(GOOD, 0.0)
    summary = books_of(account).summary()
    assert summary == {
        "now": 100.0,
        "arrivals": 3,
        "most_arrivals": 3,
        "by_outcome": {"200": 2, "429": 1},
        "over_limit": 1,
        "accepted": 2,
        "by_status": {"Success": 2},
        "repeated": 1,
        "most_attempts": 3,
        "leads": 1,
        "duplicates": 0,
        "opportunities": 0,
        "calls": 0,
        "misplaced_keys": [],
    }


def test_a_reset_forgets_everything_but_the_settings():
    """A reset clears counts, leads, requests and the limit, and restores the first faults."""
    account = Account(limit=(1, 5.0), faults=Faults(script=("503",)))
    books = books_of(account)
    for _ in range(2):
        account.decide(GOOD, 0.0)
    books.faults = Faults(latency=1.0)
    books.reset()
    assert books.summary() == {**books_of(Account()).summary(), "now": 100.0}
    assert books.faults == Faults(script=("503",))
    assert [account.decide(GOOD, 101.0).status for _ in range(2)] == [503, 429]
