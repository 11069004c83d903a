"""Every error of a delivery, and whether it is an answer of LeadSquared to that item."""

from __future__ import annotations

from leadsquared_async import (
    ClientClosed,
    ConfigurationError,
    ConnectionFailed,
    DeadlineExceeded,
    Delivery,
    Fault,
    InvalidLead,
    LeadSquaredError,
    OutboxError,
    OutboxFull,
    Rejected,
    Scope,
    ServerError,
    Timeout,
)
from leadsquared_async.errors import BadRequest
from leadsquared_async.outbox.rows import UnreadableRowError

DOWN = ServerError(
    "LeadSquared failed (503)", fault=Fault.SERVER, scope=Scope.OPERATION, delivery=Delivery.REJECTED
)
ERRORS = [
    (InvalidLead("mx_Ctiy: no such field"), False),
    (ConfigurationError("no keys"), False),
    (ConfigurationError("no keys", fault=Fault.ACCOUNT), False),
    (ConfigurationError("wrong", fault=Fault.LEAD), False),
    (ClientClosed("closed"), False),
    (ClientClosed("closed", fault=Fault.LEAD), False),
    (DeadlineExceeded("no token in time"), False),
    (DeadlineExceeded("no token in time", fault=Fault.LEAD), False),
    (ConnectionFailed("refused", fault=Fault.SERVER), False),
    (Timeout("no answer", fault=Fault.SERVER, delivery=Delivery.UNKNOWN), False),
    (OutboxError("the disk is full"), False),
    (OutboxFull("full", fault=Fault.LEAD), False),
    (UnreadableRowError("its content is not JSON"), False),
    (UnreadableRowError("its content is not JSON", fault=Fault.LEAD), False),
    (LeadSquaredError("", fault=Fault.LEAD), False),
    (Rejected("MXNew", fault=Fault.LEAD, delivery=Delivery.REJECTED), True),
    (BadRequest("400", fault=Fault.LEAD, delivery=Delivery.REJECTED), True),
    (DOWN, False),
]
