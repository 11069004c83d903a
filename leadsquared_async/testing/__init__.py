"""For tests of code that uses the client: a client of a sandbox, waits that pass at once, values to return.

With pytest, the fixtures of `leadsquared_async.pytest_plugin` are there without an import.
"""

from leadsquared_async.testing.clients import client_of, environment_of
from leadsquared_async.testing.skipping import without_waiting

__all__ = ["client_of", "environment_of", "without_waiting"]
