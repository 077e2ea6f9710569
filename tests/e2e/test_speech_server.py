"""The speech server over real sockets, with real engines, and a client of plain text."""

import asyncio
import contextlib
import io
import shutil
import ssl

import numpy as np
import pytest
import soundfile
from ringwheel.media.sound import resample
from ringwheel.robot.grammar.builders import digits
from ringwheel.robot.grammar.results import read
from ringwheel.robot.grammar.srgs_xml import write
from ringwheel.robot.speech.engines.engine import Utterance
from ringwheel.robot.speech.engines.espeak import EspeakSynthesizer
from ringwheel.robot.speech.engines.pool import PoolFigures
from ringwheel.robot.speech.server import control as control_module
from ringwheel.robot.speech.server import server as server_module
from ringwheel.robot.speech.server.server import SpeechServer

from ..certificates import Authority
from ..ports import pairs_of
from .client import TIMEOUT_S
from .speech_client import Control, SpeechPhone, message, offer
from .test_hear import vowel

pytestmark = [
    pytest.mark.one_loop,
    pytest.mark.skipif(not shutil.which("espeak-ng"), reason="apt-get install espeak-ng"),
]
TEXT = "text/plain"
URIS = "text/uri-list"


class NoPool:
    """Recognizers for tests that need none: a worker takes seconds to load its model."""

    name = "none"

    def __init__(self, name, *, workers):
        pass

    async def __aenter__(self):
        return self

    async def __aexit__(self, *raised):
        pass

    def figures(self):
        return PoolFigures()


@pytest.fixture
def deaf(monkeypatch):
    """Servers that recognize nothing, and start at once."""
    monkeypatch.setattr(server_module, "RecognizerPool", NoPool)


@contextlib.asynccontextmanager
async def serving(**options):
    """A server on free ports, serving."""
    server = SpeechServer(
        ("udp:127.0.0.1:0",), mrcp="127.0.0.1:0", workers=1, rtp_ports=pairs_of(32), **options
    )
    async with server:
        task = asyncio.create_task(server.serve())
        await asyncio.sleep(0)
        host, port = server.engine.addresses[0].rsplit(":", 1)
        server.address = (host, int(port))
        try:
            yield server
        finally:
            await server.drain(0.0)
            await task


@contextlib.asynccontextmanager
async def session(server, *resources):
    """A phone in a session with these resources, and its control connection."""
    async with SpeechPhone(server.address) as phone:
        await phone.open(*resources)
        control = await Control.open(phone.ports[0])
        try:
            yield phone, control
        finally:
            control.close()


async def spoken(text, voice="en-us"):
    """A text at 8 kHz."""
    engine = EspeakSynthesizer()
    blocks = [block async for block in engine.synthesize(Utterance(text, voice=voice))]
    return resample(np.concatenate(blocks), engine.sample_rate_hz, 8_000) // 2


async def settled(condition):
    """Wait until it holds."""
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110 - figures tell nobody when they change
            await asyncio.sleep(0.01)


async def test_a_conversation_of_all_resources():
    async with (
        serving() as server,
        session(server, "speechsynth", "speechrecog", "recorder") as (phone, control),
    ):
        synth, recog, recorder = phone.channels

        await control.ask(synth, "SPEAK", body="Please say yes or no.", kind=TEXT)
        done = await control.event("SPEAK-COMPLETE")
        assert done.cause == "000 normal"
        packets = phone.waiting_packets()
        assert len(packets) > 40
        assert [p.sequence - packets[0].sequence for p in packets] == list(range(len(packets)))

        words, message = await spoken("yes please"), await spoken("this is my message")
        answer = await control.ask(recog, "RECOGNIZE", body="builtin:speech/boolean", kind=URIS)
        assert (answer.status, answer.state) == (200, "IN-PROGRESS")
        await phone.say(words)
        assert (await control.event("START-OF-INPUT")).headers["input-type"] == "speech"
        done = await control.event("RECOGNITION-COMPLETE")
        assert done.cause == "000 success"
        assert read(done.body).interpretations[0].value is True

        answer = await control.ask(recorder, "RECORD", "Final-Silence: 800")
        await phone.say(message)
        await control.event("START-OF-INPUT")
        done = await control.event("RECORD-COMPLETE")
        assert done.cause == "000 success-silence"
        sound, rate_hz = soundfile.read(io.BytesIO(done.body))
        assert rate_hz == 8_000 and np.abs(sound).max() > 0.05

        await phone.hang_up()
        await settled(lambda: server.figures().sessions == 0)
        assert server.figures().channels == 0


