"""A client's options: credentials, the rate limit, the retry policy.

Arguments and environment variables become checked values. An invalid value raises a
`ConfigurationError` that names the option and the fix.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar, cast
from urllib.parse import quote

from leadsquared_async.errors import ConfigurationError

__all__ = [
    "Credentials",
    "CredentialsProvider",
    "RateLimit",
    "RetryPolicy",
    "Secret",
]

T = TypeVar("T")

ENVIRONMENT = {
    "access_key": "LEADSQUARED_ACCESS_KEY",
    "secret_key": "LEADSQUARED_SECRET_KEY",
    "api_key": "LEADSQUARED_API_KEY",
    "region": "LEADSQUARED_REGION",
    "host": "LEADSQUARED_HOST",
    "sync_host": "LEADSQUARED_SYNC_HOST",
    "rate_limit": "LEADSQUARED_RATE_LIMIT",
    "paths": "LEADSQUARED_PATHS",
    "keys_in": "LEADSQUARED_KEYS_IN",
}


def setting(name: str, environ: Mapping[str, str]) -> str | None:
    """The value of an environment variable; None if it is empty or blank."""
    value = environ.get(name)
    return value if value and not value.isspace() else None


MASK = "**********"
SHORTEST_KEY = 8


class Secret:
    """A string that is shown as asterisks; `reveal()` returns it.

    Code that copies or serialises attributes does not find the string either.
    """

    __slots__ = ("_reveal",)

    def __init__(self, value: str) -> None:
        def reveal() -> str:
            return value

        self._reveal = reveal

    def reveal(self) -> str:
        """The secret itself."""
        return self._reveal()

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.reveal() == other.reveal()

    def __hash__(self) -> int:
        return hash(self.reveal())

    def __reduce__(self) -> str:
        raise TypeError("a Secret cannot be pickled: pass keys in the environment")

    __getstate__ = __reduce__


@dataclass(frozen=True, slots=True, init=False)
class Credentials:
    """The three keys of one LeadSquared user; the repr shows none of them.

    Raises:
        ConfigurationError: a key is empty, not printable ASCII, or looks cut off at its `$`.
    """

    access_key: Secret
    secret_key: Secret
    api_key: Secret
    _spellings: tuple[Secret, ...] = field(init=False, repr=False, compare=False)

    def __init__(self, access_key: str | Secret, secret_key: str | Secret, api_key: str | Secret) -> None:
        given = {"access_key": access_key, "secret_key": secret_key, "api_key": api_key}
        hidden = {name: key if isinstance(key, Secret) else Secret(key) for name, key in given.items()}
        del access_key, secret_key, api_key, given  # a traceback that shows locals must not show them
        for name, key in hidden.items():
            object.__setattr__(self, name, key)
        for name, key in hidden.items():  # after all are set, since a traceback may show the repr
            if fault := key_fault(name, key.reveal()):
                raise ConfigurationError(fault)
        plain = [key.reveal() for key in hidden.values()]
        # Longest first: masking a key that begins another key would leave the rest of that one. Short
        # placeholders, as in tests, would be masked inside other words.
        spellings = {spelling for key in plain if len(key) >= SHORTEST_KEY for spelling in _spellings(key)}
        ordered = sorted(spellings, key=len, reverse=True)
        object.__setattr__(self, "_spellings", tuple(map(Secret, ordered)))

    def mask(self, text: str) -> str:
        """The text with the keys masked, escaped or not and in any case, in case a server repeats them."""
        lower = text.lower()
        for key in self._spellings:
            if key.reveal() in lower:  # few answers repeat one, and each is looked at
                text = re.sub(re.escape(key.reveal()), MASK, text, flags=re.IGNORECASE)
        return text


CredentialsProvider = Callable[[], Awaitable[Credentials]]


def _spellings(key: str) -> tuple[str, ...]:
    """A key as it is, in a URL, in JSON that escapes all characters, and its letters and digits alone.

    The last ones stay as they are in every other escape, such as HTML's. In lower case.
    """
    escaped = "".join(f"\\u{ord(char):04x}" for char in key)
    runs = (run for run in re.findall("[A-Za-z0-9]+", key) if len(run) >= SHORTEST_KEY)
    return tuple(spelling.lower() for spelling in (key, quote(key, safe=""), escaped, *runs))


_QUOTED = "contains quotes: remove them (docker's --env-file keeps quotes as part of the value)"


def _is_quoted(value: str) -> bool:
    """Whether it begins or ends with a quote, which no key or host of LeadSquared does."""
    bare = value.strip()
    return bare != bare.strip("\"'`\u2018\u2019\u201c\u201d")


def check_unquoted(named: str, value: str) -> None:
    """Reject a value in quotes; `named` is the option or the environment variable."""
    if _is_quoted(value):
        raise ConfigurationError(f"{named} {_QUOTED}")


def key_fault(name: str, value: object) -> str | None:
    """What is wrong with a key, without showing it."""
    where = f"{name} (or {ENVIRONMENT[name]})"
    if not isinstance(value, str):
        return f"{where} must be a string, not {type(value).__name__}"
    if not value:
        return f"{where} is empty: copy the key from Settings > API and Webhooks"
    if _is_quoted(value):
        return f"{where} {_QUOTED}"
    if not (value.isascii() and value.isprintable()) or " " in value:
        return f"{where} contains a space, a line break or another invalid character: copy it again"
    # The key is u$r and 32 hexadecimal digits: a shell expands $r..., make expands $r.
    if name == "access_key" and re.fullmatch(r"u\$?(?:[0-9a-f]{32})?", value):
        return f"{where} was cut off at its $: use single quotes in a shell, and $$ in make and compose"
    return None


def credentials_from(
    access_key: str | Secret | None,
    secret_key: str | Secret | None,
    api_key: str | Secret | None,
    environ: Mapping[str, str],
) -> Credentials:
    """The keys from the arguments, else from the environment."""
    given = {"access_key": access_key, "secret_key": secret_key, "api_key": api_key}
    keys = {name: setting(ENVIRONMENT[name], environ) if key is None else key for name, key in given.items()}
    found = {name: key for name, key in keys.items() if key}
    missing = [f"{name} (or {ENVIRONMENT[name]})" for name in keys if name not in found]
    if missing:
        raise ConfigurationError(
            f"missing {', '.join(missing)}: LeadSquared shows the keys under Settings > API and Webhooks; "
            "its support provides the x-api-key"
        )
    return Credentials(**found)


LONGEST_WINDOW = 86_400.0
"""The longest window of a rate limit, in seconds."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `calls` calls in any `per` seconds.

    Attributes:
        calls: maximum calls in one window; also the largest burst.
        per: length of the window in seconds.
        margin: extra time between spaced calls, as a share of `per / calls`. The default suits every way of
            counting except a sliding counter that does not round down; use `RateLimit(24, per=5.0,
            margin=0.04)` for that.

    Raises:
        ConfigurationError: a value is not a number, or out of range.
    """

    calls: int
    per: float = 5.0
    margin: float = 0.02

    def __post_init__(self) -> None:
        if not _is_count(self.calls) or self.calls > 10_000:
            raise ConfigurationError("RateLimit: calls must be a whole number from 1 to 10,000")
        if not _is_number(self.per) or not 0 < self.per <= LONGEST_WINDOW:
            raise ConfigurationError(
                "RateLimit: per must be a number of seconds above 0, at most 86,400 (a day)"
            )
        if not _is_number(self.margin) or not 0 <= self.margin <= 1:
            raise ConfigurationError("RateLimit: margin must be a number from 0 to 1")

    @property
    def spacing(self) -> float:
        """Seconds between spaced calls."""
        return self.per / self.calls * (1 + self.margin)

    def within(self, other: RateLimit) -> RateLimit:
        """The largest limit that respects both, with a window no shorter than this one's."""
        calls = min(self.calls, other.calls)
        # The other limit allows this many bursts of `calls` in one of its windows.
        per = max(self.per, other.per / (other.calls // calls))
        return RateLimit(calls, per, max(self.margin, other.margin))

    def __str__(self) -> str:
        return f"{self.calls}/{self.per:g}"

    @classmethod
    def parse(cls, text: str) -> RateLimit:
        """Parse "25/5" (calls/seconds).

        Raises:
            ConfigurationError: it has another format.
        """
        match = re.fullmatch(r"\s*(\d{1,5})\s*/\s*(\d{1,6}(?:\.\d{1,6})?)\s*", text, re.ASCII)
        if match is None:
            raise ConfigurationError(
                'rate_limit (or LEADSQUARED_RATE_LIMIT) must be calls/seconds, such as "25/5"'
            )
        return cls(int(match[1]), float(match[2]))


def rate_limit_from(rate_limit: RateLimit | None, environ: Mapping[str, str]) -> RateLimit:
    """The limit from the argument, else from the environment, else 25 calls in 5 seconds."""
    if rate_limit is None:
        text = setting(ENVIRONMENT["rate_limit"], environ)
        return RateLimit(25, per=5.0) if text is None else limit_in(ENVIRONMENT["rate_limit"], text)
    return checked_limit("rate_limit", rate_limit)


def limit_in(named: str, text: str) -> RateLimit:
    """The limit in an environment variable or an option of the command line."""
    check_unquoted(named, text)
    try:
        return RateLimit.parse(text)
    except ConfigurationError:
        raise ConfigurationError(
            f"{named} must be calls/seconds, such as 20/5, with 1 to 10,000 calls"
        ) from None


def checked_limit(option: str, limit: RateLimit) -> RateLimit:
    return checked(option, limit, RateLimit, "a RateLimit, such as RateLimit(25, per=5.0)")


def checked(option: str, value: T, kind: type[T], meant: str) -> T:
    """Check the type of an option; `meant` says what it must be."""
    if not isinstance(value, kind):
        raise ConfigurationError(f"{option} must be {meant}")
    return value


def paths_from(
    paths: Mapping[str, str] | None, names: Collection[str], environ: Mapping[str, str]
) -> dict[str, str]:
    """The paths that replace the default ones, by call name: from the argument, else from the environment."""
    named, kind, given = "paths", "mapping", cast("object", paths)
    if paths is None:
        text = setting(ENVIRONMENT["paths"], environ)
        if text is None:
            return {}
        named, kind, given = ENVIRONMENT["paths"], "JSON object without repeated keys", _decoded(text)
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f'{named} must be a {kind}, such as {{"leads.update status": "/lead/status"}}'
        )
    checked = dict[str, str]()
    for name, path in cast("Mapping[object, object]", given).items():
        if name not in names:
            raise ConfigurationError(
                f"{named}: the keys must be names of calls, which are {', '.join(names)}"
            )
        if not isinstance(path, str) or not re.fullmatch(r"/[!-\"$->@-~]{0,500}", path):
            raise ConfigurationError(
                f"{named}: the path of {name} must start with a slash, and be ASCII without space, ? and #"
            )
        checked[str(name)] = path
    return checked


def _decoded(text: str) -> object:
    try:
        return cast("object", json.loads(text, object_pairs_hook=_without_repeated))
    except (ValueError, RecursionError):
        return None


def _without_repeated(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The object. A repeated key is an error, because only the last of its paths would be used."""
    if len(found := dict(pairs)) != len(pairs):
        raise ValueError("a key is repeated")
    return found


_KEY_PLACES: tuple[Literal["query"], Literal["headers"]] = ("query", "headers")


def keys_in_from(place: str | None, environ: Mapping[str, str]) -> Literal["query", "headers"]:
    """Where calls have the access key and the secret key: from the argument, else from the environment."""
    named = "keys_in"
    if place is None:
        place, named = setting(ENVIRONMENT["keys_in"], environ) or "query", ENVIRONMENT["keys_in"]
    for known in _KEY_PLACES:
        if place == known:
            return known
    raise ConfigurationError(f'{named} must be "query" or "headers"')


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a call is retried, and after which pause.

    A pause is drawn uniformly from 0 to `min(base * 2**n, cap)` seconds after n retries ("full jitter",
    Exponential Backoff and Jitter, AWS Architecture Blog, 2015). A longer Retry-After is honoured; one above
    60 s ends the call instead, unless it comes with a 429.

    Attributes:
        attempts: maximum attempts of a call, including the first; a 429 does not count.
        base: the upper bound of the first pause, in seconds.
        cap: the upper bound of any pause, in seconds.
        unknown: whether to retry a write that may have arrived. "safe": if LeadSquared can match it to the
            first attempt (the lead has ProspectID, EmailAddress, Phone or SearchBy), or answered that it
            failed; "always"; "never". Reads are always retried.

    Raises:
        ConfigurationError: a value is invalid.
    """

    attempts: int = 6
    base: float = 0.5
    cap: float = 20.0
    unknown: Literal["safe", "always", "never"] = field(default="safe")

    def __post_init__(self) -> None:
        if not _is_count(self.attempts):
            raise ConfigurationError("RetryPolicy: attempts must be a whole number of at least 1")
        for name in ("base", "cap"):
            value = getattr(self, name)
            if not _is_number(value) or value < 0:
                raise ConfigurationError(f"RetryPolicy: {name} must be a number of seconds, 0 or more")
        if self.unknown not in ("safe", "always", "never"):  # a tuple, since the value may be unhashable
            raise ConfigurationError('RetryPolicy: unknown must be "safe", "always" or "never"')


def seconds(option: str, value: float) -> float:
    """Check a duration in seconds."""
    if not _is_number(value) or value <= 0:
        raise ConfigurationError(f"{option} must be a number of seconds above 0")
    return float(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
