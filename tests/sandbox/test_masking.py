"""Keys are masked wherever they stand, the sandbox's and others'."""

import json

import pytest

from leadsquared_async.sandbox import Account, Request
from leadsquared_async.sandbox.masking import MASK, Masker

from .calls import ACCESS_KEY, API_KEY, BRET, HEADERS, KEYS, SECRET_KEY

OTHER = "q$-fake/other+key"
FORMS = {
    "plain": OTHER,
    "percent-encoded": "q%24-fake%2Fother%2Bkey",
    "lower-case percent-encoding": "q%24-fake%2fother%2bkey",
    "JSON's escapes": "q\\u0024\\u002dfake\\u002Fother\\u002bkey".replace("2F", "2f"),
    "JSON in JSON": "q\\\\u0024-fake/other+key",
}


def masker(query: str = KEYS, **headers: str) -> Masker:
    return Masker(Request("POST", "/lead/capture", query, {**HEADERS, **headers}, BRET))


def test_the_keys_in_their_places_are_masked():
    """Names and other values stay."""
    mask = masker(f"{KEYS}&LeadUpdateBehavior=DoNotUpdate&ACCESSKEY=short&secretKey=")
    assert mask.query() == [
        *(("accessKey", MASK), ("secretKey", MASK), ("LeadUpdateBehavior", "DoNotUpdate")),
        *(("ACCESSKEY", MASK), ("secretKey", "")),
    ]
    assert mask.headers() == [("x-api-key", MASK), ("content-type", "application/json")]


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "Proxy-Authorization", "x-LSQ-SecretKey"])
def test_other_headers_that_hold_secrets_are_masked(name: str):
    """Whatever their value is."""
    assert (name.lower(), MASK) in masker(**{name: "x"}).headers()


@pytest.mark.parametrize("key", [ACCESS_KEY, SECRET_KEY, API_KEY])
def test_a_key_of_the_sandbox_in_a_wrong_place_is_masked(key: str):
    """In a value of the query, in a header, in a body and in any text."""
    mask = masker(f"{KEYS}&note=my+{key.replace('$', '%24')}", referer=f"http://a/?k={key}")
    shown = json.dumps([mask.query(), mask.headers(), mask.text(f"({key})")])
    shown += mask.body(json.dumps([{"Attribute": "Notes", "Value": f"my key is {key}", key: 1}]).encode())
    assert key not in shown
    assert mask.text(f"({key})") == f"({MASK})"


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_another_key_is_masked_wherever_it_is_repeated(form: str):
    """Someone may send real keys by mistake: they are masked in each spelling, in texts and bodies."""
    mask = masker(f"accessKey={FORMS['percent-encoded']}")
    assert mask.text(f"<{form}>") == f"<{MASK}>"
    assert mask.body(f"not JSON: {form}".encode()) == f"not JSON: {MASK}"
    assert mask.body(f'[{{"Value": "{form}"}}]'.encode()) == f'[\n  {{\n    "Value": "{MASK}"\n  }}\n]'


def test_a_short_value_in_the_place_of_a_key_masks_nothing_else():
    """Otherwise `a` as a key would mask every a."""
    mask = masker("accessKey=a")
    assert (mask.query(), mask.text("a lead")) == ([("accessKey", MASK)], "a lead")


def test_a_key_that_is_sent_in_the_body_is_masked():
    """By its name, whosever it is; an empty one is shown as such."""
    sent = {"accessKey": "u$r-real", "SECRETKEY": {"value": "real"}, "x-api-key": "", "Phone": "1"}
    shown = json.loads(masker().body(json.dumps({"LeadDetails": [sent]}).encode()))
    assert shown == {"LeadDetails": [{"accessKey": MASK, "SECRETKEY": MASK, "x-api-key": "", "Phone": "1"}]}


def test_json_is_indented_and_other_bodies_stay():
    """Non-ASCII text stays readable; invalid UTF-8 is replaced."""
    mask = masker()
    assert mask.body('{"a":["é",1.5,null]}'.encode()) == '{\n  "a": [\n    "é",\n    1.5,\n    null\n  ]\n}'
    assert mask.body(b"<html>") == "<html>"
    assert mask.body(b"\xff{") == "\ufffd{"
    assert mask.body(b"") == ""
    assert mask.body(b"[" * 100_000) == "[" * 100_000


@pytest.mark.parametrize("key", [SECRET_KEY, API_KEY])
def test_a_key_as_the_name_of_a_header_is_not_shown(key: str):
    """The window says that it is misplaced, and not where it can be read."""
    account = Account()
    account.decide(Request("GET", "/lead/status", "", {key: key}), 0.0)
    assert account.misplaced_keys == ["status: a key in the name of a header"]