@pytest.mark.usefixtures("deaf")
async def test_digits_are_recognized_by_a_grammar_that_was_defined():
    async with serving() as server, session(server, "dtmfrecog") as (phone, control):
        (channel,) = phone.channels
        grammar = write(digits(3, 3, "en-US", "dtmf"))
        kind = "application/srgs+xml"
        answer = await control.ask(
            channel, "DEFINE-GRAMMAR", "Content-ID: <pin@x>", body=grammar, kind=kind
        )
        assert answer.status == 200
        await control.ask(channel, "RECOGNIZE", body="session:pin@x", kind=URIS)
        phone.press("123")
        done = await control.event("RECOGNITION-COMPLETE")
        assert read(done.body).interpretations[0].value == "123"


@pytest.mark.usefixtures("deaf")
async def test_speech_stops_at_once_and_the_next_begins():
    async with serving() as server, session(server, "speechsynth") as (phone, control):
        (channel,) = phone.channels
        await control.ask(channel, "SPEAK", body="one two three four five " * 20, kind=TEXT)
        await phone.packets(10)
        answer = await control.ask(channel, "BARGE-IN-OCCURRED")
        assert answer.headers["active-request-id-list"] == "1"
        phone.waiting_packets()
        await control.ask(channel, "SPEAK", body="bye", kind=TEXT)
        assert (await control.event("SPEAK-COMPLETE")).request_id == 3
        assert len(phone.waiting_packets()) < 100


@pytest.mark.usefixtures("deaf")
async def test_what_cannot_be_spoken_is_told():
    async with serving() as server, session(server, "speechsynth") as (phone, control):
        (channel,) = phone.channels
        await control.ask(channel, "SPEAK", "Speech-Language: tlh", body="x", kind=TEXT)
        assert (await control.event("SPEAK-COMPLETE")).cause == "005 language-unsupported"
        await control.ask(channel, "SPEAK", "Voice-Name: ../etc/passwd", body="x", kind=TEXT)
        assert (await control.event("SPEAK-COMPLETE")).cause == "005 language-unsupported"


@pytest.mark.usefixtures("deaf")
class TestSessions:
    """SIP, and what belongs to what."""

    async def test_lines_that_we_do_not_serve_are_refused(self):
        async with serving() as server, SpeechPhone(server.address) as phone:
            channels = await phone.open("speechsynth", "speakverify", "recorder")
            assert phone.ports[1] == 0 and channels[1] is None
            assert channels[0] and channels[2] and channels[0] != channels[2]

    async def test_a_session_without_a_channel_is_refused(self):
        async with serving() as server, SpeechPhone(server.address) as phone:
            phone.invite(offer(phone, "speechrecog", protocol="TCP/TLS/MRCPv2"))
            assert (await phone.response("INVITE")).status == 488

    async def test_more_sessions_than_allowed(self):
        async with (
            serving(max_sessions=1) as server,
            SpeechPhone(server.address) as one,
            SpeechPhone(server.address) as two,
        ):
            await one.open("speechsynth")
            two.invite(offer(two, "speechsynth"))
            refused = await two.response("INVITE")
            assert refused.status == 503 and refused.get("Retry-After")

    async def test_a_connection_is_shared_by_sessions(self):
        async with (
            serving() as server,
            session(server, "speechsynth") as (one, control),
            SpeechPhone(server.address) as two,
        ):
            await two.open("speechsynth")
            for channel in (*one.channels, *two.channels):
                assert (await control.ask(channel, "GET-PARAMS")).status == 200

    async def test_a_request_that_overtakes_the_ack_waits_for_it(self):
        """They come by different ways, and the one of the requests may be faster."""
        async with serving() as server, SpeechPhone(server.address) as phone:
            phone.invite(offer(phone, "speechsynth", "recorder"))
            synth, recorder = phone.take(await phone.response("INVITE"))
            control = await Control.open(phone.ports[0])
            for request in ((synth, "SPEAK"), (recorder, "RECORD")):
                answer = await control.ask(*request, body="hello", kind=TEXT)
                assert (answer.status, answer.state) == (200, "IN-PROGRESS")
            phone.send("ACK")
            await phone.say(vowel(0.5), pause_ms=0)
            await control.event("START-OF-INPUT")
            assert (await control.event("SPEAK-COMPLETE")).cause == "000 normal"
            control.close()

    async def test_a_connection_that_is_lost_ends_its_sessions(self):
        async with serving() as server, SpeechPhone(server.address) as phone:
            await phone.open("speechsynth")
            control = await Control.open(phone.ports[0])
            await control.ask(phone.channels[0], "SPEAK", body="one two three " * 30, kind=TEXT)
            control.close()
            await phone.until_bye()
            await settled(lambda: server.figures().channels == 0)


