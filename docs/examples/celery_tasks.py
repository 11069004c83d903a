"""Leads as Celery tasks: each pool process has one client, and all of them share one limit.

Needs leadsquared_async[redis] and celery[redis]:

    celery -A celery_tasks worker

A task's arguments are personal data. They are in the broker until the task is done, but not in events, log
records and results. Anyone who can read the broker can read leads, so give it a password and TLS.
"""

import os
from collections.abc import Mapping
from typing import Any

from account import Account
from celery import Celery, Task
from celery.signals import worker_init, worker_process_init, worker_process_shutdown
from celery.utils.log import get_task_logger

from leadsquared_async import (
    ConfigurationError,
    Delivery,
    Fault,
    LeadSquared,
    LeadSquaredError,
    SharedLimiter,
)

logger = get_task_logger("celery_tasks")

DEADLINE = 20.0
"""Seconds for one attempt of a task; a worker may take that long to stop."""
AGAIN_AFTER = 300.0
"""Seconds until an undelivered lead is retried."""
HELD = 20
"""The most messages that a worker holds, with those waiting for a retry; more than the pool's processes."""

app = Celery("celery_tasks", broker=os.environ.get("BROKER_URL", "redis://127.0.0.1:6379/0"))
app.conf.update(
    task_acks_late=True,  # the broker keeps a lead until its task is done,
    task_reject_on_worker_lost=True,  # and gives it to another process if the task's own was killed
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_eta_task_limit=HELD,
    # Seconds after which the broker delivers a message again. It must be longer than any message is held:
    # otherwise a lead could be sent twice.
    broker_transport_options={"visibility_timeout": AGAIN_AFTER + (HELD + 1) * DEADLINE},
)


def client() -> LeadSquared:
    limiter = SharedLimiter(os.environ.get("LIMITER_URL", "redis://127.0.0.1:6379/1"))
    return LeadSquared(limiter=limiter, deadline=DEADLINE)


account = Account(client)


@worker_init.connect  # type: ignore[untyped-decorator]
def check(**_: object) -> None:
    """Do not start a worker that cannot send."""
    try:
        client()
    except ConfigurationError as error:
        raise SystemExit(str(error)) from None


@worker_process_init.connect  # type: ignore[untyped-decorator]
def start(**_: object) -> None:
    account.start()


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def stop(**_: object) -> None:
    account.stop()


class Private(Task):  # type: ignore[misc]
    """A task that hides its arguments; by default, Celery adds their repr to each message."""

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        return super().apply_async(args, kwargs, **options | {"argsrepr": "(...)", "kwargsrepr": "{...}"})


@app.task(base=Private, bind=True, max_retries=None)  # type: ignore[untyped-decorator]
def capture(task: Any, lead: Mapping[str, Any]) -> None:
    """Send a lead: `capture.delay({...})` returns at once.

    The client makes the quick retries. Celery retries later, while LeadSquared is down or the account's owner
    must act. Neither resends a lead that may have arrived and could become a second one.
    """
    reference = task.request.id
    try:
        receipt = account.call(lambda lsq: lsq.leads.capture(lead, reference=reference))
    except LeadSquaredError as error:
        is_held = error.fault is Fault.ACCOUNT and error.delivery is not Delivery.UNKNOWN
        if error.safe_to_retry or is_held:
            raise task.retry(countdown=AGAIN_AFTER, exc=error) from None
        logger.error("%s is not delivered (%s): %s", reference, error.delivery, error)  # noqa: TRY400
    else:
        logger.info("%s was accepted: %s", reference, receipt.request_id)
