"""The options of a client, and the errors of invalid ones."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import pickle
from collections.abc import Iterator
from contextlib import suppress
from types import FunctionType, MethodType, ModuleType
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import TypeAdapter
from pydantic_core import to_json, to_jsonable_python

from leadsquared_async import ConfigurationError, Credentials, LeadSquared, RateLimit, Secret
from leadsquared_async.config import ENVIRONMENT, credentials_from, keys_in_from, paths_from, rate_limit_from

ACCESS = "u$r0123456789abcdef0123456789abcdef"
SECRET = "0123456789abcdef0123456789abcdef01234567"
API = "Ab3dEf6hIj9lMn2pQr5tUv8xYz1bCd4fGh7jKl0n"
KEYS = {"access_key": ACCESS, "secret_key": SECRET, "api_key": API}
KEYS_OUTSIDE = {ENVIRONMENT[name]: key for name, key in KEYS.items()}


def refusal(call: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        call(*args, **options)
    shown = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.args}"
    assert not [key for key in (ACCESS, SECRET, API, "HIDDEN") if key in shown]
    return str(caught.value)


# paths, and the place of the keys

PATHS = {"leads.update status": "/lead/status"}


def test_paths_come_from_the_argument_or_the_environment() -> None:
    """The variable is a JSON object; a `paths` argument, even an empty one, takes precedence over it."""
    names = ("leads.update status", "leads.update")
    environ = {"LEADSQUARED_PATHS": json.dumps(PATHS)}
    assert paths_from(None, names, environ) == PATHS
    assert paths_from({}, names, environ) == paths_from(None, names, {"LEADSQUARED_PATHS": " "}) == {}
    assert paths_from({"leads.update": "/x"}, names, environ) == {"leads.update": "/x"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/lead/status", "must be a JSON object without repeated keys, such as"),
        ('["/lead/status"]', "must be a JSON object without repeated keys, such as"),
        ("'{}'", "must be a JSON object"),
        (
            '{"leads.update status": "/a", "leads.update status": "/b"}',
            "must be a JSON object without repeated keys",
        ),
        ("[" * 100_000, "must be a JSON object"),
        ('{"leads.updated": "/x"}', "the keys must be names of calls, which are leads.update status"),
        ('{"leads.update status": null}', "the path of leads.update status must start with a slash"),
    ],
)
def test_invalid_paths_in_the_environment_name_the_variable(text: str, said: str) -> None:
    """The message says which variable is wrong, and how to write it."""
    message = refusal(paths_from, None, tuple(PATHS), {"LEADSQUARED_PATHS": text})
    assert message.startswith("LEADSQUARED_PATHS")
    assert said in message


def test_the_place_of_the_keys_comes_from_the_argument_or_the_environment() -> None:
    """The default is the documented one, the query; an invalid place names the argument or the variable."""
    outside = {"LEADSQUARED_KEYS_IN": "headers"}
    assert keys_in_from(None, {}) == keys_in_from("query", outside) == "query"
    assert keys_in_from(None, outside) == keys_in_from("headers", {}) == "headers"
    assert refusal(keys_in_from, "cookie", {}) == 'keys_in must be "query" or "headers"'
    message = refusal(keys_in_from, None, {"LEADSQUARED_KEYS_IN": "Headers"})
    assert message.startswith("LEADSQUARED_KEYS_IN must be")


# the rate limit


@pytest.mark.parametrize("text", ['"10/5"', "'10/5'", '"10/5', '10/5"'])
def test_quotes_around_a_rate_limit(text: str) -> None:
    """The error names the quotes."""
    assert refusal(rate_limit_from, None, {"LEADSQUARED_RATE_LIMIT": text}).startswith(
        "LEADSQUARED_RATE_LIMIT contains quotes: remove them"
    )


# keys


def test_keys_from_arguments_and_environment() -> None:
    """Each key comes from its argument, else from its variable."""
    assert credentials_from(ACCESS, SECRET, API, {}) == Credentials(ACCESS, SECRET, API)
    assert credentials_from(None, None, None, KEYS_OUTSIDE) == Credentials(ACCESS, SECRET, API)
    mixed = credentials_from("mine", None, Secret("its"), KEYS_OUTSIDE)
    assert mixed == Credentials("mine", SECRET, "its")


@pytest.mark.parametrize("empty", [None, ""])
@pytest.mark.parametrize("names", [["access_key"], ["api_key"], ["access_key", "secret_key", "api_key"]])
def test_missing_keys_are_all_named(names: list[str], empty: str | None) -> None:
    """The message names each missing key, its variable and where LeadSquared shows it."""
    given = {**KEYS, **dict.fromkeys(names, empty)}
    environ = {} if empty is None else dict.fromkeys(KEYS_OUTSIDE, " \n")
    message = refusal(credentials_from, *given.values(), environ)
    missing = ", ".join(f"{name} (or {ENVIRONMENT[name]})" for name in names)
    assert message == (
        f"missing {missing}: LeadSquared shows the keys under Settings > API and Webhooks; its support "
        "provides the x-api-key"
    )


def test_an_empty_argument_is_not_filled_from_outside() -> None:
    """An argument that came out empty is an error, not a reason to use another account's key."""
    assert refusal(credentials_from, "", SECRET, API, KEYS_OUTSIDE).startswith("missing access_key")


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        *(
            (key, "contains a space, a line break or another invalid character: copy it again")
            for key in (
                *(f"{SECRET}\n", f" {SECRET}", f"{SECRET}\x00", f"{SECRET}é", f"{SECRET}\ud800"),
                *(f"\ufeff{SECRET}", Secret(f"{SECRET}\t")),
            )
        ),
        ("", "is empty: copy the key from Settings > API and Webhooks"),
        (Secret(""), "is empty: copy the key from Settings > API and Webhooks"),
        (SECRET.encode(), "must be a string, not bytes"),
        (4711, "must be a string, not int"),
        (None, "must be a string, not NoneType"),
    ],
)
def test_a_key_that_cannot_be_one(name: str, key: Any, wrong: str) -> None:
    """A key that no header or address can carry is refused by its name and never shown."""
    assert refusal(Credentials, **{**KEYS, name: key}) == f"{name} (or {ENVIRONMENT[name]}) {wrong}"


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize(
    "form", ['"{}"', "'{}'", '"{}', "{}'", ' "{}" ', "`{}`", "\u201c{}\u201d", "'\"{}\"'"]
)
@pytest.mark.parametrize("is_outside", [False, True])
def test_quotes_around_a_key(name: str, form: str, is_outside: bool) -> None:
    """The error names the quotes, which came with the value."""
    keys = {key: form.format(value) if key == name else value for key, value in KEYS.items()}
    outside = {ENVIRONMENT[key]: value for key, value in keys.items()}
    given = dict.fromkeys(KEYS) if is_outside else keys
    assert refusal(credentials_from, *given.values(), outside if is_outside else {}) == (
        f"{name} (or {ENVIRONMENT[name]}) contains quotes: remove them "
        "(docker's --env-file keeps quotes as part of the value)"
    )


