"""Why a session description was refused."""

from __future__ import annotations

import enum


class SdpReason(enum.Enum):
    """Why a description was refused; also the name of its counter."""

    TOO_LONG = "the description is longer than 32 KiB"
    TOO_MANY_LINES = "the description has more than 1,000 lines"
    TOO_MANY_MEDIA = "the description has more than 32 m= lines"
    NUL = "the description holds a NUL byte"
    BAD_LINE = "a line is not of the form X=VALUE"
    UNKNOWN_TYPE = "a line has a type letter that RFC 8866 does not know"
    BAD_VERSION = "the first line is not v=0"
    BAD_ORIGIN = "the o= line is missing, double or broken"
    BAD_CONNECTION = "a c= line is broken"
    BAD_MEDIA = "an m= line is broken"
    NO_CONNECTION = "the stream has no c= line"
    BAD_ADDRESS = "a connection address is not a numeric unicast address"
    NO_COMMON_CODEC = "no codec in common"
    NO_AUDIO = "no audio stream over RTP/AVP"
    ADDRESS_FAMILY = "the peer's address is of another IP version than ours"
    SRTP_REQUIRED = "the stream is not encrypted, and SRTP is required"
    NO_CRYPTO = "the stream is SRTP, and has no a=crypto line"
    CRYPTO_BROKEN = "an a=crypto line is broken"
    CRYPTO_SUITE = "no a=crypto line has a suite of ours"
    CRYPTO_PARAMETER = "an a=crypto line has a session parameter that we do not do"
    CRYPTO_KEY = "an a=crypto line has a broken key, or several"
    ANSWER_MISMATCH = "the answer does not fit the offer"


class SdpError(ValueError):
    """A description that cannot be used. ``status`` is the SIP response that fits."""

    status = 400

    def __init__(self, reason: SdpReason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail[:80]!r}" if detail else reason.value)
        self.reason = reason


class NotAcceptable(SdpError):
    """An offer or answer that is sound, but has no stream that we can do (RFC 3261 21.4.26)."""

    status = 488

    @property
    def warning_code(self) -> int:
        """The warn-code that says why (RFC 3261 section 20.43)."""
        return _WARNING_CODES.get(self.reason, 399)


class NoCommonCodec(NotAcceptable):
    """None of the codecs offered is one of ours."""


_WARNING_CODES = {
    SdpReason.NO_CONNECTION: 301,
    SdpReason.BAD_ADDRESS: 301,
    SdpReason.ADDRESS_FAMILY: 301,
    SdpReason.SRTP_REQUIRED: 302,
    SdpReason.NO_AUDIO: 304,
    SdpReason.NO_COMMON_CODEC: 305,
    SdpReason.NO_CRYPTO: 306,
    SdpReason.CRYPTO_SUITE: 306,
    SdpReason.CRYPTO_PARAMETER: 306,
}
