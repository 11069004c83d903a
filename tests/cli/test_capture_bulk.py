"""`leadsquared capture --bulk`: the same command, 25 rows in a call."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from leadsquared_async import Outbox, RateLimit
from leadsquared_async.cli import file_run
from leadsquared_async.cli.estimate import bulk_estimate, estimate
from leadsquared_async.cli.terminal import counted
from leadsquared_async.sandbox import Faults, Sandbox
from tests.cli.commands import Finished, capture, environment, rows_of, run, write_leads

FAST = ("--bulk-rate", "1000/1")


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """An account without limits, with a few fields."""
    attributes = ["FirstName", "EmailAddress", "Phone", "Source"]
    async with Sandbox(limit=None, bulk_limit=None, attributes=attributes) as running:
        yield running


async def bulk(sandbox: Sandbox, *arguments: str | Path, **env: str) -> Finished:
    env = {"LEADSQUARED_SYNC_HOST": sandbox.url, **env}
    return await capture(sandbox, "--no-check", "--bulk", *FAST, *arguments, **env)


async def test_rows_go_25_in_a_call_and_end_with_lead_ids(sandbox: Sandbox, tmp_path: Path) -> None:
    """Rows are confirmed without RequestIDs and status calls; --out has the lead ids in the file's order."""
    file, out = write_leads(tmp_path / "leads.csv", range(60)), tmp_path / "out.csv"
    done = await bulk(sandbox, file, "--out", out, "--json")
    assert done.code == 0, done.err
    assert done.json["confirmed"] == done.json["rows"] == 60
    assert [arrival.operation for arrival in sandbox.books.arrivals] == ["bulk"] * 3
    rows = rows_of(out)
    emails = [sandbox.books.leads[row["LeadID"]].attributes["EmailAddress"] for row in rows]
    assert [email.partition("@")[0].rpartition("-")[2] for email in emails] == [str(n) for n in range(60)]
    assert {(row["RequestID"], row["Outcome"], row["Reason"]) for row in rows} == {("", "confirmed", "")}
    again = await bulk(sandbox, file, "--out", out, "--json")
    assert (again.code, again.json["delivered_before"]) == (0, 60)
    assert len(sandbox.books.arrivals) == 3
    assert rows_of(out) == rows


async def test_rejected_rows_are_counted_by_kind_and_requeued(sandbox: Sandbox, tmp_path: Path) -> None:
    """Rejected rows are exit 1 with their kinds, and are in --rejects; requeued and drained, they arrive."""
    file = write_leads(tmp_path / "leads.csv", range(30), mx_Nope="x")
    done = await bulk(sandbox, file, "--rejects", tmp_path / "rejects.csv", "--json")
    assert done.code == 1
    assert done.json["rejected_by_kind"] == {"MXUnknownAttributeException (mx_Nope)": 30}
    assert len(rows_of(tmp_path / "rejects.csv")) == 30
    outbox = tmp_path / "leads.csv.sandbox.outbox"
    env = environment(sandbox, LEADSQUARED_SYNC_HOST=sandbox.url)
    requeued = await run("outbox", "requeue", outbox, "--drop", "mx_Nope", env=env)
    assert requeued.code == 0, requeued.err
    drained = await run("outbox", "drain", outbox, *FAST, "--json", env=env)
    assert drained.code == 0, drained.err
    assert drained.json["outboxes"][0]["confirmed"] == 30
    assert len(sandbox.books.leads) == 30


async def test_missing_rows_without_an_identifier_are_unknown(sandbox: Sandbox, tmp_path: Path) -> None:
    """A lead that LeadSquared cannot match is not sent again: exit 1, and the summary says to look first."""
    file = tmp_path / "leads.csv"
    file.write_text("FirstName\nzqplanted4711 1\nzqplanted4711 2\n")
    sandbox.books.faults = Faults(missing_rows=1.0)
    done = await bulk(sandbox, file, "--out", tmp_path / "out.csv", "--json")
    assert (done.code, done.json["unknown"]) == (1, 2)
    assert "leadsquared outbox resolve" in done.err
    assert ["is missing" in row["Reason"] for row in rows_of(tmp_path / "out.csv")] == [True, True]


async def test_bulk_and_capture_are_two_things_to_send(sandbox: Sandbox, tmp_path: Path) -> None:
    """A capture posts an activity and a bulk row does not, so rows sent in one way are new in the other."""
    file = write_leads(tmp_path / "leads.csv", range(3))
    await bulk(sandbox, file)
    done = await capture(sandbox, file, "--json")
    assert (done.code, done.json["confirmed"], done.json["delivered_before"]) == (0, 3, 0)
    assert len(sandbox.books.leads) == 3
    assert len(sandbox.books.requests) == 3


async def test_search_by_is_sent(sandbox: Sandbox, tmp_path: Path) -> None:
    """--search-by is part of each bulk row."""
    file = write_leads(tmp_path / "leads.csv", range(2))
    assert (await bulk(sandbox, file, "--search-by", "EmailAddress")).code == 0
    (body,) = sandbox.books.attempts
    assert [row[-1] for row in json.loads(body)] == [{"Attribute": "SearchBy", "Value": "EmailAddress"}] * 2


