"""Mutated SIP datagrams: the parser answers each with a message or with its one error.

RINGWHEEL_FUZZ_MESSAGES sets how many (`make fuzz` takes a million); the seed is fixed, so that a
failure can be repeated.
"""

import os
import random
from pathlib import Path

import pytest
from ringwheel.media.sip.message import Request, SipParseError, parse, response_bytes, stamp_via

SEEDS = [path.read_bytes() for path in sorted(Path(__file__).parents[1].glob("data/**/*.dat"))]
MESSAGES = int(os.environ.get("RINGWHEEL_FUZZ_MESSAGES", "20000"))
PIECES = [
    *(
        b"\r\n",
        b"\r",
        b"\n",
        b"\r\n ",
        b"\r\n\r\n",
        b"\0",
        b'"',
        b"\\",
        b"<",
        b">",
        b";",
        b",",
        b":",
    ),
    *(b"=", b"?", b"@", b" ", b"\t", b"%", b"[", b"]", b"SIP/2.0", b"Via: ", b"l: 99999", b"tag="),
    *(b"Content-Length: -1\r\n", b"4294967296", b"\xff\xfe", b"\xc3\xa9", b"A: b\r\n" * 300),
]


def mutate(chance: random.Random, data: bytes) -> bytes:
    at, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    kind = chance.randrange(6)
    if kind == 0:
        return data[:at] + chance.choice(PIECES) + data[at:]
    if kind == 1:
        return data[:at] + data[min(end, at + 30) :]
    if kind == 2:
        return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
    if kind == 3:
        return data[:end] + data[at:end][:2000] + data[end:]
    if kind == 4:
        return data[:at] + chance.choice(SEEDS)[at:]
    return data[:end]


def check(data: bytes) -> bool:
    """True if it was accepted. Whatever is answered or accepted must be writable again."""
    try:
        message = parse(data)
    except SipParseError as error:
        assert error.reason
        assert (error.status is None) == (error.partial is None)
        if error.partial is not None:
            stamp_via(error.partial, "192.0.2.1", 5060)
            response_bytes(error.partial, error.status, to_tag="t")
        return False
    again = parse(message.to_bytes())
    assert (again.call_id, again.branch, again.body) == (
        message.call_id,
        message.branch,
        message.body,
    )
    if isinstance(message, Request):
        stamp_via(message, "192.0.2.1", 5060)
        parse(response_bytes(message, 200, to_tag="t"))
    return True


@pytest.mark.timeout(1800)
def test_mutated_messages():
    chance = random.Random(4475)
    accepted = 0
    for _ in range(MESSAGES):
        data = chance.choice(SEEDS)
        for _ in range(chance.randrange(1, 5)):
            data = mutate(chance, data)
        accepted += check(data)
    assert MESSAGES // 50 < accepted < MESSAGES // 2
