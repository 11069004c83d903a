"""For tests of code that uses the client: a client of a sandbox, skipped waits, and values for mocks.

With pytest, the fixtures of `leadsquared_async.pytest_plugin` are available without an import.
"""

from leadsquared_async.testing.clients import client_of, environment_of
from leadsquared_async.testing.error_factory import ErrorFacts, make_error
from leadsquared_async.testing.result_factory import make_result, make_results
from leadsquared_async.testing.skipping import without_waiting

__all__ = [
    "ErrorFacts",
    "client_of",
    "environment_of",
    "make_error",
    "make_result",
    "make_results",
    "without_waiting",
]
