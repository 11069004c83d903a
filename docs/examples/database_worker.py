"""Sends the people of a database, shows progress and stores each outcome; the next run sends the rest.

sqlite3 crm.db 'CREATE TABLE people (id INTEGER PRIMARY KEY, name, email, lead_id, problem)'
python database_worker.py crm.db
"""

import asyncio
import sqlite3
import sys

from leadsquared_async import Fault, LeadSquared, LeadSquaredError, Result


async def main(path: str) -> None:
    db = sqlite3.connect(path, isolation_level=None)  # each outcome is committed at once
    async with LeadSquared() as lsq:
        for _ in range(3):  # the client retries each call; another round sends failed leads again
            people = db.execute("SELECT * FROM people WHERE lead_id IS NULL AND problem IS NULL").fetchall()
            leads = [{"FirstName": name, "EmailAddress": email} for _, name, email, *_ in people]
            async with lsq.leads.capture_many(leads, follow=True) as results:
                done = 0
                async for result in results:
                    done += 1
                    print(f"\r{done} of {len(leads)}", end="\n" if done == len(leads) else "", flush=True)
                    outcome = (*outcome_of(result), people[result.index][0])
                    db.execute("UPDATE people SET lead_id = ?, problem = ? WHERE id = ?", outcome)


def outcome_of(result: Result[dict[str, str]]) -> tuple[str | None, str | None]:
    """The lead's id and the problem; both None if the lead may be sent again."""
    if result.status is not None:
        return result.status.lead_id, None if result.ok else result.status.reason
    assert result.error is not None
    is_account_error = result.receipt is None and result.error.fault is Fault.ACCOUNT
    may_repeat = is_account_error or result.error.safe_to_retry
    return None, None if may_repeat else str(result.error)


try:
    asyncio.run(main(sys.argv[1]))
except LeadSquaredError as error:  # such as revoked keys; the next run sends the rest
    sys.exit(f"stopped: {error}")
