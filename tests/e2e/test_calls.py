"""A call from its INVITE to its end, as its two sides see it: the peer and the handler."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from ringwheel import (
    Call,
    CallEnded,
    EndCause,
    EndedBy,
    Engine,
    ListenError,
    Played,
    PlayOutcome,
    PromptError,
)
from ringwheel.media.session import MediaSession

from ..ports import can_bind, pairs_of
from .client import TIMEOUT_S, udp
from .conftest import address_of, eventually, phoning, serving


async def until_ended(call: Call) -> None:
    """A handler that answers and stays."""
    await call.answer()
    await call.wait_ended()


async def test_a_handler_knows_who_calls_and_what_was_agreed(make_prompt):
    path, _ = make_prompt("a.ulaw", 160)
    seen: list[object] = []

    async def handler(call: Call) -> None:
        seen.extend([call.from_uri, call.call_id, call.codec, call.headers.get("X-Campaign")])
        with pytest.raises(RuntimeError, match="answer the call"):
            await call.play(path)
        await call.answer()
        await call.answer()
        seen.append(call.codec)
        seen.append((await call.play(path)).outcome)
        await call.hangup()
        seen.append(call.figures.packets_sent)

    headers = ("X-Campaign: spring",)
    async with (
        serving(handler) as engine,
        phoning(engine, formats="8 0", invite_headers=headers) as phone,
    ):
        await phone.call()
        await phone.until_bye()
        call_id = phone.call_id
    uri = "sip:caller@127.0.0.1"
    assert seen == [uri, call_id, None, "spring", "PCMA", PlayOutcome.FINISHED, 1]


async def test_an_offer_that_comes_late(make_prompt):
    path, payload = make_prompt("a.ulaw", 480)

    async def handler(call: Call) -> None:
        await call.answer()
        await call.play(path)
        await call.hangup()

    async with serving(handler) as engine, phoning(engine) as phone:
        phone.invite("")
        answer = await phone.response("INVITE")
        phone.send("ACK", phone.offer())
        await phone.until_bye()
        heard = b"".join(packet.payload for packet in phone.waiting_packets())
    assert answer.sdp("m=audio ").split()[1:] == ["RTP/AVP", "0", "8", "101"]
    assert heard == payload


@pytest.mark.parametrize(
    ("acknowledged", "cause"), [("", "carried no answer"), ("v=0\r\n", "o= line")]
)
async def test_a_late_offer_without_a_usable_answer_ends_the_call(acknowledged, cause):
    caused: list[EndCause] = []

    async def handler(call: Call) -> None:
        with pytest.raises(CallEnded) as ended:
            await call.answer()
        caused.append(ended.value.cause)

    async with serving(handler) as engine, phoning(engine) as phone:
        phone.invite("")
        await phone.response("INVITE")
        phone.send("ACK", acknowledged)
        assert cause in (await phone.until_bye()).get("Reason")
    assert caused[0].by is EndedBy.LOCAL


async def test_a_caller_who_gives_up_before_the_answer():
    caused: list[EndCause] = []

    async def handler(call: Call) -> None:
        call.ring()
        caused.append(await call.wait_ended())
        with pytest.raises(CallEnded):
            await call.answer()
        with pytest.raises(CallEnded):
            call.ring()

    async with serving(handler) as engine, phoning(engine) as phone:
        phone.invite()
        assert (await phone.message()).status == 180
        phone.send("CANCEL")
        finals = {m.method: m.status for m in [await phone.message() for _ in range(2)]}
        assert finals == {"CANCEL": 200, "INVITE": 487}
        await eventually(lambda: bool(caused))
        assert engine.snapshot().calls_up == 0
    assert (caused[0].by, caused[0].status) == (EndedBy.REMOTE, 487)


async def test_a_bye_in_mid_prompt(make_prompt):
    path, _ = make_prompt("long.ulaw", 80_000)
    caused: list[EndCause] = []

    async def handler(call: Call) -> None:
        await call.answer()
        with pytest.raises(CallEnded) as ended:
            await call.play(path)
        caused.append(ended.value.cause)
        with pytest.raises(CallEnded):
            await call.play(path)
        assert await call.hangup() == ended.value.cause

    first, last = pairs_of(1)
    async with serving(handler, rtp_ports=(first, last)) as engine:
        for _ in range(2):  # the second call finds the port free again
            async with phoning(engine) as phone:
                answer = await phone.call()
                assert answer.sdp("m=audio ").split()[0] == str(first)
                await phone.packets(3)
                phone.send("BYE", "", 'Reason: Q.850;cause=16;text="enough"')
                assert (await phone.response("BYE")).status == 200
                await eventually(lambda: can_bind(first))
                await eventually(lambda: engine.snapshot().calls_up == 0)
        media = engine.snapshot().media
        assert (media["legs_opened"], media["legs_closed"]) == (2, 2)
    assert [(cause.by, cause.status) for cause in caused] == [(EndedBy.REMOTE, 200)] * 2
    assert "enough" in caused[0].text


async def test_a_call_whose_leg_cannot_be_closed_is_over_all_the_same(monkeypatch):
    close, ended = MediaSession.close, asyncio.Event()

    async def handler(call: Call) -> None:
        with contextlib.suppress(CallEnded):  # the BYE may be here before the answer is through
            await call.answer()
        await call.wait_ended()
        ended.set()

    def close_and_fail(media: MediaSession) -> None:
        close(media)
        raise OSError("the shard's fault")

    monkeypatch.setattr(MediaSession, "close", close_and_fail)
    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.hang_up()
        async with asyncio.timeout(TIMEOUT_S):
            await ended.wait()


async def test_a_handler_may_refuse():
    async def handler(call: Call) -> None:
        call.reject(486)

    async with serving(handler) as engine, phoning(engine) as phone:
        phone.invite()
        assert (await phone.response("INVITE")).start == "SIP/2.0 486 Busy Here"


async def test_no_codec_in_common_is_refused_with_a_warning():
    caused: list[EndCause] = []

    async def handler(call: Call) -> None:
        with pytest.raises(CallEnded) as ended:
            await call.answer()
        caused.append(ended.value.cause)

    ports = pairs_of(1)
    async with serving(handler, rtp_ports=ports) as engine, phoning(engine, formats="18") as phone:
        phone.invite()
        refusal = await phone.response("INVITE")
        await eventually(lambda: can_bind(ports[0]))
    assert refusal.status == 488
    assert refusal.get("Warning") == "305 ringwheel \"no codec in common: '18'\""
    assert caused[0].status == 488


async def test_a_re_invite_that_cannot_be_met_leaves_the_call_as_it_was(make_prompt):
    path, payload = make_prompt("a.ulaw", 3200)

    async def handler(call: Call) -> None:
        await call.answer()
        await call.play(path)
        await call.hangup()

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.packets(2)
        tag = phone.to_tag
        phone.formats = "18"
        phone.invite()
        assert (await phone.response("INVITE")).status == 488
        phone.send("ACK")
        phone.to_tag = tag
        await phone.until_bye()
        heard = b"".join(packet.payload for packet in phone.waiting_packets())
    assert heard == payload[320:]


async def test_a_prompt_that_cannot_be_played_costs_its_call_only(make_prompt, tmp_path):
    good, payload = make_prompt("good.ulaw", 1600)
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF garbage")
    calls: list[Call] = []

    async def handler(call: Call) -> None:
        calls.append(call)
        mine = broken if len(calls) == 1 else good
        await call.answer()
        await call.play(mine)
        await call.hangup()

    async with serving(handler) as engine, phoning(engine) as one, phoning(engine) as other:
        with pytest.raises(PromptError, match="broken.wav"):
            await engine.load(broken)
        await one.call()
        await other.call()
        await one.until_bye()
        await other.until_bye()
        assert one.waiting_packets() == []
        assert b"".join(packet.payload for packet in other.waiting_packets()) == payload


@pytest.mark.parametrize("answered", [True, False])
async def test_a_handler_that_raises_costs_its_call_only(make_prompt, answered):
    path, payload = make_prompt("a.ulaw", 3200)
    calls: list[Call] = []

    async def handler(call: Call) -> None:
        calls.append(call)
        if len(calls) == 2:
            if answered:
                await call.answer()
            raise ZeroDivisionError
        await call.answer()
        await call.play(path)

    async with serving(handler) as engine, phoning(engine) as good, phoning(engine) as bad:
        await good.call()
        await good.packets(1)
        if answered:
            await bad.call()
            await bad.until_bye()
        else:
            bad.invite()
            assert (await bad.response("INVITE")).status == 480
        await good.until_bye()  # a handler that returns hangs up as well
        heard = b"".join(packet.payload for packet in good.waiting_packets())
    assert heard == payload[160:]


async def test_one_call_more_than_allowed_is_refused_until_one_has_ended():
    async with (
        serving(until_ended, max_calls=2) as engine,
        phoning(engine) as one,
        phoning(engine) as two,
        phoning(engine) as three,
        phoning(engine) as four,
    ):
        await one.call()
        await two.call()
        three.invite()
        refusal = await three.response("INVITE")
        assert refusal.status == 503
        assert int(refusal.get("Retry-After")) > 0
        assert "limit" in refusal.get("Warning")
        await one.hang_up()
        await four.call()
        assert engine.snapshot().calls_up == 2


async def test_a_call_without_an_rtp_port_is_refused_with_the_range():
    first, last = pairs_of(1)
    async with (
        serving(until_ended, rtp_ports=(first, last), max_calls=2) as engine,
        phoning(engine) as one,
        phoning(engine) as two,
    ):
        await one.call()
        two.invite()
        refusal = await two.response("INVITE")
    assert refusal.status == 503
    expected = f'399 ringwheel "every RTP port of {first}-{last} is in use"'
    assert refusal.get("Warning") == expected


async def test_calls_are_spread_over_shards_and_ports_are_announced_as_bound(make_prompt):
    path, payload = make_prompt("a.ulaw", 800)

    async def handler(call: Call) -> None:
        await call.answer()
        await call.play(path)
        await call.wait_ended()

    async with (
        serving(handler, shards=3) as engine,
        phoning(engine) as one,
        phoning(engine) as two,
        phoning(engine) as three,
    ):
        for phone in (one, two, three):
            answer = await phone.call()
            packets = await phone.packets(5)
            assert b"".join(packet.payload for packet in packets) == payload
            port = int(answer.sdp("m=audio ").split()[0])
            assert port % 2 == 0
            assert {packet.source for packet in packets} == {("127.0.0.1", port)}
        assert [lateness.count for lateness in engine.snapshot().lateness_us] == [5, 5, 5]


# Draining and shutting down


async def test_a_drain_refuses_new_calls_and_lets_running_ones_end(make_prompt):
    path, payload = make_prompt("a.ulaw", 4000)

    async def handler(call: Call) -> None:
        await call.answer()
        await call.play(path)
        await call.hangup()

    async with serving(handler) as engine, phoning(engine) as running, phoning(engine) as late:
        await running.call()
        await running.packets(1)
        drained = asyncio.create_task(engine.drain(60))
        await asyncio.sleep(0)
        assert engine.snapshot().draining
        late.invite()
        refusal = await late.response("INVITE")
        assert refusal.status == 503
        assert int(refusal.get("Retry-After")) > 0
        await running.until_bye()
        assert await drained
        heard = b"".join(packet.payload for packet in running.waiting_packets())
    assert heard == payload[160:]


async def test_a_drain_that_runs_out_of_time_cuts_the_calls(make_prompt):
    path, _ = make_prompt("a.ulaw", 800)
    caused: list[EndCause] = []

    async def handler(call: Call) -> None:
        await call.answer()
        with pytest.raises(CallEnded) as ended:
            await call.play(path, loop=True)
        caused.append(ended.value.cause)

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.packets(1)
        assert not await engine.drain(0)
        assert "shutting down" in (await phone.until_bye()).get("Reason")
    assert caused[0].by is EndedBy.LOCAL


@pytest.mark.parametrize("peer_hangs_up", [True, False])
async def test_a_handler_that_does_not_look_up_cannot_hold_the_shutdown(peer_hangs_up):
    ended: list[str] = []
    deaf = asyncio.Event()

    async def handler(call: Call) -> None:
        await call.answer()
        deaf.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(call.call_id)

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        await deaf.wait()
        if peer_hangs_up:
            await phone.hang_up()
        assert not await engine.drain(0)
        if not peer_hangs_up:
            await phone.until_bye()
    assert ended == [phone.call_id]


async def test_a_handler_may_finish_its_work_after_the_call():
    written: list[EndCause] = []
    up, paper = asyncio.Event(), asyncio.Event()

    async def handler(call: Call) -> None:
        await call.answer()
        up.set()
        cause = await call.wait_ended()
        await paper.wait()
        written.append(cause)

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        await up.wait()
        await phone.hang_up()
        drained = asyncio.create_task(engine.drain(60))
        await asyncio.sleep(0)
        assert not drained.done()
        paper.set()
        assert await drained
    assert len(written) == 1


async def test_leaving_the_engine_ends_every_call(make_prompt):
    path, _ = make_prompt("a.ulaw", 800)
    outcomes: list[EndCause] = []

    async def handler(call: Call) -> None:
        await call.answer()
        try:
            await call.play(path, loop=True)
        except CallEnded as ended:
            outcomes.append(ended.cause)

    ports = pairs_of(4)
    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        async with Engine(["udp:127.0.0.1:0"], rtp_ports=ports) as engine:
            tasks.create_task(engine.serve(handler))
            await asyncio.sleep(0)
            phone = await stack.enter_async_context(phoning(engine))
            await phone.call()
            await phone.packets(1)
            held = [*range(ports[0], ports[1] + 1), address_of(engine)[1]]
        await phone.until_bye()
        assert all(map(can_bind, held))
    assert outcomes[0].by is EndedBy.LOCAL


async def test_serving_that_is_cancelled_ends_its_calls():
    async with Engine(["udp:127.0.0.1:0"], rtp_ports=pairs_of(2)) as engine:
        served = asyncio.create_task(engine.serve(until_ended))
        await asyncio.sleep(0)
        async with phoning(engine) as phone, phoning(engine) as late:
            await phone.call()
            served.cancel()
            await phone.until_bye()
            with pytest.raises(asyncio.CancelledError):
                await served
            late.invite()
            refusal = await late.response("INVITE")
            assert (refusal.status, refusal.get("Retry-After")) == (503, "1")


# Mistakes of whoever starts it


async def test_a_port_in_use_is_told_in_one_line():
    with udp("127.0.0.1") as holder:
        port = holder.getsockname()[1]
        free = udp("127.0.0.1")
        other = free.getsockname()[1]
        free.close()
        with pytest.raises(ListenError, match=f"udp:127.0.0.1:{port}: the port is in use"):
            async with Engine([f"udp:127.0.0.1:{other}", f"udp:127.0.0.1:{port}"]):
                pytest.fail("it started")
        assert can_bind(other)  # the first listener was closed again


async def test_no_port_for_shared_sockets_leaves_nothing_behind():
    first, last = pairs_of(2)
    with udp("127.0.0.1", first + 2):
        engine = Engine(
            ["udp:127.0.0.1:0"], rtp_ports=(first, last), rtp_sockets="shared", shards=2
        )
        with pytest.raises(ListenError, match=f"every RTP port of {first}-{last} is in use"):
            async with engine:
                pytest.fail("it started")
    assert can_bind(first)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rtp_ports": (80, 90)}, "RTP ports 80-90"),
        ({"rtp_ports": (30_000, 30_000)}, "RTP ports 30000-30000"),
        ({"rtp_ports": (30_001, 30_002)}, "RTP ports 30001-30002"),
        ({"shards": 0}, "at least one shard"),
        ({"max_calls": 0}, "at least one shard and one call"),
        ({"sip_gather_ms": 101}, "sip_gather_ms: 101; use 0 to 100"),
        ({"sip_gather_ms": -1}, "sip_gather_ms: -1; use 0 to 100"),
        ({"max_calls": 2_000_000}, "calls"),
        ({"sip": []}, "at least one listener"),
        ({"codecs": ["gsm"]}, "there is no codec 'gsm'"),
        ({"codec_order": "mine"}, "codec_order: 'mine'; use one of caller, own"),
        (
            {"sip": ["udp:127.0.0.1:0", "udp:127.0.0.2:0"], "rtp_sockets": "shared"},
            "shared RTP sockets need one address",
        ),
    ],
)
def test_figures_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Engine(**options)


async def test_a_played_prompt_says_how_long_it_was(make_prompt):
    path, _ = make_prompt("a.ulaw", 1001)
    played: list[Played] = []

    async def handler(call: Call) -> None:
        await call.answer()
        played.append(await call.play(path, path))
        await call.hangup()

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.until_bye()
    assert played == [Played(PlayOutcome.FINISHED, 2002 / 8)]
