"""An outbox is used where it was opened, while it is open; everything else is one clear error."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from leadsquared_async import ClientClosed, ConfigurationError, LeadSquared, Outbox
from tests.clients import KEYS, LEAD
from tests.outbox.machine import items

USES: dict[str, Callable[[Outbox], Awaitable[object]]] = {
    "put": lambda outbox: outbox.put(LEAD),
    "put_many": lambda outbox: outbox.put_many([LEAD]),
    "drained": lambda outbox: outbox.drained(),
    "snapshot": lambda outbox: outbox.snapshot(),
    "items": items,
    "find": lambda outbox: outbox.find(["a"]),
    "requeue": lambda outbox: outbox.requeue(1),
    "discard": lambda outbox: outbox.discard(1),
    "forget": lambda outbox: outbox.forget(Phone="1"),
    "purge": lambda outbox: outbox.purge(),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_it_is_used_between_opening_and_closing(
    use: Callable[[Outbox], Awaitable[object]], tmp_path: Path
) -> None:
    """Before and after, every method raises ClientClosed and says which of the two it is."""
    outbox = Outbox(tmp_path / "leads.db")
    with pytest.raises(ClientClosed, match="not open: use it inside"):
        await use(outbox)
    assert not outbox.path.exists()
    async with outbox:
        pass
    with pytest.raises(ClientClosed, match="closed: its `async with` block has ended"):
        await use(outbox)
    await outbox.aclose()
    with pytest.raises(ClientClosed, match="make a new one"):
        await outbox.open()


async def test_closing_waits_for_what_is_under_way_and_takes_nothing_more(tmp_path: Path) -> None:
    """A long forget comes to its end; a part of ours that comes too late is told that it was closed."""
    async with Outbox(tmp_path / "leads.db") as outbox:
        await outbox.put_many({"Phone": f"{number % 2}"} for number in range(4000))
        forgetting = asyncio.create_task(outbox.forget(Phone="1"))
        await asyncio.sleep(0)
        writer = outbox._writer
    assert await forgetting == 2000
    assert writer is not None
    with pytest.raises(ClientClosed, match="closed meanwhile"):
        await writer.read(lambda store: store.counts())


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_it_is_used_in_the_loop_it_was_opened_in(
    use: Callable[[Outbox], Awaitable[object]], tmp_path: Path
) -> None:
    """Another loop, in another thread, is told so; closing it there is refused as well."""
    caught: list[str] = []

    async def elsewhere() -> None:
        for attempt in (use(outbox), outbox.aclose()):
            try:
                await attempt
            except ClientClosed as error:
                caught.append(str(error))

    async with Outbox(tmp_path / "leads.db") as outbox:
        thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
        thread.start()
        await asyncio.get_running_loop().run_in_executor(None, thread.join)
        await outbox.put(LEAD)
    assert len(caught) == 2
    assert all("another event loop" in message for message in caught)


def _after_a_fork(outbox: Outbox, answers: Any) -> None:
    async def use() -> None:
        for attempt in (outbox.put(LEAD), outbox.snapshot(), outbox.aclose()):
            try:
                await attempt
            except ClientClosed as error:
                answers.put(str(error))

    asyncio.run(use())


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
async def test_a_process_forked_off_cannot_use_it_nor_take_it_from_its_parent(tmp_path: Path) -> None:
    """The child is told to open one of its own; the parent's goes on, and stays the only one that
    delivers."""
    fork = multiprocessing.get_context("fork")
    client = LeadSquared(**KEYS, host="http://127.0.0.1:9")
    async with client as lsq, Outbox(tmp_path / "leads.db", lsq) as outbox:
        await asyncio.sleep(0.1)
        answers = fork.Queue()
        child = fork.Process(target=_after_a_fork, args=(outbox, answers))
        child.start()
        told = [answers.get(timeout=10.0) for _ in range(3)]
        child.join(10.0)
        assert child.exitcode == 0
        assert all("opened before a fork" in message for message in told)
        async with Outbox(tmp_path / "leads.db", lsq) as other:
            await asyncio.sleep(0.1)
            assert not (await other.snapshot()).delivers
        await outbox.put(LEAD)
        assert (await outbox.snapshot()).delivers


@pytest.mark.parametrize(
    "options",
    [
        {"path": ""},
        {"path": ":memory:"},
        {"path": 3},
        {"client": "lsq"},
        {"keep_rejected": 0},
        {"keep_rejected": float("nan")},
        {"max_bytes": 0},
        {"max_bytes": 1.5},
        {"max_bytes": True},
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(options: dict[str, Any], tmp_path: Path) -> None:
    """By name, before anything is opened."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Outbox(**{"path": tmp_path / "leads.db", **options})


async def test_a_client_that_is_not_open_here_is_refused_before_the_file_is_made(tmp_path: Path) -> None:
    """It would deliver nothing."""
    with pytest.raises(ClientClosed, match="not open"):
        await Outbox(tmp_path / "leads.db", LeadSquared(**KEYS, host="http://127.0.0.1:9")).open()
    assert not (tmp_path / "leads.db").exists()


@pytest.mark.parametrize("older_than", [-1, True, "1", float("nan")])
async def test_purge_takes_seconds(older_than: Any, tmp_path: Path) -> None:
    """Anything else is refused, and nothing is deleted."""
    async with Outbox(tmp_path / "leads.db") as outbox:
        with pytest.raises(ConfigurationError, match="older_than"):
            await outbox.purge(older_than)


@pytest.mark.parametrize("person", [{}, {"Phone": ""}, {"Phone": " "}, {"Phone": 7}])
async def test_forget_takes_a_value(person: dict[str, Any], tmp_path: Path) -> None:
    """Without one nobody is meant, and nobody is erased."""
    async with Outbox(tmp_path / "leads.db") as outbox:
        await outbox.put({"Phone": "", "FirstName": "B"})
        with pytest.raises(ConfigurationError, match="forget takes"):
            await outbox.forget(**person)
        assert len(await items(outbox)) == 1
