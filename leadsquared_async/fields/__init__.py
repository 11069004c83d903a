"""An account's lead fields, and checks of leads against them.

LeadSquared rejects a whole lead for one unknown attribute; on the Async API only the status shows it.
`lead_fields` reads the account's fields, `checker` checks leads against them.
"""

from leadsquared_async.fields.checker import FieldChecker, FieldProblem, ProblemKind
from leadsquared_async.fields.lead_fields import LeadField, read_fields

__all__ = ["FieldChecker", "FieldProblem", "LeadField", "ProblemKind", "read_fields"]
