"""Secrets leave no trace in what is shown of a message, and nothing else is changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.media.sip.masking import mask_secrets

DIGEST = (
    b"REGISTER sip:example.com SIP/2.0\r\n"
    b'Authorization: Digest username="robot", realm="example.com",\r\n'
    b' nonce="84a4cc6f", response="7587245234b3434cc3412213e5f113a5", nc=00000001\r\n'
    b"Content-Length: 0\r\n\r\n"
)
CRYPTO = (
    b"SIP/2.0 200 OK\r\nContent-Type: application/sdp\r\n\r\n"
    b"v=0\r\nm=audio 4000 RTP/SAVP 0\r\n"
    b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20\r\n"
)


@pytest.mark.parametrize(
    ("message", "secret", "kept"),
    [
        (DIGEST, b"7587245234b3434cc3412213e5f113a5", b'nonce="84a4cc6f"'),
        (DIGEST.replace(b"Authorization", b"proxy-AUTHORIZATION"), b"7587245234b3", b"nc=0000"),
        (b"X sip:a SIP/2.0\r\nAuthorization: Basic cm9ib3Q6c2VjcmV0\r\n\r\n", b"cm9i", b"Basic"),
        (b'SIP/2.0 200 OK\r\nAuthentication-Info: rspauth="6629fae4", qop=auth\r\n\r\n',
         b"6629fae4", b"qop=auth"),
        (CRYPTO.replace(b"|2^20", b"|2^20|1:4;inline:AgVzZWNvbmQ|2^21"), b"AgVzZWNvbmQ", b"|2^21"),
        (CRYPTO, b"WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz", b"|2^20"),
        (b"INVITE sip:robot:pass%20word@192.0.2.1 SIP/2.0\r\n\r\n", b"pass%20", b"@192.0.2.1"),
        (b"INFO sip:a SIP/2.0\r\nContent-Type: application/dtmf-relay\r\n\r\nSignal=7\r\n",
         b"=7", b"Signal="),
        (b"INFO sip:a SIP/2.0\r\nContent-Type: application/dtmf\r\n\r\n7", b"\n7", b"INFO"),
    ],
)  # fmt: skip
def test_secrets_are_hidden_and_lengths_kept(message, secret, kept):
    assert secret in message
    masked = mask_secrets(message)
    assert secret not in masked
    assert kept in masked
    assert len(masked) == len(message)


@pytest.mark.parametrize(
    "message",
    [
        b"INVITE sip:robot@[2001:db8::1]:5060 SIP/2.0\r\nTo: <sip:x@h:5060;transport=tcp>\r\n\r\n",
        b'SIP/2.0 401 No\r\nWWW-Authenticate: Digest nonce="84a4cc6f", opaque="x"\r\n\r\n',
        b"",
        b"sip:a:b" * 9_000,
        b"Authorization: Digest response" * 2_000,
    ],
)
def test_what_is_no_secret_stays(message):
    assert mask_secrets(message) == message


@given(st.binary(max_size=300))
def test_any_bytes_keep_their_length(data):
    message = b"Authorization: " + data + b"\r\nsip:" + data + b"\r\na=crypto:1 inline:" + data
    assert len(mask_secrets(message)) == len(message)
