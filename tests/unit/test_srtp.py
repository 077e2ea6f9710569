"""SRTP of the C core against pylibsrtp, byte for byte, and the keys as Python holds them."""

from __future__ import annotations

import errno
import os
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringwheel._testcore import ffi, lib
from ringwheel.media import _core
from ringwheel.media._core import SRTP_KEY_BYTES, SrtpKeys

pylibsrtp = pytest.importorskip("pylibsrtp")
pytestmark = pytest.mark.skipif(
    not _core.SRTP_AVAILABLE and os.environ.get("CI") != "true",
    reason="this build has no libsrtp2: apt-get install libsrtp2-dev, and build again",
)

PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    "AEAD_AES_128_GCM": pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AEAD_AES_256_GCM": pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
SUITES = tuple(PROFILES)
ROOM_BYTES = 1472


def key_of(suite: str, seed: int) -> bytes:
    return bytes((seed + 11 * i) % 256 for i in range(SRTP_KEY_BYTES[suite]))


class Ours:
    """A context of the C core."""

    def __init__(self, suite: str, local: bytes, remote: bytes) -> None:
        out = ffi.new("rw_srtp **")
        assert lib.rw_srtp_create(self._config(suite, local, remote), out) == 0
        self._srtp = ffi.gc(out[0], lib.rw_srtp_destroy)

    @staticmethod
    def _config(suite: str, local: bytes, remote: bytes):
        config = ffi.new("rw_srtp_config *")
        config.suite = SUITES.index(suite)
        config.window_packets = 128
        for side, key in ((config.local, local), (config.remote, remote)):
            side.bytes[0 : len(key)] = key
            side.key_bytes = len(key)
        return config

    def rekey(self, suite: str, local: bytes, remote: bytes) -> None:
        assert lib.rw_srtp_rekey(self._srtp, self._config(suite, local, remote)) == 0

    def _treat(self, function, packet: bytes, *room: int) -> bytes:
        treated = ffi.new("uint8_t[]", ROOM_BYTES)
        ffi.memmove(treated, packet, len(packet))
        length = ffi.new("size_t *", len(packet))
        assert function(self._srtp, treated, length, *room) == lib.RW_SRTP_OK
        return bytes(ffi.buffer(treated, length[0]))

    def protect(self, packet: bytes) -> bytes:
        return self._treat(lib.rw_srtp_protect, packet, ROOM_BYTES)

    def protect_rtcp(self, packet: bytes) -> bytes:
        return self._treat(lib.rw_srtp_protect_rtcp, packet, ROOM_BYTES)

    def unprotect(self, packet: bytes) -> bytes:
        return self._treat(lib.rw_srtp_unprotect, packet)

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        return self._treat(lib.rw_srtp_unprotect_rtcp, packet)


def theirs(suite: str, key: bytes, ssrc_type: int):
    policy = pylibsrtp.Policy(key=key, ssrc_type=ssrc_type, srtp_profile=PROFILES[suite])
    return pylibsrtp.Session(policy)


def their_sender(suite: str, key: bytes):
    return theirs(suite, key, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)


def their_receiver(suite: str, key: bytes):
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
@given(suite=st.sampled_from(SUITES), key=st.binary(min_size=44, max_size=44), packet=rtp_packets())
def test_rtp_packets_are_the_same_bytes(suite, key, packet):
    key = key[: SRTP_KEY_BYTES[suite]]
    protected = Ours(suite, key, key).protect(packet)
    assert protected == their_sender(suite, key).protect(packet)
    assert their_receiver(suite, key).unprotect(protected) == packet
    assert Ours(suite, key, key).unprotect(protected) == packet


@settings(max_examples=100)
@given(suite=st.sampled_from(SUITES), key=st.binary(min_size=44, max_size=44), packet=rtcp_packets)
def test_rtcp_packets_are_the_same_bytes(suite, key, packet):
    key = key[: SRTP_KEY_BYTES[suite]]
    protected = Ours(suite, key, key).protect_rtcp(packet)
    assert protected == their_sender(suite, key).protect_rtcp(packet)
    assert their_receiver(suite, key).unprotect_rtcp(protected) == packet
    assert Ours(suite, key, key).unprotect_rtcp(protected) == packet


