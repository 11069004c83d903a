"""Files whose names are not UTF-8."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.commands import finish, start
from tests.cli.files.reading import Files

NAME = os.fsdecode(b"leads-\xff.csv")
OUTBOX = f"{NAME}.sandbox.outbox"
LOCALES = ({"LC_ALL": "C", "PYTHONUTF8": "0"}, {"LC_ALL": "C.UTF-8"})


@pytest.mark.parametrize("locale", LOCALES, ids=str)
async def test_a_name_that_is_not_utf_8(locale: dict[str, str], command: Files, tmp_path: Path) -> None:
    """A file with any name is checked, sent, reported and exported in any locale."""
    (tmp_path / NAME).write_text("FirstName,Source\nJosé,x\nAnna,Website\n", encoding="utf-8")
    out, rejects, export = (os.fsdecode(b"%s-\xff" % kind) for kind in (b"out", b"rejects", b"export"))
    for words, code, said in (
        (("check", NAME), 1, "1 would be refused"),
        (("capture", NAME, "--out", out, "--rejects", rejects), 1, "confirmed"),
        (("outbox", "export", OUTBOX, "--out", export), 0, "1 row in export-"),
        (("outbox", "export", OUTBOX, "--format", "csv"), 0, "confirmed"),
    ):
        process = await start(
            command.sandbox,
            *words,
            folder=tmp_path,
            LEADSQUARED_SYNC_HOST=command.sandbox.url,
            **locale,
        )
        done = await finish(process)
        assert (done.code, said in done.out + done.err) == (code, True), done
        if words[0] != "outbox":  # the commands to copy
            assert "-\\xff" in done.err
    assert json.loads((tmp_path / export).read_text("utf-8"))["file"] == OUTBOX
    assert (tmp_path / out).exists()
    assert (tmp_path / rejects).exists()
