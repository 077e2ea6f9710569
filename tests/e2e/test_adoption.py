"""Calls that one engine writes down and another goes on with, seen from the caller's side."""

from __future__ import annotations

import asyncio
import contextlib
import json
from functools import partial

import pytest
from ringwheel import CallEnded, EndedBy, HoldRefused, Peer, SnapshotError, Trunk

from .client import TIMEOUT_S, Phone
from .conftest import address_of, eventually, phoning, serving

pytestmark = pytest.mark.one_loop


@pytest.fixture
def endless(make_prompt):
    """A prompt to be played round and round."""
    return make_prompt("endless.ulaw", 8_000)[0]


@pytest.fixture
def prompt(make_prompt):
    """Another one."""
    return make_prompt("prompt.ulaw", 8_000)[0]


class Keeper:
    """Answers and plays round and round; ``state`` is what it wrote down of its last call."""

    def __init__(self, *prompts) -> None:
        self._prompts = prompts
        self.calls: asyncio.Queue = asyncio.Queue()

    async def __call__(self, call) -> None:
        await call.answer()
        self.calls.put_nowait(call)
        with contextlib.suppress(CallEnded):
            await call.play(*self._prompts, loop=True)

    async def state(self) -> dict:
        """Of the next call, through JSON."""
        call = await self.calls.get()
        await asyncio.sleep(0)
        return json.loads(json.dumps(call.snapshot()))


async def take(second, state, phone: Phone, *attributes: str):
    """Adopt while ``phone`` accepts; returns the call and the re-INVITE."""
    phone.server = address_of(second)
    adopting = asyncio.ensure_future(second.adopt(state))
    asked = await phone.accept_reinvite(*attributes)
    return await adopting, asked


def empty(engine) -> bool:
    """True if no call and no leg is left."""
    figures = engine.snapshot()
    return not figures.calls_up and figures.media["legs_opened"] == figures.media["legs_closed"]


async def sound_of(phone: Phone, ports: range) -> list:
    """The first packets from one of those ports, after whatever else comes."""
    heard = []
    while len(heard) < 5:
        (packet,) = await phone.packets(1)
        if packet.source[1] in ports:
            heard.append(packet)
    return heard


async def test_sound_and_signalling_move_to_the_engine_that_adopts(endless, prompt):
    keeper = Keeper(endless)
    async with serving(keeper) as first, serving(keeper) as second, phoning(first) as phone:
        offered = await phone.call()
        state = await keeper.state()
        call, asked = await take(second, state, phone)
        assert (call.id, call.call_id) == (state["id"], phone.call_id)
        ours, theirs = (m.sdp("o=").split() for m in (offered, asked))
        assert ours[1] == theirs[1] and int(theirs[2]) > int(ours[2])
        assert asked.sdp("m=audio ").split()[2] == "0"
        port = int(asked.sdp("m=audio ").split()[0])
        playing = asyncio.ensure_future(call.play(prompt, loop=True))
        heard = await sound_of(phone, range(port, port + 1))
        assert prompt.read_bytes().startswith(b"".join(packet.payload for packet in heard))
        await phone.hang_up()
        with pytest.raises(CallEnded):
            await playing
        assert second.snapshot().sip["calls_adopted"] == 1


async def test_the_state_tells_what_plays_and_how_far_it_is(endless, prompt):
    keeper = Keeper(endless)
    async with serving(keeper) as first, phoning(first) as phone:
        await phone.call()
        call = await keeper.calls.get()
        queued = asyncio.ensure_future(call.play(prompt))
        await phone.packets(30)
        first_list, second_list = call.snapshot()["playing"]
        assert first_list["files"] == [str(endless)]
        # The caller has read thirty packets; a few more may be on their way.
        assert 580 <= first_list["played_ms"] <= 1_600
        assert second_list == {"files": [str(prompt)], "played_ms": 0}
        call.stop_playing()
        await queued
        assert call.snapshot()["playing"] == []


async def test_a_held_call_stays_held(endless):
    keeper = Keeper(endless)
    async with serving(keeper) as first, serving(keeper) as second, phoning(first) as phone:
        await phone.call()
        call = await keeper.calls.get()
        holding = asyncio.ensure_future(call.hold(endless))
        await phone.accept_reinvite("recvonly")
        await holding
        adopted, asked = await take(second, call.snapshot(), phone, "recvonly")
        assert "a=sendonly" in asked.body
        assert adopted.holding


async def test_a_trunk_that_challenges_gets_its_credentials(endless):
    keeper = Keeper(endless)
    trunk = Trunk(
        "carrier", (Peer("127.0.0.1", 9),), user="us", password="secret", options_interval_s=0
    )
    async with (
        serving(keeper) as first,
        serving(keeper, trunks=[trunk]) as second,
        phoning(first) as phone,
    ):
        await phone.call()
        state = await keeper.state()
        phone.server = address_of(second)
        adopting = asyncio.ensure_future(second.adopt(state))
        challenge = 'Proxy-Authenticate: Digest realm="carrier", nonce="n", qop="auth"'
        refused = await phone.request("INVITE")
        assert not refused.get("Proxy-Authorization")
        phone.answer(refused, "407 Proxy Authentication Required", lines=[challenge])
        asked = await phone.accept_reinvite()
        assert 'username="us"' in asked.get("Proxy-Authorization")
        assert (await adopting).trunk == "carrier"
        await phone.hang_up()


async def test_a_drain_lets_an_adopted_call_come_to_its_end(endless):
    keeper = Keeper(endless)
    async with serving(keeper) as first, serving(keeper) as second, phoning(first) as phone:
        await phone.call()
        call, _ = await take(second, await keeper.state(), phone)
        draining = asyncio.create_task(second.drain(TIMEOUT_S))
        await eventually(lambda: second.draining)
        assert not draining.done()
        await phone.hang_up()
        assert await draining
        assert call.ended.by is EndedBy.REMOTE


async def test_a_peer_that_refuses_gets_a_bye(endless):
    keeper = Keeper(endless)
    async with serving(keeper) as first, serving(keeper) as second, phoning(first) as phone:
        await phone.call()
        state = await keeper.state()
        phone.server = address_of(second)
        adopting = asyncio.ensure_future(second.adopt(state))
        phone.answer(await phone.request("INVITE"), "488 Not Acceptable Here")
        with pytest.raises(HoldRefused):
            await adopting
        assert "cannot be taken over" in (await phone.until_bye()).get("Reason")
        await eventually(partial(empty, second))


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        ({"version": 2}, "version: 2"),
        ({"sip": None}, "sip: nothing"),
        ({"media": {}}, "agreed: nothing"),
        ({"media": {"agreed": {"host": "somewhere"}}}, "somewhere is no numeric address"),
    ],
)
async def test_an_unreadable_state_is_refused_and_takes_nothing(endless, damage, cause):
    keeper = Keeper(endless)
    async with serving(keeper) as first, serving(keeper) as second, phoning(first) as phone:
        await phone.call()
        state = await keeper.state()
        with pytest.raises(SnapshotError, match=cause):
            await second.adopt(state | damage)
        assert second.snapshot().calls_up == 0
        await eventually(partial(empty, second))
