"""Leads as Celery tasks: every pool process has one client, and all of them keep to one limit.

Needs leadsquared_async[redis] and celery[redis]:

    celery -A celery_tasks worker

A task's arguments are a person's data. They stand in the broker until the task is done, and nowhere else: not
in events, log records and results. Whoever reads the broker reads leads, so give it a password and TLS.
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
"""Seconds that a task may try: so long may a worker that is asked to stop take."""
AGAIN_AFTER = 300.0
"""Seconds until a lead that did not get through is tried again."""
HELD = 20
"""Messages that a worker holds at most, those that wait for their time among them; more than processes."""

app = Celery("celery_tasks", broker=os.environ.get("BROKER_URL", "redis://127.0.0.1:6379/0"))
app.conf.update(
    task_acks_late=True,  # the broker keeps a lead until its task is done,
    task_reject_on_worker_lost=True,  # and gives it to another process if the task's own was killed
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_eta_task_limit=HELD,
    # Seconds after which the broker takes a message for lost. Longer than any is held: one that comes back
    # while the first is at work is sent twice.
    broker_transport_options={"visibility_timeout": AGAIN_AFTER + (HELD + 1) * DEADLINE},
)


def client() -> LeadSquared:
    limiter = SharedLimiter(os.environ.get("LIMITER_URL", "redis://127.0.0.1:6379/1"))
    return LeadSquared(limiter=limiter, deadline=DEADLINE)


account = Account(client)


@worker_init.connect  # type: ignore[untyped-decorator]
def check(**_: object) -> None:
    """A worker that could send nothing is to take nothing."""
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
    """A task whose arguments nobody is shown; by default Celery puts their repr beside each message."""

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        return super().apply_async(args, kwargs, **options | {"argsrepr": "(...)", "kwargsrepr": "{...}"})


@app.task(base=Private, bind=True, max_retries=None)  # type: ignore[untyped-decorator]
def capture(task: Any, lead: Mapping[str, Any]) -> None:
    """Send a lead: `capture.delay({...})` returns at once.

    The client's part is to try again in a hurry. Celery's begins where that ends: LeadSquared stays down, or
    the account's owner has to act. Neither sends again what may have arrived and could become a second lead.
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
