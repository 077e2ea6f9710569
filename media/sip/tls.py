"""TLS for SIP (RFC 3261 26.3, RFC 5922): contexts from files, and what is wrong with them."""

from __future__ import annotations

import errno
import functools
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn, get_args

from .listener import ListenError

VerifyClient = Literal["off", "optional", "required"]

_EXPIRED, _NOT_YET_VALID = 10, 9
"""OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED and X509_V_ERR_CERT_NOT_YET_VALID."""


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """The files of TLS, PEM all of them.

    ``certificate`` (the chain) and ``key``: what we show, as a server and, where asked, as a
    client. ``ca``: whom to trust, instead of the system's certificate authorities.
    ``verify_client``: whether those who connect must show a certificate of ``ca``.
    """

    certificate: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None
    ca: str | os.PathLike[str] | None = None
    verify_client: VerifyClient = "off"

    def __post_init__(self) -> None:
        if self.verify_client not in get_args(VerifyClient):
            choices = ", ".join(get_args(VerifyClient))
            raise ValueError(f"verify_client: {self.verify_client!r}; use one of {choices}")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("TLS needs a certificate and its key; name both")
        if self.verify_client != "off" and self.ca is None:
            raise ValueError("TLS clients cannot be verified without authorities; name their file")


class TlsContexts:
    """What connections are made with; ``server`` is None without a certificate."""

    def __init__(self, config: TlsConfig) -> None:
        """Reads the files. ListenError: one cannot be used."""
        self._config = config
        self.server = _server_context(config) if config.certificate is not None else None
        if config != TlsConfig():
            _ = self.client  # now, so that what is wrong with the files is told now

    @functools.cached_property
    def client(self) -> ssl.SSLContext:
        """Verifies certificate and name. The system's authorities are read when it is needed."""
        return _client_context(self._config)


def _server_context(config: TlsConfig) -> ssl.SSLContext:
    context = _bare_context(ssl.PROTOCOL_TLS_SERVER)
    _load_certificate(context, config)
    _try_certificate(context, str(config.certificate))
    if config.verify_client != "off":
        _load_authorities(context, config)
        required = config.verify_client == "required"
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    return context


def _client_context(config: TlsConfig) -> ssl.SSLContext:
    context = _bare_context(ssl.PROTOCOL_TLS_CLIENT)
    if config.ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load_authorities(context, config)
    if config.certificate is not None:
        _load_certificate(context, config)
    return context


def _bare_context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    return context


def _load_certificate(context: ssl.SSLContext, config: TlsConfig) -> None:
    assert config.certificate is not None and config.key is not None
    for path in (config.certificate, config.key):
        _check_readable(path)
    try:
        context.load_cert_chain(config.certificate, config.key, password=_no_password)
    except _EncryptedKeyError:
        remedy = "write it without one (`openssl pkey -in KEY -out PLAIN`)"
        raise ListenError(f"TLS key {config.key}: it has a password; {remedy}") from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            cause = f"it does not belong to the certificate {config.certificate}; name its own key"
            raise ListenError(f"TLS key {config.key}: {cause}") from None
        remedy = "both must be PEM files, the certificate first in its chain"
        cause = f"{config.certificate} and key {config.key}"
        raise ListenError(f"TLS certificate {cause} cannot be read; {remedy}") from None


def _load_authorities(context: ssl.SSLContext, config: TlsConfig) -> None:
    assert config.ca is not None
    _check_readable(config.ca)
    try:
        context.load_verify_locations(config.ca)
    except ssl.SSLError:
        remedy = "name a PEM file of certificates"
        raise ListenError(f"TLS authorities {config.ca}: no certificate in it; {remedy}") from None


def _check_readable(path: str | os.PathLike[str]) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        remedy = "check the path and its permissions"
        raise ListenError(f"TLS file {path}: {error.strerror}; {remedy}") from error


class _EncryptedKeyError(Exception):
    """OpenSSL asked for a password, which nobody is there to type."""


def _no_password() -> NoReturn:
    raise _EncryptedKeyError


def _try_certificate(server: ssl.SSLContext, path: str) -> None:
    """Shake hands with ourselves, so that what every peer would refuse is known at the start."""
    client = _bare_context(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # no root is needed
    client.load_verify_locations(path)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server)
    try:
        for side in (theirs, ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    except ssl.SSLCertVerificationError as error:
        cause = f"{error.verify_message}; peers would refuse it: get another"
        if error.verify_code == _EXPIRED:
            cause = "it has expired; renew it"
        elif error.verify_code == _NOT_YET_VALID:
            cause = "it is not valid yet; check the clock, or take one that is"
        raise ListenError(f"TLS certificate {path}: {cause}") from None
    except ssl.SSLError as error:
        raise ListenError(f"TLS certificate {path}: {failure_text(error)}; get another") from None


def failure_text(error: BaseException) -> str:
    """Why a connection failed, in one line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or str(error)).replace('_', ' ').lower()}"
    if isinstance(error, TimeoutError) and error.errno is None:
        return "no answer in time"
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno).lower()  # asyncio writes addresses into its own text
    return str(error) or type(error).__name__
