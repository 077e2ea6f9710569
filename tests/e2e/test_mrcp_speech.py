"""Speech of a call over MRCPv2: real sockets, a server of plain text, what the caller hears."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from ringwheel import Call, CallEnded, Engine
from ringwheel.media.call import Played
from ringwheel.media.events import PlayOutcome
from ringwheel.media.sip.tls import TlsConfig
from ringwheel.robot.grammar.builders import yes_no
from ringwheel.robot.script.model import Timing
from ringwheel.robot.speech.mrcp.pool import PoolLimits
from ringwheel.robot.speech.mrcp.resources import RecordWish
from ringwheel.robot.speech.mrcp.results import ServerRecording
from ringwheel.robot.speech.mrcp.servers import MrcpServer
from ringwheel.robot.speech.mrcp.service import MrcpOptions, MrcpService
from ringwheel.robot.speech.mrcp.session import SessionLimits
from ringwheel.robot.speech.mrcp.speech import MrcpSpeech, SpeechLimits
from ringwheel.robot.speech.mrcp.words import RecordCause
from ringwheel.robot.speech.service import Completion, Recognition, SpeechFailed

from ..certificates import Authority
from .client import Phone
from .conftest import eventually, phoning, serving
from .speech_peer import GOES_ON, Act, Asked, SpeechPeer, good, recognized, speech_peer

pytestmark = pytest.mark.one_loop

YES_NO = yes_no("en-US")
TIMING = Timing(no_input_ms=1_000, complete_ms=200, max_speech_ms=1_000)
LIMITS = SpeechLimits(speak_s=3.0, prompt_s=3.0, grace_s=0.2)


@dataclass(eq=False)
class Talk:
    """A call, and the service that its handler speaks by."""

    engine: Engine
    service: MrcpService
    call: Call
    phone: Phone
    speech: MrcpSpeech
    rtp_port: int
    sent: int = 0

    def sound(self, packets: int = 1) -> bool:
        """The caller speaks."""
        for _ in range(packets):
            header = struct.pack(">BBHII", 0x80, 0, self.sent, self.sent * 160, 7)
            self.phone.rtp.sendto(header + b"\x20" * 160, ("127.0.0.1", self.rtp_port))
            self.sent += 1
        return True

    def press(self, digit: str) -> None:
        """The caller presses a key (RFC 4733)."""
        for number, (marker, end, duration) in enumerate(
            [(0x80, 0, 160), (0, 0, 320), (0, 0x80, 480)]
        ):
            head = struct.pack(">BBHII", 0x80, marker | 101, self.sent + number, 160 * self.sent, 7)
            event = struct.pack(">BBH", int(digit), end | 10, duration)
            self.phone.rtp.sendto(head + event, ("127.0.0.1", self.rtp_port))
            self.sent += 1

    async def say(self, text: str = "hello", **options: Any) -> Played:
        """Speak."""
        wanted = {"locale": "en-US", "voice": None, "ssml": False, "barge_in": "none"} | options
        return await self.speech.speak(text, **wanted)  # type: ignore[arg-type]

    async def hear(
        self,
        *,
        timers_run: bool = True,
        on_speech: Callable[[], None] = lambda: None,
        timing: Timing = TIMING,
    ) -> Recognition:
        """Recognize yes or no."""
        return await self.speech.recognize(
            [YES_NO],
            locale="en-US",
            timing=timing,
            min_confidence=0.4,
            timers_run=timers_run,
            on_speech=on_speech,
        )

    async def hear_kind(self) -> str:
        """What kind of failure recognizing ends in."""
        with pytest.raises(SpeechFailed) as failed:
            await self.hear()
        return failed.value.kind

    async def say_kind(self) -> str:
        """What kind of failure speaking ends in."""
        with pytest.raises(SpeechFailed) as failed:
            await self.say()
        return failed.value.kind


def options_of(*peers: SpeechPeer, **server: object) -> MrcpOptions:
    servers = tuple(
        MrcpServer(peer.uri, f"s{number}", priority=number, **server)  # type: ignore[arg-type]
        for number, peer in enumerate(peers)
    )
    return MrcpOptions(
        servers,
        sessions=SessionLimits(invite_s=1.0, response_ms=400),
        pool=PoolLimits(open_s=4.0),
        speech=LIMITS,
    )


@contextlib.asynccontextmanager
async def talking(options: MrcpOptions, **engine_options: object) -> AsyncIterator[Talk]:
    """A caller in a call, and a speech session for it."""
    calls: asyncio.Queue[Call] = asyncio.Queue()

    async def handler(call: Call) -> None:
        await call.answer()
        calls.put_nowait(call)
        await call.wait_ended()

    async with (
        serving(handler, **engine_options) as engine,
        phoning(engine, formats="0 101") as phone,
    ):
        service = MrcpService(engine, options)
        answer = await phone.call(phone.offer("rtpmap:101 telephone-event/8000"))
        rtp_port = int(answer.sdp("m=audio ").split()[0])
        call = await calls.get()
        speech = await service.open(call)
        try:
            yield Talk(engine, service, call, phone, speech, rtp_port)
        finally:
            await speech.close()
            await service.close()


async def heard(phone: Phone) -> bytes:
    """The sound that was played to the caller up to now."""
    first = await phone.packets(1)
    return b"".join(packet.payload for packet in [*first, *phone.waiting_packets()])


def take(asked: Asked) -> None:
    """Take a request, and leave it so."""
    asked.respond(200, GOES_ON)


@pytest.fixture
async def peer() -> AsyncIterator[SpeechPeer]:
    async with speech_peer() as peer:
        yield peer


async def test_the_caller_hears_what_the_server_speaks(peer: SpeechPeer) -> None:
    async with talking(options_of(peer)) as talk:
        for text in ("One", "Two"):  # a text is whole, whatever was spoken before
            await talk.say(text)
            assert (await heard(talk.phone)).count(b"\x31") == peer.packets * 160
        played = await talk.say("Good morning.")
        assert played.outcome is PlayOutcome.FINISHED
        sound = await heard(talk.phone)
        assert sound.count(b"\x31") == peer.packets * 160
        asked = await peer.got("SPEAK", 3)
        assert asked.body == "Good morning."
        assert asked.headers["speech-language"] == "en-US"
        assert asked.headers["content-type"] == "text/plain"


async def test_the_server_hears_the_caller_while_it_recognizes_and_only_then(
    peer: SpeechPeer,
) -> None:
    speaking: list[bool] = []
    peer.on["RECOGNIZE"] = take
    async with talking(options_of(peer)) as talk:
        hearing = asyncio.create_task(talk.hear(on_speech=lambda: speaking.append(True)))
        asked = await peer.got("RECOGNIZE")
        await eventually(lambda: talk.sound() and peer.rtp_received > 3)
        asked.tell("START-OF-INPUT", GOES_ON)
        recognized(asked)
        assert await hearing == Recognition(Completion.SUCCESS, "yes", True, 0.9, 0)
        assert speaking == [True]
        await talk.say()  # what was on its way has arrived by then
        before = peer.rtp_received
        talk.sound(20)
        await talk.say()
        assert peer.rtp_received == before


async def test_a_grammar_is_defined_once_and_what_is_wanted_is_said(peer: SpeechPeer) -> None:
    async with talking(options_of(peer, parameters=(("com.example.model", "a b"),))) as talk:
        for _ in range(2):
            assert (await talk.hear()).value is True
        assert peer.methods == ["DEFINE-GRAMMAR", "RECOGNIZE", "RECOGNIZE"]
        define, recognize, _ = peer.asked
        assert "<grammar" in define.body
        assert define.headers["content-type"] == "application/srgs+xml"
        name = define.headers["content-id"].strip("<>")
        assert recognize.body == f"session:{name}\r\n"
        assert recognize.headers.items() >= {
            ("no-input-timeout", "1000"),
            ("recognition-timeout", "1000"),
            ("speech-complete-timeout", "200"),
            ("confidence-threshold", "0.40"),
            ("start-input-timers", "true"),
            ("vendor-specific-parameters", 'com.example.model="a b"'),
        }


async def test_barge_in_is_ours_to_hear_and_told_the_server(peer: SpeechPeer) -> None:
    peer.packets = 300

    def killed(asked: Asked) -> None:
        asked.respond(200, "COMPLETE", "Active-Request-Id-List: 1")

    peer.on["BARGE-IN-OCCURRED"] = killed
    async with talking(options_of(peer)) as talk:
        speaking = asyncio.create_task(talk.say(barge_in="dtmf"))
        await talk.phone.packets(3)
        talk.press("5")
        played = await speaking
        assert played.outcome is PlayOutcome.BARGED_IN
        await peer.got("BARGE-IN-OCCURRED")
        assert played.played_ms < 3_000
        peer.packets = 2
        assert (await talk.say()).outcome is PlayOutcome.FINISHED  # by the same session
        assert peer.invites == 1


async def test_a_server_that_goes_on_speaking_after_barge_in_is_stopped(peer: SpeechPeer) -> None:
    peer.packets = 300
    async with talking(options_of(peer)) as talk:
        speaking = asyncio.create_task(talk.say(barge_in="dtmf"))
        await talk.phone.packets(3)
        talk.press("5")
        assert (await speaking).outcome is PlayOutcome.BARGED_IN
        stop = await peer.got("STOP")
        assert stop.headers["active-request-id-list"] == "1"
        peer.packets = 2
        assert (await talk.say()).outcome is PlayOutcome.FINISHED
        assert peer.invites == 1


@pytest.mark.parametrize("status", [402, 407, 0])
async def test_a_session_that_does_not_stop_is_left(peer: SpeechPeer, status: int) -> None:
    peer.packets = 300
    peer.on["STOP"] = lambda asked: asked.respond(status) if status else None
    async with talking(options_of(peer)) as talk:
        speaking = asyncio.create_task(talk.say())
        await talk.phone.packets(3)
        speaking.cancel()
        await asyncio.wait([speaking])
        await eventually(lambda: peer.open_sessions == 0)
        peer.packets = 2
        if status:  # it was not the server's fault, as far as one can tell
            assert (await talk.say()).outcome is PlayOutcome.FINISHED
        else:
            assert await talk.say_kind() == "unreachable"


async def test_an_error_of_who_is_told_of_speech_costs_nobody_the_connection(
    peer: SpeechPeer,
) -> None:
    def fail() -> None:
        raise RuntimeError("on purpose")

    async with talking(options_of(peer)) as talk:
        assert (await talk.hear(on_speech=fail)).value is True
        assert (await talk.hear()).value is True
        assert peer.connections == 1


async def test_a_text_that_is_cancelled_is_stopped_and_the_next_one_waits_for_that(
    peer: SpeechPeer,
) -> None:
    peer.packets = 300
    stops: list[Asked] = []
    peer.on["STOP"] = stops.append
    async with talking(options_of(peer)) as talk:
        speaking = asyncio.create_task(talk.say())
        await talk.phone.packets(3)
        speaking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await speaking
        peer.packets = 2
        following = asyncio.create_task(talk.say("next"))
        stop = await peer.got("STOP")
        assert stop.headers["active-request-id-list"] == "1"
        assert peer.methods == ["SPEAK", "STOP"]
        stop.respond(200, "COMPLETE", "Active-Request-Id-List: 1")
        assert (await following).outcome is PlayOutcome.FINISHED
        assert peer.methods == ["SPEAK", "STOP", "SPEAK"]


async def test_a_recognition_that_is_cancelled_is_stopped_and_what_comes_late_is_nothing(
    peer: SpeechPeer,
) -> None:
    peer.on["RECOGNIZE"] = take
    async with talking(options_of(peer)) as talk:
        hearing = asyncio.create_task(talk.hear())
        late = await peer.got("RECOGNIZE")
        hearing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hearing
        await peer.got("STOP")
        del peer.on["RECOGNIZE"]
        peer.says = "no"
        peer.on["STOP"] = good
        recognized(late)
        assert (await talk.hear()).value is False
        assert talk.service.figures().odd == {"late-event": 1}


async def test_a_cancellation_at_any_moment_leaves_nothing_behind(peer: SpeechPeer) -> None:
    async with talking(options_of(peer)) as talk:
        for turns in range(0, 40, 3):
            hearing = asyncio.create_task(talk.hear())
            speaking = asyncio.create_task(talk.say())
            for _ in range(turns):
                await asyncio.sleep(0.001)
            for task in (hearing, speaking):
                task.cancel()
            await asyncio.wait([hearing, speaking])
        assert (await talk.hear()).value is True
        assert (await talk.say()).outcome is PlayOutcome.FINISHED
        assert peer.invites == 1


async def test_input_timers_start_when_the_prompt_has_ended(peer: SpeechPeer) -> None:
    peer.on["RECOGNIZE"] = take
    async with talking(options_of(peer)) as talk:
        hearing = asyncio.create_task(talk.hear(timers_run=False))
        asked = await peer.got("RECOGNIZE")
        assert asked.headers["start-input-timers"] == "false"
        talk.speech.start_timers()
        talk.speech.start_timers()
        await peer.got("START-INPUT-TIMERS")
        recognized(asked, "002 no-input-timeout")
        assert (await hearing).completion is Completion.NO_INPUT_TIMEOUT
        assert peer.methods.count("START-INPUT-TIMERS") == 1


async def test_input_timers_that_start_before_it_is_asked_are_asked_with_it(
    peer: SpeechPeer,
) -> None:
    defined: list[Asked] = []
    peer.on["DEFINE-GRAMMAR"] = defined.append
    async with talking(options_of(peer)) as talk:
        hearing = asyncio.create_task(talk.hear(timers_run=False))
        await peer.got("DEFINE-GRAMMAR")
        talk.speech.start_timers()
        defined[0].respond()
        await hearing
        assert (await peer.got("RECOGNIZE")).headers["start-input-timers"] == "true"
        assert "START-INPUT-TIMERS" not in peer.methods


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        ("000 success", Completion.SUCCESS),
        ("001 no-match", Completion.NO_MATCH),
        ("002 no-input-timeout", Completion.NO_INPUT_TIMEOUT),
        ("003 hotword-maxtime", Completion.HOTWORD_MAXTIME),
        ("004 grammar-load-failure", "grammar"),
        ("005 grammar-compilation-failure", "grammar"),
        ("006 recognizer-error", "resource"),
        ("007 speech-too-early", Completion.SPEECH_TOO_EARLY),
        ("008 success-maxtime", Completion.SUCCESS_MAXTIME),
        ("009 uri-failure", "uri"),
        ("010 language-unsupported", "language"),
        ("011 cancelled", Completion.CANCELLED),
        ("012 semantics-failure", "grammar"),
        ("013 partial-match", Completion.PARTIAL_MATCH),
        ("014 partial-match-maxtime", Completion.PARTIAL_MATCH_MAXTIME),
        ("015 no-match-maxtime", Completion.NO_MATCH_MAXTIME),
        ("016 grammar-definition-failure", "grammar"),
        ("099 something", "protocol"),
        ("", "protocol"),
    ],
)
async def test_each_cause_of_a_recognition(
    peer: SpeechPeer, cause: str, expected: Completion | str
) -> None:
    def end(asked: Asked) -> None:
        asked.respond(200, GOES_ON)
        recognized(asked, cause)

    peer.on["RECOGNIZE"] = end
    async with talking(options_of(peer)) as talk:
        if isinstance(expected, Completion):
            assert (await talk.hear()).completion is expected
        else:
            assert await talk.hear_kind() == expected
        del peer.on["RECOGNIZE"]
        assert (await talk.hear()).value is True  # the session has not suffered
        assert peer.invites == 1


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        ("000 normal", None),
        ("001 barge-in", None),
        ("002 parse-failure", "protocol"),
        ("003 uri-failure", "uri"),
        ("004 error", "resource"),
        ("005 language-unsupported", "language"),
        ("006 lexicon-load-failure", "uri"),
        ("007 cancelled", "cancelled"),
    ],
)
async def test_each_cause_of_a_text(peer: SpeechPeer, cause: str, expected: str | None) -> None:
    def end(asked: Asked) -> None:
        asked.respond(200, GOES_ON)
        asked.tell("SPEAK-COMPLETE", "COMPLETE", f"Completion-Cause: {cause}")

    peer.on["SPEAK"] = end
    async with talking(options_of(peer)) as talk:
        if expected is None:
            assert (await talk.say()).outcome is PlayOutcome.FINISHED
        else:
            assert await talk.say_kind() == expected
        assert peer.invites == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "resource"),
        (402, "refused"),
        (403, "refused"),
        (404, "refused"),
        (405, "lost"),
        (406, "refused"),
        (407, "resource"),
        (408, "protocol"),
        (409, "refused"),
        (410, "refused"),
        (501, "resource"),
        (502, "protocol"),
        (504, "protocol"),
        (499, "refused"),
    ],
)
@pytest.mark.parametrize("method", ["SPEAK", "RECOGNIZE", "DEFINE-GRAMMAR"])
async def test_each_refusal(peer: SpeechPeer, method: str, status: int, kind: str) -> None:
    peer.on[method] = lambda asked: asked.respond(status)
    async with talking(options_of(peer)) as talk:
        assert await (talk.say_kind() if method == "SPEAK" else talk.hear_kind()) == kind


HOSTILE: dict[str, tuple[str, Act]] = {
    "never answers": ("deadline", lambda asked: None),
    "never ends": ("deadline", lambda asked: asked.respond(200, GOES_ON)),
    "answers in the name of another": (
        "deadline",
        lambda asked: asked.send(f"{asked.id} 200 COMPLETE", channel="beef@speechrecog"),
    ),
    "garbage": ("lost", lambda asked: asked.writer.write(b"\x00\xff" * 50)),
    "half a message": ("deadline", lambda asked: asked.writer.write(b"MRCP/2.0 90 ")),
    "lies about the length": (
        "lost",
        lambda asked: asked.writer.write(b"MRCP/2.0 4000000 1 200 COMPLETE\r\n\r\n"),
    ),
    "dies": ("lost", lambda asked: asked.writer.transport.abort()),
    "dies in mid-utterance": ("lost", lambda asked: _die(asked)),
    "hangs up in mid-utterance": ("lost", lambda asked: _hang_up(asked)),
    "a result that is no XML": ("protocol", lambda asked: _result(asked, "<result")),
    "an empty result": ("protocol", lambda asked: _result(asked, "")),
    "entities that grow": (
        "protocol",
        lambda asked: _result(
            asked, '<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><result>&b;</result>'
        ),
    ),
}


def _die(asked: Asked) -> None:
    asked.respond(200, GOES_ON)
    asked.tell("START-OF-INPUT", GOES_ON)
    asked.peer.stop()


def _hang_up(asked: Asked) -> None:
    asked.respond(200, GOES_ON)
    asked.peer.hang_up(next(iter(asked.peer.sessions)))


def _result(asked: Asked, body: str) -> None:
    asked.respond(200, GOES_ON)
    lines = ("Completion-Cause: 000 success", "Content-Type: application/nlsml+xml")
    asked.tell("RECOGNITION-COMPLETE", "COMPLETE", *lines, body=body)


@pytest.mark.parametrize("what", HOSTILE)
async def test_a_server_that_fails_fails_one_turn_and_the_next_goes_elsewhere(
    peer: SpeechPeer, what: str
) -> None:
    kind, act = HOSTILE[what]
    peer.on["RECOGNIZE"] = act
    async with speech_peer(says="no") as spare, talking(options_of(peer, spare)) as talk:
        async with asyncio.timeout(4):  # every deadline of the test's options together
            assert await talk.hear_kind() == kind
        if kind != "protocol":
            assert (await talk.hear()).value is False
            assert (await talk.say()).outcome is PlayOutcome.FINISHED
            assert spare.invites == 1
        assert talk.call.ended is None


async def test_a_server_that_dies_while_it_speaks(peer: SpeechPeer) -> None:
    peer.packets = 300
    async with talking(options_of(peer)) as talk:
        speaking = asyncio.create_task(talk.say())
        await talk.phone.packets(3)
        peer.stop()
        with pytest.raises(SpeechFailed) as failed:
            async with asyncio.timeout(4):
                await speaking
        assert failed.value.kind == "lost"


async def test_completions_twice_and_for_nobody_change_nothing(peer: SpeechPeer) -> None:
    def twice(asked: Asked) -> None:
        asked.respond(200, GOES_ON)
        recognized(asked)
        peer.says = "no"
        recognized(asked)
        asked.send("RECOGNITION-COMPLETE 99 COMPLETE")
        asked.respond(200, GOES_ON)

    peer.on["RECOGNIZE"] = twice
    async with talking(options_of(peer)) as talk:
        assert (await talk.hear()).value is True
        peer.says = "yes"
        assert (await talk.hear()).value is True
        await eventually(lambda: sum(talk.service.figures().odd.values()) == 6)
        assert talk.service.figures().odd == {
            "late-event": 2,
            "stray-event": 2,
            "late-response": 2,
        }


# Sessions


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


async def test_a_recorder_is_added_when_it_is_needed(peer: SpeechPeer) -> None:
    def record(asked: Asked) -> None:
        asked.respond(200, GOES_ON)
        asked.tell("START-OF-INPUT", GOES_ON)
        uri = "Record-URI: <file:///tmp/a.wav>;size=242552;duration=25645"
        asked.tell("RECORD-COMPLETE", "COMPLETE", "Completion-Cause: 000 success-silence", uri)

    peer.on["RECORD"] = record
    async with talking(options_of(peer)) as talk:
        for _ in range(2):
            wish = RecordWish("", max_ms=500, final_silence_ms=100)
            recorded = await talk.speech.record(wish)
            assert recorded == ServerRecording(RecordCause.SUCCESS_SILENCE, "file:///tmp/a.wav")
        assert (peer.invites, peer.connections) == (2, 1)
        assert (await talk.hear()).value is True
        assert (await talk.say()).outcome is PlayOutcome.FINISHED


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


async def test_sessions_are_opened_in_advance(peer: SpeechPeer) -> None:
    async with talking(options_of(peer, ready=3)) as talk:
        await talk.service.prepare()
        (server,) = talk.service.figures().servers
        assert (server.taken, server.idle, peer.invites) == (1, 2, 3)
        other = await talk.service.open(talk.call)
        assert peer.invites == 3
        await other.close()


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
