"""The pool of shards and the media of one call: places, legs, and every way in which they fail."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from ringwheel.media._core import Prompt
from ringwheel.media.codec import PCMA, PCMU
from ringwheel.media.events import LegClosed, LegFigures, LegMedia, PlayOutcome
from ringwheel.media.leg import Leg
from ringwheel.media.pool import ShardPool
from ringwheel.media.ports import NoRtpPort
from ringwheel.media.sdp import Direction, NoCommonCodec, NotAcceptable, SdpError, SdpReason
from ringwheel.media.session import MediaSession

from ..ports import pairs_of
from .test_ports import bind_udp

HOST = "127.0.0.1"
TIMEOUT_S = 20.0


def sdp(port: int = 9, host: str = HOST, formats: str = "0", *attributes: str) -> bytes:
    """An offer or answer with one audio stream."""
    lines = [
        "v=0",
        f"o=- 1 1 IN IP4 {HOST}",
        "s=-",
        f"c=IN IP4 {host}",
        "t=0 0",
        f"m=audio {port} RTP/AVP {formats}",
        *(f"a={attribute}" for attribute in attributes),
    ]
    return "".join(f"{line}\r\n" for line in lines).encode()


def port_of(body: bytes) -> int:
    return int(body.partition(b"m=audio ")[2].split()[0])


def free(port: int) -> bool:
    try:
        bind_udp(HOST, port).close()
    except OSError:
        return False
    return True


@asynccontextmanager
async def pooling(pairs: int = 4, **options: object) -> AsyncIterator[ShardPool]:
    """A pool on ports of its own."""
    settings = {"shards": 1, "max_legs": 8, "rtp_ports": pairs_of(pairs), **options}
    pool = ShardPool(**settings)  # type: ignore[arg-type]
    try:
        yield pool
    finally:
        await pool.close()


def session(pool: ShardPool) -> MediaSession:
    return MediaSession(pool, (PCMU, PCMA), HOST, HOST)


async def closed(leg: Leg) -> LegClosed:
    async with asyncio.timeout(TIMEOUT_S):
        return await leg.closed


# Places


async def test_places_go_to_the_shard_with_the_fewest():
    async with pooling(shards=3, pairs=8) as pool:
        places = [pool.reserve(HOST) for _ in range(3)]
        assert {id(place.table) for place in places} == {id(table) for table in pool.tables}
        pool.give_up(places[1])
        assert pool.reserve(HOST).table is places[1].table


async def test_a_place_keeps_its_port_until_it_is_given_up():
    async with pooling(pairs=1) as pool:
        place = pool.reserve(HOST)
        assert not free(place.port)
        with pytest.raises(NoRtpPort):
            pool.reserve(HOST)
        pool.give_up(place)
        assert free(place.port)
        assert pool.reserve(HOST).port == place.port


async def test_a_closed_leg_gives_its_port_back():
    async with pooling(pairs=1) as pool:
        place = pool.reserve(HOST)
        leg = pool.open(place, LegMedia(HOST, 9))
        assert pool.legs_open == 1
        leg.close()
        assert (await closed(leg)).error == 0
        assert pool.legs_open == 0
        assert free(place.port)
        assert pool.ports.free == 1


async def test_a_leg_tells_how_many_packets_it_has_sent():
    with bind_udp(HOST, 0) as peer:
        async with pooling() as pool:
            leg = pool.open(pool.reserve(HOST), LegMedia(HOST, peer.getsockname()[1]))
            assert leg.packets_sent == 0
            async with asyncio.timeout(TIMEOUT_S):
                await leg.play([Prompt(bytes(3 * 160))])
            assert leg.packets_sent == 3
            leg.close()
            assert (await closed(leg)).figures.packets_sent == leg.packets_sent == 3


@pytest.mark.parametrize(
    ("media", "error"),
    [
        (LegMedia("example.com", 9), ValueError),
        (LegMedia(HOST, 9, ptime_ms=5), OSError),
        (LegMedia(HOST, 9, payload_type=128), OSError),
        (LegMedia(HOST, 9, ptime_ms=60, bytes_per_ts=4), OSError),
    ],
)
async def test_a_leg_that_cannot_be_opened_gives_its_place_up(media, error):
    async with pooling(pairs=1) as pool:
        place = pool.reserve(HOST)
        with pytest.raises(error):
            pool.open(place, media)
        assert free(place.port)
        assert (pool.ports.free, pool.legs_open) == (1, 0)


async def test_more_legs_than_the_shard_has_room_for_are_refused():
    async with pooling(max_legs=1) as pool:
        pool.open(pool.reserve(HOST), LegMedia(HOST, 9))
        with pytest.raises(OSError) as refused:
            pool.open(pool.reserve(HOST), LegMedia(HOST, 9))
        assert refused.value.errno == errno.ENOSPC
        assert pool.ports.free == 3


async def test_shared_sockets_take_a_port_for_each_shard_and_none_for_a_leg():
    async with pooling(shards=2, rtp_sockets="shared") as pool:
        places = [pool.reserve(HOST) for _ in range(4)]
        assert pool.ports.free == 2
        assert sorted(place.port for place in places[:2]) == [places[0].port, places[0].port + 2]
        assert [place.port for place in places[2:]] == [place.port for place in places[:2]]
        for number, place in enumerate(places):
            pool.open(place, LegMedia(HOST, 9 + number))
        assert pool.legs_open == 4


async def test_shards_that_started_before_one_failed_are_ended():
    first, last = pairs_of(2)
    with bind_udp(HOST, first + 2), pytest.raises(NoRtpPort):
        ShardPool(shards=2, max_legs=4, rtp_ports=(first, last), rtp_sockets="shared")
    assert free(first)


async def test_closing_the_pool_closes_every_leg_and_tells():
    async with pooling() as pool:
        legs = [pool.open(pool.reserve(HOST), LegMedia(HOST, 9)) for _ in range(3)]
        playing = legs[0].play([Prompt(bytes(80_000))])
    assert [leg.closed.result().error for leg in legs] == [0, 0, 0]
    assert playing.result().outcome is PlayOutcome.LEG_CLOSED
    assert (pool.legs_open, pool.ports.free) == (0, 4)


# Legs


async def test_a_leg_whose_address_is_taken_says_so():
    async with pooling(rtp_sockets="shared") as pool:
        first, second = (pool.open(pool.reserve(HOST), LegMedia(HOST, 9)) for _ in range(2))
        assert (await closed(second)).error == errno.EADDRINUSE
        assert pool.legs_open == 1
        assert not first.closed.done()


async def test_a_play_that_comes_too_late_for_a_leg_ends_all_the_same():
    async with pooling(rtp_sockets="shared") as pool:
        pool.open(pool.reserve(HOST), LegMedia(HOST, 9))
        doomed = pool.open(pool.reserve(HOST), LegMedia(HOST, 9))
        # The shard closes this leg by itself; its word of it is not read before the play is sent.
        while pool.counters()["legs_closed"] == 0:
            doomed.stop_playing()
        playing = doomed.play([Prompt(bytes(1600))])
        async with asyncio.timeout(TIMEOUT_S):
            ended = await playing
        assert (ended.outcome, ended.played_bytes) == (PlayOutcome.LEG_CLOSED, 0)
        after = await doomed.play([Prompt(bytes(1600))])
        assert after.outcome is PlayOutcome.LEG_CLOSED


async def test_figures_of_a_closed_leg_are_its_last():
    async with pooling() as pool:
        leg = pool.open(pool.reserve(HOST), LegMedia(HOST, 9))
        assert leg.figures() == LegFigures()
        ended = await leg.play([Prompt(bytes(320))])
        assert (ended.outcome, ended.played_bytes) == (PlayOutcome.FINISHED, 320)
        leg.close()
        last = (await closed(leg)).figures
        assert leg.figures() == last
        assert last.packets_sent + last.send_errors >= 2


async def test_a_loop_without_sound_is_refused():
    async with pooling() as pool:
        leg = pool.open(pool.reserve(HOST), LegMedia(HOST, 9))
        for prompts in ([], [Prompt(b""), Prompt(b"")]):
            with pytest.raises(ValueError, match="no sound"):
                leg.play(prompts, loop=True)


# Sessions


async def test_an_answer_agrees_and_the_leg_follows():
    async with pooling() as pool:
        with bind_udp(HOST, 0) as peer:
            media = session(pool)
            body = media.answer(sdp(peer.getsockname()[1], HOST, "8 0"))
            assert media.codec is PCMA
            assert b"m=audio %d RTP/AVP 8\r\n" % port_of(body) in body
            leg = media.open()
            await leg.play([Prompt(b"\x11" * 160)])
            assert peer.recv(2048)[12:] == b"\x11" * 160
            media.close()
            await closed(leg)
            assert free(port_of(body))


BAD_OFFERS = [
    (b"garbage", SdpError, SdpReason.BAD_VERSION),
    (sdp(9, HOST, "18"), NoCommonCodec, SdpReason.NO_COMMON_CODEC),
    (sdp(0), NotAcceptable, SdpReason.NO_AUDIO),
    (sdp(9, "example.com"), NotAcceptable, SdpReason.BAD_ADDRESS),
    (sdp(9, "239.1.1.1"), NotAcceptable, SdpReason.BAD_ADDRESS),
]


@pytest.mark.parametrize(("offer", "error", "reason"), BAD_OFFERS)
async def test_an_offer_that_cannot_be_met_costs_nothing_but_the_call(offer, error, reason):
    async with pooling(pairs=1) as pool:
        media = session(pool)
        with pytest.raises(error) as refused:
            media.answer(offer)
        assert refused.value.reason is reason
        assert media.negotiated is None
        media.close()
        media.close()
        assert pool.ports.free == 1


@pytest.mark.parametrize(("offer", "error", "reason"), [BAD_OFFERS[0], BAD_OFFERS[1]])
async def test_a_second_offer_that_cannot_be_met_changes_nothing(offer, error, reason):
    async with pooling() as pool:
        media = session(pool)
        first = media.answer(sdp(9))
        agreed = media.negotiated
        media.open()
        with pytest.raises(error):
            media.answer(offer)
        assert media.negotiated == agreed
        assert media.answer(sdp(9)) == first  # the version as well (RFC 3264 section 8)


async def test_the_codec_of_the_first_agreement_stays():
    async with pooling() as pool:
        media = session(pool)
        media.answer(sdp(9, HOST, "0 8"))
        media.answer(sdp(9, HOST, "8 0"))
        assert media.codec is PCMU
        with pytest.raises(NoCommonCodec):
            media.answer(sdp(9, HOST, "8"))


async def test_an_offer_of_ours_is_settled_by_its_answer():
    async with pooling() as pool:
        media = session(pool)
        offer = media.offer()
        assert b" RTP/AVP 0 8 101\r\n" in offer
        with pytest.raises(SdpError) as refused:
            media.settle(b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n")
        assert refused.value.reason is SdpReason.ANSWER_MISMATCH
        with pytest.raises(NoCommonCodec):
            media.settle(sdp(9, HOST, "18"))
        assert media.negotiated is None
        media.settle(sdp(9, HOST, "8"))
        assert media.codec is PCMA


HOLDS = [
    (sdp(4000, HOST, "0", "sendonly"), Direction.RECVONLY),
    (sdp(9, HOST, "0", "inactive"), Direction.INACTIVE),
    (sdp(9, "0.0.0.0", "0"), Direction.RECVONLY),
    (sdp(0, HOST, "0"), Direction.INACTIVE),
]


@pytest.mark.parametrize(("hold", "direction"), HOLDS)
async def test_on_hold_the_address_stays_where_it_was(hold, direction):
    async with pooling() as pool:
        media = session(pool)
        media.answer(sdp(4000))
        media.open()
        media.answer(hold)
        held = media.negotiated
        assert held is not None
        assert (held.direction, held.remote_host, held.remote_port) == (direction, HOST, 4000)
        media.answer(sdp(4002))
        assert media.negotiated.direction is Direction.SENDRECV
        assert media.negotiated.remote_port == 4002


async def test_music_on_hold_may_come_from_elsewhere():
    async with pooling() as pool:
        media = session(pool)
        media.answer(sdp(4000))
        media.open()
        media.answer(sdp(4010, "127.0.0.2", "0", "sendonly"))
        held = media.negotiated
        assert held is not None
        assert (held.remote_host, held.remote_port, held.rtcp_port) == ("127.0.0.2", 4010, 4011)


@pytest.mark.parametrize("hold", [HOLDS[0][0], HOLDS[2][0]])
async def test_a_call_may_begin_on_hold(hold):
    async with pooling() as pool:
        with bind_udp(HOST, 0) as peer:
            media = session(pool)
            media.answer(hold)
            leg = media.open()
            playing = leg.play([Prompt(b"\x22" * 160)])
            media.answer(sdp(peer.getsockname()[1]))
            async with asyncio.timeout(TIMEOUT_S):
                await playing
            assert peer.recv(2048)[12:] == b"\x22" * 160


async def test_no_port_is_told_when_the_session_is_made():
    async with pooling(pairs=1) as pool:
        first = session(pool)
        with pytest.raises(NoRtpPort):
            session(pool)
        first.close()
        assert port_of(session(pool).offer()) > 0
