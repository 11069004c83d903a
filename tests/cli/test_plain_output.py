"""What commands print into a pipe, word for word: the forms that people paste into tickets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from leadsquared_async.sandbox import Sandbox
from tests.cli.commands import run, with_fields

FILE = """First Name,E-mail,Phone,Source,mx_Date_of_Birth
Bret,b@example.com,+91-9988776655,Website,1990-11-23
Anna,a@example.com,+91-9988776656,Campain,23/11/1990
Tom,t@example.com,9.8E+09,Facbook,
Eve,NULL,+91-9988776657,Website,
<test lead: dummy data for first_name>,test@fb.com,1,x,

"""
MAPPED = ("--map", "First Name=FirstName", "--map", "2=EmailAddress")
COLUMNS = """\
leads.csv: csv, utf-8, delimiter ','
leadsquared check: these headings are not schema names: add the options that are right, and \
--ignore for the rest
  --map "First Name=FirstName" \\
  --map "E-mail=EmailAddress"
"""
CHECK = """\
leads.csv: csv, utf-8, delimiter ','
Column            Problem      Rows  Lines  What to do
Source            no_option    2     3, 4   must be one of the field's options, spelled exactly: \
Website, Referral, Walk-in, Campaign. Values: "Campain" 1, "Facbook" 1. Send one as another: --value \
"Source:Campain=Campaign"
mx_Date_of_Birth  not_a_date   1     3      is not a date such as 2024-02-29 or 2024-02-29 13:05:00: \
pass --date mx_Date_of_Birth --date-format %d/%m/%Y
Phone             refused      1     4      a spreadsheet shortened the number: format the column as \
text or as a number without decimals, and export it again
EmailAddress      placeholder  1     5      is a placeholder; leads that share it would become one lead: \
empty it, or pass --empty
                  test_row     1     6      is a test row of an ad platform, which is never sent
to send 1 row, with the same options:
  leadsquared capture leads.csv --rejects leads.rejects.csv
leads.csv: 5 rows against 60 lead fields, 4 would be refused
"""
CAPTURE = """\
leads.csv: 5 rows, in N s
Outcome    Rows
confirmed  1
refused    4     not sent: they need fixing
"""
AGAIN = """\
leads.csv: 5 rows, in N s, 1 of them from an earlier run, nothing was sent in this run
Outcome    Rows
confirmed  1
refused    4     not sent: they need fixing
"""
REJECTED = """\
new.csv: 2 rows, in N s
Outcome    Rows
confirmed  1
rejected   1     by LeadSquared
Why rejected                           Rows  First line
MXUnknownAttributeException (mx_Nope)  1     3
"""
ADVICE = """\
rows to fix: fix.csv
then, with the same options: leadsquared capture fix.csv
if the fix is in LeadSquared, such as a new field, or if --drop or --set is enough:
  leadsquared outbox requeue new.csv.sandbox.outbox
  leadsquared outbox drain new.csv.sandbox.outbox
"""
STATS = """\
new.csv.sandbox.outbox: confirmed 1, rejected 1
  dead letters: 1 rejected; list them with:
    leadsquared outbox items new.csv.sandbox.outbox --state rejected
"""
ITEMS = """\
Id  State     Age  Operation      RequestID                             Reason                       \
Reference
2   rejected  N s  leads.capture  ID                                    MXUnknownAttributeException  \
new.csv:3
"""
REQUEUED = (
    "1 row will be sent again, by the process that delivers, else by: "
    "leadsquared outbox drain new.csv.sandbox.outbox\n"
)


async def test_what_is_printed_of_a_rejected_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run, the outbox, its items, and the row put back."""
    monkeypatch.chdir(tmp_path)
    Path("new.csv").write_text("FirstName,EmailAddress,mx_Nope\nBret,b@example.com,\nAnna,a@example.com,x\n")
    async with Sandbox(limit=None, attributes="account", processing_rate=1e9) as sandbox:
        env = with_fields(sandbox)
        done = await run("capture", "new.csv", "--no-check", "--rejects", "fix.csv", env=env)
        assert re.sub(r"in \d+ s", "in N s", done.out) == REJECTED
        assert done.err.endswith(ADVICE)
    stats = (await run("outbox", "stats", "new.csv.sandbox.outbox")).out
    assert stats == STATS
    items = (await run("outbox", "items", "new.csv.sandbox.outbox", "--state", "rejected")).out
    assert re.sub(r"[0-9a-f-]{36}", "ID" + " " * 34, re.sub(r" \d+ s ", " N s ", items)) == ITEMS
    drop = ("--drop", "mx_Nope")
    assert (await run("outbox", "requeue", "new.csv.sandbox.outbox", *drop)).out == REQUEUED
    again = await run("outbox", "requeue", "new.csv.sandbox.outbox")
    assert again.out == "0 rows will be sent again\n"


async def test_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check without and with a mapping, a run, and the same run again."""
    monkeypatch.chdir(tmp_path)
    Path("leads.csv").write_text(FILE)
    async with Sandbox(limit=None, attributes="account", processing_rate=1e9) as sandbox:
        env = with_fields(sandbox)
        assert (await run("check", "leads.csv", env=env)).err == COLUMNS
        done = await run("check", "leads.csv", *MAPPED, env=env)
        assert done.err + done.out == CHECK
        for wanted in (CAPTURE, AGAIN):
            done = await run("capture", "leads.csv", *MAPPED, "--rejects", "rejects.csv", env=env)
            assert re.sub(r"in \d+ s", "in N s", done.out) == wanted
            assert done.err.splitlines()[-2:] == [
                "rows to fix: rejects.csv",
                "then, with the same options: leadsquared capture rejects.csv",
            ]
