"""The engine over real sockets, called by an independent client (A5, A7)."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import itertools
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import ringwheel
import soundfile
import uvloop
from ringwheel.media.codec import codec_by_name
from ringwheel.media.prompt import encode_sound, read_sound

_spec = importlib.util.spec_from_file_location("e2e_client", Path(__file__).with_name("client.py"))
client_module = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = client_module
_spec.loader.exec_module(client_module)
Client = client_module.Client


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def event_loop_policy(request):
    if request.param == "uvloop":
        return uvloop.EventLoopPolicy()
    return asyncio.DefaultEventLoopPolicy()


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    """Three short noises whose lengths are no multiples of 160 samples."""
    folder = tmp_path_factory.mktemp("prompts")
    files = []
    for number, samples in enumerate((1003, 777, 2011)):
        noise = np.random.default_rng(number).normal(0, 4000, samples)
        files.append(folder / f"{number}.wav")
        soundfile.write(files[-1], noise.clip(-32768, 32767).astype(np.int16), 8000)
    return files


def payload_of(files, codec="pcmu"):
    """What the files are on the wire."""
    return b"".join(encode_sound(read_sound(file), codec_by_name(codec)).payload for file in files)


class Running:
    """An engine that serves, and what there was before it."""

    def __init__(self, engine, task):
        self.engine = engine
        self.task = task

    @property
    def target(self):
        host, _, port = self.engine.addresses[0].rpartition(":")
        return host.strip("[]"), int(port)

    def client(self, **options):
        return Client(self.target, **options)


class serving:
    """``async with serving(handler, **options) as running``; checks that nothing is left over."""

    def __init__(self, handler, **options):
        self.handler = handler
        self.options = {"sip": ["udp:127.0.0.1:0"], "rtp_ports": (30000, 30400)} | options

    async def __aenter__(self):
        self.files = len(list(Path("/proc/self/fd").iterdir()))
        self.engine = ringwheel.Engine(**self.options)
        await self.engine.__aenter__()
        self.free = self.engine._pool.ports.free
        self.task = asyncio.create_task(self.engine.serve(self.handler))
        await asyncio.sleep(0)
        return Running(self.engine, self.task)

    async def __aexit__(self, *error):
        if error[0] is None:
            await self.engine.drain(5)
            await self.task
            async with asyncio.timeout(5):  # the last legs close a little after their calls
                while self.engine._pool.legs_open:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            assert self.engine._pool.ports.free == self.free
        else:
            self.task.cancel()
        await self.engine.__aexit__(*error)
        if error[0] is None:
            gc.collect()
            # A stopped shard keeps its epoll and two eventfds until the engine is forgotten.
            assert len(list(Path("/proc/self/fd").iterdir())) <= self.files + 3
            assert not [o for o in gc.get_objects() if type(o) is ringwheel.Call]


def assert_continuous(packets, samples=160):
    """Markers, sequence and timestamps of one unbroken talkspurt."""
    assert [packet.marker for packet in packets] == [True] + [False] * (len(packets) - 1)
    first = packets[0]
    for number, packet in enumerate(packets):
        assert packet.sequence == (first.sequence + number) % 2**16
        assert packet.timestamp == (first.timestamp + number * samples) % 2**32
        assert packet.ssrc == first.ssrc


@pytest.mark.parametrize("codec", ["pcmu", "pcma"])
@pytest.mark.parametrize("ptime", [None, 10, 30, 40, 60])
async def test_three_prompts_are_one_stream_to_the_last_sample(prompts, codec, ptime):
    async def greet(call):
        await call.answer()
        assert call.codec == codec.upper()
        played = await call.play(*prompts)
        assert (played.outcome, played.played_ms) == ("finished", len(payload_of(prompts)) / 8)
        await call.hangup()

    async with serving(greet) as running:
        offer = {"pcmu": "0", "pcma": "8"}[codec]
        with running.client(offer_codecs=offer, ptime=ptime) as caller:
            answer = await caller.invite()
            assert answer.status == 200
            await caller.wait_bye()
            packets = caller.heard()
    samples = 8 * (ptime or 20)
    assert_continuous(packets, samples)
    assert {packet.payload_type for packet in packets} == {int(offer)}
    wanted = payload_of(prompts, codec)
    silence = codec_by_name(codec).silence
    padding = bytes([silence]) * (-len(wanted) % samples)
    assert b"".join(packet.payload for packet in packets) == wanted + padding


async def test_plays_in_a_row_leave_no_slot_out(prompts):
    async def greet(call):
        await call.answer()
        for prompt in prompts:
            await call.play(prompt)
        await call.hangup()

    async with serving(greet) as running:
        with running.client() as caller:
            await caller.invite()
            await caller.wait_bye()
            packets = caller.heard()
    # A busy machine may wake Python too late for the next slot: then the timestamp says so.
    assert len(packets) == sum(-(-len(payload_of([prompt])) // 160) for prompt in prompts)
    gaps = [b.timestamp - a.timestamp for a, b in itertools.pairwise(packets)]
    assert all(gap % 2**32 % 160 == 0 for gap in gaps)


async def test_loop_replace_pause_and_stop(prompts):
    steps = asyncio.Queue()

    async def drive(call):
        await call.answer()
        async with asyncio.TaskGroup() as tasks:
            looping = tasks.create_task(call.play(prompts[1], loop=True))
            assert await steps.get() == "replace"
            replacing = tasks.create_task(call.play(prompts[2], loop=True, replace=True))
            assert (await looping).outcome == "replaced"
            assert await steps.get() == "pause"
            call.pause()
            assert await steps.get() == "resume"
            call.resume()
            assert await steps.get() == "stop"
            call.stop_playing()
            assert (await replacing).outcome == "stopped"
        await call.hangup()

    async with serving(drive) as running:
        with running.client() as caller:
            await caller.invite()
            first = await caller.hear(12)
            looped = payload_of(prompts[1:2]) * 3
            assert b"".join(packet.payload for packet in first) == looped[: 12 * 160]
            await steps.put("replace")
            other = payload_of(prompts[2:])
            async with asyncio.timeout(5):
                while (await caller.hear(1))[0].payload != other[:160]:
                    pass
            await steps.put("pause")
            await steps.put("resume")
            await caller.hear(2)
            await steps.put("stop")
            await caller.wait_bye()


@pytest.mark.parametrize("hold", ["sendonly", "inactive", "0.0.0.0"])
async def test_hold_keeps_the_place_and_resumes_at_a_new_address(prompts, hold):
    async def greet(call):
        await call.answer()
        await call.play(prompts[2], loop=True)

    async with serving(greet) as running:
        with running.client() as caller, running.client() as moved:
            await caller.invite()
            before = await caller.hear(3)
            address = hold if hold == "0.0.0.0" else None
            caller.direction = "sendrecv" if address else hold
            answer = await caller.invite(caller.sdp(address=address, version=2))
            wanted = {"sendonly": "recvonly", "inactive": "inactive", "0.0.0.0": "recvonly"}[hold]
            assert f"a={wanted}" in answer.body
            caller.direction = "sendrecv"
            old_rtp, caller.rtp = caller.rtp, moved.rtp
            assert (await caller.invite(caller.sdp(version=3))).status == 200
            after = await caller.hear(3)
            caller.rtp = old_rtp
            heard = before + caller.heard() + after
            sound = payload_of(prompts[2:]) * 3
            assert b"".join(packet.payload for packet in heard) == sound[: len(heard) * 160]
            assert after[0].ssrc == before[0].ssrc
            assert (await caller.bye()).status == 200


async def test_late_offer(prompts):
    async def greet(call):
        await call.answer()
        await call.play(prompts[0])
        await call.hangup()

    async with serving(greet) as running:
        with running.client() as caller:
            answer = await caller.invite("", ack_body=caller.sdp())
            assert "m=audio" in answer.body
            await caller.wait_bye()
            assert b"".join(p.payload for p in caller.heard())[:1003] == payload_of(prompts[:1])


async def test_cancel_before_the_answer():
    ended = asyncio.Queue()

    async def ponder(call):
        call.ring()
        ended.put_nowait(await call.wait_ended())

    async with serving(ponder) as running:
        with running.client() as caller:
            branch = caller.send("INVITE", caller.sdp())
            while (await caller.receive()).status != 180:
                pass
            caller.send("CANCEL", cseq=1, branch=branch)
            statuses = {(await caller.final()).status, (await caller.final()).status}
            caller.send("ACK", cseq=1, branch=branch)
            assert statuses == {200, 487}
            assert (await ended.get()).by == ringwheel.EndedBy.REMOTE


async def test_a_caller_who_hangs_up_in_mid_prompt_ends_the_handler(prompts):
    ended = asyncio.Queue()

    async def greet(call):
        await call.answer()
        try:
            await call.play(*prompts, loop=True)
        except ringwheel.CallEnded as error:
            ended.put_nowait(error.cause)
            raise

    async with serving(greet) as running:
        with running.client() as caller:
            await caller.invite()
            await caller.hear(3)
            assert (await caller.bye()).status == 200
            cause = await asyncio.wait_for(ended.get(), 5)
            assert (cause.by, cause.status) == (ringwheel.EndedBy.REMOTE, 200)


async def test_a_missing_prompt_costs_its_call_and_is_told_by_load(prompts, tmp_path):
    async def greet(call):
        await call.answer()
        await call.play(tmp_path / "missing.wav")

    async with serving(greet) as running:
        with running.client() as caller:
            await caller.invite()
            await caller.wait_bye()
        with pytest.raises(ringwheel.PromptError, match=r"missing\.wav"):
            await running.engine.load(tmp_path / "missing.wav")
        assert running.engine.snapshot().calls_up == 0


async def test_no_common_codec_is_488_with_a_warning():
    async def greet(call):
        await call.answer()

    async with serving(greet) as running:
        with running.client(offer_codecs="18") as caller:
            answer = await caller.invite()
            assert answer.status == 488
            assert answer.header("Warning").startswith("305 ")


async def test_one_call_too_many_is_503_with_retry_after():
    async def hold(call):
        await call.answer()
        await call.wait_ended()

    async with serving(hold, max_calls=2) as running:
        callers = [running.client() for _ in range(3)]
        answers = [await caller.invite() for caller in callers]
        assert [answer.status for answer in answers] == [200, 200, 503]
        assert int(answers[2].header("Retry-After")) > 0
        assert (await callers[0].bye()).status == 200
        with running.client() as another:
            assert (await another.invite()).status == 200
            assert (await another.bye()).status == 200
        assert (await callers[1].bye()).status == 200
        for caller in callers:
            caller.close()


async def test_draining_refuses_new_calls_and_cuts_those_that_stay():
    async def hold(call):
        await call.answer()
        await call.wait_ended()

    async with serving(hold) as running:
        with running.client() as caller, running.client() as late:
            await caller.invite()
            draining = asyncio.create_task(running.engine.drain(0.3))
            await asyncio.sleep(0)
            answer = await late.invite()
            assert (answer.status, bool(answer.header("Retry-After"))) == (503, True)
            assert "shutting down" in (await caller.wait_bye()).header("Reason")
            assert await draining is False


async def test_ipv6_and_silence_between_prompts(prompts):
    async def greet(call):
        await call.answer()
        await call.wait_ended()

    async with serving(greet, sip=["udp:[::1]:0"], silence="send") as running:
        with running.client(host="::1") as caller:
            assert "c=IN IP6 ::1" in (await caller.invite()).body
            packets = await caller.hear(5)
            assert_continuous(packets)
            assert {packet.payload for packet in packets} == {b"\xff" * 160}
            assert (await caller.bye()).status == 200


async def test_shared_socket_serves_two_callers_from_one_port(prompts):
    async def greet(call):
        await call.answer()
        await call.play(*prompts)
        await call.hangup()

    async with serving(greet, rtp_sockets="shared") as running:
        with running.client() as one, running.client() as other:
            ports = set()
            for caller in (one, other):
                body = (await caller.invite()).body
                ports.add(body.partition("m=audio ")[2].split(" ")[0])
            assert len(ports) == 1
            for caller in (one, other):
                await caller.wait_bye()
                heard = b"".join(packet.payload for packet in caller.heard())
                assert heard[: len(payload_of(prompts))] == payload_of(prompts)


async def test_a_caller_whose_port_is_closed_disturbs_nobody(prompts):
    async def greet(call):
        await call.answer()
        await call.play(*prompts)
        await call.hangup()

    async with serving(greet) as running:
        with running.client() as deaf, running.client() as caller:
            body = deaf.sdp()
            deaf.rtp.close()
            await deaf.invite(body)
            await caller.invite()
            for hearing in (deaf, caller):
                await hearing.wait_bye()
            assert len(caller.heard()) == -(-len(payload_of(prompts)) // 160)
        assert running.engine.snapshot().media["send_refused"] > 0


async def test_threads_do_not_grow_with_calls():
    async def hold(call):
        await call.answer()
        await call.wait_ended()

    async with serving(hold) as running:
        before = threading.active_count(), len(list(Path("/proc/self/task").iterdir()))
        callers = [running.client() for _ in range(50)]
        for caller in callers:
            assert (await caller.invite()).status == 200
        assert (threading.active_count(), len(list(Path("/proc/self/task").iterdir()))) == before
        for caller in callers:
            assert (await caller.bye()).status == 200
            caller.close()


async def test_a_port_in_use_names_cause_and_remedy():
    async def never(call):
        raise AssertionError

    async with serving(never) as running:
        taken = f"udp:127.0.0.1:{running.target[1]}"
        with pytest.raises(ringwheel.ListenError, match="port is in use"):
            async with ringwheel.Engine(sip=[taken]):
                pass


async def test_a_stream_that_is_turned_off_gets_nothing(prompts):
    async def greet(call):
        await call.answer()
        await call.play(*prompts, loop=True)

    async with serving(greet) as running:
        with running.client() as caller, running.client() as other:
            await caller.invite()
            await caller.hear(2)
            port = caller.rtp.getsockname()[1]
            off = caller.sdp(version=2).replace(f"m=audio {port}", "m=audio 0")
            assert "m=audio 0" in (await caller.invite(off)).body
            # Two calls later, which is time enough, its socket has fallen silent.
            for _ in range(2):
                with running.client() as another:
                    await another.invite()
                    await another.hear(3)
                    await another.bye()
            caller.heard()
            await other.invite()
            await other.hear(5)
            assert caller.heard() == []
            for ending in (caller, other):
                assert (await ending.bye()).status == 200
