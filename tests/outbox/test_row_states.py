"""The SQL of put and delivery alone: each state, what it stores, and which row is next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from leadsquared_async.delivery.item_retries import ItemState
from leadsquared_async.encoding import EncodedSubmission, encode
from leadsquared_async.errors import KeyReused, OutboxFull
from leadsquared_async.logs import ClientLog
from leadsquared_async.operations import BULK_CREATE_OR_UPDATE, OPERATIONS
from leadsquared_async.outbox.files import create
from leadsquared_async.outbox.row_states import RowStates
from leadsquared_async.outbox.rows import FILES, FORMS
from leadsquared_async.submissions import capture_lead, create_activity, log_call, update_lead

NOW = 1.8e9
CAPTURE = "leads.capture"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[int], RowStates]]:
    path, made = tmp_path / "leads.db", list[RowStates]()
    create(path)

    def opened(max_bytes: int) -> RowStates:
        made.append(RowStates(path, max_bytes, ClientLog(None)))
        made[-1].connection.execute("PRAGMA synchronous = OFF")
        return made[-1]

    yield opened
    for states in made:
        states.close()


@pytest.fixture
def states(opened: Callable[[int], RowStates]) -> RowStates:
    return opened(10_000_000)


def lead(number: int, **more: Any) -> EncodedSubmission:
    return encode(capture_lead({"Phone": f"99887766{number:02}", **more}))


NOBODY = encode(capture_lead({"FirstName": "Bret"}))
"""A lead without an identity."""


def put(states: RowStates, submission: EncodedSubmission, lane: int = FORMS, key: str | None = None) -> int:
    return states.put(submission, key, lane, NOW).id


def column(states: RowStates, row: int, names: str) -> tuple[Any, ...]:
    found: tuple[Any, ...] = states.connection.execute(
        f"SELECT {names} FROM items WHERE id = ?", (row,)
    ).fetchone()
    return found


def state_of(states: RowStates, row: int) -> str:
    return str(column(states, row, "state")[0])


def next_ids(states: RowStates, lane: int = FORMS, most: int = 9, without: tuple[int, ...] = ()) -> list[int]:
    return [row.id for row in states.next_rows(lane, most, without)]


def rename(states: RowStates, row: int, operation: str) -> None:
    states.connection.execute("UPDATE items SET operation = ? WHERE id = ?", (operation, row))


def forget(states: RowStates, row: int) -> None:
    states.connection.execute("UPDATE items SET content = NULL WHERE id = ?", (row,))


def test_a_put_row_holds_all_of_its_submission(states: RowStates) -> None:
    """Each value is in its own column, and a row is open, pending and ready."""
    submission = encode(update_lead("5a8f9f0e", {"FirstName": "Bret"}, reference="form-1"))
    assert submission.query
    ticket = states.put(submission, "k", FILES, NOW, "00-trace")
    assert (ticket.key, ticket.is_new, ticket.state) == ("k", True, ItemState.PENDING)
    (row,) = states.next_rows(FILES, 1, ())
    assert (row.id, row.operation, row.content) == (ticket.id, "leads.update", submission.content)
    assert (row.reference, row.traceparent, row.request_id) == ("form-1", "00-trace", None)
    assert (row.identified, row.attempts, row.is_sending) == (submission.identified, 0, False)
    assert column(states, row.id, "query, suffix") == ('[["leadId", "5a8f9f0e"]]', "[]")
    assert column(states, row.id, "lane, is_open, is_ready, put_at, changed_at, is_called_back") == (
        FILES,
        1,
        1,
        NOW,
        NOW,
        1,
    )
    other = put(states, NOBODY)
    assert column(states, other, "key, digest, identity, query, suffix") == (None, None, None, "[]", "[]")
    assert column(states, put(states, call("c", "i")), "suffix") == ('["c", "i"]',)


def test_digests_have_sixteen_bytes(states: RowStates) -> None:
    """Of the key's submission and of the lead's identity."""
    row = put(states, lead(1), key="k")
    assert column(states, row, "length(digest), length(identity)") == (16, 16)


def test_a_known_key_adds_nothing(states: RowStates) -> None:
    """Its ticket has the id and the state of the row that is there."""
    put(states, lead(7))
    first = states.put(lead(1), "k", FORMS, NOW)
    states.sending([(first.id, False)], NOW)
    again = states.put(lead(1), "k", FORMS, NOW)
    assert (again.id, again.key, again.is_new, again.state) == (first.id, "k", False, ItemState.SENDING)
    with pytest.raises(KeyReused, match="'k' already belongs to another lead"):
        states.put(lead(2), "k", FORMS, NOW)
    assert states.last_id() == first.id


def activity(note: str) -> EncodedSubmission:
    return encode(create_activity("5a8f9f0e", event=200, note=note))


def update(lead_id: str) -> EncodedSubmission:
    return encode(update_lead(lead_id, {"FirstName": "Bret"}))


def call(key: str, instance: str | None = None, **more: Any) -> EncodedSubmission:
    return encode(log_call(key, {**more, "Direction": "Inbound"}, instance=instance))


SAME = [
    (lead(1, FirstName="Bret"), encode(capture_lead({"FirstName": "Bret", "Phone": "9988776601"}))),
    (lead(1, mx_Set={"A": "1", "B": "2"}), lead(1, mx_Set={"B": "2", "A": "1"})),
    (activity("called"), activity("called")),
    (call("c", Tag="a", Status="b"), call("c", Status="b", Tag="a")),
]
OTHER = [
    (lead(1), lead(2)),
    (lead(1, FirstName="Bret", LastName="Lee"), lead(1, FirstName="Lee", LastName="Bret")),
    (encode(capture_lead({"Phone": "1"})), encode(capture_lead({"Phone": "2"}))),
    (encode(capture_lead({"mx_A": "1"})), encode(capture_lead({"mx_B": "1"}))),
    (lead(1, mx_Set={"A": "1"}), lead(1, mx_Set={"A": "2"})),
    (activity("called"), activity("wrote")),
    (call("c"), call("d")),
    (call("c"), call("c", "i")),
    (NOBODY, update("5a8f9f0e")),
    (
        encode(update_lead("5a8f9f0e", {"FirstName": "B"})),
        encode(update_lead("5a8f9f0f", {"FirstName": "B"})),
    ),
]


@pytest.mark.parametrize(
    ("first", "second", "is_same"), [*((*pair, True) for pair in SAME), *((*pair, False) for pair in OTHER)]
)
def test_a_key_belongs_to_one_submission(
    states: RowStates, first: EncodedSubmission, second: EncodedSubmission, is_same: bool
) -> None:
    """The order of attributes makes no difference, and any value, name, operation or path does."""
    put(states, first, key="k")
    if is_same:
        assert not states.put(second, "k", FORMS, NOW).is_new
    else:
        with pytest.raises(KeyReused):
            put(states, second, key="k")


def test_a_left_out_attribute_is_part_of_the_digest(states: RowStates) -> None:
    """A submission is the one that was given, whichever fields the account has at that moment."""
    given = capture_lead({"Phone": "1", "mx_A": "x"})
    put(states, encode(given), key="k")
    without = encode(capture_lead({"Phone": "1"}), ("mx_A",), [("mx_A", "x")])
    ticket = states.put(without, "k", FORMS, NOW)
    assert (ticket.is_new, ticket.dropped) == (False, ("mx_A",))
    assert states.put(without, None, FORMS, NOW).dropped == ("mx_A",)


def test_a_full_file_takes_known_keys_only(opened: Callable[[int], RowStates]) -> None:
    """If another process has put the key meanwhile, the put adds nothing and needs no room."""
    row = put(opened(10_000_000), lead(1), key="k")
    full = opened(1)
    full.begin()
    assert full.put(lead(1), "k", FORMS, NOW).id == row
    with pytest.raises(OutboxFull, match="has reached 1 bytes"):
        full.put(lead(2), "l", FORMS, NOW)
    with pytest.raises(OutboxFull):
        full.put(lead(2), None, FORMS, NOW)


def test_many_are_put_until_a_key_is_anothers(states: RowStates) -> None:
    """`put_all` counts the new rows and stops there; `put_each` answers for every row."""
    put(states, lead(9), key="c")
    pairs = [(lead(1), "a"), (lead(1), "a"), (lead(2), "b"), (lead(3), "c"), (lead(4), "d")]
    new, error = states.put_all(pairs, FILES, NOW, "00-trace")
    assert (new, isinstance(error, KeyReused)) == (2, True)
    assert states.put_all(pairs[:3], FILES, NOW) == (0, None)
    a, b, c, d = states.put_each([pairs[0], *pairs[2:]], FILES, NOW, "00-trace")
    assert isinstance(c, KeyReused)
    assert not isinstance(a, KeyReused)
    assert not isinstance(b, KeyReused)
    assert not isinstance(d, KeyReused)
    assert [ticket.is_new for ticket in (a, b, d)] == [False, False, True]
    assert column(states, a.id, "lane, traceparent") == (FILES, "00-trace")
    assert column(states, d.id, "lane, traceparent") == (FILES, "00-trace")


def test_the_oldest_ready_rows_of_a_lane_are_next(states: RowStates) -> None:
    """As many as are asked for, in their order; some may be left out, by id, operation or position."""
    rows = [put(states, lead(number)) for number in range(4)]
    other = put(states, activity("called"))
    file = put(states, lead(9), FILES)
    assert next_ids(states) == [*rows, other]
    assert next_ids(states, FILES) == [file]
    assert next_ids(states, most=2) == rows[:2]
    assert next_ids(states, most=1) == rows[:1]
    assert next_ids(states, most=0) == []
    assert next_ids(states, most=-1) == []
    assert next_ids(states, most=2, without=(rows[0], rows[2])) == [rows[1], rows[3]]
    assert [row.id for row in states.next_rows(FORMS, 9, (), rows[2])] == [rows[3], other]
    assert [row.id for row in states.next_rows(FORMS, 9, (), operations=[CAPTURE])] == rows
    assert states.next_rows(FORMS, 9, (), operations=[]) == []


def test_rows_of_one_lead_go_one_after_another(states: RowStates) -> None:
    """The second is ready when the first is final, and the third when the second is."""
    older = put(states, lead(9))
    states.sending([(older, False)], NOW)
    first, second, third = (put(states, lead(1, mx_N=str(number))) for number in range(3))
    assert next_ids(states) == [first]
    states.sending([(first, False)], NOW)
    assert next_ids(states) == []
    states.accepted(first, NOW, 1, "r-1")
    assert put(states, NOBODY) == third + 1
    assert next_ids(states) == [third + 1]
    states.finish(first, NOW, ItemState.CONFIRMED, is_called_back=True)
    assert next_ids(states) == [second, third + 1]
    states.delete(second)
    assert next_ids(states) == [third, third + 1]


def test_a_row_released_while_another_is_under_way_waits(states: RowStates) -> None:
    """Deleting a waiting row makes no other of its lead ready."""
    first, second, third = (put(states, lead(1, mx_N=str(number))) for number in range(3))
    states.delete(second)
    assert next_ids(states) == [first]
    states.delete(first)
    assert next_ids(states) == [third]


def test_a_form_takes_the_rows_of_its_lead_out_of_the_file(states: RowStates) -> None:
    """Otherwise it would wait for the file; a row that does not wait changes no lane."""
    first, last, other = put(states, lead(1), FILES), put(states, lead(1), FILES), put(states, lead(2), FILES)
    done = put(states, lead(1), FILES)
    states.finish(done, NOW, ItemState.REJECTED, is_called_back=True)
    put(states, lead(3))
    assert next_ids(states, FILES) == [first, other]
    form = put(states, lead(1, mx_N="2"))
    lanes = [column(states, row, "lane")[0] for row in (first, last, other, done, form)]
    assert lanes == [FORMS, FORMS, FILES, FILES, FORMS]
    put(states, lead(2, mx_N="2"), FILES)
    assert column(states, other, "lane") == (FILES,)
    assert column(states, put(states, lead(4)), "lane") == (FORMS,)


def test_rows_in_a_state(states: RowStates) -> None:
    """Those that are not final, after an id, in their order."""
    rows = [put(states, lead(number)) for number in range(4)]
    states.sending([(row, False) for row in rows[1:]], NOW)
    assert [row.id for row in states.in_state(ItemState.SENDING, 9)] == rows[1:]
    assert [row.id for row in states.in_state(ItemState.SENDING, 1, rows[1])] == [rows[2]]
    states.finish(rows[3], NOW, ItemState.ACCEPTED, is_called_back=True)
    states.accepted(rows[2], NOW, 1, "r-2")
    assert [row.id for row in states.in_state(ItemState.ACCEPTED, 9)] == [rows[2]]


def test_rows_of_operations_of_another_version(states: RowStates) -> None:
    """Every name that this version does not know is found, wherever it sorts; known ones are not."""
    known = [*OPERATIONS, BULK_CREATE_OR_UPDATE.name]
    odd = ["", "a", "leads.capture2", "zebra", *(f"{name}!" for name in known)]
    rows = [put(states, lead(number)) for number in range(len(odd) + len(known))]
    for row, name in zip(rows, [*odd, *known], strict=True):
        rename(states, row, name)
    assert [row.id for row in states.of_unknown_operations(99)] == rows[: len(odd)]
    found = [row.id for row in states.of_unknown_operations(3)]
    assert len(found) == 3
    assert set(found) < set(rows[: len(odd)])
    states.sending([(row, False) for row in rows], NOW)
    assert states.of_unknown_operations(99) == []


def test_rows_that_wait_for_a_deleted_row_are_released(states: RowStates) -> None:
    """The oldest of each lead, or a row without an identity, and no row whose lead has one under way."""
    first, second, third = (put(states, lead(1, mx_N=str(number))) for number in range(3))
    lonely = put(states, NOBODY)
    under_way, waits = put(states, lead(2)), put(states, lead(2))
    assert not states.release_orphans(9)
    states.connection.execute("UPDATE items SET is_ready = 0 WHERE id = ?", (lonely,))
    states.connection.execute("DELETE FROM items WHERE id = ?", (first,))
    newest = put(states, lead(1, mx_N="4"))
    assert next_ids(states) == [under_way]
    assert states.release_orphans(9)
    assert next_ids(states) == [second, lonely, under_way]
    assert not states.release_orphans(9)
    assert [column(states, row, "is_ready") for row in (third, newest, waits)] == [(0,), (0,), (0,)]


def test_orphans_are_released_some_at_a_time(states: RowStates) -> None:
    """A large file is read in parts."""
    for _ in range(3):
        put(states, NOBODY)
    states.connection.execute("UPDATE items SET is_ready = 0")
    assert [(states.release_orphans(2), len(next_ids(states))) for _ in range(3)] == [
        (True, 2),
        (True, 3),
        (False, 3),
    ]


def test_the_last_id(states: RowStates) -> None:
    """Zero in an empty file."""
    assert states.last_id() == 0
    put(states, lead(1))
    row = put(states, lead(2))
    assert states.last_id() == row


def test_a_row_is_claimed_once(states: RowStates) -> None:
    """Another process's row, a final, a missing and a forgotten one are not sent; a retry claims its own."""
    first, second, forgotten = (put(states, lead(number)) for number in range(3))
    forget(states, forgotten)
    assert states.sending([(first, False), (second, True), (forgotten, False), (99, False)], NOW + 1) == [
        True,
        True,
        False,
        False,
    ]
    assert column(states, first, "state, changed_at") == ("sending", NOW + 1)
    assert state_of(states, forgotten) == "pending"
    assert states.sending([(first, False), (first, True)], NOW) == [False, True]
    states.finish(first, NOW, ItemState.UNKNOWN, is_called_back=True)
    assert states.sending([(first, False), (first, True)], NOW) == [False, False]


