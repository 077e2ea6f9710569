"""Secrets taken out of SIP messages before anybody reads them: what is hidden keeps its length.

Hidden are answers to digest challenges and all other credentials, the keys of SRTP, passwords in
URIs, and digits sent by INFO, which may be somebody's PIN.
"""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(
    rb"^((?:proxy-)?authorization|(?:proxy-)?authentication-info)[ \t]*:"
    rb"((?:[^\r\n]|\r?\n[ \t])*)",
    re.IGNORECASE | re.MULTILINE,
)
_DIGEST_ANSWER = re.compile(rb'\b(?:response|rspauth)\s*=\s*"?([^",\s]*)', re.IGNORECASE)
_DIGEST = re.compile(rb"\s*(?:digest\b|[a-z]+\s*=)", re.IGNORECASE)
_SCHEME = re.compile(rb"\s*[^\s]+\s+")
_OTHERS = tuple(
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        rb"\binline:([^|;\s]+)",  # RFC 4568: several keys may stand in one line
        rb"^k=[a-z0-9]+:([^\r\n]+)",
        rb"\bsips?:[^\s:@<>;,\"]{1,64}+:([^\s@<>;,\"]{1,64}+)@",  # bounded: a line may be long
        rb"^signal[ \t]*=[ \t]*([^\r\n]+)",  # application/dtmf-relay
    )
)
_BARE_DIGIT = re.compile(
    rb"^(?:content-type|c)[ \t]*:[ \t]*application/dtmf[ \t]*\r?$", re.I | re.M
)
_WORTH_A_LOOK = re.compile(
    rb"auth|a=crypto|^k=|sips?:[^\s:@]{1,64}+:[^\s@]{1,64}+@|signal|application/dtmf", re.I | re.M
)


def mask_secrets(message: bytes) -> bytes:
    """``message`` with ``x`` in the place of each byte of its secrets."""
    if not _WORTH_A_LOOK.search(message):
        return message
    hidden = bytearray(message)
    for start, end in _secrets(message):
        hidden[start:end] = b"x" * (end - start)
    return bytes(hidden)


def _secrets(message: bytes) -> list[tuple[int, int]]:
    """Where the secrets stand."""
    spans = [_credential_spans(found) for found in _CREDENTIALS.finditer(message)]
    found_spans = [span for several in spans for span in several]
    for pattern in _OTHERS:
        found_spans += [found.span(1) for found in pattern.finditer(message)]
    body = message.find(b"\r\n\r\n")
    if body >= 0 and _BARE_DIGIT.search(message):
        found_spans.append((body + 4, len(message)))
    return found_spans


def _credential_spans(header: re.Match[bytes]) -> list[tuple[int, int]]:
    """Of a digest only the answer, so that the rest can be checked; of anything else, all."""
    value, start = header[2], header.start(2)
    if _DIGEST.match(value):
        answers = _DIGEST_ANSWER.finditer(value)
        return [(start + answer.start(1), start + answer.end(1)) for answer in answers]
    scheme = _SCHEME.match(value)
    return [(start + (scheme.end() if scheme else 0), header.end(2))]
