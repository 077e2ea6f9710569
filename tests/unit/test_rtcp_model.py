"""RTCP composed and read, and the E-model, against the standards written down in Python."""

from __future__ import annotations

import errno
import math
import struct

from hypothesis import example, given, settings
from hypothesis import strategies as st
from ringwheel._testcore import ffi, lib

OWN, PEER, ELSE = 0x1111_1111, 0x2222_2222, 0x3333_3333
ssrcs = st.sampled_from([OWN, PEER, ELSE])
u32 = st.integers(0, 2**32 - 1)
senders = st.tuples(st.integers(0, 2**64 - 1), u32, u32, u32)
blocks = st.tuples(ssrcs, st.integers(0, 255), st.integers(-(2**23), 2**23 - 1), u32, u32, u32, u32)
SENDER_FIELDS = ("ntp", "timestamp", "packets", "bytes")
BLOCK_FIELDS = (
    "ssrc",
    "fraction_lost",
    "cumulative_lost",
    "highest_sequence",
    "jitter_ts",
    "lsr",
    "dlsr",
)


def values(made, names) -> tuple[int, ...]:
    return tuple(getattr(made, name) for name in names)


def packet(kind: int, count: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def sender_bytes(sender) -> bytes:
    return struct.pack("!QIII", *sender)


def block_bytes(block) -> bytes:
    ssrc, fraction, lost, *rest = block
    return (
        struct.pack("!IB", ssrc, fraction)
        + (lost % 2**24).to_bytes(3, "big")
        + struct.pack("!IIII", *rest)
    )


def parse(data: bytes):
    # A copy of its own, to the byte: sanitizers see any look beyond it.
    datagram = ffi.new("uint8_t[]", data or b"\0")
    heard = ffi.new("rw_rtcp_heard *")
    return lib.rw_rtcp_parse(datagram, len(data), OWN, PEER, heard), heard


@given(
    ssrc=u32,
    sender=st.none() | senders,
    block=st.none() | blocks,
    cname=st.binary(max_size=258),
    bye=st.booleans(),
    spare=st.integers(-4, 4),
)
def test_a_report_is_written_as_the_rfc_has_it(ssrc, sender, block, cname, bye, spare):
    head = struct.pack("!I", ssrc)
    expected = packet(
        200 if sender else 201,
        1 if block else 0,
        head + (sender_bytes(sender) if sender else b"") + (block_bytes(block) if block else b""),
    )
    item = bytes([1, len(cname) % 256]) + cname
    expected += packet(202, 1, head + item + bytes(4 - len(item) % 4))
    expected += packet(203, 1, head) if bye else b""

    report = ffi.new("rw_rtcp_report *")
    kept = [ffi.new("char[]", cname or b"\0")]
    report.ssrc, report.bye = ssrc, bye
    report.cname, report.cname_bytes = kept[0], len(cname)
    if sender:
        kept.append(ffi.new("rw_sender_info *", dict(zip(SENDER_FIELDS, sender, strict=True))))
        report.sender = kept[-1]
    if block:
        kept.append(ffi.new("rw_report_block *", dict(zip(BLOCK_FIELDS, block, strict=True))))
        report.block = kept[-1]
    room = ffi.new("uint8_t[]", len(expected) + 4)
    size = lib.rw_rtcp_compose(room, len(expected) + spare, report)
    if not 1 <= len(cname) <= 255:
        assert size == -errno.EINVAL
    elif spare < 0:
        assert size == -errno.ENOSPC
    else:
        assert size == len(expected) <= lib.RW_RTCP_MAX_BYTES
        assert bytes(ffi.buffer(room, size)) == expected


reports = st.builds(
    lambda ssrc, sender, told, extra: (ssrc, sender, told, extra),
    ssrcs,
    st.none() | senders,
    st.lists(blocks, max_size=31),
    st.sampled_from([b"", b"more"]),
)
goodbyes = st.lists(ssrcs, max_size=31)
others = st.tuples(st.sampled_from([192, 202, 204, 205, 206, 207, 223]), st.integers(0, 6))


@given(parts=st.lists(st.one_of(reports, goodbyes, others), min_size=1, max_size=5))
def test_what_is_about_us_is_found_in_any_compound(parts):
    data, last_sender, last_block, bye, skipped = b"", None, None, False, 0
    for part in parts:
        if isinstance(part, list):
            data += packet(203, len(part), b"".join(struct.pack("!I", ssrc) for ssrc in part))
            bye = bye or PEER in part
        elif len(part) == 2:
            data += packet(part[0], 3, bytes(4 * part[1]))
            skipped += 1
        else:
            ssrc, sender, told, extra = part
            body = struct.pack("!I", ssrc) + (sender_bytes(sender) if sender else b"")
            body += b"".join(map(block_bytes, told)) + extra
            data += packet(200 if sender else 201, len(told), body)
            last_sender = (ssrc, sender) if sender else last_sender
            mine = [block for block in told if block[0] == OWN]
            last_block = (ssrc, mine[-1]) if mine else last_block
    reject, heard = parse(data)
    assert reject == lib.RW_RTCP_OK
    assert lib.rw_rtcp_is(ffi.from_buffer(data), len(data))
    assert (heard.bye, heard.skipped) == (bye, skipped)
    assert heard.has_sender == (last_sender is not None)
    if last_sender:
        assert (heard.sender_ssrc, values(heard.sender, SENDER_FIELDS)) == last_sender
    assert heard.has_block == (last_block is not None)
    if last_block:
        assert (heard.block_from, values(heard.block, BLOCK_FIELDS)) == last_block


tails = st.sampled_from([b"", b"", *(bytes([0, 0, 0, last]) for last in (0, 3, 4, 6, 8, 255))])
near_rtcp = st.lists(
    st.builds(
        lambda first, kind, body, slack: (
            bytes([0x80 | first, kind, 0, max(0, len(body) // 4 + slack)]) + body
        ),
        st.sampled_from([0, 1, 2, 0x20, 0x21, 0x3F]),
        st.one_of(st.integers(200, 207), st.integers(190, 225)),
        st.builds(lambda words, tail: bytes(4 * words) + tail, st.integers(0, 16), tails),
        st.sampled_from([0, 0, 0, -1, 1]),
    ),
    max_size=4,
).map(b"".join)


def fault_of_head(data: bytes) -> int:
    """Why the first packet of ``data`` cannot be cut out."""
    if data[0] >> 6 != 2:
        return lib.RW_RTCP_BAD_VERSION
    if not 192 <= data[1] <= 223:
        return lib.RW_RTCP_BAD_TYPE
    fits = 4 * (int.from_bytes(data[2:4], "big") + 1) <= len(data)
    return lib.RW_RTCP_OK if fits else lib.RW_RTCP_BAD_LENGTH


def fault_of_body(kind: int, count: int, body_bytes: int) -> int:
    """Why a packet has no room for what it says it has."""
    if kind in {200, 201} and body_bytes < (24 if kind == 200 else 4) + 24 * count:
        return lib.RW_RTCP_BAD_REPORT
    if kind == 203 and body_bytes < 4 * count:
        return lib.RW_RTCP_BAD_BYE
    return lib.RW_RTCP_OK


def reads(data: bytes) -> int:
    """The reject reason of RFC 3550 sections 6.4 and A.2, RFC 5506 and RFC 5761."""
    if len(data) < 4 or len(data) % 4:
        return lib.RW_RTCP_TOO_SHORT
    fault = lib.RW_RTCP_OK
    while data and not fault:
        fault = fault_of_head(data)
        if fault:
            return fault
        end = 4 * (int.from_bytes(data[2:4], "big") + 1)
        body, rest = data[4:end], data[end:]
        if data[0] & 0x20:
            padding = body[-1] if body and not rest else 0
            if padding == 0 or padding % 4 or padding > len(body):
                return lib.RW_RTCP_BAD_PADDING
            body = body[:-padding]
        fault = fault_of_body(data[1], data[0] & 31, len(body))
        data = rest
    return fault


@settings(max_examples=1500)
@given(data=st.one_of(near_rtcp, st.binary(max_size=100)))
def test_malformed_rtcp_is_refused_by_the_first_fault(data):
    assert parse(data)[0] == reads(data)


@given(sent_us=st.integers(0, 10**9), rtt_us=st.integers(0, 10**8), held_us=st.integers(0, 10**8))
def test_round_trip_time_of_an_honest_peer(sent_us, rtt_us, held_us):
    def ntp(us: int) -> int:
        return (us << 32) // 10**6

    block = ffi.new("rw_report_block *")
    block.lsr = ntp(10**12 + sent_us) >> 16 & 0xFFFF_FFFF
    block.dlsr = held_us * 65536 // 10**6
    told_us = lib.rw_rtcp_rtt_us(block, ntp(10**12 + sent_us + rtt_us + held_us))
    if block.lsr == 0:
        assert told_us == -errno.ENODATA
    elif rtt_us > 60_000_100:
        assert told_us == -errno.ERANGE
    elif rtt_us < 59_999_900:
        assert abs(told_us - rtt_us) <= 50


@given(lsr=u32, dlsr=u32, now=st.integers(0, 2**64 - 1))
def test_no_lie_makes_a_round_trip_of_more_than_a_minute(lsr, dlsr, now):
    block = ffi.new("rw_report_block *", {"lsr": lsr, "dlsr": dlsr})
    assert lib.rw_rtcp_rtt_us(block, now) <= 60_000_000


# The E-model of ITU-T G.107 with the default values of its table 2, formula by formula.

SLR, RLR, STMR, LSTR, DS, TELR, WEPL, QDU, NC, NFOR, PS, PR = (
    8,
    2,
    15,
    18,
    3,
    65,
    110,
    1,
    -70,
    -64,
    35,
    35,
)
BPL = {
    lib.RW_QUALITY_G711: 4.3,
    lib.RW_QUALITY_G711_PLC: 25.1,
    lib.RW_QUALITY_G722: 4.3,
    lib.RW_QUALITY_G722_PLC: 25.1,
    lib.RW_QUALITY_L16: 4.3,
    lib.RW_QUALITY_L16_PLC: 25.1,
    lib.RW_QUALITY_OPUS: 10.0,
}


def noise() -> float:
    """No: all noise sources at the 0 dBr point."""
    nos = PS - SLR - DS - 100 + 0.004 * (PS - SLR - RLR - DS - 14) ** 2
    pre = PR + 10 * math.log10(1 + 10 ** ((10 - LSTR) / 10))
    nor = RLR - 121 + pre + 0.008 * (pre - 35) ** 2
    return 10 * math.log10(sum(10 ** (level / 10) for level in (NC, nos, nor, NFOR + RLR)))


def simultaneous(ro: float, delay_ms: float) -> float:
    """Is: loudness, sidetone and quantisation."""
    x = SLR + RLR + 0.2 * (64 + noise() - RLR)
    loudness = 20 * ((1 + (x / 8) ** 8) ** (1 / 8) - x / 8)
    masked = -10 * math.log10(10 ** (-STMR / 10) + math.exp(-delay_ms / 4) * 10 ** (-TELR / 10))
    sidetone = 12 * (1 + ((masked - 13) / 6) ** 8) ** (1 / 8)
    sidetone -= 28 * (1 + ((masked + 1) / 19.4) ** 35) ** (1 / 35)
    sidetone -= 13 * (1 + ((masked - 3) / 33) ** 13) ** (1 / 13) - 29
    q = 37 - 15 * math.log10(QDU)
    g = 1.07 + 0.258 * q + 0.0602 * q * q
    y, z = (ro - 100) / 15 + 46 / 8.4 - g / 9, 46 / 30 - g / 40
    return loudness + sidetone + 15 * math.log10(1 + 10**y + 10**z)


def delay_impairment(ro: float, delay_ms: float) -> float:
    """Id: echo to the talker, echo to the listener, and absolute delay."""
    terv = TELR - 40 * math.log10((1 + delay_ms / 10) / (1 + delay_ms / 150))
    terv += 6 * math.exp(-0.3 * delay_ms**2)
    half = (-1.5 * (noise() - RLR) - 80 - 2.5 * (terv - 14)) / 2
    talker = (half + math.sqrt(half**2 + 100) - 1) * (1 - math.exp(-delay_ms))
    half = (ro - 10.5 * (WEPL + 7) * (2 * delay_ms + 1) ** -0.25) / 2
    listener = half + math.sqrt(half**2 + 169)
    if delay_ms <= 100:
        return talker + listener
    x = math.log(delay_ms / 100) / math.log(2)
    return talker + listener + 25 * ((1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2)


def rating(codec: int, loss_percent: float, bursts: float, delay_ms: float) -> float:
    ro = 15 - 1.5 * (SLR + noise())
    equipment = 95 * loss_percent / (loss_percent / bursts + BPL[codec])
    r = ro - simultaneous(ro, delay_ms) - delay_impairment(ro, delay_ms) - equipment
    return min(100.0, max(0.0, r))


@given(
    codec=st.sampled_from(sorted(BPL)),
    loss=st.floats(0, 1),
    bursts=st.floats(1, 20),
    rtt_us=st.integers(0, 4_000_000),
    buffer_us=st.integers(0, 500_000),
)
@example(codec=lib.RW_QUALITY_G711, loss=0.0, bursts=1.0, rtt_us=0, buffer_us=0)
def test_quality_is_that_of_the_e_model(codec, loss, bursts, rtt_us, buffer_us):
    told = lib.rw_quality_rate(
        ffi.new("rw_quality_input *", (codec, loss, bursts, rtt_us, buffer_us))
    )
    r = rating(codec, 100 * loss, bursts, (rtt_us / 2 + buffer_us) / 1000)
    assert abs(told.rating - r) < 0.01
    # Annex B; the curve leaves 1 only beyond 6.5
    mos = max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)
    assert abs(told.mos - mos) < 0.001
    if loss == 0 and rtt_us == buffer_us == 0:
        assert (round(told.rating, 1), round(told.mos, 2)) == (93.2, 4.41)
