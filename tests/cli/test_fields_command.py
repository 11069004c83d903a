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
    """A line for each in LeadSquared's order: names, type, mandatory, length and number of options."""
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
    """All that is known of them, in the order in which they are named, each once."""
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


async def test_programs_get_all_of_it(sandbox: Sandbox) -> None:
    """One line of JSON; limits of numbers are texts, since they may be long."""
    done = await run("fields", "Source", "mx_Budget", "--json", env=with_fields(sandbox))
    source, budget = done.json["fields"]
    assert (source["schema_name"], source["options"][0], source["max_length"]) == ("Source", "Website", 200)
    assert (budget["range_min"], budget["range_max"], budget["is_mandatory"]) == ("0", None, False)


async def test_a_name_that_the_account_has_not_is_exit_2(sandbox: Sandbox) -> None:
    """All such names are told, with those that were probably meant."""
    done = await run("fields", "mx_Citty", "Source", "sorce", "zzz", env=with_fields(sandbox))
    assert (done.code, done.out) == (2, "")
    assert "mx_Citty, did you mean mx_City?; sorce, did you mean Source?; zzz" in done.err


async def test_whose_fault_it_is_shows_in_the_exit_status(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No host to ask is 2, no answer 3, wrong keys 4; the log's own line about it is not said as well."""
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


def test_the_accounts_words_stay_on_their_line() -> None:
    """A name with line breaks or a terminal's commands is shown without them, and not at any length."""
    assert table([("Lead\n\x1b[2JSource\u202e", "b")]) == "Lead  [2JSource  b"
    assert table([("a", "b"), (), ("long", "c")]) == "a     b\n\nlong  c"
