"""Whatever comes in, the account answers something that the documentation knows."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async.sandbox import FAULTS, Account, Books, Faults, How, Request
from leadsquared_async.sandbox.control import ROUTES, answer

from .calls import BULK, FIELDS, HEADERS, KEYS, USER, capture_request

quietly = settings(database=None, deadline=None, max_examples=60)

STATUSES = {200, 307, 400, 401, 403, 404, 413, 415, 429, 500, 502, 503, 504}
anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from(["Attribute", "Value", "Fields"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["Attribute", "Value", "Fields"]), inner),
)
pairs = st.lists(
    st.fixed_dictionaries(
        {
            "Attribute": st.sampled_from(["ProspectID", "EmailAddress", "Phone", "SearchBy", "mx_A"])
            | st.text(),
            "Value": st.sampled_from(["ProspectId", "Phone", "mx_A", "Mobile"]) | st.text(),
        }
    )
)


@quietly
@given(st.binary() | anything.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_taken_or_refused(body: bytes):
    """No body breaks the account."""
    assert Account().decide(capture_request(body), 0.0).status in {200, 400}


@quietly
@given(st.lists(pairs, max_size=5), st.sampled_from(["", "DoNotUpdate", "UpdateOnlyEmptyFields", "Nonsense"]))
def test_any_leads_end_in_an_outcome(leads: list[object], behavior: str):
    """What is accepted is processed to Success or FAILURE, and the books agree with the queue."""
    account = Account()
    for lead in leads:
        body = json.dumps(lead).encode()
        account.decide(capture_request(body, query=f"{KEYS}&LeadUpdateBehavior={behavior}"), 0.0)
    books = Books(account, lambda: 1.0)
    succeeded = sum(request["status"] == "Success" for request in books.requests)
    assert {request["status"] for request in books.requests} <= {"Success", "FAILURE"}
    assert sum(len(lead.activities) for lead in books.leads.values()) == succeeded
    for page, methods in ROUTES.items():
        if "GET" in methods:
            reply = answer(Request("GET", f"/_sandbox/{page}", headers={"host": "localhost"}), books)
            json.loads(reply.body)


@quietly
@given(
    st.builds(
        Request,
        method=st.sampled_from(["GET", "POST", "PUT", "get", ""]),
        path=st.sampled_from(
            ["/lead/capture", "/lead/status", "/lead/capture/metrics", "/activity/create", FIELDS, USER, BULK]
        )
        | st.text(),
        query=st.text() | st.just(KEYS),
        headers=st.dictionaries(st.text(), st.text()) | st.just(HEADERS),
        body=st.binary(),
    ),
    st.sampled_from(sorted(FAULTS)),
)
def test_any_request_is_answered(request: Request, fault: str):
    """No method, path, query or header breaks the account, under no fault."""
    account = Account(faults=Faults(script=(fault,)))
    reply = account.decide(request, 0.0)
    assert reply.status in STATUSES
    assert len(account.arrivals) == (reply.how is not How.REFUSED)
    books = Books(account, lambda: 1.0)
    assert answer(request, books).status in {403, 404}
