"""Submissions as taskiq tasks, for work that must survive the loss of a machine.

`tasks` has the steps: submit, follow, report. `broker` is the stream in Redis or Valkey, `lease` the delivery
of a task to a worker, and `payload` the contents of a task.
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
