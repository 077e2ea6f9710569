"""SRTP of the C core against RFC 3711 and RFC 7714 in plain Python, and against pylibsrtp.

The model shares nothing with libsrtp2, not even a library of ciphers; the vectors of the RFCs hold
it up.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ringwheel._testcore import ffi, lib

pylibsrtp = pytest.importorskip("pylibsrtp")
pytestmark = pytest.mark.skipif(
    not lib.rw_srtp_available() and os.environ.get("CI") != "true",
    reason="this build has no libsrtp2: apt-get install libsrtp2-dev, and build again",
)


def _double(byte: int) -> int:
    """Times x in the field of AES (FIPS 197 section 4.2)."""
    return (byte << 1) ^ (0x11B if byte & 0x80 else 0)


def _make_sbox() -> bytes:
    """The S-box of FIPS 197 section 5.1.1, from inverses by powers of the generator 3."""
    powers = [1]
    for _ in range(254):
        powers.append(powers[-1] ^ _double(powers[-1]))
    logs = {value: exponent for exponent, value in enumerate(powers)}
    box = bytearray(256)
    for byte in range(256):
        inverse = powers[-logs[byte] % 255] if byte else 0
        box[byte] = 0x63
        for shift in range(5):
            box[byte] ^= (inverse << shift | inverse >> (8 - shift)) & 0xFF
    return bytes(box)


_SBOX = _make_sbox()


def _expand(key: bytes) -> list[bytes]:
    """Round keys (FIPS 197 section 5.2)."""
    words = [key[i : i + 4] for i in range(0, len(key), 4)]
    count, constant = len(words), 1
    while len(words) < 4 * (count + 7):
        word = words[-1]
        if len(words) % count == 0:
            word = bytes(_SBOX[byte] for byte in word[1:] + word[:1])
            word = bytes((word[0] ^ constant, *word[1:]))
            constant = _double(constant)
        elif count > 6 and len(words) % count == 4:
            word = bytes(_SBOX[byte] for byte in word)
        words.append(_xor(word, words[-count]))
    return [b"".join(words[i : i + 4]) for i in range(0, len(words), 4)]


def _xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def _mix(column: bytes) -> bytes:
    a, b, c, d = column
    whole = a ^ b ^ c ^ d
    pairs = ((a, b), (b, c), (c, d), (d, a))
    return bytes(x ^ whole ^ _double(x ^ y) for x, y in pairs)


def aes(key: bytes, block: bytes) -> bytes:
    """One block encrypted (FIPS 197 section 5.1)."""
    first, *middle, last = _expand(key)
    state = _xor(block, first)
    for number, round_key in enumerate([*middle, last]):
        state = bytes(_SBOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16))
        if number < len(middle):
            state = b"".join(_mix(state[i : i + 4]) for i in range(0, 16, 4))
        state = _xor(state, round_key)
    return state


def counter_mode(key: bytes, counter: int, data: bytes) -> bytes:
    """Data under the keystream that begins at a 128-bit counter (RFC 3711 section 4.1.1)."""
    stream = b"".join(
        aes(key, (counter + i).to_bytes(16, "big")) for i in range((len(data) + 15) // 16)
    )
    return _xor(data, stream[: len(data)])


def derive(master: bytes, salt: bytes, label: int, wanted_bytes: int) -> bytes:
    """A session key (RFC 3711 section 4.3; a shorter salt is padded, RFC 7714 section 11)."""
    x = int.from_bytes(salt.ljust(14, b"\0"), "big") ^ label << 48
    return counter_mode(master, x << 16, bytes(wanted_bytes))


def _times(x: int, y: int) -> int:
    """The product of two blocks in the field of GCM (NIST SP 800-38D section 6.3)."""
    product = 0
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            product ^= y
        y = y >> 1 ^ (0xE1 << 120 if y & 1 else 0)
    return product


def gcm(key: bytes, iv: bytes, associated: bytes, plain: bytes) -> bytes:
    """Ciphertext and tag (NIST SP 800-38D section 7.1), for an IV of 12 bytes."""
    counter = int.from_bytes(iv, "big") << 32 | 1
    cipher = counter_mode(key, counter + 1, plain)
    h = int.from_bytes(aes(key, bytes(16)), "big")
    blocks = b"".join(part + bytes(-len(part) % 16) for part in (associated, cipher))
    blocks += (8 * len(associated)).to_bytes(8, "big") + (8 * len(cipher)).to_bytes(8, "big")
    tag = 0
    for i in range(0, len(blocks), 16):
        tag = _times(tag ^ int.from_bytes(blocks[i : i + 16], "big"), h)
    return cipher + counter_mode(key, counter, tag.to_bytes(16, "big"))


@dataclass(frozen=True, slots=True)
class Suite:
    """Lengths in bytes; ``aead`` suites have their tag from the cipher."""

    name: str
    key: int
    salt: int
    tag: int
    aead: bool


SUITES = (
    Suite("AES_CM_128_HMAC_SHA1_80", 16, 14, 10, False),
    Suite("AES_CM_128_HMAC_SHA1_32", 16, 14, 4, False),
    Suite("AEAD_AES_128_GCM", 16, 12, 16, True),
    Suite("AEAD_AES_256_GCM", 32, 12, 16, True),
)
ROOM_BYTES = 1472
RTCP_TAG_BYTES = 10  # of both counter mode suites (RFC 4568 section 6.2.2)


def protect_rtp(suite: Suite, key: bytes, packet: bytes, rollovers: int) -> bytes:
    """An RTP packet without CSRCs and extension, protected."""
    header, payload = packet[:12], packet[12:]
    ssrc, sequence = int.from_bytes(header[8:], "big"), int.from_bytes(header[2:4], "big")
    index = rollovers << 16 | sequence
    master, master_salt = key[: suite.key], key[suite.key :]
    cipher_key = derive(master, master_salt, 0, suite.key)
    salt = int.from_bytes(derive(master, master_salt, 2, suite.salt), "big")
    if suite.aead:  # RFC 7714 section 8.1
        iv = (salt ^ ssrc << 48 ^ index).to_bytes(12, "big")
        return header + gcm(cipher_key, iv, header, payload)
    # RFC 3711 sections 4.1.1 and 4.2
    covered = header + counter_mode(cipher_key, salt << 16 ^ ssrc << 64 ^ index << 16, payload)
    auth_key = derive(master, master_salt, 1, 20)
    tag = hmac.digest(auth_key, covered + rollovers.to_bytes(4, "big"), hashlib.sha1)
    return covered + tag[: suite.tag]


def protect_rtcp(suite: Suite, key: bytes, packet: bytes, index: int) -> bytes:
    """An RTCP packet, protected."""
    header, rest = packet[:8], packet[8:]
    ssrc = int.from_bytes(header[4:], "big")
    word = (1 << 31 | index).to_bytes(4, "big")
    master, master_salt = key[: suite.key], key[suite.key :]
    cipher_key = derive(master, master_salt, 3, suite.key)
    salt = int.from_bytes(derive(master, master_salt, 5, suite.salt), "big")
    if suite.aead:  # RFC 7714 sections 9.1 and 9.2
        iv = (salt ^ ssrc << 48 ^ index).to_bytes(12, "big")
        return header + gcm(cipher_key, iv, header + word, rest) + word
    # RFC 3711 section 3.4
    covered = header + counter_mode(cipher_key, salt << 16 ^ ssrc << 64 ^ index << 16, rest) + word
    auth_key = derive(master, master_salt, 4, 20)
    return covered + hmac.digest(auth_key, covered, hashlib.sha1)[:RTCP_TAG_BYTES]


def test_the_model_derives_the_keys_of_rfc_3711_b3():
    master = bytes.fromhex("e1f97a0d3e018be0d64fa32c06de4139")
    salt = bytes.fromhex("0ec675ad498afeebb6960b3aabe6")
    assert derive(master, salt, 0, 16).hex() == "c61e7a93744f39ee10734afe3ff7a087"
    assert derive(master, salt, 2, 14).hex() == "30cbbc08863d8c85d49db34a9ae1"
    assert derive(master, salt, 1, 20).hex() == "cebe321f6ff7716b6fd4ab49af256a156d38baa4"


def test_the_model_encrypts_the_packet_of_rfc_7714_16_1_1():
    key, iv = bytes(range(16)), bytes.fromhex("51753c6580c2726f20718414")
    header = bytes.fromhex("8040f17b8041f8d35501a0b2")
    assert gcm(key, iv, header, b"Gallia est omnis divisa in partes tres").hex() == (
        "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833"
        "899d7f27beb16a9152cf765ee4390cce"
    )


@pytest.mark.parametrize(
    ("key", "cipher"),
    [
        (bytes(range(16)), "69c4e0d86a7b0430d8cdb78070b4c55a"),
        (bytes(range(32)), "8ea2b7ca516745bfeafc49904b496089"),
    ],
)
def test_the_model_has_the_aes_of_fips_197(key, cipher):
    assert aes(key, bytes.fromhex("00112233445566778899aabbccddeeff")).hex() == cipher


class Context:
    """A context of the C core; without ``remote``, one key serves both ways."""

    def __init__(
        self, suite: Suite, local: bytes, remote: bytes | None = None, window_packets: int = 128
    ) -> None:
        out = ffi.new("rw_srtp **")
        config = self._config(suite, local, remote or local, window_packets)
        assert lib.rw_srtp_create(config, out) == 0
        self._srtp = ffi.gc(out[0], lib.rw_srtp_destroy)
        self._packet = ffi.new("uint8_t[]", ROOM_BYTES)
        self._bytes = ffi.new("size_t *")

    @staticmethod
    def _config(suite: Suite, local: bytes, remote: bytes, window_packets: int):
        config = ffi.new("rw_srtp_config *")
        config.suite = SUITES.index(suite)
        config.window_packets = window_packets
        for side, key in ((config.local, local), (config.remote, remote)):
            side.bytes[0 : len(key)] = key
            side.key_bytes = len(key)
        return config

    def rekey(self, suite: Suite, key: bytes) -> None:
        assert lib.rw_srtp_rekey(self._srtp, self._config(suite, key, key, 128)) == 0

    def _treat(self, function, packet: bytes, *room: int) -> tuple[int, bytes]:
        ffi.memmove(self._packet, packet, len(packet))
        self._bytes[0] = len(packet)
        reject = function(self._srtp, self._packet, self._bytes, *room)
        return reject, bytes(ffi.buffer(self._packet, self._bytes[0]))

    def protect(self, packet: bytes) -> bytes:
        reject, protected = self._treat(lib.rw_srtp_protect, packet, ROOM_BYTES)
        assert reject == lib.RW_SRTP_OK
        return protected

    def protect_rtcp(self, packet: bytes) -> bytes:
        reject, protected = self._treat(lib.rw_srtp_protect_rtcp, packet, ROOM_BYTES)
        assert reject == lib.RW_SRTP_OK
        return protected

    def unprotect(self, packet: bytes) -> tuple[int, bytes]:
        return self._treat(lib.rw_srtp_unprotect, packet)

    def unprotect_rtcp(self, packet: bytes) -> tuple[int, bytes]:
        return self._treat(lib.rw_srtp_unprotect_rtcp, packet)


def rtp(ssrc: int, sequence: int, payload: bytes) -> bytes:
    timestamp = 160 * sequence % 2**32
    numbers = ((sequence, 2), (timestamp, 4), (ssrc, 4))
    return b"\x80\x00" + b"".join(n.to_bytes(size, "big") for n, size in numbers) + payload


def rtcp(ssrc: int, words: int) -> bytes:
    """A report whose content does not matter, since SRTCP does not look at it."""
    body = bytes(7 * i % 256 for i in range(4 * words))
    return b"\x81\xc8" + (words + 1).to_bytes(2, "big") + ssrc.to_bytes(4, "big") + body


suites = st.sampled_from(SUITES)
numbers_32 = st.integers(0, 2**32 - 1)


@settings(max_examples=40)
@given(
    suite=suites,
    seed=st.binary(min_size=46, max_size=46),
    ssrc=numbers_32,
    first=st.integers(0, 2**16 - 1),
    payloads=st.lists(st.binary(max_size=80), min_size=1, max_size=4),
)
@example(suite=SUITES[0], seed=bytes(46), ssrc=0, first=65_534, payloads=[b"over the wrap"] * 4)
@example(suite=SUITES[2], seed=bytes(46), ssrc=0, first=65_534, payloads=[b"over the wrap"] * 4)
def test_rtp_is_what_the_rfcs_say(suite, seed, ssrc, first, payloads):
    key = seed[: suite.key + suite.salt]
    sender, receiver = Context(suite, key), Context(suite, key)
    for index, payload in enumerate(payloads, first):
        packet = rtp(ssrc, index % 2**16, payload)
        expected = protect_rtp(suite, key, packet, index >> 16)
        assert sender.protect(packet) == expected
        assert receiver.unprotect(expected) == (lib.RW_SRTP_OK, packet)


@settings(max_examples=40)
@given(
    suite=suites,
    seed=st.binary(min_size=46, max_size=46),
    ssrc=numbers_32,
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=4),
)
def test_rtcp_is_what_the_rfcs_say(suite, seed, ssrc, lengths):
    key = seed[: suite.key + suite.salt]
    sender, receiver = Context(suite, key), Context(suite, key)
    for index, words in enumerate(lengths, 1):
        packet = rtcp(ssrc, words)
        expected = protect_rtcp(suite, key, packet, index)
        assert sender.protect_rtcp(packet) == expected
        assert receiver.unprotect_rtcp(expected) == (lib.RW_SRTP_OK, packet)


@settings(max_examples=60)
@given(
    suite=suites,
    window_packets=st.sampled_from([64, 128, 1024]),
    steps=st.lists(st.one_of(st.integers(-3, 4), st.integers(-1200, 300)), max_size=40),
)
@example(suite=SUITES[0], window_packets=64, steps=[0, 64, -63, 0, -1])
@example(suite=SUITES[3], window_packets=128, steps=[0, 128, -127, 0, -1])
def test_each_packet_is_taken_once_and_only_inside_the_window(suite, window_packets, steps):
    key = bytes(range(suite.key + suite.salt))
    receiver = Context(suite, key, window_packets=window_packets)
    sender = Context(suite, key)
    # Every index up to the highest is protected in order first: the network mixes them.
    places, place = [], 3_000
    for step in steps:
        place = max(0, place + step)
        places.append(place)
    indices = range(min(places, default=0), max(places, default=0) + 1)
    wire = {index: sender.protect(rtp(7, index, b"sound")) for index in indices}
    seen: set[int] = set()
    for index in places:
        reject, packet = receiver.unprotect(wire[index])
        highest = max(seen, default=index)
        if index <= highest - window_packets:
            assert reject == lib.RW_SRTP_TOO_OLD
        elif index in seen:
            assert reject == lib.RW_SRTP_REPLAYED
        else:
            assert (reject, packet) == (lib.RW_SRTP_OK, rtp(7, index, b"sound"))
            seen.add(index)


@settings(max_examples=200)
@given(suite=suites, datagram=st.binary(max_size=200))
def test_no_stranger_gets_in(suite, datagram):
    receiver = Context(suite, bytes(range(suite.key + suite.salt)))
    for reject, left in (receiver.unprotect(datagram), receiver.unprotect_rtcp(datagram)):
        assert reject != lib.RW_SRTP_OK
        assert len(left) == len(datagram)


PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    "AEAD_AES_128_GCM": pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AEAD_AES_256_GCM": pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}


def key_of(suite: Suite, seed: int) -> bytes:
    return bytes((seed + 11 * i) % 256 for i in range(suite.key + suite.salt))


def theirs(suite: Suite, key: bytes, ssrc_type: int):
    policy = pylibsrtp.Policy(key=key, ssrc_type=ssrc_type, srtp_profile=PROFILES[suite.name])
    return pylibsrtp.Session(policy)


def their_sender(suite: Suite, key: bytes):
    return theirs(suite, key, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)


def their_receiver(suite: Suite, key: bytes):
    return theirs(suite, key, pylibsrtp.Policy.SSRC_ANY_INBOUND)


@st.composite
def rtp_packets(draw) -> bytes:
    """Packets of any shape: marker, payload type, CSRCs, header extension."""
    csrcs = draw(st.lists(st.binary(min_size=4, max_size=4), max_size=15))
    extension = draw(st.one_of(st.none(), st.integers(0, 5)))
    first = 0x80 | (0x10 if extension is not None else 0) | len(csrcs)
    packet = bytes([first, draw(st.integers(0, 255))]) + draw(st.binary(min_size=10, max_size=10))
    packet += b"".join(csrcs)
    if extension is not None:
        packet += b"\xbe\xde" + extension.to_bytes(2, "big") + bytes(4 * extension)
    return packet + draw(st.binary(max_size=400))


rtcp_packets = st.builds(
    lambda ssrc, body: b"\x80\xc9" + (len(body) // 4 + 1).to_bytes(2, "big") + ssrc + body,
    st.binary(min_size=4, max_size=4),
    st.integers(0, 40).map(lambda words: bytes(3 * i % 256 for i in range(4 * words))),
)


@settings(max_examples=100)
@given(suite=suites, key=st.binary(min_size=44, max_size=44), packet=rtp_packets())
def test_rtp_packets_are_the_same_bytes(suite, key, packet):
    key = key[: suite.key + suite.salt]
    protected = Context(suite, key).protect(packet)
    assert protected == their_sender(suite, key).protect(packet)
    assert their_receiver(suite, key).unprotect(protected) == packet
    assert Context(suite, key).unprotect(protected) == (lib.RW_SRTP_OK, packet)


@settings(max_examples=100)
@given(suite=suites, key=st.binary(min_size=44, max_size=44), packet=rtcp_packets)
def test_rtcp_packets_are_the_same_bytes(suite, key, packet):
    key = key[: suite.key + suite.salt]
    protected = Context(suite, key).protect_rtcp(packet)
    assert protected == their_sender(suite, key).protect_rtcp(packet)
    assert their_receiver(suite, key).unprotect_rtcp(protected) == packet
    assert Context(suite, key).unprotect_rtcp(protected) == (lib.RW_SRTP_OK, packet)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_call_both_ways_over_the_wrap_of_the_sequence_number(suite):
    local, remote = key_of(suite, 1), key_of(suite, 2)
    ours = Context(suite, local, remote)
    to_them, from_them = their_receiver(suite, local), their_sender(suite, remote)
    for sequence in [*range(65_500, 65_536), *range(40)]:
        packet = b"\x80\x00" + sequence.to_bytes(2, "big") + b"timesource" + bytes(160)
        assert to_them.unprotect(ours.protect(packet)) == packet
        assert ours.unprotect(from_them.protect(packet)) == (lib.RW_SRTP_OK, packet)
        if sequence % 10 == 0:
            report = b"\x80\xc9\x00\x01" + b"ours"
            assert to_them.unprotect_rtcp(ours.protect_rtcp(report)) == report
            assert ours.unprotect_rtcp(from_them.protect_rtcp(report)) == (lib.RW_SRTP_OK, report)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_stream_that_begins_anew_after_new_keys_is_what_they_begin_with(suite):
    """Before the first wrap the rollover counter is 0, whoever keeps it and whoever resets it."""
    old, new = key_of(suite, 1), key_of(suite, 3)
    ours = Context(suite, old)
    packet = b"\x80\x00\x00\x01" + b"timesrce" + bytes(160)
    ours.protect(packet)
    ours.rekey(suite, new)
    following = b"\x80\x00\x00\x02" + packet[4:]
    assert their_receiver(suite, new).unprotect(ours.protect(following)) == following