@pytest.mark.parametrize("key", ["u", "u$", "u0123456789abcdef0123456789abcdef"])
def test_a_key_that_a_shell_has_cut(key: str) -> None:
    """An access key that a shell has expanded is recognised, and the error says what to do."""
    assert refusal(Credentials, key, SECRET, API) == (
        "access_key (or LEADSQUARED_ACCESS_KEY) was cut off at its $: use single quotes in a shell, "
        "and $$ in make and compose"
    )
    assert Credentials(ACCESS, key, key).secret_key == Secret(key)


@dataclasses.dataclass
class Settings:
    """What an application keeps its keys in."""

    key: Secret
    credentials: Credentials


def test_a_secret_shows_only_asterisks() -> None:
    """However a key is put into words it is masked; only reveal() has it."""
    secret = Secret(SECRET)
    assert str(secret) == repr(secret) == "Secret('**********')"
    kept = Settings(secret, Credentials(**KEYS))
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!s:>50}", "%s %r" % (secret, secret)]  # noqa: UP031
    shown += [repr(kept), str(kept), repr([secret]), f"{kept.credentials}", repr(copy.copy(kept))]
    assert not [key for key in KEYS.values() if key in " ".join(shown)]
    assert secret.reveal() == SECRET
    assert (secret == Secret(SECRET), secret == Secret(API), secret == SECRET) == (True, False, False)
    assert len({secret, Secret(SECRET), Secret(API)}) == 2
    with pytest.raises(TypeError):
        f"{secret:>50}"


@pytest.mark.parametrize("way", [pickle.dumps, copy.deepcopy, dataclasses.asdict])
def test_keys_are_not_pickled(way: Any) -> None:
    """Keys can be neither pickled nor deeply copied."""
    for thing in (Settings(Secret(SECRET), Credentials(**KEYS)), Credentials(**KEYS)):
        with pytest.raises(TypeError) as caught:
            way(thing)
        assert str(caught.value) == "a Secret cannot be pickled: pass keys in the environment"


def everything_in(thing: object, deepest: int = 6) -> Iterator[object]:
    """What a debugger, a serialiser or an error tracker finds, attribute by attribute."""
    yield thing
    if deepest == 0 or isinstance(thing, str | bytes | type | ModuleType | FunctionType | MethodType):
        return
    inner: list[object] = []
    if isinstance(thing, dict):
        inner += [*thing.keys(), *thing.values()]
    elif isinstance(thing, list | tuple | set | frozenset):
        inner += thing
    inner += vars(thing).values() if hasattr(thing, "__dict__") else []
    names = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    inner += [getattr(thing, name) for name in names if hasattr(thing, name)]
    with suppress(TypeError):
        inner.append(thing.__getstate__())
    for one in inner:
        yield from everything_in(one, deepest - 1)


