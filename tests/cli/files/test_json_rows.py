"""JSON lines and JSON arrays."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from leadsquared_async.cli.files.rows import ROW_LIMIT
from tests.cli.files.reading import SECRET, read, refusal


@pytest.mark.parametrize(
    "content",
    [
        '{"a": 1, "b": {"c": "x"}}\n\n {"a": 0.10, "b": null} \r\n',
        '[{"a": 1, "b": {"c": "x"}},\n\n {"a": 0.10, "b": null}]',
        '\ufeff[{"a":1,"b":{"c":"x"}}\n,\r\n{"a":0.10,"b":null}\n]\n\n',
    ],
)
def test_json(content: str) -> None:
    """Both forms give the same rows with their lines, and fractions as Decimal."""
    rows = [(1, {"a": 1, "b": {"c": "x"}}), (3, {"a": Decimal("0.10"), "b": None})]
    assert read(content) == rows
    assert str(read(content)[1][1]["a"]) == "0.10"


def test_json_numbers_lose_no_digit() -> None:
    """A number of thirty digits keeps all of them."""
    digits = "123456789012345678901234567890"
    assert read(f'{{"a": {digits}, "b": {digits}.{digits}}}')[0][1] == {
        "a": int(digits),
        "b": Decimal(f"{digits}.{digits}"),
    }


FLAWS = [
    (f'{{"a": "{SECRET}"', "JSON"),
    (f'{{"a": "{SECRET}", "a": 2}}', "same key twice"),
    (f'{{"a": {{"b": "{SECRET}", "b": 2}}}}', "same key twice"),
    ('{"a": NaN}', "NaN"),
    ('{"a": -Infinity}', "NaN or Infinity"),
    ('{"a": "\\ud83d"}', "surrogate"),
    ('{"\\ud83d": 1}', "surrogate"),
    ('{"a": ["\\ud83d"]}', "surrogate"),
    ('{"a": ' + "[" * 17 + "]" * 17 + "}", "nested too deep"),
    ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deep"),
    ('{"a": ' + "1" * 5000 + "}", "number that is too long"),
    ('{"a": 1e99999999999999999999}', "number that is too long"),
    (f'"{SECRET}"', "not an object"),
    ("{'a': 1}", "JSON"),
    ('{"a": 1,}', "JSON"),
]


@pytest.mark.parametrize(("flaw", "said"), FLAWS)
@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_json_refused(flaw: str, said: str, form: str) -> None:
    """A broken object is refused with its line, and none of it is shown."""
    good = '{"a": 1}'
    content = f"{good}\n{flaw}\n{good}\n" if form == "jsonl" else f"[{good},\n{flaw}\n,{good}]"
    error = refusal(content, format=form)
    assert said in str(error)
    if not flaw.endswith(f'"{SECRET}"') or form == "jsonl":  # what is cut off shows at what follows
        assert error.line == 2
    assert SECRET not in f"{error} {error!r}"


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        ('[{"a": 1},\n{"a": 2}', 2, "] here"),
        ('[{"a": 1},\n', 2, "JSON"),
        ('[{"a": 1}\n{"a": 2}]', 2, "] here"),
        ('[{"a": 1}]\n\nx', 3, "follows the end"),
        ("[]\n[]", 2, "follows the end"),
        ('[{"a": "' + "x" * 2 * ROW_LIMIT + '"}]', 1, "1,000,000"),
        ('{\n"a": 1\n}', 1, "one object per line"),
        ('{"a": 1} {"a": 2}', 1, "one object per line"),
    ],
)
def test_json_form_refused(content: str, line: int, said: str) -> None:
    """A truncated array, text after one, and an object on several lines are refused with the line."""
    error = refusal(content)
    assert error.line == line
    assert said in str(error)


@pytest.mark.parametrize("separator", [",", ",\n"])
def test_json_array_across_pieces(separator: str) -> None:
    """Objects of any length are read across pieces of the file."""
    objects = [{"a": "é" * (index * 37 % 5000), "n": index} for index in range(300)]
    rows = read("[" + separator.join(json.dumps(one, ensure_ascii=False) for one in objects) + "]")
    assert [cells for _, cells in rows] == objects
    assert [line for line, _ in rows] == [1 + index * (separator != ",") for index in range(300)]
