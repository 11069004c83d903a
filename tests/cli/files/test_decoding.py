"""The encoding of a file: by its byte order mark or as given, never guessed."""

from __future__ import annotations

import pytest

from leadsquared_async.cli.files.decoding import Undecodable
from tests.cli.files.reading import read, refusal

CYRILLIC = "Иван"


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8-sig", b""),
        ("utf-16", b""),
        ("utf-16-be", b"\xfe\xff"),
        ("utf-32", b""),
        ("utf-32-be", b"\x00\x00\xfe\xff"),
    ],
)
def test_a_byte_order_mark(encoding: str, mark: bytes) -> None:
    """The byte order mark decides the encoding; a given one may agree with it."""
    content = mark + "a,b\nJosé,Müller\n".encode(encoding)
    assert read(content) == [(2, {"a": "José", "b": "Müller"})]
    assert read(content, encoding=encoding.removesuffix("-be")) == read(content)


ASCII_ROWS = "a,b\n" + "x,1\n" * 40_000


@pytest.mark.parametrize(
    ("content", "line", "encoding"),
    [
        ("a,b\nJosé,Müller\n".encode("cp1252"), 2, "cp1252"),
        ("a,b\nO\u2019Brien,x\n".encode("cp1252"), 2, "cp1252"),
        ("a,b\nŁukasz Żółć,Kraków\n".encode("cp1250"), 2, "cp1250"),
        (f"a,b\n1,2\n{CYRILLIC} {CYRILLIC},1\n".encode("cp1251"), 3, "cp1251"),
        ("a,b\n李明王小华,北京市朝阳区\n".encode("gb18030"), 2, "gb18030"),
        ((ASCII_ROWS + "José,2\nx,3\n").encode("cp1252"), 40_002, "cp1252"),
        ((ASCII_ROWS.replace("\n", "\r\n") + "José,2\r\n").encode("cp1252"), 40_002, "cp1252"),
        ((ASCII_ROWS.replace("\n", "\r") + "José,2\r").encode("cp1252"), 40_002, "cp1252"),
        ("a,b\nx,1\n".encode("utf-16-le"), 1, "utf-16-le"),
        ("a,b\nx,1\n".encode("utf-16-be"), 1, "utf-16-be"),
    ],
)
def test_what_is_not_utf_8_is_never_guessed(content: bytes, line: int, encoding: str) -> None:
    """The error has the line and the likely encodings; with the right one the file is read."""
    error = refusal(content)
    assert isinstance(error, Undecodable)
    assert error.line == line
    assert encoding in [candidate.encoding for candidate in error.candidates]
    assert f"--encoding {encoding}" in str(error)
    assert read(content, encoding=encoding)


def test_candidates_show_decoded_characters() -> None:
    """Candidates have the decoded characters, which no repr shows."""
    error = refusal("a,b\nŁukasz,Müller\n".encode("cp1250"))
    assert isinstance(error, Undecodable)
    shown = {candidate.encoding: candidate.characters for candidate in error.candidates}
    assert shown["cp1250"] == "Łü"
    assert "Ł" not in repr(error.candidates)


@pytest.mark.parametrize(
    ("content", "options", "line", "said"),
    [
        (b"a,b\nJos\xe9,1\n" + ASCII_ROWS[4:].encode() + "José,1\n".encode(), {}, 2, "not UTF-8"),
        ("a,b\nJosé,1\nAndré".encode()[:-1], {}, 3, "not UTF-8"),
        ("a,b\nx,\U0001f600".encode("utf-16")[:-2], {}, 2, "not UTF-8"),
        (("a,b\n" + "x,1\n" * 40_000 + "x,\x00\n").encode(), {}, 40_002, "NUL"),
        (b"a,b\nJos\x81,1\n", {"encoding": "cp1252"}, 2, "not cp1252"),
        (f"a,b\n{CYRILLIC},1\n".encode("cp1251"), {"encoding": "ascii"}, 2, "not ascii"),
    ],
)
def test_an_invalid_byte(content: bytes, options: dict[str, str], line: int, said: str) -> None:
    """An invalid byte anywhere is refused with its line and what to pass."""
    error = refusal(content, **options)
    assert error.line == line
    assert said in str(error)
    assert "--encoding" in str(error)


@pytest.mark.parametrize("encoding", ["idna", "punycode", "hex", "rot13", "undefined", "no such", "utf\0"])
def test_an_encoding_that_no_file_has(encoding: str) -> None:
    """An encoding of host names or of bytes is refused as one that does not exist."""
    assert "--encoding must be a name that Python knows" in str(refusal("a\n1\n", encoding=encoding))


@pytest.mark.parametrize("size", [8_190, 8_191, 8_192, 8_193, 65_536])
def test_two_pieces_of_a_file(size: int) -> None:
    """Line ends, characters and marks are read correctly across two pieces."""
    start = b"a,b\r\n1,"
    ends = start + b"x" * (size - len(start) - 1) + "é\r\n3,4\r\n".encode()
    assert [line for line, _ in read(ends)] == [2, 3]
    assert read(ends.replace("é".encode(), b""))[1] == (3, {"a": "3", "b": "4"})
