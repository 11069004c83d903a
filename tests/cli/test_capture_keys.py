"""`leadsquared capture --key`: the keys of the user's own rows."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from leadsquared_async.sandbox import Sandbox
from tests.cli.commands import (
    PLANTED,
    capture,
    numbers_sent,
    rows_of,
)

ATTRIBUTES = ("FirstName", "EmailAddress", "Phone", "Source")


def write_keyed(path: Path, **values: str) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Id", "EmailAddress", "mx_Foo"])
        writer.writerows([key, f"{PLANTED}-{key}@example.com", value] for key, value in values.items())
    return path


OWN_KEY = ("--key", "Id", "--ignore", "Id")


# Other keys, whatever a rule for numbers, digests or letters would make of them.
UNLIKE = [
    "AB12",
    "ab12",
    "12 34",
    "1234",
    "zz",
    "7a7a",
    "0x1f",
    "31",
    "007",
    "7",
    "1e3",
    "1000",
    "e\u0301",
    "\u00e9",
]


async def test_own_keys_are_the_same_only_if_they_are_spelt_the_same(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """Keys are compared as exact text, in the count and in the run."""
    rows = "".join(f"{key},a{number}@example.com\n" for number, key in enumerate([*UNLIKE, UNLIKE[0]]))
    rows = rows.replace(f"a{len(UNLIKE)}@", "a0@")
    file = tmp_path / "leads.csv"
    file.write_text(f"Id,EmailAddress\n{rows}", encoding="utf-8")
    done = await capture(sandbox, file, *OWN_KEY, "--dry-run", "--json")
    assert (done.json["rows"], done.json["to_send"]) == (len(UNLIKE) + 1, len(UNLIKE))
    done = await capture(sandbox, file, *OWN_KEY, "--no-confirm", "--json")
    assert (done.code, sandbox.books.accepted) == (0, len(UNLIKE))


async def test_an_own_key_is_used_once(sandbox: Sandbox, tmp_path: Path) -> None:
    """A row with other values under a delivered key is refused, reported and not sent."""
    await capture(sandbox, write_keyed(tmp_path / "a.csv", k1="x", k2="x"), *OWN_KEY, "--no-confirm")
    write_keyed(tmp_path / "a.csv", k1="x", k2="other")
    done = await capture(
        sandbox, tmp_path / "a.csv", *OWN_KEY, "--no-confirm", "--json", "--out", tmp_path / "out.csv"
    )
    assert (done.code, done.json["refused"], done.json["delivered_before"]) == (1, 1, 1)
    assert sandbox.books.accepted == 2
    assert "key was used before" in rows_of(tmp_path / "out.csv")[1]["Reason"]
    assert re.search("refused +1 +3 +its key was used before", done.err)


async def test_a_rejected_row_is_replaced_under_its_own_key(tmp_path: Path) -> None:
    """The key of a rejected row accepts other values."""
    async with Sandbox(limit=None, attributes=ATTRIBUTES) as sandbox:
        file = write_keyed(tmp_path / "a.csv", k1="", k2="x")
        assert (await capture(sandbox, file, *OWN_KEY)).code == 1
        write_keyed(file, k1="", k2="")
        done = await capture(sandbox, file, *OWN_KEY, "--json")
        assert (done.code, done.json["confirmed"]) == (0, 2)
        done = await capture(sandbox, file, *OWN_KEY, "--json")
        assert (done.code, done.json["delivered_before"], sandbox.books.accepted) == (0, 2, 3)


async def test_two_rows_with_one_key_are_the_first_of_them(sandbox: Sandbox, tmp_path: Path) -> None:
    """Of two leads with one key, the first is sent and the second refused, in each run."""
    file = tmp_path / "a.csv"
    file.write_text(f"Id,EmailAddress\nk,{PLANTED}-1@example.com\nk,{PLANTED}-2@example.com\n")
    for _ in range(2):
        done = await capture(sandbox, file, *OWN_KEY, "--no-confirm", "--json")
        assert (done.code, done.json["accepted"], done.json["refused"]) == (1, 1, 1)
        assert re.search("refused +1 +3 +the same key as line 2", done.err)
    assert numbers_sent(sandbox) == [1]


async def test_a_second_row_does_not_take_a_rejected_rows_key(tmp_path: Path) -> None:
    """A second row under a rejected row's key does not replace it while the file still has that row."""
    async with Sandbox(limit=None, attributes=ATTRIBUTES) as sandbox:
        file = tmp_path / "a.csv"
        file.write_text(f"Id,EmailAddress,mx_Foo\nk,{PLANTED}-1@example.com,x\nk,{PLANTED}-2@example.com,\n")
        for _ in range(2):
            done = await capture(sandbox, file, *OWN_KEY, "--json")
            assert (done.code, done.json["rejected"], done.json["refused"]) == (1, 1, 1)
        assert sandbox.books.accepted == 1
