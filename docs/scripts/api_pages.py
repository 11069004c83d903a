"""What Griffe does not see in the code: examples are Python, and decorators make coroutine functions."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

from leadsquared_async.resources.leads import RAISES

EXAMPLE = re.compile(r"^Example:\n((?:    .*\n?|\n)+)", re.MULTILINE)


class ApiPages(griffe.Extension):
    """Changes the objects of the package before their pages are written."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Fence the example of a docstring."""
        if obj.docstring is not None:
            obj.docstring.value = EXAMPLE.sub(fenced, obj.docstring.value)

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Show a function that `without_locals` turns into a coroutine function as one."""
        returned = func.returns
        if isinstance(returned, griffe.ExprSubscript) and str(returned.left) == "Awaitable":
            func.returns = returned.slice
            func.labels.add("async")

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Make a method of each attribute such as `update = submitting("Leads.update", update_lead)`."""
        for resource in pkg["resources.leads"].classes.values():
            for name, attribute in list(resource.attributes.items()):
                call = attribute.value
                if isinstance(call, griffe.ExprCall) and str(call.function) == "submitting":
                    function = pkg[f"submissions.{call.arguments[1]}"]
                    resource.set_member(name, method_of(function, attribute))


def fenced(example: re.Match[str]) -> str:
    return f"**Example:**\n\n```python\n{textwrap.dedent(example[1]).strip()}\n```\n\n"


def method_of(function: griffe.Function, attribute: griffe.Attribute) -> griffe.Function:
    docstring = griffe.Docstring((function.docstring.value if function.docstring else "") + RAISES)
    method = griffe.Function(
        attribute.name,
        lineno=attribute.lineno,
        parameters=griffe.Parameters(griffe.Parameter("self"), *function.parameters),
        returns=griffe.ExprName("Receipt", parent=attribute.parent),
        docstring=docstring,
    )
    method.labels.add("async")
    docstring.parent = method
    return method