def test_a_row_that_was_not_sent_is_pending_again(states: RowStates) -> None:
    """Its attempts are added up; a forgotten one is deleted, and the next of its lead released."""
    first, second = put(states, lead(1)), put(states, lead(1, mx_N="2"))
    states.sending([(first, False)], NOW)
    states.pending(first, NOW + 1, 2)
    states.pending(first, NOW + 2)
    assert column(states, first, "state, changed_at, attempts") == ("pending", NOW + 2, 2)
    assert next_ids(states) == [first]
    states.sending([(first, False)], NOW)
    forget(states, first)
    states.pending(first, NOW)
    assert next_ids(states) == [second]
    assert states.last_id() == second
    states.finish(second, NOW, ItemState.REJECTED, is_called_back=True)
    states.pending(second, NOW)
    assert state_of(states, second) == "rejected"


def test_an_accepted_row_has_its_request_id(states: RowStates) -> None:
    """It stays open, with its values, and only this row changes."""
    row, other = put(states, lead(1)), put(states, lead(2))
    states.accepted(row, NOW + 1, 3, "r-1")
    assert column(states, row, "state, is_open, attempts, request_id, changed_at") == (
        "accepted",
        1,
        3,
        "r-1",
        NOW + 1,
    )
    assert column(states, row, "content") == (lead(1).content,)
    assert column(states, other, "state, attempts, request_id") == ("pending", 0, None)


