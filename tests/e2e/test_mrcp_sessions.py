"""Sessions with speech servers: had, refused, pooled, lost, and given back."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ringwheel import Call, CallEnded
from ringwheel.cli.config import ServeConfig
from ringwheel.cli.robot_speech import speech_services
from ringwheel.media.events import PlayOutcome
from ringwheel.media.sip.tls import TlsConfig
from ringwheel.robot.speech.mrcp.pool import PoolLimits
from ringwheel.robot.speech.mrcp.resources import RecordWish
from ringwheel.robot.speech.mrcp.results import ServerRecording
from ringwheel.robot.speech.mrcp.service import ServerFigures
from ringwheel.robot.speech.mrcp.words import RecordCause
from ringwheel.robot.speech.service import SpeechFailed

from ..certificates import Authority
from .conftest import eventually, phoning, serving
from .mrcp_talk import options_of, take, talking
from .speech_peer import GOES_ON, Asked, SpeechPeer, speech_peer

pytestmark = pytest.mark.one_loop


@pytest.fixture
async def peer() -> AsyncIterator[SpeechPeer]:
    async with speech_peer() as peer:
        yield peer


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        ("488 Not Acceptable Here", (), "refused"),
        ("503 Service Unavailable", ("Retry-After: 7",), "refused"),
        ("480 Temporarily Unavailable", (), "unreachable"),
        ("403 Forbidden", (), "refused"),
        ("404 Not Found", (), "unreachable"),
        ("", (), "unreachable"),
    ],
)
async def test_a_server_that_gives_no_session(
    status: str, headers: tuple[str, ...], kind: str
) -> None:
    silent = not status
    async with speech_peer(status=status or "200", headers=headers, silent=silent) as first:
        with pytest.raises(SpeechFailed) as failed:
            async with talking(options_of(first)):
                pass
        assert failed.value.kind == kind
        async with speech_peer() as second, talking(options_of(first, second)) as talk:
            assert (await talk.say()).outcome is PlayOutcome.FINISHED
            figures = talk.service.figures()
            assert [server.opened for server in figures.servers] == [0, 1]
            assert figures.servers[0].resting
            assert figures.failures == {kind: 1}


async def test_when_every_server_is_left_alone_that_is_said_at_once(peer: SpeechPeer) -> None:
    busy = speech_peer(status="503 Busy", headers=("Retry-After: 60",))
    async with busy as first, talking(options_of(first, peer)) as talk:
        peer.status = "488 No"
        peer.hang_up(next(iter(peer.sessions)))
        await eventually(lambda: talk.service.figures().servers[1].lost == 1)
        assert await talk.say_kind() == "unreachable"
        before = first.invites, peer.invites
        assert await talk.say_kind() == "unreachable"
        assert (first.invites, peer.invites) == before


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda lines: [line for line in lines if "m=application" not in line], "refused"),
        (lambda lines: [line for line in lines if "a=channel" not in line], "protocol"),
        (lambda lines: [re.sub("speechsynth", "recorder", line) for line in lines], "protocol"),
        (
            lambda lines: [re.sub("TCP/MRCPv2", "TCP/TLS/MRCPv2", line) for line in lines],
            "protocol",
        ),
        (
            lambda lines: [re.sub(r"m=application \d+", "m=application 1", x) for x in lines],
            "unreachable",
        ),
    ],
)
async def test_an_answer_that_cannot_be_used(
    peer: SpeechPeer, change: Callable[[list[str]], list[str]], kind: str
) -> None:
    peer.answer = change
    with pytest.raises(SpeechFailed) as failed:
        async with talking(options_of(peer)):
            pass
    assert failed.value.kind == kind
    await eventually(lambda: peer.open_sessions == 0)


async def test_a_resource_that_the_server_has_not(peer: SpeechPeer) -> None:
    peer.refuses = frozenset({"speechsynth"})
    async with talking(options_of(peer)) as talk:
        assert (await talk.hear()).value is True
        assert await talk.say_kind() == "resource"
        assert (await talk.hear()).value is True


async def test_a_server_that_has_nothing_gives_no_session(peer: SpeechPeer) -> None:
    peer.refuses = frozenset({"speechsynth", "speechrecog"})
    with pytest.raises(SpeechFailed) as failed:
        async with talking(options_of(peer)):
            pass
    assert failed.value.kind == "resource"


def record(asked: Asked) -> None:
    """What a recorder does."""
    asked.respond(200, GOES_ON)
    asked.tell("START-OF-INPUT", GOES_ON)
    uri = "Record-URI: <file:///tmp/a.wav>;size=242552;duration=25645"
    asked.tell("RECORD-COMPLETE", "COMPLETE", "Completion-Cause: 000 success-silence", uri)


async def test_a_recorder_is_added_when_it_is_needed(peer: SpeechPeer) -> None:
    peer.on["RECORD"] = record
    async with talking(options_of(peer)) as talk:
        for _ in range(2):
            wish = RecordWish("", max_ms=500, final_silence_ms=100)
            recorded = await talk.speech.record(wish)
            assert recorded == ServerRecording(RecordCause.SUCCESS_SILENCE, "file:///tmp/a.wav")
        assert (peer.invites, peer.connections) == (2, 1)
        assert (await talk.hear()).value is True
        assert (await talk.say()).outcome is PlayOutcome.FINISHED


async def test_a_recorder_that_two_need_at_once_is_added_once(peer: SpeechPeer) -> None:
    peer.on["RECORD"] = record
    async with talking(options_of(peer)) as talk:
        wish = RecordWish("", max_ms=500, final_silence_ms=100)
        twice = [talk.speech.record(wish) for _ in range(2)]
        first, second = await asyncio.gather(*twice, return_exceptions=True)
        assert isinstance(first, ServerRecording)
        assert "sends its sound" in str(second)  # to one at a time
        assert peer.invites == 2


async def test_a_recorder_that_could_not_be_reached_is_asked_for_at_its_old_line(
    peer: SpeechPeer,
) -> None:
    def unreachable(lines: list[str]) -> list[str]:
        last = max(i for i, line in enumerate(lines) if line.startswith("m=application"))
        lines[last] = re.sub(r"application \d+", "application 1", lines[last])
        return lines

    def kept(lines: list[str]) -> list[str]:
        answers.append([line for line in lines if line.startswith("a=channel")])
        return lines

    answers: list[list[str]] = []
    peer.on["RECORD"] = record
    async with talking(options_of(peer)) as talk:
        peer.answer = unreachable
        wish = RecordWish("", max_ms=500, final_silence_ms=100)
        with pytest.raises(SpeechFailed) as failed:
            await talk.speech.record(wish)
        assert failed.value.kind == "unreachable"
        peer.answer = kept
        assert (await talk.speech.record(wish)).cause is RecordCause.SUCCESS_SILENCE
    resources = [[line.partition("@")[2] for line in answer] for answer in answers]
    assert resources == [["speechsynth", "speechrecog", "recorder"]]


async def test_a_recorder_that_the_server_has_not(peer: SpeechPeer) -> None:
    peer.refuses = frozenset({"recorder"})
    async with talking(options_of(peer)) as talk:
        for _ in range(2):
            with pytest.raises(SpeechFailed) as failed:
                await talk.speech.record(RecordWish(max_ms=500))
            assert failed.value.kind == "resource"
        assert peer.invites == 2
        assert (await talk.hear()).value is True


async def test_a_session_serves_one_call_after_the_other(peer: SpeechPeer) -> None:
    async with talking(options_of(peer)) as talk:
        await talk.hear()
        for _ in range(3):
            await talk.speech.close()
            talk.speech = await talk.service.open(talk.call)
            assert (await talk.hear()).value is True
        assert (peer.invites, peer.methods.count("DEFINE-GRAMMAR")) == (1, 1)
        (server,) = talk.service.figures().servers
        assert (server.opened, server.reused, server.taken, server.idle) == (1, 3, 1, 0)


async def test_a_session_is_on_the_media_thread_of_its_call(peer: SpeechPeer) -> None:
    options = options_of(peer, max_sessions=2, keep=2)
    async with talking(options, shards=2) as talk, phoning(talk.engine) as phone:
        await phone.call()
        other = next(c for c in talk.engine.calls if c is not talk.call and not c.outgoing)
        await eventually(lambda: other.state == "confirmed")
        assert other.connected()[0].shard is not talk.call.connected()[0].shard
        await talk.speech.close()
        for call, invites in ((other, 2), (talk.call, 2), (other, 2)):
            talk.speech = await talk.service.open(call)
            assert (await talk.say()).outcome is PlayOutcome.FINISHED
            assert peer.invites == invites
            await talk.speech.close()


async def test_what_waits_on_another_thread_makes_room(peer: SpeechPeer) -> None:
    options = options_of(peer, max_sessions=1, keep=1)
    async with talking(options, shards=2) as talk, phoning(talk.engine) as phone:
        await phone.call()
        other = next(c for c in talk.engine.calls if c is not talk.call and not c.outgoing)
        await eventually(lambda: other.state == "confirmed")
        await talk.speech.close()
        talk.speech = await talk.service.open(other)
        assert (peer.invites, talk.service.figures().servers[0].taken) == (2, 1)
        await eventually(lambda: peer.open_sessions == 1)


async def test_a_session_in_which_something_goes_on_serves_nobody_else(peer: SpeechPeer) -> None:
    peer.on["RECOGNIZE"] = take
    async with talking(options_of(peer)) as talk:
        hearing = asyncio.create_task(talk.hear_kind())
        await peer.got("RECOGNIZE")
        await talk.speech.close()
        assert await hearing == "lost"
        await eventually(lambda: peer.open_sessions == 0)
        talk.speech = await talk.service.open(talk.call)
        assert peer.invites == 2


async def test_no_more_sessions_than_the_server_may_have(peer: SpeechPeer) -> None:
    async with talking(options_of(peer, max_sessions=1, keep=1)) as talk:
        with pytest.raises(SpeechFailed, match="all 1 sessions in use"):
            await talk.service.open(talk.call)
        await talk.speech.close()
        talk.speech = await talk.service.open(talk.call)
        assert peer.invites == 1


async def test_a_session_that_waits_too_long_is_ended(peer: SpeechPeer) -> None:
    options = replace(options_of(peer), pool=PoolLimits(idle_s=0.05))
    async with talking(options) as talk:
        await talk.speech.close()
        await eventually(lambda: peer.open_sessions == 0)
        assert talk.service.figures().servers[0].idle == 0
        talk.speech = await talk.service.open(talk.call)
        assert peer.invites == 2


@pytest.mark.parametrize("keep", [1, 4])
async def test_sessions_are_opened_in_advance(peer: SpeechPeer, keep: int) -> None:
    """And wait, however few are kept of those that calls give back."""
    async with talking(options_of(peer, ready=3, keep=keep)) as talk:
        await talk.service.prepare()
        (server,) = talk.service.figures().servers
        assert (server.taken, server.idle, peer.invites) == (1, 2, 3)
        other = await talk.service.open(talk.call)
        assert peer.invites == 3
        await other.close()


async def test_those_that_are_to_be_ready_wait_as_long_as_it_takes(peer: SpeechPeer) -> None:
    options = replace(options_of(peer, ready=1), pool=PoolLimits(idle_s=0.05))
    async with talking(options) as talk:
        await talk.speech.close()
        await asyncio.sleep(0.2)
        talk.speech = await talk.service.open(talk.call)
        assert (peer.invites, peer.open_sessions) == (1, 1)


async def test_a_robot_has_its_sessions_ready_before_the_first_call(peer: SpeechPeer) -> None:
    config = ServeConfig(speech=options_of(peer, ready=2))
    async with serving(none_answered) as engine, speech_services(engine, config, ()):
        assert peer.open_sessions == 2


async def none_answered(call: Call) -> None:
    """Nobody calls."""


async def test_a_session_that_comes_when_speech_was_closed_is_given_back(peer: SpeechPeer) -> None:
    """It was to replace one that is lost; meanwhile somebody else has given up."""
    closing: list[asyncio.Task[None]] = []
    async with talking(options_of(peer)) as talk:

        def close(lines: list[str]) -> list[str]:
            closing.append(asyncio.create_task(talk.speech.close()))
            return lines

        def server() -> ServerFigures:
            return talk.service.figures().servers[0]

        peer.hang_up(next(iter(peer.sessions)))
        await eventually(lambda: server().lost == 1 and not server().resting)
        peer.answer = close
        assert await talk.hear_kind() == "cancelled"
        await closing[0]
        assert (server().taken, server().idle) == (0, 1)


async def test_what_waits_may_be_ended_by_the_server(peer: SpeechPeer) -> None:
    async with talking(options_of(peer)) as talk:
        await talk.speech.close()
        peer.hang_up(next(iter(peer.sessions)))
        await eventually(lambda: talk.service.figures().servers[0].idle == 0)
        talk.speech = await talk.service.open(talk.call)
        assert (await talk.hear()).value is True
        assert not talk.service.figures().servers[0].resting


async def test_who_hangs_up_while_something_is_spoken_or_heard(peer: SpeechPeer) -> None:
    peer.packets = 300
    peer.on["RECOGNIZE"] = take
    async with talking(options_of(peer)) as talk:
        speaking = asyncio.create_task(talk.say())
        hearing = asyncio.create_task(talk.hear())
        await peer.got("RECOGNIZE")
        await talk.phone.packets(2)
        await talk.phone.hang_up()
        with pytest.raises(CallEnded):
            await speaking
        await peer.got("STOP")
        hearing.cancel()
        await asyncio.wait([hearing])


async def test_over_tls_with_a_certificate_of_the_server(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with speech_peer(tls=context) as peer:
        options = replace(options_of(peer, transport="tls"), tls=TlsConfig(ca=authority.path))
        async with talking(options) as talk:
            assert (await talk.hear()).value is True
            assert (await talk.say()).outcome is PlayOutcome.FINISHED
        with pytest.raises(SpeechFailed, match="certificate is refused"):
            async with talking(options_of(peer, transport="tls")):
                pass


@pytest.mark.parametrize(("share", "connections"), [(True, 1), (False, 4)])
async def test_connections_are_shared_where_the_server_is_said_to(
    peer: SpeechPeer, share: bool, connections: int
) -> None:
    async with talking(options_of(peer, share=share)) as talk:
        other = await talk.service.open(talk.call)
        assert (await talk.hear()).value is True
        assert peer.connections == connections
        await other.close()


async def test_figures_say_how_long_it_takes(peer: SpeechPeer) -> None:
    async with talking(options_of(peer)) as talk:
        await talk.hear()
        await talk.say()
        figures = talk.service.figures()
        assert figures.opening.count == 1 and figures.opening.p99_ms > 0
        assert {name: taken.count for name, taken in figures.answers.items()} == {
            "DEFINE-GRAMMAR": 1,
            "RECOGNIZE": 1,
            "SPEAK": 1,
        }
        assert figures.control_connections == 1


async def test_sessions_opened_and_closed_leave_nothing(peer: SpeechPeer) -> None:
    async with talking(options_of(peer, keep=0)) as talk:
        await talk.speech.close()
        for _ in range(5):
            opened = await asyncio.gather(*(talk.service.open(talk.call) for _ in range(8)))
            for speech in opened:
                await speech.close()
            await eventually(lambda: peer.open_sessions == 0)
        await eventually(lambda: talk.engine.snapshot().places_taken == 1)  # the caller's
        assert talk.engine.snapshot().calls_up == 1
        assert peer.invites == 41
        assert talk.service.figures().servers[0].taken == 0


async def test_a_server_that_only_listens_is_not_taken_for_dead(peer: SpeechPeer) -> None:
    async with talking(options_of(peer), media_timeout_ms=1_000) as talk:
        end_s = asyncio.get_running_loop().time() + 1.5
        while asyncio.get_running_loop().time() < end_s:
            talk.sound()
            await asyncio.sleep(0.05)
        assert (await talk.hear()).value is True
        assert peer.invites == 1


async def test_sessions_are_no_calls_and_have_a_bound_of_their_own(peer: SpeechPeer) -> None:
    records: list[dict[str, Any]] = []
    limits = {"max_calls": 1, "max_speech_sessions": 2, "records": records.append}
    async with talking(options_of(peer, keep=0), **limits) as talk:
        assert (await talk.say()).outcome is PlayOutcome.FINISHED
        second = await talk.service.open(talk.call)
        figures = talk.engine.snapshot()
        assert (figures.calls_up, figures.speech_sessions) == (1, 2)
        assert talk.engine.calls == (talk.call,)
        assert sum(figures.calls_by_state.values()) == 1
        assert figures.sip["calls_dialled"] == 0
        assert figures.outcomes["answered"] == 0
        with pytest.raises(SpeechFailed, match="limit of speech sessions"):
            await talk.service.open(talk.call)
        assert talk.engine.snapshot().sip["refused_speech_sessions"] == 1
        await second.close()
        await eventually(lambda: talk.engine.snapshot().speech_sessions == 1)
    assert [record["direction"] for record in records] == ["in"]
