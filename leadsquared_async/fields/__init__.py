"""An account's lead fields, and what is wrong with a lead before LeadSquared says so hours later.

One unknown attribute makes LeadSquared refuse the whole lead, and on the Async API that shows in the status
only. `lead_fields` reads what the account has, `checker` finds what is wrong.
"""

from leadsquared_async.fields.checker import FieldChecker, Flaw, Problem
from leadsquared_async.fields.lead_fields import LeadField, read_fields

__all__ = ["FieldChecker", "Flaw", "LeadField", "Problem", "read_fields"]