@pytest.mark.parametrize(
    ("state", "is_erased"),
    [
        (ItemState.CONFIRMED, True),
        (ItemState.ACCEPTED, True),
        (ItemState.REJECTED, False),
        (ItemState.UNKNOWN, False),
    ],
)
def test_a_final_row_keeps_its_values_only_to_be_sent_again(
    states: RowStates, state: ItemState, is_erased: bool
) -> None:
    """LeadSquared has those of an accepted one; the query's options stay, and its ids go."""
    row = put(states, update("5a8f9f0e"))
    states.connection.execute("""UPDATE items SET suffix = '["s"]'""")
    other = put(states, lead(2))
    assert not states.has_ended(row, state)
    assert states.finish(row, NOW + 1, state, 2, is_called_back=False, lead_id="l-1", reason="why")
    assert column(states, row, "state, is_open, is_called_back, attempts, lead_id, reason, changed_at") == (
        state.value,
        0,
        0,
        2,
        "l-1",
        "why",
        NOW + 1,
    )
    content, query, suffix = column(states, row, "content, query, suffix")
    assert (content is None, query == "[]", suffix == "[]") == (is_erased, is_erased, is_erased)
    assert states.has_ended(row, state)
    assert not states.has_ended(row, ItemState.PENDING)
    assert not states.has_ended(other, state)
    assert column(states, other, "content, state") == (lead(2).content, "pending")


