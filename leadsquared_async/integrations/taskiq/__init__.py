"""Submissions as tasks, for work that has to outlive a machine: `LeadSquaredTasks` on a `StreamBroker`.

`tasks` submits, follows and tells; `turnstile` holds an operation's tasks while nothing gets through, `hand`
is one task in a worker's hands, `payload` what stands in the store, and `broker` the way there.
"""

from leadsquared_async.integrations.taskiq.broker import StreamBroker
from leadsquared_async.integrations.taskiq.payload import TaskOutcome
from leadsquared_async.integrations.taskiq.tasks import LeadSquaredTasks

__all__ = ["LeadSquaredTasks", "StreamBroker", "TaskOutcome"]
