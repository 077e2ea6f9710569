"""The keys of SRTP as Python holds them."""

from __future__ import annotations

import errno
import os
import pickle

import pytest
from ringwheel.media import _core
from ringwheel.media._core import SRTP_KEY_BYTES, SrtpKeys

needs_srtp = pytest.mark.skipif(
    not _core.SRTP_AVAILABLE and os.environ.get("CI") != "true",
    reason="this build has no libsrtp2: apt-get install libsrtp2-dev, and build again",
)


def key_of(suite: str, seed: int) -> bytes:
    return bytes((seed + 11 * i) % 256 for i in range(SRTP_KEY_BYTES[suite]))


def test_the_suites_are_those_of_rfc_4568_and_rfc_7714():
    assert SRTP_KEY_BYTES == {
        "AES_CM_128_HMAC_SHA1_80": 30,
        "AES_CM_128_HMAC_SHA1_32": 30,
        "AEAD_AES_128_GCM": 28,
        "AEAD_AES_256_GCM": 44,
    }


@needs_srtp
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


@needs_srtp
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


@pytest.mark.skipif(_core.SRTP_AVAILABLE, reason="this build has libsrtp2")
def test_without_the_library_there_are_no_keys():
    with pytest.raises(OSError) as caught:
        SrtpKeys("AEAD_AES_128_GCM", bytes(28), bytes(28))
    assert caught.value.errno == errno.ENOTSUP
