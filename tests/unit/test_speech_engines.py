"""Engines of speech: what is known, what is refused, and workers that die."""

import asyncio
import shutil
from contextlib import aclosing

import numpy as np
import pytest
from ringwheel.media.sound import resample
from ringwheel.robot.grammar.builders import choices, digits, yes_no
from ringwheel.robot.speech.engines import pool as pool_module
from ringwheel.robot.speech.engines.engine import EngineFailed, Utterance, make_engine
from ringwheel.robot.speech.engines.espeak import EspeakSynthesizer
from ringwheel.robot.speech.engines.pool import RecognizerPool
from ringwheel.robot.speech.server.endpoint import Endpointer

pytestmark = pytest.mark.skipif(not shutil.which("espeak-ng"), reason="apt-get install espeak-ng")


async def sound_of(text, **more):
    engine = EspeakSynthesizer()
    return np.concatenate([b async for b in engine.synthesize(Utterance(text, **more))])


async def line_of(text):
    """As it comes over a telephone, with a second of soft noise around it."""
    speech = resample(await sound_of(text), 22_050, 8_000) // 2
    quiet = np.zeros(4_000, np.int16)
    sound = np.concatenate([quiet, speech, quiet])
    return sound + np.random.default_rng(1).integers(-20, 20, len(sound), np.int16)


async def utterance_of(text):
    """As the server cuts it out of the line."""
    line, endpointer = await line_of(text), Endpointer()
    changes = [endpointer.hear(line[at : at + 160]) for at in range(0, len(line) - 159, 160)]
    assert "paused" in changes
    return endpointer.sound()


async def test_text_becomes_sound():
    short, long = await sound_of("one"), await sound_of("one two three four five")
    assert 3_000 < len(short) < len(long)
    assert np.abs(long).max() > 5_000
    assert len(await sound_of("one two three", rate=2.0)) < len(await sound_of("one two three"))
    quiet = await sound_of("one", volume=0.25)
    assert np.abs(quiet).max() < np.abs(short).max() / 2
    ssml = '<speak>one<break time="2s"/></speak>'
    assert len(await sound_of(ssml, ssml=True)) > len(short) + 22_050


@pytest.mark.parametrize("voice", ["/etc/passwd", "../x", "en-us+../f", "-v", "nobody"])
async def test_voices_that_are_none(voice):
    with pytest.raises(EngineFailed) as raised:
        await EspeakSynthesizer().check(Utterance("x", voice=voice))
    assert raised.value.kind == "voice"


async def test_a_text_that_is_too_long():
    with pytest.raises(EngineFailed, match="split it"):
        await EspeakSynthesizer().check(Utterance("x" * 100_000))


async def test_who_stops_listening_ends_the_program():
    engine = EspeakSynthesizer(max_processes=1)
    for _ in range(3):  # each needs the place that the one before has left
        async with aclosing(engine.synthesize(Utterance("a long story " * 500))) as blocks:
            async for _ in blocks:
                break


def test_engines_by_name():
    with pytest.raises(EngineFailed, match="espeak-ng"):
        make_engine("ringwheel.synthesizers", "hal")
    with pytest.raises(EngineFailed, match="pocketsphinx"):
        make_engine("ringwheel.recognizers", "hal")


def test_a_program_that_is_missing_names_the_remedy(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EngineFailed, match="apt-get install espeak-ng"):
        EspeakSynthesizer()


async def test_words_are_recognized_after_a_worker_was_killed():
    menu = choices([(word, [word], None) for word in ("sales", "support")], "en-US")
    async with RecognizerPool("pocketsphinx", workers=1) as pool:
        with pytest.raises(EngineFailed, match="English"):
            await pool.compile([yes_no("de-DE")], "de-DE")
        sound = await line_of("sales")
        job = asyncio.create_task(pool.recognize(sound, 8_000, [menu], "en-US"))
        await asyncio.sleep(0.001)
        (worker,) = pool._running
        worker._process.kill()
        found = await job
        assert found[0].text == "sales"
        assert pool.figures().restarts == 1
        again = await pool.recognize(sound, 8_000, [yes_no("en-US"), menu], "en-US")
        assert again[0].text == "sales"


