"""The benchmarks' results and the page that is made of them."""

from __future__ import annotations

import asyncio
import importlib.util
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from benchmarks import budgets
from benchmarks.figures import Figure, Plot, Result, Table
from benchmarks.page import PAGE, text
from benchmarks.peers import OURS, Sender
from benchmarks.processes import ROOT
from benchmarks.rate_cells import Sent, cell, send_all, tables
from benchmarks.results import FOLDER, NAMES, keep, kept
from tests import virtual

PAGES = [ROOT / "README.md", *(page for page in sorted(PAGE.parent.glob("*.md")) if page != PAGE)]
MEASURED = re.compile(
    r"""(?ix) \b measured \b | \b CPU \b | \b of\sa\score \b | \d\s(?:us|µs|microseconds) \b
    | \b takes?\sabout\s[\d,.]+\s(?:s|ms|MB|KB|calls|%) | \d\s%\sof\sthe\s(?:rate|time)"""
)
"""What sentences about a measured cost or rate say."""
FIGURE = Figure("a share", 1.25, " %", most=1.0, note="of all")
TABLE = Table("Clients", ("client", "429s"), [["ours", "0"], ["theirs", "12"]])
PLOT = Plot("arrivals", "When leads arrive", "seconds", "", {"ours": [(0.0, 1.0), (0.5, 0.0)]})


def test_what_is_kept_is_read_back(tmp_path: Path) -> None:
    """A figure, a table and a plot come back as they were, with the question and the circumstances."""
    results: list[Result] = [TABLE, PLOT, FIGURE]
    keep("rate", "Is it fast?\n\nVery.\n", results, tmp_path)
    (found,) = kept(tmp_path)
    assert (found.name, found.asked) == ("rate", "Is it fast?\n\nVery.")
    assert set(found.measured) == {"date", "commit", "python", "machine", "versions"}
    assert [str(result) for result in found.results] == [str(result) for result in results]


def test_the_page_shows_every_result(tmp_path: Path) -> None:
    """A missed budget is marked."""
    keep("rate", "Is it fast?\n\nVery.\n", [FIGURE, TABLE, PLOT], tmp_path)
    page = text(kept(tmp_path))
    assert "## Is it fast?\n\nVery.\n" in page
    assert "| a share | 1.25 % | at most 1 %: **missed** | of all |" in page
    assert "| theirs | 12 |" in page
    assert "![When leads arrive](benchmarks/arrivals.svg)" in page


def test_the_page_in_docs_is_made_from_the_kept_results() -> None:
    """docs/benchmarks.md is what `python -m benchmarks.page` writes, and each of its plots exists."""
    benchmarks = kept()
    assert PAGE.read_text() == text(benchmarks)
    plots = {f"{it.name}.svg" for found in benchmarks for it in found.results if isinstance(it, Plot)}
    assert plots == {file.name for file in FOLDER.glob("*.svg")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_measured_number_stands_on_the_page_of_the_benchmarks_only(page: Path) -> None:
    """README and the other pages link to what `make bench` wrote, and do not repeat its numbers."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    sentences = re.split(r"[.:;!?]\s|\n\n|\||\n- ", prose)
    assert [
        sentence for sentence in sentences if re.search(r"\d", sentence) and MEASURED.search(sentence)
    ] == []


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_a_benchmark_that_asks_something(name: str) -> None:
    """`python -m benchmarks NAME` finds a module."""
    spec = importlib.util.find_spec(f"benchmarks.{name}")
    assert spec is not None
    assert spec.origin is not None
    assert "def measure(" in Path(spec.origin).read_text()


@pytest.mark.parametrize(
    ("values", "status"),
    [((1.2,), 0), ((1.4, 1.2), 0), ((1.4, 1.4), 1)],
    ids=["within the room", "missed once", "missed twice"],
)
def test_a_budget_counts_as_missed_if_it_is_missed_twice(values: tuple[float, ...], status: int) -> None:
    """`make budgets` measures once more what is missed by more than its room, and nothing else."""
    measured = iter(values)

    def measure() -> Iterator[Figure]:
        yield Figure("a ratio", next(measured), most=1.0)

    assert budgets.main({"one": measure}) == status
    assert not list(measured)


def test_a_batch_that_does_not_end_is_stopped_and_said_so() -> None:
    """Leads that are neither sent nor given up within the bound stand in the cell of the table."""

    @asynccontextmanager
    async def opened(_url: str, _transport: httpx.AsyncBaseTransport) -> AsyncGenerator[Sender]:
        async def send(address: str) -> None:
            await asyncio.sleep(0.0 if address.startswith("r0@") else 1e6)

        yield Sender(send, lambda _: asyncio.sleep(0.0))

    async def main() -> Sent:
        return await send_all(opened, "", httpx.MockTransport(lambda _: httpx.Response(200)), 3, within=60.0)

    sent = virtual.run(main)
    assert (sent.lost, sent.unfinished, round(sent.seconds)) == (0, 2, 60)
    refused, _ = tables("three leads", ["server", "another"], {(OURS, "server"): [cell(sent, [], 50)]})
    assert refused.rows[0] == [OURS, "0; **2 not done**", "not installed"]
