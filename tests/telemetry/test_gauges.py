"""What gauges read, and that they stop reading."""

from __future__ import annotations

import gc

from leadsquared_async.telemetry.gauges import Reading, observed, watch


class Owner:
    value = 1.0


def read(owner: Owner) -> list[Reading]:
    return [Reading(owner.value, "file", {"state": "open", "client": None})]


def test_a_source_that_two_owners_read_counts_once() -> None:
    """Two clients of one account, or two outboxes of one file, do not double what they share."""
    first, second = Owner(), Owner()
    stops = [watch(owner, {"gauge": read}) for owner in (first, second)]
    assert observed("gauge") == {(("state", "open"),): [1.0]}
    stops[0]()
    assert observed("gauge") == {(("state", "open"),): [1.0]}
    stops[1]()
    assert observed("gauge") == {}


def test_an_owner_that_no_longer_exists_is_not_read() -> None:
    """A client that was never closed is not kept alive by its gauges."""
    owner = Owner()
    watch(owner, {"gauge": read})
    assert observed("gauge")
    del owner
    gc.collect()
    assert observed("gauge") == {}


def test_an_attribute_that_is_none_is_left_out() -> None:
    """A client without a name has no attribute for it."""
    owner = Owner()
    stop = watch(owner, {"gauge": read})
    (attributes,) = observed("gauge")
    stop()
    assert attributes == (("state", "open"),)