@pytest.mark.usefixtures("deaf")
async def test_control_over_tls(tmp_path):
    authority = Authority(tmp_path)
    tls = authority.config("127.0.0.1")
    async with (
        serving(mrcp_tls="127.0.0.1:0", tls=tls) as server,
        SpeechPhone(server.address) as phone,
    ):
        (channel,) = await phone.open("speechsynth", protocol="TCP/TLS/MRCPv2")
        context = ssl.create_default_context(cafile=str(authority.path))
        control = await Control.open(phone.ports[0], ssl=context)
        await control.ask(channel, "SPEAK", body="hello", kind=TEXT)
        assert (await control.event("SPEAK-COMPLETE")).cause == "000 normal"
        control.close()
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, IndexError):
            plain = await Control.open(phone.ports[0])
            plain.writer.write(message("STOP 1", channel))
            assert not await plain.read()


@pytest.mark.usefixtures("deaf")
class TestHostile:
    """Clients that do harm."""

    @pytest.mark.parametrize(
        "garbage",
        [
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x00" * 4096,
            b"MRCP/2.0 99999999 SPEAK 1\r\n",
            b"MRCP/2.0 3 SPEAK 1\r\n\r\n",
            b"MRCP/2.0 " + b"9" * 2000,
        ],
    )
    async def test_garbage_costs_its_connection_and_no_other(self, garbage):
        async with serving() as server, session(server, "speechsynth") as (phone, control):
            bad = await Control.open(phone.ports[0])
            bad.writer.write(garbage)
            await bad.closed()
            assert (await control.ask(phone.channels[0], "GET-PARAMS")).status == 200
            assert server.figures().control["TCP/MRCPv2"].cut_malformed == 1

    async def test_a_channel_of_another_connection_is_not_served(self):
        async with serving() as server, session(server, "speechsynth") as (phone, control):
            (channel,) = phone.channels
            await control.ask(channel, "GET-PARAMS")
            thief = await Control.open(phone.ports[0])
            assert (await thief.ask(channel, "SPEAK", body="x", kind=TEXT)).status == 405
            assert (await thief.ask("0@speechsynth", "STOP")).status == 405
            assert server.figures().control["TCP/MRCPv2"].channel_of_another == 1
            thief.writer.write(message("STOP 9"))
            assert (await thief.read()).status == 406
            thief.close()

    async def test_more_channels_than_one_connection_may_have(self, monkeypatch):
        monkeypatch.setattr(control_module, "MAX_CHANNELS", 1)
        async with serving() as server, session(server, "speechsynth", "recorder") as pair:
            phone, control = pair
            statuses = [(await control.ask(one, "GET-PARAMS")).status for one in phone.channels]
            assert statuses == [200, 405]
            other = await Control.open(phone.ports[0])
            assert (await other.ask(phone.channels[1], "GET-PARAMS")).status == 200
            other.close()

    async def test_half_a_message_waits_and_the_rest_is_served(self):
        async with serving() as server, session(server, "speechsynth") as (phone, control):
            whole = message("GET-PARAMS 1", phone.channels[0])
            control.writer.write(whole[:30])
            other = await control.open(phone.ports[0])
            other.writer.write(b"MRCP/2.0 60 SPE")
            await asyncio.sleep(0)
            control.writer.write(whole[30:])
            assert (await control.response(1)).status == 200
            other.close()

    async def test_a_flood_is_answered_or_cut_and_others_are_served(self):
        async with serving() as server, session(server, "speechsynth") as (phone, control):
            flooder = await Control.open(phone.ports[0])
            flooder.writer.write(message("STOP 1", "0@speechsynth") * 20_000)
            assert (await control.ask(phone.channels[0], "GET-PARAMS")).status == 200
            flooder.writer.transport.abort()

    async def test_other_versions(self):
        async with serving() as server, session(server, "speechsynth") as (phone, control):
            control.writer.write(b"MRCP/1.0 28 GET-PARAMS 7\r\n\r\n")
            answer = await control.read()
            assert (answer.request_id, answer.status) == (7, 502)
