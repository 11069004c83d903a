"""What does it cost to check a lead against an account's fields?

CPU of checking ten attributes against 400 fields, compared with encoding the lead. With a misspelt name in
every lead, its suggestion is looked up once.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from benchmarks.figures import Figure
from leadsquared_async.encoding import encode
from leadsquared_async.fields import FieldChecker, read_fields
from leadsquared_async.submissions import capture_lead

BUDGET = 50.0
FIELDS = 400
ROUNDS = 15
CHECKS = 2_000
LEAD: dict[str, Any] = {
    "FirstName": "Bret",
    "LastName": "Lee",
    "EmailAddress": "bret.lee@example.com",
    "Phone": "+91-9988776655",
    "Source": "Option 7",
    "DoNotCall": False,
    "mx_City": "Bengaluru",
    "mx_Budget": 125_000,
    "mx_Visit": datetime(2024, 2, 29, 12, tzinfo=UTC),
    "mx_Interests": "Option 1;Option 2",
}
MISSPELT = {**LEAD, "mx_Citty": "Bengaluru"}
KINDS = {
    "EmailAddress": "Email",
    "Phone": "Phone",
    "Source": "Select",
    "DoNotCall": "Boolean",
    "mx_Budget": "Number",
    "mx_Visit": "Date",
    "mx_Interests": "Select",
}


def measure() -> Iterator[Figure]:
    """Microseconds a check of ten attributes, and what share of encoding the same lead that is."""
    fields = read_fields(_metadata())
    assert fields is not None
    checker = FieldChecker(fields)
    assert not checker.check(LEAD)
    assert len(checker.check(MISSPELT)) == 1
    rounds = [
        (_cpu(lambda: checker.check(LEAD)), _cpu(lambda: encode(capture_lead(LEAD)))) for _ in range(ROUNDS)
    ]
    checking, encoding = (statistics.median(side) for side in zip(*rounds, strict=True))
    yield Figure(f"check {len(LEAD)} attributes, {FIELDS} fields", checking, " us", most=BUDGET)
    yield Figure(
        "check / encode",
        statistics.median(check / encoded for check, encoded in rounds),
        note=f"{checking:.1f} / {encoding:.1f} us",
    )
    misspelt = statistics.median(_cpu(lambda: checker.check(MISSPELT)) for _ in range(ROUNDS))
    yield Figure("with a misspelt name in every lead", misspelt, " us", most=BUDGET)
    before = time.process_time()
    FieldChecker(fields).nearest("mx_Citty")
    yield Figure("make a checker, find the first misspelt name", (time.process_time() - before) * 1e3, " ms")


def _metadata() -> list[dict[str, Any]]:
    names = [*LEAD, *(f"mx_Custom_Field_{number}" for number in range(FIELDS - len(LEAD)))]
    return [
        {
            "SchemaName": name,
            "DisplayName": name.removeprefix("mx_").replace("_", " "),
            "DataType": KINDS.get(name, "Text"),
            "IsMandatory": name == "LastName",
            "MaxLength": "200",
            "AllowMultiple": name == "mx_Interests",
            "Options": [{"Value": f"Option {number}"} for number in range(20)],
        }
        for name in names
    ]


def _cpu(once: Callable[[], object]) -> float:
    before = time.process_time()
    for _ in range(CHECKS):
        once()
    return (time.process_time() - before) / CHECKS * 1e6