async def test_confidence_tells_words_of_the_grammar_from_others():
    """At the threshold that scripts have."""
    grammar = yes_no("en-US")
    others = ("purple monkey dishwasher", "could you say that again")
    async with RecognizerPool("pocketsphinx", workers=1) as pool:

        async def confidence(text):
            found = await pool.recognize(await utterance_of(text), 8_000, [grammar], "en-US")
            return found[0].confidence if found else 0.0

        known = [await confidence(text) for text in ("yes", "yes please", "no", "correct")]
        strange = [await confidence(text) for text in others]
    assert min(known) >= 0.5, known
    assert max(strange) < 0.4, strange


async def test_consonants_that_a_telephone_cuts_off_are_told_from_none():
    """A six without its hiss is an eight."""
    async with RecognizerPool("pocketsphinx", workers=1) as pool:
        for text in ("six", "six one six four"):
            grammar = digits(1, 4, "en-US")
            found = await pool.recognize(await utterance_of(text), 8_000, [grammar], "en-US")
            assert found[0].text == text
            assert found[0].confidence > 0.8


async def test_a_word_of_the_grammar_among_others_is_not_all_that_was_said():
    async with RecognizerPool("pocketsphinx", workers=1) as pool:
        sound = await utterance_of("I would rather not say yes to the purple dishwasher")
        found = await pool.recognize(sound, 8_000, [yes_no("en-US")], "en-US")
    assert not found or found[0].confidence < 0.3


async def test_sound_that_is_nothing_has_no_confidence():
    async with RecognizerPool("pocketsphinx", workers=1) as pool:
        for sound in (np.empty(0, np.int16), np.zeros(10, np.int16), np.zeros(8_000, np.int16)):
            found = await pool.recognize(sound, 8_000, [yes_no("en-US")], "en-US")
            assert not found or found[0].confidence < 0.4


async def test_a_pool_that_is_full_says_so():
    async with RecognizerPool("pocketsphinx", workers=1, max_waiting=1) as pool:
        sound = np.zeros(80_000, np.int16)
        jobs = [
            asyncio.create_task(pool.recognize(sound, 8_000, [yes_no("en-US")], "en-US"))
            for _ in range(6)
        ]
        ended = await asyncio.gather(*jobs, return_exceptions=True)
        assert any(isinstance(e, EngineFailed) and e.kind == "busy" for e in ended)


async def test_who_asks_while_the_pool_is_closed_is_told():
    async with RecognizerPool("pocketsphinx", workers=1) as pool:
        job = asyncio.create_task(pool.compile([yes_no("en-US")], "en-US"))
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        with pytest.raises(EngineFailed, match="shut down"):
            await job


async def test_nobody_waits_for_ever_for_a_worker(monkeypatch):
    monkeypatch.setattr(pool_module, "ANSWER_S", 0.05)
    pool = RecognizerPool("pocketsphinx")  # all of its workers are gone
    with pytest.raises(EngineFailed, match="give it more --workers") as raised:
        await pool.compile([yes_no("en-US")], "en-US")
    assert raised.value.kind == "deadline"
    assert (pool.figures().jobs, pool.figures().failed) == (1, 1)


async def test_an_engine_that_is_not_there_does_not_start():
    with pytest.raises(EngineFailed, match="no 'hal' among"):
        async with RecognizerPool("hal", workers=1):
            pass


async def test_an_utterance_is_cut_out_of_the_line():
    sound = await line_of("sales")
    endpointer = Endpointer()
    changes = []
    for at in range(0, len(sound) - 159, 160):
        change = endpointer.hear(sound[at : at + 160])
        if change:
            changes.append(change)
    assert changes[0] == "began" and changes[-1] == "paused"
    loud = np.flatnonzero(np.abs(sound) > 1_000)
    assert len(endpointer.sound()) >= loud[-1] - loud[0]
    endpointer.restart()
    assert len(endpointer.sound()) == 0
