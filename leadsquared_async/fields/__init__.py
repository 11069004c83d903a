"""An account's lead fields, and what is wrong with a lead before LeadSquared says so hours later.

One unknown attribute makes LeadSquared refuse the whole lead, and on the Async API that shows in the status
only. `metadata` reads what the account has, `checking` finds what is wrong, `nearest` what was meant.
"""

from leadsquared_async.fields.checking import FieldChecker, Flaw, Problem
from leadsquared_async.fields.metadata import LeadField, read_fields

__all__ = ["FieldChecker", "Flaw", "LeadField", "Problem", "read_fields"]
