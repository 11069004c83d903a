"""Shows the API pages the methods that `submitting` makes, with the docstring of their function."""

from __future__ import annotations

from typing import Any

import griffe

from leadsquared_async.resources.leads import RAISES


class SubmittingMethods(griffe.Extension):
    """Replaces attributes such as `Leads.update = submitting("Leads.update", update_lead)` by methods."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        for resource in pkg["resources.leads"].classes.values():
            for name, attribute in list(resource.attributes.items()):
                call = attribute.value
                if isinstance(call, griffe.ExprCall) and str(call.function) == "submitting":
                    function = pkg[f"submissions.{call.arguments[1]}"]
                    resource.set_member(name, method_of(function, attribute))


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
