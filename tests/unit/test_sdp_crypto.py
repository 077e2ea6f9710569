"""SRTP keys in offers and answers (RFC 4568), and what is refused, with its reason."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.media.codec import PCMU
from ringwheel.media.sdp import (
    LocalMedia,
    NotAcceptable,
    SdpError,
    SdpReason,
    SrtpPolicy,
    SrtpSuite,
    accept_answer,
    answer_offer,
    make_offer,
    parse_sdp,
)
from ringwheel.media.sdp.crypto import CryptoLine, parse_crypto

SECRET = bytes(range(46))
LOCAL = LocalMedia("192.0.2.1", 20000, (PCMU,), 77, srtp=SrtpPolicy.OPTIONAL, srtp_secret=SECRET)
KEY = base64.b64encode(bytes(range(30))).decode()
KEY_GCM = base64.b64encode(bytes(range(28))).decode()
KEY_GCM_256 = base64.b64encode(bytes(range(44))).decode()
CM_80 = f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"
GCM = f"7 AEAD_AES_128_GCM inline:{KEY_GCM}"


def offer_of(*streams: tuple[str, list[str]]) -> bytes:
    text = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n"
    for number, (protocol, lines) in enumerate(streams):
        text += f"m=audio {6000 + 2 * number} {protocol} 0\r\n"
        text += "".join(f"a=crypto:{line}\r\n" for line in lines)
    return text.encode()


def answered(offer: bytes, local: LocalMedia = LOCAL):
    answer = answer_offer(parse_sdp(offer), local)
    assert answer.media is not None
    return answer.media, answer.body.decode().split("\r\n")


@pytest.mark.parametrize(
    ("value", "suite", "key_bytes", "mki"),
    [
        (CM_80, SrtpSuite.AES_CM_128_HMAC_SHA1_80, 16, b""),
        (CM_80.replace("_80", "_32"), SrtpSuite.AES_CM_128_HMAC_SHA1_32, 16, b""),
        (GCM, SrtpSuite.AEAD_AES_128_GCM, 16, b""),
        (GCM.rstrip("="), SrtpSuite.AEAD_AES_128_GCM, 16, b""),
        (f"2 AEAD_AES_256_GCM inline:{KEY_GCM_256}", SrtpSuite.AEAD_AES_256_GCM, 32, b""),
        (CM_80 + "|2^20", SrtpSuite.AES_CM_128_HMAC_SHA1_80, 16, b""),
        (CM_80 + "|1048576|1:4", SrtpSuite.AES_CM_128_HMAC_SHA1_80, 16, b"\0\0\0\1"),
        (CM_80 + "|258:2 WSH=64 -later", SrtpSuite.AES_CM_128_HMAC_SHA1_80, 16, b"\1\2"),
    ],
)
def test_lines_that_we_can_do(value: str, suite: SrtpSuite, key_bytes: int, mki: bytes):
    line = parse_crypto(value)
    assert isinstance(line, CryptoLine)
    assert (line.suite, line.key.mki) == (suite, mki)
    assert line.key.key == bytes(range(key_bytes))
    assert line.key.salt == bytes(range(key_bytes, key_bytes + suite.salt_bytes))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", SdpReason.CRYPTO_BROKEN),
        ("1 AES_CM_128_HMAC_SHA1_80", SdpReason.CRYPTO_BROKEN),
        (CM_80.replace("1 ", "x ", 1), SdpReason.CRYPTO_BROKEN),
        (CM_80.replace("AES_CM_128", "F8_128"), SdpReason.CRYPTO_SUITE),
        (CM_80 + " UNENCRYPTED_SRTP", SdpReason.CRYPTO_PARAMETER),
        (CM_80 + " UNENCRYPTED_SRTCP", SdpReason.CRYPTO_PARAMETER),
        (CM_80 + " UNAUTHENTICATED_SRTP", SdpReason.CRYPTO_PARAMETER),
        (CM_80 + " KDR=1", SdpReason.CRYPTO_PARAMETER),
        (CM_80 + " unheard-of", SdpReason.CRYPTO_PARAMETER),
        (CM_80.replace("inline", "uri"), SdpReason.CRYPTO_KEY),
        (CM_80 + "!", SdpReason.CRYPTO_KEY),
        (CM_80[:-4], SdpReason.CRYPTO_KEY),
        (CM_80 + f";inline:{KEY}", SdpReason.CRYPTO_KEY),
        (CM_80 + "|0", SdpReason.CRYPTO_KEY),
        (CM_80 + "|2^49", SdpReason.CRYPTO_KEY),
        (CM_80 + "|2^20|256:1", SdpReason.CRYPTO_KEY),
        (CM_80 + "|2^20|1:129", SdpReason.CRYPTO_KEY),
        (CM_80 + "|2^20|2^20", SdpReason.CRYPTO_KEY),
        (CM_80 + "|2^20|1:4|x", SdpReason.CRYPTO_KEY),
    ],
)
def test_lines_that_we_cannot_do(value: str, reason: SdpReason):
    assert parse_crypto(value) is reason
    with pytest.raises(NotAcceptable) as caught:
        answered(offer_of(("RTP/SAVP", [value])))
    assert caught.value.reason is reason
    # Best effort: a stream that may be in the clear then is.
    assert answered(offer_of(("RTP/AVP", [value])))[0].srtp is None


@pytest.mark.parametrize("protocol", ["RTP/SAVP", "RTP/SAVPF", "RTP/AVP"])
def test_the_answer_has_their_tag_and_our_key(protocol: str):
    media, lines = answered(offer_of((protocol, ["3 F8 inline:x", GCM, CM_80])))
    assert media.srtp is not None
    assert (media.srtp.tag, media.srtp.suite) == (7, SrtpSuite.AEAD_AES_128_GCM)
    ours = base64.b64encode(media.srtp.local.key + media.srtp.local.salt).decode()
    assert [line for line in lines if "crypto" in line] == [
        f"a=crypto:7 AEAD_AES_128_GCM inline:{ours}"
    ]
    assert f"m=audio 20000 {protocol} 0" in lines
    assert media.srtp.remote.key == bytes(range(16)) != media.srtp.local.key


def test_our_order_of_suites_where_it_is_set():
    ours = LOCAL._replace(
        srtp_suites=(SrtpSuite.AES_CM_128_HMAC_SHA1_80, SrtpSuite.AEAD_AES_128_GCM)
    )
    offer = offer_of(("RTP/SAVP", [GCM, CM_80]))
    assert answered(offer, ours._replace(own_order=True))[0].srtp.tag == 1
    assert answered(offer, ours)[0].srtp.tag == 7


def test_an_encrypted_stream_comes_before_one_in_the_clear():
    both = offer_of(("RTP/AVP", []), ("RTP/SAVP", [CM_80]))
    media, lines = answered(both)
    assert media.remote_port == 6002 and media.srtp is not None
    assert "m=audio 0 RTP/AVP 0" in lines
    off, _ = answered(both, LOCAL._replace(srtp=SrtpPolicy.OFF))
    assert off.remote_port == 6000 and off.srtp is None


@pytest.mark.parametrize(
    ("protocol", "lines", "policy", "reason"),
    [
        ("RTP/SAVP", [CM_80], SrtpPolicy.OFF, SdpReason.NO_AUDIO),
        ("RTP/SAVP", [], SrtpPolicy.OPTIONAL, SdpReason.NO_CRYPTO),
        ("RTP/AVP", [], SrtpPolicy.REQUIRED, SdpReason.SRTP_REQUIRED),
        ("RTP/AVP", ["1 F8 inline:x"], SrtpPolicy.REQUIRED, SdpReason.SRTP_REQUIRED),
    ],
)
def test_policy(protocol: str, lines: list[str], policy: SrtpPolicy, reason: SdpReason):
    with pytest.raises(NotAcceptable) as caught:
        answered(offer_of((protocol, lines)), LOCAL._replace(srtp=policy))
    assert caught.value.reason is reason


def test_a_new_key_on_either_side_is_a_rekey():
    offer = offer_of(("RTP/SAVP", [CM_80]))
    first = answer_offer(parse_sdp(offer), LOCAL)
    same = answer_offer(parse_sdp(offer), LOCAL._replace(last_body=first.body))
    assert same == first
    rekeyed = offer.replace(KEY.encode(), base64.b64encode(bytes(30)))
    second = answered(rekeyed, LOCAL._replace(last_body=first.body))[0]
    assert second.srtp.remote != first.media.srtp.remote
    assert second.srtp.local == first.media.srtp.local
    third = answered(offer, LOCAL._replace(srtp_secret=SECRET[::-1]))[0]
    assert third.srtp.local != first.media.srtp.local


def test_every_suite_offered_has_a_key_of_its_own():
    offer = make_offer(LOCAL._replace(srtp=SrtpPolicy.REQUIRED))
    assert b"RTP/SAVP" in offer
    keys = [line for line in offer.decode().split("\r\n") if line.startswith("a=crypto")]
    assert len(keys) == len({line.partition("inline:")[2][:20] for line in keys}) == 4


@pytest.mark.parametrize(
    ("protocol", "lines", "reason"),
    [
        ("RTP/SAVP", [CM_80.replace("1 ", "9 ", 1)], SdpReason.ANSWER_MISMATCH),
        ("RTP/SAVP", [GCM.replace("7 ", "1 ", 1)], SdpReason.ANSWER_MISMATCH),
        ("RTP/SAVP", [], SdpReason.NO_CRYPTO),
        ("RTP/AVP", [CM_80], SdpReason.ANSWER_MISMATCH),
        ("RTP/AVP", [], SdpReason.SRTP_REQUIRED),
    ],
)
def test_answers_whose_keys_do_not_fit(protocol: str, lines: list[str], reason: SdpReason):
    local = LOCAL._replace(srtp=SrtpPolicy.REQUIRED)
    with pytest.raises(SdpError) as caught:
        accept_answer(make_offer(local), parse_sdp(offer_of((protocol, lines))), local)
    assert caught.value.reason is reason


def test_no_key_is_in_a_repr():
    media, _ = answered(offer_of(("RTP/SAVP", [CM_80])))
    body = answer_offer(parse_sdp(offer_of(("RTP/SAVP", [CM_80]))), LOCAL).body
    shown = repr(media) + repr(LOCAL._replace(last_body=body))
    for secret in (media.srtp.local.key, media.srtp.remote.key, SECRET):
        assert repr(secret)[2:-1] not in shown
    assert "inline" not in shown and "hidden" in shown


def test_srtp_without_a_secret_is_our_mistake():
    with pytest.raises(ValueError, match="secret"):
        make_offer(LOCAL._replace(srtp_secret=b""))


PIECES = st.sampled_from(
    ["1", "AES_CM_128_HMAC_SHA1_80", f"inline:{KEY}", "|2^20", "|1:4", "WSH=1", " ", ":", ";", "²"]
)


@given(st.lists(PIECES | st.characters(max_codepoint=255), max_size=8).map("".join))
def test_any_text_is_a_line_or_a_reason(text: str):
    assert isinstance(parse_crypto(text), (CryptoLine, SdpReason))


@given(
    st.sampled_from(["RTP/AVP", "RTP/SAVP"]),
    st.lists(st.lists(PIECES | st.text(max_size=3), max_size=8).map("".join), max_size=3),
    st.sampled_from(list(SrtpPolicy)),
)
def test_any_lines_are_answered_or_refused(protocol: str, lines: list[str], policy: SrtpPolicy):
    try:
        answer = answer_offer(parse_sdp(offer_of((protocol, lines))), LOCAL._replace(srtp=policy))
    except SdpError:
        return
    assert answer.media is not None
    assert answer.media.srtp is not None or policy is not SrtpPolicy.REQUIRED
