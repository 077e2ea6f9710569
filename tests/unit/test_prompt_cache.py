"""Prompts that are kept: made once, found by what they say, bounded, and never half a file."""

import asyncio
import os

import numpy as np
import pytest
from ringwheel.media.sound import read_sound
from ringwheel.robot.speech.cache import PromptCache
from ringwheel.robot.speech.engines.engine import EngineFailed, Utterance


class Beeper:
    """A synthesizer that makes a tenth of a second for each letter, and counts."""

    name = "beeper"
    sample_rate_hz = 8_000

    def __init__(self):
        self.made = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def check(self, utterance):
        if utterance.locale == "tlh":
            raise EngineFailed("language", "no Klingon")

    async def synthesize(self, utterance):
        self.made.append(utterance.text)
        await self.gate.wait()
        for letter in utterance.text:
            yield np.full(800, ord(letter), np.int16)


@pytest.fixture
def beeper():
    return Beeper()


async def test_a_prompt_is_made_once(tmp_path, beeper):
    cache = PromptCache(tmp_path, synthesizer=beeper)
    assert cache.find(Utterance("ab")) is None
    path = await cache.render(Utterance("ab"))
    assert list(read_sound(path).samples) == [97] * 800 + [98] * 800
    assert await cache.render(Utterance("ab")) == path
    assert PromptCache(tmp_path, synthesizer=beeper).find(Utterance("ab")) == path
    assert beeper.made == ["ab"]


@pytest.mark.parametrize(
    "other",
    [
        Utterance("ab", locale="en-GB"),
        Utterance("ab", voice="x"),
        Utterance("ab", ssml=True),
        Utterance("ab", rate=1.5),
        Utterance("ab", volume=0.5),
        Utterance("Ab"),
    ],
)
def test_whatever_the_sound_depends_on_is_in_the_name(tmp_path, beeper, other):
    cache = PromptCache(tmp_path, synthesizer=beeper)
    assert cache.key(other) != cache.key(Utterance("ab"))
    assert cache.key(Utterance("ab"), "another") != cache.key(Utterance("ab"))


async def test_those_who_ask_at_the_same_time_share_the_work(tmp_path, beeper):
    cache = PromptCache(tmp_path, synthesizer=beeper)
    beeper.gate.clear()
    both = [asyncio.create_task(cache.render(Utterance("ab"))) for _ in range(2)]
    await asyncio.sleep(0)
    both[0].cancel()
    beeper.gate.set()
    assert (await both[1]).exists()
    assert beeper.made == ["ab"]


async def test_what_cannot_be_made_says_why(tmp_path, beeper):
    with pytest.raises(EngineFailed, match="Klingon"):
        await PromptCache(tmp_path, synthesizer=beeper).render(Utterance("ab", locale="tlh"))
    with pytest.raises(EngineFailed, match="nothing makes it"):
        await PromptCache(tmp_path).render(Utterance("ab"))


@pytest.mark.parametrize("damage", [b"", b"RIFF", None])
async def test_a_file_that_is_damaged_is_dropped_and_made_again(tmp_path, beeper, damage):
    path = await PromptCache(tmp_path, synthesizer=beeper).render(Utterance("ab"))
    path.write_bytes(path.read_bytes()[:-10] if damage is None else damage)
    cache = PromptCache(tmp_path, synthesizer=beeper)
    assert await cache.render(Utterance("ab")) == path
    assert cache.figures.corrupt == 1
    assert len(read_sound(path).samples) == 1600


async def test_the_least_recently_used_go(tmp_path, beeper):
    cache = PromptCache(tmp_path, 5_500, beeper)  # three of 1,644 bytes
    for number, text in enumerate("abc"):
        os.utime(await cache.render(Utterance(text)), (number, number))
    assert cache.find(Utterance("a"))
    await cache.render(Utterance("d"))
    assert cache.figures.evicted == 1
    assert [bool(cache.find(Utterance(text))) for text in "abcd"] == [True, False, True, True]


async def test_half_written_files_of_the_dead_go(tmp_path, beeper):
    for name, age_s in (("old.part", 7_200), ("new.part", 0)):
        (tmp_path / name).write_bytes(b"x")
        if age_s:
            os.utime(tmp_path / name, (0, 0))
    await PromptCache(tmp_path, synthesizer=beeper).render(Utterance("ab"))
    assert not (tmp_path / "old.part").exists()
    assert (tmp_path / "new.part").exists()


async def test_sound_of_a_server_can_be_put_in(tmp_path):
    cache = PromptCache(tmp_path)
    path = cache.put(Utterance("ab"), np.zeros(10, np.int16), 8_000, "mrcp:main")
    assert cache.find(Utterance("ab"), "mrcp:main") == path
    assert cache.find(Utterance("ab"), "mrcp:other") is None
