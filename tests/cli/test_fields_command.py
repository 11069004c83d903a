"""`leadsquared fields`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from leadsquared_async.cli.terminal import plain_table as table
from leadsquared_async.sandbox import Faults, Sandbox
from tests.cli.commands import PLANTED, environment, run, with_fields


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A realistic account."""
    async with Sandbox(limit=None, attributes="account", mandatory=("FirstName", "LastName")) as running:
        yield running


async def test_all_fields_are_a_table(sandbox: Sandbox) -> None:
    """Each field has a line with names, type, mandatory, length and number of options."""
    done = await run("fields", env=with_fields(sandbox))
    assert done.code == 0, done.err
    heading, *lines = done.out.splitlines()
    assert heading.split("  ")[0] == "Schema name"
    assert len(lines) == 60
    assert lines[1].split() == ["FirstName", "First", "Name", "Text", "yes", "200"]
    (source,) = [line for line in lines if line.startswith("Source ")]
    assert source.split() == ["Source", "Lead", "Source", "Select", "200", "4"]
    assert [arrival.operation for arrival in sandbox.books.arrivals] == ["fields"]


async def test_named_fields_are_shown_with_their_options(sandbox: Sandbox) -> None:
    """Named fields are shown in full, in the order of the arguments, each once."""
    done = await run("fields", "mx_Budget", "Source", "Source", env=with_fields(sandbox))
    assert done.code == 0
    budget, source = done.out.split("\n\n")
    assert budget.splitlines()[0] == "mx_Budget"
    assert "least         0" in budget
    assert [line.strip() for line in source.splitlines()[-4:]] == [
        "Website",
        "Referral",
        "Walk-in",
        "Campaign",
    ]


async def test_json_has_every_property(sandbox: Sandbox) -> None:
    """--json prints one line; ranges of numbers are strings, because they may be long."""
    done = await run("fields", "Source", "mx_Budget", "--json", env=with_fields(sandbox))
    source, budget = done.json["fields"]
    assert (source["schema_name"], source["options"][0], source["max_length"]) == ("Source", "Website", 200)
    assert (budget["range_min"], budget["range_max"], budget["is_mandatory"]) == ("0", None, False)


async def test_an_unknown_field_is_exit_2(sandbox: Sandbox) -> None:
    """All unknown names are reported, with the nearest names."""
    done = await run("fields", "mx_Citty", "Source", "sorce", "zzz", env=with_fields(sandbox))
    assert (done.code, done.out) == (2, "")
    assert "mx_Citty, did you mean mx_City?; sorce, did you mean Source?; zzz" in done.err


async def test_the_exit_status_depends_on_the_fault(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No synchronous host is 2, no answer 3, wrong keys 4; the error is shown once."""
    done = await run("fields", env=environment(sandbox))
    assert done.code == 2
    assert "pass --region, or set LEADSQUARED_REGION" in done.err
    done = await run("fields", env=environment(sandbox, LEADSQUARED_SYNC_HOST="http://127.0.0.1:9"))
    assert done.code == 3
    assert len(done.err.splitlines()) == 1
    done = await run("fields", env=with_fields(sandbox, LEADSQUARED_SECRET_KEY=f"wrong-{PLANTED}"))
    assert done.code == 4
    sandbox.books.faults = Faults(script=("empty-object",))
    assert (await run("fields", env=with_fields(sandbox))).code == 3


def test_names_of_the_account_stay_on_one_line() -> None:
    """A table shows no line breaks and escape sequences of its cells."""
    assert table([("Lead\n\x1b[2JSource\u202e", "b")]) == "Lead  [2JSource  b"
    assert table([("a", "b"), (), ("long", "c")]) == "a     b\n\nlong  c"
