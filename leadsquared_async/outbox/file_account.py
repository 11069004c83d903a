"""Which account an outbox's file belongs to: the one that has accepted its leads."""

from __future__ import annotations

import hashlib
from pathlib import Path

from leadsquared_async.config import Credentials, Secret
from leadsquared_async.errors import OutboxError
from leadsquared_async.http.credentials import CredentialsSource
from leadsquared_async.outbox.store import Store
from leadsquared_async.outbox.writer import Writer
from leadsquared_async.printable import shell_word

__all__ = ["FileAccount", "adopt", "check"]

ACCOUNT = "account"
"""In `meta`: digests of the access key and the x-api-key that last delivered."""


class FileAccount:
    """The account of one outbox's file.

    An access key belongs to a user of the account, and the x-api-key to the account. So each may be replaced,
    as long as the other one stays or a lead is accepted in between. The secret key does not count.

    Args:
        path: the file.
        writer: gives access to it.
        credentials: the client's.
    """

    def __init__(self, path: Path, writer: Writer, credentials: CredentialsSource) -> None:
        self._path = path
        self._writer = writer
        self._credentials = credentials
        self._checked: Credentials | None = None
        self._adopted: Credentials | None = None

    async def refusal(self) -> OutboxError | None:
        """Why the client's keys may not deliver the file; None if they may, or are not known yet.

        Raises:
            OutboxError: the file cannot be read.
        """
        keys = self._credentials.known
        if keys is None or keys is self._checked:
            return None
        try:
            await self._writer.read(check, self._path, keys)
        except OtherAccountError as error:
            return error
        self._checked = keys
        return None

    async def accepted(self) -> None:
        """Store that the account has accepted a lead of the file."""
        keys = self._checked
        if keys is None or keys is self._adopted:
            return
        self._adopted = keys
        try:
            await self._writer.write(adopt, keys)
        except OutboxError:
            self._adopted = None  # the next accepted lead tries again


class OtherAccountError(OutboxError):
    """The keys belong to another account than the file."""


def check(store: Store, path: Path, keys: Credentials) -> None:
    """Raise OutboxError if the file's leads were delivered to another account than that of these keys."""
    known = str(store.meta(ACCOUNT) or "").split()
    if known and not {*known} & {*_digests(store, keys)}:
        raise OtherAccountError(
            f"{path}: its leads were delivered to another account: neither the access key nor the "
            "x-api-key is the one that delivered them, so nothing is sent. Use the keys of that account; if "
            f"both keys of that account were replaced, run: leadsquared outbox adopt {shell_word(path)}"
        )


def adopt(store: Store, keys: Credentials) -> None:
    """Make these the keys of the file's account."""
    digests = " ".join(_digests(store, keys))
    if store.meta(ACCOUNT) != digests:
        store.set_meta(ACCOUNT, digests)


def _digests(store: Store, keys: Credentials) -> tuple[str, str]:
    """Salted digests. A key has 128 random bits, so that its digest does not reveal it."""

    def digest(key: Secret) -> str:
        return hashlib.blake2b(key.reveal().encode(), key=store.salt, digest_size=16).hexdigest()

    return digest(keys.access_key), digest(keys.api_key)
