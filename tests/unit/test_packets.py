"""Prompts in Opus: where each sound lies, what is between two, what a loop does at its seam."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import soundfile
from ringwheel.media import _core, packets
from ringwheel.media.codec import CODECS, OPUS
from ringwheel.media.events import PlayEnded, PlayOutcome
from ringwheel.media.packets import packets_of, silence_packet
from ringwheel.media.prompt import PromptLibrary

from .test_codecs import speech

CODEC = next((codec for codec in CODECS if codec.label == OPUS), None)
pytestmark = pytest.mark.skipif(CODEC is None, reason="built without libopus")

RATE_HZ = 16000


class Written:
    """Takes the place of a prompt of the C core, and can be listened to."""

    def __init__(self, payload: bytes, levels: np.ndarray, *, packet_bytes: np.ndarray) -> None:
        ends = np.cumsum(packet_bytes)
        self.packets = [payload[end - n : end] for end, n in zip(ends, packet_bytes, strict=True)]
        self.levels_dbov = levels.tolist()

    def __len__(self) -> int:
        return sum(map(len, self.packets))


def heard(payloads: list[bytes]) -> np.ndarray:
    """What a peer hears of packets that come one after the other."""
    decoder = _core.CodecDecoder(CODEC.index)
    parts = []
    for payload in payloads:
        room = np.zeros(60 * RATE_HZ // 1000, np.int16)
        parts.append(room[: decoder.decode(payload, room)])
    return np.concatenate(parts)


def alike(said: np.ndarray, got: np.ndarray) -> float:
    """Correlation in place, not at the best delay."""
    return float(np.corrcoef(said.astype(float), got[: len(said)].astype(float))[0, 1])


@pytest.fixture
def written(monkeypatch):
    monkeypatch.setattr(packets, "Prompt", Written)


@pytest.mark.parametrize("packet_ms", [10, 20, 40, 60])
@pytest.mark.parametrize("samples", [1, 319, 320, 321, 11_701])
def test_a_sound_lies_where_it_was_in_no_packet_too_many(written, packet_ms, samples):
    said = speech(1.0, RATE_HZ)[3000 : 3000 + samples]
    frame = packet_ms * RATE_HZ // 1000
    prompt = packets_of(said, CODEC, packet_ms, loop=False)
    got = heard(prompt.packets)
    assert len(prompt.packets) == -(-samples // frame)
    assert len(got) == len(prompt.packets) * frame
    if samples > 1000:
        assert alike(said, got) > 0.98
        assert alike(said[:800], got[:800]) > 0.95
        assert alike(said[-800:], got[samples - 800 :]) > 0.95


def test_each_packet_knows_how_loud_it_is(written):
    loud = speech(0.2, RATE_HZ)
    prompt = packets_of(np.append(loud, np.zeros(1600, np.int16)), CODEC, 20, loop=False)
    assert len(prompt.levels_dbov) == len(prompt.packets) == 15
    assert max(prompt.levels_dbov[10:]) == -127
    assert min(prompt.levels_dbov[:10]) > -40


@pytest.mark.parametrize("packet_ms", [20, 60])
@pytest.mark.parametrize("seconds", [0.2, 0.7313, 12.0031])
def test_a_loop_has_no_seam(written, seconds, packet_ms):
    """The worst there is: it ends in the midst of a word, and begins in one."""
    said = speech(seconds, RATE_HZ)
    prompt = packets_of(said, CODEC, packet_ms, loop=True)
    one_round = heard(prompt.packets)
    length_s = len(one_round) / RATE_HZ
    rounds = round(length_s / seconds)
    assert abs(length_s / (rounds * seconds) - 1) <= 0.001
    again = heard(2 * prompt.packets)
    # The second round sounds like the first one, from its first sample on.
    assert alike(one_round[:1600], again[len(one_round) :]) > 0.95
    assert alike(one_round, again[len(one_round) :]) > 0.98
    seam = np.concatenate([said[-160:], said[:160]])
    assert alike(seam, again[len(one_round) - 160 :]) > 0.95


@pytest.mark.parametrize("packet_ms", [10, 20, 40, 60])
def test_silence_is_silent_behind_a_voice(written, packet_ms):
    voice = packets_of(speech(0.5, RATE_HZ), CODEC, packet_ms, loop=False).packets
    quiet = 10 * [silence_packet(CODEC, packet_ms)]
    got = heard([*voice, *quiet])
    assert len(got) == (len(voice) + 10) * packet_ms * RATE_HZ // 1000
    assert np.abs(got[-5 * packet_ms * RATE_HZ // 1000 :]).max() < 100
    assert len(quiet[0]) <= 32


# The library


@pytest.fixture
def library():
    library = PromptLibrary()
    yield library
    library.close()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = []
    for seed, seconds in ((1, 0.7313), (5, 0.1001), (3, 0.4)):
        path = tmp_path / f"{seed}.wav"
        soundfile.write(path, speech(seconds, RATE_HZ, seed), RATE_HZ)
        made.append(path)
    return made


async def test_a_list_is_one_stream_with_nothing_between(library, files, written):
    playable = await library.arrange(files, CODEC)
    said = np.concatenate([soundfile.read(path, dtype="int16")[0] for path in files])
    (native,) = playable.natives
    got = heard(native.packets)
    assert len(native.packets) == -(-len(said) // 320)
    assert alike(said, got) > 0.98
    for seam in (11_701, 11_701 + 1_602):
        around = slice(seam - 400, seam + 400)
        assert alike(said[around], got[around]) > 0.95
    assert playable.ends_ms == pytest.approx(len(said) / 16)


async def test_lists_are_made_once(library, files):
    first, second = await asyncio.gather(*(library.arrange(files, CODEC) for _ in range(2)))
    assert first.natives[0] is second.natives[0]
    round_and_round = await library.arrange(files, CODEC, loop=True)
    assert round_and_round.natives[0] is not first.natives[0]
    longer = await library.arrange(files, CODEC, packet_ms=40)
    assert longer.natives[0] is not first.natives[0]
    held = library.held_bytes
    await library.arrange(files, CODEC, packet_ms=40)
    assert library.held_bytes == held
    # Three sounds as samples and alone, three lists as payload only.
    assert len(library) == 6


async def test_a_prompt_alone_is_there_once_it_is_loaded(library, files):
    prompt = await library.load(files[0], CODEC)
    playable = await library.arrange(files[:1], CODEC)
    assert playable.natives == [prompt.native]
    assert len(library) == 1
    assert prompt.held_bytes == len(prompt.payload) + 2 * prompt.samples


async def test_nothing_is_arranged_of_nothing(library):
    assert (await library.arrange([], CODEC)).natives == []


@pytest.mark.parametrize(
    ("loop", "played_packets", "played_ms"),
    [(False, 62, 1231.4375), (False, 10, 200.0), (True, 100, 2000.0)],
)
async def test_what_was_heard_is_told_without_the_fill(
    library, files, loop, played_packets, played_ms
):
    playable = await library.arrange(files, CODEC, loop=loop)
    ended = PlayEnded(1, 1, PlayOutcome.FINISHED, 5_000, played_packets)
    assert playable.played_ms(ended) == pytest.approx(played_ms, abs=0.2)
