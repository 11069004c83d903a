"""The metadata of an account's lead fields, as LeadSquared's pages show it."""

from __future__ import annotations

from typing import Any

from leadsquared_async.fields import FieldChecker, read_fields

PHONE = {
    "Entity": "1",
    "SchemaName": "Phone",
    "DisplayName": "Phone Number",
    "DataType": "Phone",
    "IsMandatory": False,
    "MaxLength": "10",
    "RenderType": 6,
    "RenderTypeTextValue": "Phone",
    "RangeMin": "10",
    "AllowMultiple": True,
    "CreatedOn": "/Date(1417453996000+0000)/",
    "IsLeadIdentifier": True,
    "LockAfterCreate": 1,
    "IsSortable": True,
}
LEAD_TYPE = {
    "SchemaName": "LeadType",
    "DisplayName": "Object Type",
    "DataType": "Select",
    "IsMandatory": True,
    "Options": [{"Value": "OT_0"}, {"Value": "OT_1"}],
    "MaxLength": "50",
    "RenderTypeTextValue": "Dropdown",
    "DefaultValue": "OT_0",
    "AllowMultiple": True,
    "CreatedOn": "/Date(1751910591000+0000)/",
    "IsLeadIdentifier": False,
    "LockAfterCreate": 2,
}


def entry(name: str, kind: str, display: str = "", **others: Any) -> dict[str, Any]:
    return {
        "SchemaName": name,
        "DisplayName": display or name,
        "DataType": kind,
        "IsMandatory": False,
        **others,
    }


def select(name: str, *options: str, **others: Any) -> dict[str, Any]:
    return entry(name, "Select", Options=[{"Value": option} for option in options], **others)


METADATA: list[Any] = [
    entry("ProspectID", "Text", "Lead Id", MaxLength="50", IsMandatory=True),
    entry("FirstName", "Text", "First Name", MaxLength="20"),
    entry("LastName", "Text", "Last Name", MaxLength="20", IsMandatory=True),
    entry("EmailAddress", "Email", "Email", MaxLength="40"),
    PHONE,
    entry("Mobile", "Phone", "Mobile Number", MaxLength="50"),
    entry("Website", "Website", MaxLength="30"),
    entry("Notes", "Text"),
    select("Source", "Web", "Trade Fair", RenderTypeTextValue="SearchableDropdown"),
    entry("DoNotCall", "Boolean", "Do Not Call", RenderTypeTextValue="CheckBox"),
    LEAD_TYPE,
    entry("mx_City", "Text", "City", MaxLength="100"),
    entry("mx_Street1", "Text", "Address 1", MaxLength="100"),
    entry("mx_Street2", "Text", "Address 2", MaxLength="100"),
    entry("mx_Budget", "Number", "Budget", RangeMin="100", RangeMax="200"),
    entry("mx_Visit", "Date", "Date of Visit", MaxLength="10"),
    entry("mx_Call_At", "Time", "Call At"),
    select(
        "mx_Interests",
        "Golf",
        "Chess",
        AllowMultiple=True,
        RenderTypeTextValue="MultiSelect",
    ),
    select("mx_Plan", "Gold ", "Silver"),
    select("mx_Heard_Of_Us", "Friend", RenderTypeTextValue="DropdownWithOthers"),
    entry("mx_KYC", "CustomObject", "KYC"),
]


def checker(*entries: Any) -> FieldChecker:
    fields = read_fields(list(entries) or METADATA)
    assert fields is not None
    return FieldChecker(fields)


ACCOUNT = checker()
