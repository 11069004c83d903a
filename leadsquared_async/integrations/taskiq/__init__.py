"""Submissions as tasks, for work that has to outlive a machine: `LeadSquaredTasks` on a `StreamBroker`.

`tasks` submits, follows and tells; `admission` holds an operation's tasks while nothing gets through, `hand`
is one task in a worker's hands, `payload` what stands in the store, and `broker` the way there.
"""

try:
    from leadsquared_async.integrations.taskiq.broker import StreamBroker
    from leadsquared_async.integrations.taskiq.payload import TaskOutcome
    from leadsquared_async.integrations.taskiq.tasks import LeadSquaredTasks
except ImportError as error:
    if error.name not in {"taskiq", "taskiq_redis", "redis"}:
        raise
    raise ImportError('tasks need taskiq: pip install "leadsquared_async[taskiq]"') from error

__all__ = ["LeadSquaredTasks", "StreamBroker", "TaskOutcome"]