@pytest.mark.parametrize(
    "show",
    [
        lambda thing: list(everything_in(thing)),
        lambda thing: to_jsonable_python(thing, serialize_unknown=True),
        lambda thing: to_json(thing, serialize_unknown=True),
        lambda thing: TypeAdapter(Any).dump_python(thing, mode="json", warnings=False),
        lambda thing: thing.__getstate__(),
        lambda thing: json.dumps(thing, default=lambda it: getattr(it, "__dict__", None) or repr(it)),
        inspect.getmembers,
        lambda thing: [getattr(thing, field.name) for field in dataclasses.fields(thing)],
        dataclasses.astuple,
        dataclasses.asdict,
        pickle.dumps,
        copy.deepcopy,
        copy.copy,
        repr,
    ],
)
@pytest.mark.parametrize("thing", [Credentials(**KEYS), Settings(Secret(SECRET), Credentials(**KEYS))])
def test_whatever_walks_over_keys_finds_none(show: Any, thing: object) -> None:
    """Walking over Credentials raises TypeError, or the result holds no key in any spelling."""
    try:
        found = show(thing)
    except (TypeError, ValueError) as error:
        found = str(error)
    shown = f"{found!r}"
    for key in KEYS.values():
        assert key not in shown
        assert quote(key, safe="") not in shown


def test_one_key_can_be_replaced() -> None:
    """Credentials are a frozen dataclass: a rotation replaces one key."""
    renewed = dataclasses.replace(Credentials(**KEYS), api_key="another-key")
    assert renewed == Credentials(ACCESS, SECRET, "another-key")
    assert renewed.mask("another-key") == "**********"


@pytest.mark.parametrize(
    "text",
    [
        *(ACCESS, ACCESS.replace("$", "%24"), SECRET, API, SECRET + API),
        *(API.lower(), API.upper(), "".join(f"\\u{ord(char):04X}" for char in API)),
    ],
)
def test_keys_are_masked_in_what_a_server_repeats(text: str) -> None:
    """A key is masked plain, percent-encoded, as JSON may escape it, and in upper and lower case."""
    shown = Credentials(**KEYS).mask(f"<{text}>")
    assert shown in {"<**********>", "<********************>"}


@pytest.mark.parametrize("dollar", ["&#36;", "&#x24;", "%2524", "\\\\u0024", "\\u0024", "\\$"])
def test_a_key_is_masked_however_its_dollar_is_escaped(dollar: str) -> None:
    """No escape changes letters and digits, so they are masked alone."""
    shown = Credentials(**KEYS).mask(f"<{ACCESS.replace('$', dollar)}>")
    assert shown == f"<{ACCESS.partition('$')[0]}{dollar}**********>"


def test_a_key_that_is_the_start_of_another() -> None:
    """The longer of two keys is masked whole, not the shorter one in it."""
    masked = Credentials("abcdefgh", "abcdefghij", API).mask("abcdefghij abcdefgh")
    assert masked == "********** **********"


def test_a_stand_in_of_a_few_letters_is_not_masked() -> None:
    """A key such as "k" is not masked, since that would spoil every answer."""
    assert Credentials("a", "s", "k").mask("ask") == "ask"


# what the client does with them


def test_the_client_reads_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """All six variables reach the client, and arguments go before them."""
    outside = {**KEYS_OUTSIDE, "LEADSQUARED_REGION": "in21", "LEADSQUARED_RATE_LIMIT": "10/5"}
    for name, value in outside.items():
        monkeypatch.setenv(name, value)
    assert repr(LeadSquared()) == (
        "LeadSquared(host='https://asyncapi-in21.leadsquared.com', rate_limit=10/5)"
    )
    mine = LeadSquared(host="https://example.com", rate_limit=RateLimit(5), name="eu")
    assert repr(mine) == "LeadSquared(name='eu', host='https://example.com', rate_limit=5/5)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "missing access_key (or LEADSQUARED_ACCESS_KEY), secret_key"),
        (KEYS, "no host: pass region="),
        (
            {**KEYS, "region": "in21", "credentials": Credentials(**KEYS)},
            "pass either the three keys or creden",
        ),
        (
            {"region": "in21", "credentials": "keys"},
            "credentials must be a Credentials, or an async callable",
        ),
        ({**KEYS, "region": "in21", "rate_limit": "25/5"}, "rate_limit must be a RateLimit, such as"),
        ({**KEYS, "region": "in21", "retry": 3}, "retry must be a RetryPolicy, such as"),
        ({**KEYS, "region": "in21", "timeout": 0}, "timeout must be a number of seconds above 0"),
        ({**KEYS, "region": "in21", "deadline": True}, "deadline must be a number of seconds above 0"),
        (
            {**KEYS, "region": "in21", "limiter": 5},
            "limiter must be a SharedLimiter, an aiolimiter.AsyncLimiter, or a Limiter",
        ),
        ({**KEYS, "region": "in21", "transport": 5}, "transport must be an httpx.AsyncBaseTransport, such"),
    ],
)
def test_an_invalid_option_is_named(options: dict[str, Any], message: str) -> None:
    """The client is not made, and the error says which option to change, and to what."""
    assert refusal(LeadSquared, **options).startswith(message)
