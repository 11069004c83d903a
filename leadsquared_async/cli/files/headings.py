"""The headings of a table: how they are typed, found, suggested and shown."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from leadsquared_async.attributes import SCHEMA_NAME
from leadsquared_async.cli.files.rows import Unreadable

__all__ = [
    "USUAL_HEADINGS", "letters", "looks_like_a_value", "name_flaw", "place_of", "plain_heading", "quoted",
    "refuse_title", "shown_heading", "suggestions",
]  # fmt: skip

# Common headings without spaces and symbols; they are suggested, never applied.
USUAL_HEADINGS = {
    "EmailAddress": ("email", "emailaddress", "emailid", "mail", "mailid"),
    "FirstName": ("firstname", "givenname", "forename"),
    "LastName": ("lastname", "surname", "familyname"),
    "Phone": ("phone", "phoneno", "phonenumber", "telephone", "telephonenumber", "tel", "contactnumber"),
    "Mobile": ("mobile", "mobileno", "mobilenumber", "mobilephone", "cell", "cellphone"),
    "Company": ("company", "companyname", "organisation", "organization"),
    "JobTitle": ("jobtitle", "designation"),
    "Website": ("website", "websiteurl"),
    "Source": ("source", "leadsource"),
    "ProspectStage": ("prospectstage", "leadstage"),
    "ProspectID": ("prospectid", "leadid"),
    "Notes": ("notes",),
    "mx_Street1": ("street", "street1", "address1", "addressline1"),
    "mx_Street2": ("street2", "address2", "addressline2"),
    "mx_City": ("city",),
    "mx_State": ("state",),
    "mx_Country": ("country",),
    "mx_Zip": ("zip", "zipcode", "pincode", "postcode", "postalcode"),
}
_SUGGESTED = {heading: name for name, headings in USUAL_HEADINGS.items() for heading in headings}


def plain_heading(text: str) -> str:
    """A heading as a user types it: any white space is one space, invisible characters are removed.

    Messages show this form, and options are compared with it.
    """
    visible = "".join(
        character
        for character in text
        if character.isspace() or unicodedata.category(character) not in _INVISIBLE
    )
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", visible)).strip()


_INVISIBLE = {"Cc", "Cf"}


def refuse_title(names: Sequence[str], below: Iterable[tuple[int, Sequence[object]]]) -> None:
    """Raise if the first row is a title: a single cell, with headings in the next row."""
    for line, cells in below if len(names) == 1 else ():
        texts = [cell for cell in cells if cell is not None and str(cell).strip()]
        if len(texts) > 1 and all(isinstance(text, str) and not _VALUE.search(text) for text in texts):
            raise Unreadable(f"the headings seem to be on line {line}: pass --skip-rows {line - 1}")
        if texts:
            return


_VALUE = re.compile(r"@|\d{4}")


def place_of(names: tuple[str, ...], name: str) -> int | None:
    """The index of the column with this heading, else with this position; None if there is no such column.

    A heading that several columns share names none of them.
    """
    if name in names:
        return names.index(name) if names.count(name) == 1 else None
    return int(name) - 1 if re.fullmatch("[1-9][0-9]{0,4}", name) and int(name) <= len(names) else None


def suggestions(fields: Mapping[str, str]) -> dict[str, str]:
    """Schema names by heading. Common headings of the account's fields override its display names."""
    displayed = {letters(display): name for name, display in fields.items()}
    usual = {heading: name for heading, name in _SUGGESTED.items() if name in fields}
    return _SUGGESTED | displayed | usual


def letters(text: str) -> str:
    return re.sub(r"[\W_]", "", text.casefold())


def looks_like_a_value(heading: str) -> bool:
    """Whether it is an e-mail address or a phone number, which must not be shown."""
    return "@" in heading or re.search(r"\d(?:[ ()./+-]{0,2}\d){8}", heading) is not None


def shown_heading(heading: str, position: int | None = None) -> str:
    """A heading for a message: shortened, and replaced if it looks like a value."""
    if not heading or looks_like_a_value(heading):
        return "**********" if position is None else str(position + 1)
    return heading if len(heading) <= 200 else f"{heading[:200]}..."


def quoted(word: str) -> str:
    """Quote a word for a shell."""
    return f'"{word}"' if re.fullmatch(r"[^\"$`\\!]+", word) else shlex.quote(word)


def name_flaw(name: str) -> str | None:
    """Why it is not a schema name; None if it is one."""
    if not SCHEMA_NAME.fullmatch(name):
        return "is not a schema name (a letter, then letters, digits and _)"
    return "must be spelt ProspectID" if name == "ProspectId" else None
