"""SRTP keys in descriptions: the ``a=crypto`` lines of RFC 4568."""

from __future__ import annotations

import base64
import binascii
import enum
import hmac
from typing import NamedTuple

from .description import MediaDescription, number
from .errors import SdpReason

MAX_CRYPTO_LINES = 16
"""Lines of one stream that are looked at; those behind are ignored."""
MAX_MKI_BYTES = 128


class SrtpPolicy(enum.StrEnum):
    """Whether streams are encrypted: never, where the peer can, or always."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


class SrtpSuite(enum.Enum):
    """Crypto suites: bytes of the master key and of the master salt (RFC 4568 6.2, RFC 7714 14)."""

    AES_CM_128_HMAC_SHA1_80 = (16, 14, "AES_CM_128_HMAC_SHA1_80")
    AES_CM_128_HMAC_SHA1_32 = (16, 14, "AES_CM_128_HMAC_SHA1_32")
    AEAD_AES_128_GCM = (16, 12, "AEAD_AES_128_GCM")
    AEAD_AES_256_GCM = (32, 12, "AEAD_AES_256_GCM")

    @property
    def key_bytes(self) -> int:
        """Length of the master key."""
        return self.value[0]

    @property
    def salt_bytes(self) -> int:
        """Length of the master salt."""
        return self.value[1]


class SrtpKey(NamedTuple):
    """One direction's master key and salt. ``mki`` goes with each packet; empty if there is none.

    Nobody finds the key in a log: repr and str leave it out.
    """

    key: bytes
    salt: bytes
    mki: bytes = b""

    def __repr__(self) -> str:
        return "SrtpKey(hidden)"


class CryptoLine(NamedTuple):
    """A line that we can do."""

    tag: int
    suite: SrtpSuite
    key: SrtpKey


class SrtpTerms(NamedTuple):
    """What both sides agreed on: ``local`` encrypts what we send, ``remote`` what we receive."""

    tag: int
    suite: SrtpSuite
    local: SrtpKey
    remote: SrtpKey


def crypto_lines(media: MediaDescription) -> list[CryptoLine | SdpReason]:
    """The stream's lines in their order; those that we cannot do give the reason."""
    values = [value for name, value in media.attributes if name == "crypto"]
    return [parse_crypto(value or "") for value in values[:MAX_CRYPTO_LINES]]


def parse_crypto(value: str) -> CryptoLine | SdpReason:
    """``1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^20|1:4 WSH=64``; RFC 4568 section 9.1."""
    fields = value.split()
    tag = number(fields[0], 999_999_999) if fields else None
    if len(fields) < 3 or tag is None:
        return SdpReason.CRYPTO_BROKEN
    suite = SrtpSuite.__members__.get(fields[1])
    if suite is None:
        return SdpReason.CRYPTO_SUITE
    if not all(_is_harmless(parameter) for parameter in fields[3:]):
        return SdpReason.CRYPTO_PARAMETER
    key = _parse_key(fields[2], suite)
    return CryptoLine(tag, suite, key) if key else SdpReason.CRYPTO_KEY


def _is_harmless(parameter: str) -> bool:
    """Whether a session parameter may be there; RFC 4568 section 6.3.

    A dash marks what may be ignored (6.3.7), WSH only advises (6.3.6). The others would have to be
    done; UNENCRYPTED_SRTP, UNENCRYPTED_SRTCP and UNAUTHENTICATED_SRTP are refused on purpose.
    """
    return parameter.startswith(("-", "WSH="))


def _parse_key(text: str, suite: SrtpSuite) -> SrtpKey | None:
    """``inline:KEY||SALT in base64 [|LIFETIME] [|MKI:LENGTH]``; RFC 4568 section 6.1.

    Several keys in one line (``;``) are no key of ours: they serve to change keys by MKI.
    """
    method, _, info = text.partition(":")
    encoded, *extras = info.split("|")
    if method.lower() != "inline" or len(extras) > 2:
        return None
    try:
        # The padding may be left out.
        secret = base64.b64decode(
            encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4), validate=True
        )
    except (binascii.Error, ValueError):
        return None
    if len(secret) != suite.key_bytes + suite.salt_bytes:
        return None
    mki: bytes | None = b""
    if extras and ":" in extras[-1]:
        mki = _parse_mki(extras.pop())
    if mki is None or len(extras) > 1 or not all(_is_lifetime(extra) for extra in extras):
        return None
    return SrtpKey(secret[: suite.key_bytes], secret[suite.key_bytes :], mki)


def _is_lifetime(text: str) -> bool:
    """``2^20`` or a number of packets, at most 2^48 (RFC 3711 section 9.2)."""
    if text.startswith("2^"):
        return number(text[2:], 48) is not None
    return text.isdecimal() and len(text) <= 15 and 0 < int(text) <= 1 << 48


def _parse_mki(text: str) -> bytes | None:
    value_text, _, length_text = text.partition(":")
    length_bytes = number(length_text, MAX_MKI_BYTES)
    if not length_bytes or not value_text.isdecimal() or len(value_text) > 310:
        return None
    value = int(value_text)
    return value.to_bytes(length_bytes, "big") if value < 1 << (8 * length_bytes) else None


def own_key(secret: bytes, suite: SrtpSuite) -> SrtpKey:
    """Our key for a suite: each suite gets its own, the same one as long as the secret stays."""
    if len(secret) < 32:
        raise ValueError("SRTP needs a secret of 32 random bytes or more")
    derived = hmac.digest(secret, suite.name.encode(), "sha512")
    end = suite.key_bytes + suite.salt_bytes
    return SrtpKey(derived[: suite.key_bytes], derived[suite.key_bytes : end])


def crypto_attribute(line: CryptoLine) -> str:
    """The ``a=crypto`` line with its end."""
    inline = base64.b64encode(line.key.key + line.key.salt).decode()
    return f"a=crypto:{line.tag} {line.suite.name} inline:{inline}\r\n"
