"""An account's lead fields, and the problems of a lead that LeadSquared would report hours later.

LeadSquared rejects a whole lead for one unknown attribute, which on the Async API shows in the status only.
`lead_fields` reads the fields of the account, `checker` checks leads against them.
"""

from leadsquared_async.fields.checker import FieldChecker, FieldProblem, ProblemKind
from leadsquared_async.fields.lead_fields import LeadField, read_fields

__all__ = ["FieldChecker", "FieldProblem", "LeadField", "ProblemKind", "read_fields"]
