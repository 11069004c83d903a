"""Text from outside: one line, of bounded length, that neither a terminal nor a log is misled by."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadsquared_async.logs import Traceback
from leadsquared_async.printable import LONGEST, one_line, printable, shell_word

BAD = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def is_harmless(text: str, most: int = LONGEST) -> bool:
    """Whether it is one line of so many characters at most, all of which print."""
    return len(text) <= most + 1 and not any(unicodedata.category(character) in BAD for character in text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("", ""),
        (" two  spaces ", "two spaces"),
        ("form\r\nERROR forged", "form ERROR forged"),
        ("\x1b[2J\x1b]0;title\x07", "[2J ]0;title"),
        ("\x9b31m \x85next \u2028line\u2029paragraph", "31m next line paragraph"),
        ("\u202egnp.exe \u2066\u200bx\ufeff", "gnp.exe x"),
        ("क्\u200dष", "क्ष"),
        ("half \ud83d pair", "half pair"),
        ("\x00\x7f", ""),
        (ValueError("one\ntwo"), "one two"),
        (7, "7"),
    ],
)
def test_one_line(text: object, shown: str) -> None:
    """Controls and separators become a space, marks without a width go, and letters stay."""
    assert one_line(text) == shown


@given(st.text(st.characters()), st.integers(1, 50))
def test_any_text_is_one_line(text: str, most: int) -> None:
    """Any text becomes one line, and a second pass changes nothing."""
    shown = one_line(text, most)
    assert is_harmless(shown, most)
    assert one_line(shown, most) == shown or shown.endswith("…")
    shown.encode()


@pytest.mark.parametrize("word", ["a", " ", "\n", "\u202e", "\x1b[2J"])
def test_a_long_text_is_cut(word: str) -> None:
    """Half a megabyte is cut to a line with an ellipsis before it is examined."""
    assert is_harmless(one_line(word * 500_000))
    assert one_line(word * 500_000).endswith("…")
    assert one_line("a" * 21, 20) == "a" * 20 + "…"
    assert one_line("a" * 20, 20) == "a" * 20


def test_lines_of_ours_stay_apart() -> None:
    """A table keeps line feeds and spaces, and nothing else that moves a cursor."""
    assert printable("a  b\n\x1b[2Jc\r\n") == "a  b\n [2Jc \n"


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    heard: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = heard.append  # type: ignore[method-assign]
    logger = logging.getLogger("leadsquared_async")
    logger.addHandler(handler)
    yield heard
    logger.removeHandler(handler)


HOSTILE: Any = ["a\nERROR forged", "\x1b[2J", "\u202eb", "\ud800", "x" * 500_000, "\u2028"]


@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
def test_a_log_record_is_one_line(value: str, records: list[logging.LogRecord]) -> None:
    """Its message and attributes are one line for every logger; numbers stay numbers."""
    logging.getLogger("leadsquared_async").warning(
        "of %s, %d times: %s", value, 3, ValueError(value), extra={"reference": value, "row": 7}
    )
    (record,) = records
    assert is_harmless(record.getMessage(), 3 * LONGEST)
    assert is_harmless(record.reference)  # type: ignore[attr-defined]
    assert record.row == 7  # type: ignore[attr-defined]
    assert record.msg == "of %s, %d times: %s"


def test_a_traceback_keeps_its_lines(records: list[logging.LogRecord]) -> None:
    """A traceback is the package's own text."""
    logging.getLogger("leadsquared_async").error("failed with %s", Traceback("E\n  here"))
    assert records[0].getMessage() == "failed with E\n  here"


@pytest.mark.parametrize(
    "name", [b"leads.csv", b"my leads.csv", b"leads-\xff.csv", b"it's \xff\\.csv", b"a\nb"]
)
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_shell_reads_the_path_that_was_meant(name: bytes) -> None:
    """A printed command can be pasted, whatever the bytes of the file's name are."""
    word = shell_word(Path(os.fsdecode(name)))
    assert word.isprintable()
    said = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert said.stdout == name
