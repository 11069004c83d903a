"""Submissions as tasks of taskiq, for work that has to outlive a machine.

`tasks` has the steps: submit, follow, report. `broker` is the stream in Redis or Valkey, `lease` one delivery
of a task to a worker, and `payload` what a task holds in the store.
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
