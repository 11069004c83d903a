"""A certificate that cannot be verified is final, and the environment says which ones are trusted."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from unittest import mock

import pytest

from leadsquared_async import (
    ConfigurationError,
    Fault,
)
from leadsquared_async.http.environment import certificates
from tests.clients import LEAD
from tests.http.proxies import (
    EXPIRED,
    TRUSTED,
    accepting_server,
    client,
    refused,
    running_proxy,
)
from tests.limiter.tls import CERTIFICATE

# certificates


@pytest.mark.parametrize(
    ("trusted", "presented", "host", "reason"),
    [
        (None, TRUSTED, "127.0.0.1", "self-signed certificate"),
        (EXPIRED, EXPIRED, "127.0.0.1", "certificate has expired"),
        (EXPIRED, TRUSTED, "127.0.0.1", "self-signed certificate"),
        (CERTIFICATE, CERTIFICATE, "localhost", "certificate is not valid for 'localhost'"),
        (None, TRUSTED, "asyncapi.leadsquared.invalid", "self-signed certificate"),
        (EXPIRED, EXPIRED, "asyncapi.leadsquared.invalid", "certificate has expired"),
        (TRUSTED, TRUSTED, "other.invalid", "certificate is not valid for 'other.invalid'"),
    ],
)
async def test_a_certificate_that_cannot_be_verified_is_final(
    trusted: Path | None, presented: Path, host: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent or retried, with and without a proxy, and the error says how to trust it."""
    if trusted is not None:
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    async with accepting_server(presented) as port, running_proxy(port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url())
        error = await refused(host=f"https://{host}:{port}")
    assert len(proxy.asked) == host.endswith(".invalid")
    assert (error.fault, error.attempts, error.safe_to_retry) == (Fault.ACCOUNT, 1, False)
    assert f"the certificate of {host} cannot be verified (" in str(error)
    assert reason in str(error)
    assert "set SSL_CERT_FILE to a PEM file" in str(error)


async def test_certificates_of_the_environment(
    server: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE goes before SSL_CERT_DIR; a blank one is not set."""
    host = f"https://127.0.0.1:{server}"
    (tmp_path / "bc6152ca.0").write_bytes(TRUSTED.read_bytes())  # the hash of its subject, as c_rehash has it
    for file, folder, is_trusted in (
        (" ", tmp_path, True),
        (EXPIRED, tmp_path, False),
        (TRUSTED, "/no", True),
    ):
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        monkeypatch.setenv("SSL_CERT_DIR", str(folder))
        if is_trusted:
            async with client(host=host) as lsq:
                await lsq.leads.capture(LEAD)
        else:
            assert "self-signed" in str(await refused(host=host))


async def test_open_clients_share_the_certificates_until_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With many accounts, reading them for each client would take most of the time and memory."""
    file = tmp_path / "ca.pem"
    file.write_bytes(EXPIRED.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with mock.patch.object(ssl, "create_default_context", wraps=ssl.create_default_context) as read:
        async with client(), client():
            assert read.call_count == 1
            file.write_bytes(TRUSTED.read_bytes())
            os.utime(file, (1.0, 1.0))
            async with client():
                assert read.call_count == 2
            monkeypatch.setenv("SSL_CERT_FILE", " ")
            async with client():
                assert certificates().source.startswith("those bundled")


@pytest.mark.parametrize(
    ("name", "path", "why"),
    [
        ("SSL_CERT_FILE", "/not/there.pem", "which is not a file"),
        ("SSL_CERT_FILE", "/", "which is not a file"),
        ("SSL_CERT_FILE", "/dev/zero", "which is not a file"),
        ("SSL_CERT_FILE", "~/there.pem", "which is not a file"),
        ("SSL_CERT_FILE", "\udcff", "which is not a file"),
        ("SSL_CERT_FILE", __file__, "which contains no PEM certificate"),
        ("SSL_CERT_FILE", "DER", "which contains no PEM certificate"),
        ("SSL_CERT_FILE", "EMPTY", "which contains no PEM certificate"),
        ("SSL_CERT_DIR", "/not/there", "which is not a folder"),
        ("SSL_CERT_DIR", __file__, "which is not a folder"),
        ("SSL_CERT_DIR", "/not/there:/nor/there", "which is not a folder"),
        ("SSL_CERT_DIR", "/not/there:", "which is not a folder"),
        ("SSL_CERT_DIR", ":::", "which is not a folder"),
    ],
)
async def test_certificates_that_are_not_there_are_refused_by_their_variable(
    name: str, path: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the variable, its value and what to do, before anything is sent."""
    files = {"DER": ssl.PEM_cert_to_DER_cert(_certificate(TRUSTED)), "EMPTY": b""}
    if path in files:
        file = tmp_path / path
        file.write_bytes(files[path])
        path = str(file)
    monkeypatch.setenv(name, path)
    with pytest.raises(ConfigurationError) as caught:
        await client().__aenter__()
    assert str(caught.value).startswith(f"{name} points to {path!r}, {why}: set it to ")
    assert str(caught.value).isprintable()


async def test_a_key_log_that_cannot_be_written_is_refused_by_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names SSLKEYLOGFILE, which the standard library opens with the certificates."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "not" / "there"))
    monkeypatch.setenv("SSL_CERT_FILE", str(TRUSTED))
    with pytest.raises(ConfigurationError, match=r"^SSLKEYLOGFILE points to '.*', which cannot be written"):
        await client().__aenter__()


def _certificate(path: Path) -> str:
    text = path.read_text()
    return text[text.index("-----BEGIN C") : text.index("-----END CERTIFICATE-----") + 25]
