"""Channels of the speech server in virtual time: their clients, and hands that do what is said."""

from dataclasses import dataclass, field

import numpy as np
from ringwheel.media._core import TimerWheel
from ringwheel.robot.speech.engines.engine import EngineFailed, Hypothesis
from ringwheel.robot.speech.mrcp.message import ChannelId, Event, Headers, Request, Response, parse
from ringwheel.robot.speech.server.grammars import attempt
from ringwheel.robot.speech.server.recognizer import Recognizer
from ringwheel.robot.speech.server.recorder import Recorder
from ringwheel.robot.speech.server.synthesizer import Synthesizer

SILENCE = np.zeros(800, np.int16)


class Client:
    """One channel and its client: requests by method and headers, answers as they come."""

    def __init__(self, kind):
        self.wheel = TimerWheel(0)
        self.sent = []
        self.channel = ChannelId("1234", kind)
        self.last_id = 0

    def send(self, message):
        """What the server says goes over the wire and back."""
        read = parse(message.to_bytes())
        assert read == message
        assert message.channel == self.channel
        self.sent.append(read)

    def ask(self, method, *lines, body=b"", kind="", number=None):
        """Send a request; what is answered at once, or None."""
        self.last_id = self.last_id + 1 if number is None else number
        lines = [("Channel-Identifier", str(self.channel)), *lines]
        if kind:
            lines.append(("Content-Type", kind))
        before = len(self.sent)
        self.resource.receive(
            Request(self.last_id, headers=Headers(lines), body=body, method=method)
        )
        new = [m for m in self.sent[before:] if isinstance(m, Response)]
        return next((m for m in new if m.request_id == self.last_id), None)

    def status(self, method, *lines, **more):
        """The status of a request."""
        return self.ask(method, *lines, **more).status

    def wait(self, ms):
        """Let time pass, from timer to timer."""
        end_ms = self.wheel.now_ms + ms
        while (next_ms := self.wheel.next_ms()) is not None and next_ms <= end_ms:
            self.wheel.advance(next_ms)
        self.wheel.advance(end_ms)

    @property
    def events(self):
        """Name, request id and cause of all events."""
        return [
            (m.name, m.request_id, (m.headers.get("Completion-Cause") or "")[:3])
            for m in self.sent
            if isinstance(m, Event)
        ]

    @property
    def cause(self):
        """The cause of the last event, in words."""
        return self.sent[-1].headers.get("Completion-Cause")


@dataclass
class Mouth:
    """A speaker that notes what it is told."""

    done: list = field(default_factory=list)

    def start(self, utterance):
        self.done.append(f"start {utterance.text}")
        self.utterance = utterance

    def stop(self):
        self.done.append("stop")

    def pause(self):
        self.done.append("pause")

    def resume(self):
        self.done.append("resume")

    def set_volume(self, volume):
        self.done.append(f"volume {volume:g}")


class SynthesizerClient(Client):
    """A client of a synthesizer."""

    def __init__(self, kind="speechsynth"):
        super().__init__(kind)
        self.mouth = Mouth()
        self.resource = Synthesizer(
            self.channel, self.send, self.wheel, self.mouth, clock=lambda: 1_000_000.5
        )

    def speak(self, text="Hello", *lines):
        """Ask for a SPEAK."""
        return self.ask("SPEAK", *lines, body=text.encode(), kind="text/plain")


class Ear:
    """A hearing that does what the test says."""

    def __init__(self):
        self.listening = False
        self.speaking = False
        self.decoding = []
        self.compiled = []
        self.failure = None
        self.waiting = None
        self.slow = False
        self.stores = True
        self.restarts = 0

    def listen(self, sensitivity):
        self.listening = True
        return self.speaking

    def stop(self):
        self.listening = False

    def heard(self):
        return SILENCE

    def restart(self):
        self.restarts += 1

    def read(self, work, done):
        done(attempt(work))

    def compile(self, grammars, locale, done):
        self.compiled.append((tuple(grammars), locale))
        if self.slow:
            self.waiting = done
        else:
            done(self.failure)

    def decode(self, sound, grammars, locale, done):
        self.decoding.append(done)

    def record(self, sensitivity, *, from_speech):
        self.listening = True
        self.from_speech = from_speech

    def kept(self):
        return SILENCE

    def store(self, wav, done):
        done(OSError("full") if self.failure else "file:///records/one.wav")


class RecognizerClient(Client):
    """A client of a recognizer, whose caller says what the test wants."""

    def __init__(self, kind="speechrecog", room=None):
        super().__init__(kind)
        self.ear = Ear()
        self.resource = Recognizer(self.channel, self.send, self.wheel, self.ear, room=room)

    def define(self, name, body):
        """DEFINE-GRAMMAR with this body."""
        content_id = ("Content-ID", f"<{name}>")
        return self.ask("DEFINE-GRAMMAR", content_id, body=body, kind="application/srgs+xml")

    def recognize(self, *uris, lines=()):
        """RECOGNIZE with grammars of these URIs."""
        body = "\r\n".join(uris or ("builtin:speech/boolean",)).encode()
        return self.ask("RECOGNIZE", *lines, body=body, kind="text/uri-list")

    def say(self, *hypotheses, pause_ms=300):
        """Say something, and pause; ``hypotheses`` are pairs of text and confidence."""
        self.resource.speech_began()
        self.pause(*hypotheses, pause_ms=pause_ms)

    def pause(self, *hypotheses, pause_ms=300):
        """Pause, and be recognized."""
        self.resource.speech_paused(SILENCE, pause_ms)
        self.ear.decoding.pop()([Hypothesis(*pair) for pair in hypotheses])


class RecorderClient(Client):
    """A client of a recorder."""

    def __init__(self):
        super().__init__("recorder")
        self.ear = Ear()
        self.resource = Recorder(self.channel, self.send, self.wheel, self.ear)


FAILED = EngineFailed("failed", "it broke")
