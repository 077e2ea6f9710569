"""Speech of a call over MRCPv2: real sockets, a server of plain text, what the caller hears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from ringwheel.media.events import PlayOutcome
from ringwheel.robot.grammar.builders import choices
from ringwheel.robot.speech.mrcp import session
from ringwheel.robot.speech.service import Completion, Recognition, SpeechFailed

from .conftest import eventually
from .mrcp_talk import heard, options_of, take, talking
from .speech_peer import GOES_ON, Act, Asked, SpeechPeer, good, recognized, speech_peer

pytestmark = pytest.mark.one_loop

DEADLINES_S = 12.0
"""Every deadline of the tests' options together, and more."""


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


async def test_more_grammars_than_servers_keep_replace_the_one_used_longest_ago(
    peer: SpeechPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "MAX_GRAMMARS", 3)
    defined: dict[str, str] = {}
    heard_by: list[str] = []

    def keep(asked: Asked) -> None:
        defined[asked.headers["content-id"].strip("<>")] = asked.body
        good(asked)

    def take_one(asked: Asked) -> None:
        heard_by.append(defined[asked.body.strip().removeprefix("session:")])
        good(asked)

    peer.on |= {"DEFINE-GRAMMAR": keep, "RECOGNIZE": take_one}
    order = [1, 2, 3, 1, 4, 1, 5, 6, 2]
    async with talking(options_of(peer)) as talk:
        for number in order:
            grammar = choices([(f"value {number}", ("yes",), None)], "en-US")
            assert (await talk.hear(grammar=grammar)).value == f"value {number}"
    assert [f"value {number}" in body for number, body in zip(order, heard_by, strict=True)] == (
        [True] * len(order)
    )
    assert len(defined) == 3
    assert peer.methods.count("DEFINE-GRAMMAR") == 7  # 1 was never the one used longest ago


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


async def test_a_close_that_is_cancelled_gives_the_session_back(peer: SpeechPeer) -> None:
    peer.on["RECOGNIZE"] = take
    peer.on["STOP"] = lambda _: None
    async with talking(options_of(peer)) as talk:
        hearing = asyncio.create_task(talk.hear())
        await peer.got("RECOGNIZE")
        hearing.cancel()
        closing = asyncio.create_task(talk.speech.close())
        await peer.got("STOP")
        closing.cancel()
        await asyncio.wait({hearing, closing})
        assert talk.service.figures().servers[0].taken == 0


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
        async with asyncio.timeout(DEADLINES_S):
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
            async with asyncio.timeout(DEADLINES_S):
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
