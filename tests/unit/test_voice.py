"""How a channel speaks: what is played of files, and what by which service."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from ringwheel import Played, PlayOutcome
from ringwheel.robot.channels.voice import Voice
from ringwheel.robot.script.actions import SpokenFile, SpokenText

FINISHED = Played(PlayOutcome.FINISHED, 0.0)
HELLO, NEWS, BYE = SpokenText("Hello.", "en"), SpokenFile("news.wav"), SpokenText("Bye.", "en")


class Service:
    """A service, and the session of its one call."""

    def __init__(self, heard, name):
        self._heard, self._name = heard, name

    async def open(self, call):
        return self

    async def speak(self, text, **options):
        self._heard.append((self._name, text))
        return FINISHED


class Kept:
    """Prompts that were spoken before, and those that are wanted."""

    def __init__(self, *texts):
        self.texts = {text: Path(f"{text}wav") for text in texts}
        self.wanted = []

    def find(self, spoken):
        return self.texts.get(spoken.text)

    def want(self, spoken):
        self.wanted.append(spoken.text)


def voice(kept, heard, *names):
    async def play(*files, barge_in):
        heard.append(tuple(map(str, files)))
        return FINISHED

    services = {name: Service(heard, name) for name in names}
    return Voice(SimpleNamespace(play=play), services, None, kept)


async def test_what_is_kept_is_played_in_one_go_with_files():
    kept, heard = Kept("Hello."), []
    assert await voice(kept, heard, "local").say((HELLO, NEWS, BYE), "none", "local")
    assert heard == [("Hello.wav", "news.wav"), ("local", "Bye.")]
    assert kept.wanted == ["Bye."]


async def test_another_service_speaks_for_itself():
    kept, heard = Kept("Hello."), []
    await voice(kept, heard, "local", "mrcp").say((HELLO, BYE), "none", "mrcp")
    assert heard == [("mrcp", "Hello."), ("mrcp", "Bye.")]
    assert not kept.wanted