@pytest.mark.parametrize("suite", SUITES)
def test_a_call_both_ways_over_the_wrap_of_the_sequence_number(suite):
    local, remote = key_of(suite, 1), key_of(suite, 2)
    ours = Ours(suite, local, remote)
    to_them, from_them = their_receiver(suite, local), their_sender(suite, remote)
    for sequence in [*range(65_500, 65_536), *range(40)]:
        packet = b"\x80\x00" + sequence.to_bytes(2, "big") + b"timesource" + bytes(160)
        assert to_them.unprotect(ours.protect(packet)) == packet
        assert ours.unprotect(from_them.protect(packet)) == packet
        if sequence % 10 == 0:
            report = b"\x80\xc9\x00\x01" + b"ours"
            assert to_them.unprotect_rtcp(ours.protect_rtcp(report)) == report
            assert ours.unprotect_rtcp(from_them.protect_rtcp(report)) == report


@pytest.mark.parametrize("suite", SUITES)
def test_a_stream_that_begins_anew_after_new_keys_is_what_they_begin_with(suite):
    """Before the first wrap the rollover counter is 0, whoever keeps it and whoever resets it."""
    old, new = key_of(suite, 1), key_of(suite, 3)
    ours = Ours(suite, old, old)
    packet = b"\x80\x00\x00\x01" + b"timesrce" + bytes(160)
    ours.protect(packet)
    ours.rekey(suite, new, new)
    following = b"\x80\x00\x00\x02" + packet[4:]
    assert their_receiver(suite, new).unprotect(ours.protect(following)) == following


def test_the_suites_are_those_of_rfc_4568_and_rfc_7714():
    assert SRTP_KEY_BYTES == {
        "AES_CM_128_HMAC_SHA1_80": 30,
        "AES_CM_128_HMAC_SHA1_32": 30,
        "AEAD_AES_128_GCM": 28,
        "AEAD_AES_256_GCM": 44,
    }


def test_keys_do_not_show():
    local, remote = b"L0cal-Secret" * 3, b"R3mote-Secret" * 3
    keys = SrtpKeys("AES_CM_128_HMAC_SHA1_80", local[:30], remote[:30], local_mki=b"MKI1")
    assert repr(keys) == str(keys) == "<SrtpKeys AES_CM_128_HMAC_SHA1_80>"
    assert keys.suite == "AES_CM_128_HMAC_SHA1_80"
    assert not hasattr(keys, "__dict__")
    with pytest.raises(TypeError, match="not written down"):
        pickle.dumps(keys)
    with pytest.raises(ValueError) as caught:
        SrtpKeys("AES_CM_128_HMAC_SHA1_80", local, remote[:30])
    assert str(caught.value) == "the local key and salt are 36 bytes, not 30"


def test_keys_are_equal_if_nothing_has_to_change():
    suite = "AEAD_AES_128_GCM"
    a, b = key_of(suite, 1), key_of(suite, 2)
    assert SrtpKeys(suite, a, b) == SrtpKeys(suite, bytearray(a), memoryview(b))
    others = [
        SrtpKeys(suite, b, a),
        SrtpKeys(suite, a, a),
        SrtpKeys(suite, a, b, remote_mki=b"\x01"),
        SrtpKeys(suite, a, b, window_packets=256),
        (suite, a, b),
    ]
    assert all(SrtpKeys(suite, a, b) != other for other in others)
    same_length = "AES_CM_128_HMAC_SHA1_32", "AES_CM_128_HMAC_SHA1_80"
    assert SrtpKeys(same_length[0], a + b"12", b + b"12") != SrtpKeys(
        same_length[1], a + b"12", b + b"12"
    )


@pytest.mark.parametrize(
    ("suite", "local", "remote", "options", "message"),
    [
        ("F8_128_HMAC_SHA1_80", 30, 30, {}, "there is no SRTP suite 'F8_128_HMAC_SHA1_80'; use"),
        ("", 30, 30, {}, "there is no SRTP suite"),
        ("AEAD_AES_256_GCM", 44, 0, {}, "the remote key and salt are 0 bytes, not 44"),
        ("AEAD_AES_128_GCM", 28, 28, {"local_mki": b"12345"}, "the local MKI is 5 bytes, and 4"),
        ("AEAD_AES_128_GCM", 28, 28, {"window_packets": 63}, "window of 63"),
        ("AEAD_AES_128_GCM", 28, 28, {"window_packets": 1025}, "window of 1025"),
    ],
)
def test_what_is_no_key_is_refused_by_its_cause(suite, local, remote, options, message):
    with pytest.raises(ValueError, match=message):
        SrtpKeys(suite, bytes(local), bytes(remote), **options)


def test_an_mki_with_the_short_tag_is_refused():
    with pytest.raises(OSError) as caught:
        SrtpKeys("AES_CM_128_HMAC_SHA1_32", bytes(30), bytes(30), remote_mki=b"\x01")
    assert caught.value.errno == errno.ENOTSUP