async def test_an_account_level_error_ends_the_run_and_keeps_the_rows(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """An account-level error is exit 4 with LeadSquared's reason; the same command continues."""
    file = write_leads(tmp_path / "leads.csv", range(30))
    sandbox.books.faults = Faults(probabilities={"401": 1.0}, operations=("bulk",))
    done = await bulk(sandbox, file, "--json")
    assert (done.code, done.json["pending"]) == (4, 30)
    assert "bulk.create_or_update" in done.err
    sandbox.books.faults = Faults()
    assert (await bulk(sandbox, file)).code == 0
    assert len(sandbox.books.leads) == 30


async def test_what_bulk_cannot_do_is_refused_before_the_file_is_read(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """A missing synchronous host, an update behaviour or an invalid rate is exit 2; no outbox is created."""
    file = write_leads(tmp_path / "leads.csv", range(3))
    without = await capture(sandbox, file, "--bulk")
    assert without.code == 2
    assert "LEADSQUARED_SYNC_HOST" in without.err
    behaviour = await bulk(sandbox, file, "--update-behavior", "DoNotUpdate")
    assert behaviour.code == 2
    rate = await bulk(sandbox, file, "--bulk-rate", "fast")
    assert rate.code == 2
    assert "--bulk-rate must be calls/seconds" in rate.err
    assert [path.name for path in tmp_path.iterdir()] == ["leads.csv"]


async def test_a_dry_run_of_bulk_estimates_bulk(sandbox: Sandbox, tmp_path: Path) -> None:
    """A dry run with --bulk estimates bulk calls at their rate; one without shows bulk as an alternative."""
    file = write_leads(tmp_path / "leads.csv", range(60))
    env = {"LEADSQUARED_SYNC_HOST": sandbox.url}
    done = await capture(sandbox, file, "--bulk", "--dry-run", "--json", **env)
    assert done.code == 0
    assert done.json["estimate"]["calls"] == 3
    assert done.json["estimate"]["total"] == pytest.approx(15.3)
    assert "in bulk: 3 calls at 1/5 s, 15 s in all" in done.err
    both = await capture(sandbox, file, "--dry-run", "--json", **env)
    assert "with --bulk: 3 calls at 1/5 s, 15 s; no activity is posted then" in both.err
    assert both.json["estimate"]["bulk"]["calls"] == 3
    assert both.json["estimate"]["submissions"] == 60
    one = await capture(sandbox, file, "--dry-run", "--json")
    assert "--bulk" not in one.err
    assert one.json["estimate"]["bulk"] is None
    assert not sandbox.books.leads


async def test_a_long_bulk_run_shows_its_estimate(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of captures does."""
    monkeypatch.setattr(file_run, "MANY_ROWS", 20)
    done = await bulk(sandbox, write_leads(tmp_path / "leads.csv", range(26)), "--yes")
    assert done.code == 0
    assert "in bulk: 2 calls at 1000/1 s" in done.err
    assert "queue" not in done.err


async def test_rows_that_an_earlier_run_left_go_the_way_they_were_put(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """Captures that the outbox holds are followed to their outcome in a bulk run, too."""
    outbox = tmp_path / "leads.outbox"
    async with Outbox(outbox) as there:
        await there.put_many([{"EmailAddress": "zqplanted4711-left@example.com"}])
    file = write_leads(tmp_path / "leads.csv", range(3))
    done = await bulk(sandbox, file, "--outbox", outbox, "--json")
    assert done.code == 0, done.err
    async with Outbox(outbox) as there:
        counts = {state.value: count for state, count in (await there.snapshot()).counts.items() if count}
        assert counts == {"confirmed": 4}
    assert len(sandbox.books.requests) == 1


@pytest.mark.parametrize(
    ("leads", "limit", "calls", "total"),
    [
        (1000, RateLimit(1, per=5.0), 40, 204.0),
        (1001, RateLimit(1, per=5.0), 41, 209.1),
        (1000, RateLimit(10, per=5.0), 40, 20.4),
        (1, RateLimit(1, per=5.0), 1, 5.1),
        (0, RateLimit(1, per=5.0), 0, 0.0),
    ],
)
def test_a_bulk_estimate_is_calls_of_25_at_its_limit(
    leads: int, limit: RateLimit, calls: int, total: float
) -> None:
    """One call a spacing."""
    plan = bulk_estimate(leads, limit)
    assert (plan.calls, plan.submissions) == (calls, leads)
    assert plan.total == pytest.approx(total)
    options: dict[str, Any] = {"to_send": leads, "to_confirm": leads, "limit": RateLimit(25, per=5.0)}
    said = estimate(**options, bulk_limit=limit).lines()
    assert any(line.startswith(f"with --bulk: {counted(calls, 'call')} at") for line in said) == bool(leads)