def test_an_accepted_row_that_is_followed_has_not_ended(states: RowStates) -> None:
    """It is accepted and open."""
    row = put(states, lead(1))
    states.accepted(row, NOW, 1, "r-1")
    assert not states.has_ended(row, ItemState.ACCEPTED)


def test_a_forgotten_row_keeps_no_text_of_leadsquared(states: RowStates) -> None:
    """Of LeadSquared's reason the exception's name stays; this package's own reasons hold no values."""
    rows = [put(states, lead(number)) for number in range(3)]
    for row in rows:
        forget(states, row)
    theirs, ours, none = rows
    words: dict[str, Any] = {"lead_id": "l-1", "reason": "MXDuplicateEntryException: bret@example.com"}
    states.finish(theirs, NOW, ItemState.REJECTED, is_called_back=True, **words)
    assert column(states, theirs, "lead_id, reason") == (None, "MXDuplicateEntryException")
    words["reason"] = "it was not sent"
    states.finish(ours, NOW, ItemState.UNKNOWN, is_called_back=True, is_reason_ours=True, **words)
    assert column(states, ours, "lead_id, reason, attempts") == (None, "it was not sent", 0)
    states.finish(none, NOW, ItemState.CONFIRMED, is_called_back=True)
    assert column(states, none, "lead_id, reason") == (None, None)


def test_a_deleted_row_cannot_end(states: RowStates) -> None:
    """The call that ends it returns that the row is gone."""
    row = put(states, lead(1))
    states.delete(row)
    assert next_ids(states) == []
    other = put(states, lead(2))
    states.delete(row)
    assert not states.finish(row, NOW, ItemState.REJECTED, is_called_back=True)
    assert next_ids(states) == [other]
