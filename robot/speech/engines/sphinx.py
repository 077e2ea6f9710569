"""Recognition by pocketsphinx, with the English model that its wheel brings.

The model knows sound up to 6.8 kHz, and a telephone line ends at 4: what is missing is put together
from what is there (`widen`). Confidence is how well the path explains all of the sound, compared
with the best that any part of the model could, and how much of what is loud lies in its words: what
is not in the grammar is forced into silence, or left out.
"""

from __future__ import annotations

import math
import sys
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr
from pocketsphinx import Config, Decoder, get_model_path

from ....media.codec import Samples
from ....media.sound import to_int16
from ...grammar import jsgf
from ...grammar.model import Grammar, GrammarError
from .engine import EngineFailed, Hypothesis

_Floats = np.typing.NDArray[np.float64]

RATE_HZ = 16_000
MAX_COMPILED = 64
"""Grammars that are kept ready; the least recently used go."""

WORD_PENALTY = 0.1
"""Of one more word: a slow one is taken for two otherwise."""

SCORE_UNITS = 1024
"""Scores of segments are shifted by ten bits (the engine's ``SENSCR_SHIFT``)."""
FRAME_HZ = 100
FIT_WEIGHT, COVER_WEIGHT, OFFSET = 2.6, 6.7, 2.6
"""Of a logistic regression, rounded, over other words, digits and phrases than those of `ringwheel
bench recognition`, in other voices for the most part; the offset was then raised by 0.8 by hand, so
that 0.4 refuses few words of the grammar."""
LOUD_OVER_NOISE, LOUD_BELOW_PEAK = 4.0, 300.0
"""Frames are loud that have so many times the power of the noise, and no less than that part of
what the loudest have."""

MIRROR_LEAST, MIRROR_HISS = 0.5, 6.0
HISS_FROM, HISS_TO = 0.5, 2.0
"""The power of the differences between samples, as a part of their own: vowels have less than the
one, white noise 2, what is left of an s on a telephone more than the other."""
HISS_SAMPLES = 160
QUIET_POWER = 1_000.0
"""Of samples of 16 bits: what is softer does not count as hiss."""
FLOOR = 100.0
"""Noise that is added, of 16 bits: a line that is silent in digits sounds like nothing that the
model was made of."""


@dataclass(frozen=True, slots=True)
class _Path:
    """The best path of a search: what was said, and how well it explains the sound.

    ``fit`` is the mean of what a frame has lost against the best senone, a natural logarithm below
    zero; silence counts, since that is where a search puts the sound that its words cannot explain.
    ``words`` are the frames that the words take, from one to before another.
    """

    text: str
    score: float
    fit: float
    words: tuple[tuple[int, int], ...]


class PocketsphinxRecognizer:
    """One decoder, with a search for each grammar that it has met."""

    name = "pocketsphinx"

    def __init__(self) -> None:
        config = Config(
            hmm=get_model_path("en-us/en-us"),
            dict=get_model_path("en-us/cmudict-en-us.dict"),
            lm=None,
            wip=WORD_PENALTY,
            bestpath=False,  # searching its lattice again finds nothing at all at times
            loglevel="FATAL",
        )
        self._decoder = Decoder(config)
        self._searches: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    def compile(self, grammars: Sequence[Grammar], locale: str) -> tuple[str, ...]:
        """EngineFailed: it is not English, or nothing of it can be said by the dictionary."""
        unknown: set[str] = set()
        for grammar in grammars:
            for tongue in (locale, grammar.locale):
                if tongue.replace("_", "-").partition("-")[0].lower() != "en":
                    cause = f"pocketsphinx has a model of English only, none of {tongue}"
                    raise EngineFailed("language", cause)
            unknown.update(self._search(grammar))
        return tuple(sorted(unknown))

    def recognize(
        self, samples: Samples, sample_rate_hz: int, grammars: Sequence[Grammar], locale: str
    ) -> list[Hypothesis]:
        """By the grammar that explains the sound best."""
        self.compile(grammars, locale)
        if len(samples) == 0:
            return []
        sound = widen(samples, sample_rate_hz).tobytes()
        paths = [path for grammar in grammars if (path := self._run(grammar.id, sound))]
        if not paths:
            return []
        ranked = sorted(paths, key=lambda path: -path.score)
        loudness = _Loudness(samples, sample_rate_hz)
        return [
            Hypothesis(path.text, confidence_of(path.fit, loudness.cover(path.words)))
            for path in ranked
        ]

    def _search(self, grammar: Grammar) -> tuple[str, ...]:
        """Words of the grammar that the dictionary does not have."""
        if grammar.id in self._searches:
            self._searches.move_to_end(grammar.id)
            return self._searches[grammar.id]
        try:
            written = jsgf.write(grammar, self._knows)
        except GrammarError as error:
            raise EngineFailed("grammar", f"pocketsphinx cannot take it: {error}") from error
        self._add(grammar.id, written.text)
        self._searches[grammar.id] = written.unknown
        if len(self._searches) > MAX_COMPILED:
            oldest, _ = self._searches.popitem(last=False)
            self._decoder.remove_search(oldest)
        return written.unknown

    def _add(self, name: str, text: str) -> None:
        try:
            self._decoder.add_jsgf_string(name, text)
        except RuntimeError as error:
            raise EngineFailed("grammar", f"pocketsphinx cannot compile it: {error}") from error

    def _knows(self, word: str) -> bool:
        return self._decoder.lookup_word(word) is not None

    def _run(self, search: str, sound: bytes) -> _Path | None:
        decoder = self._decoder
        decoder.activate_search(search)
        decoder.start_utt()
        decoder.process_raw(sound, full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        if found is None or not found.hypstr:
            return None
        lost, frames, words = 0.0, 0, []
        for part in decoder.seg():
            lost += math.log(max(part.ascore, sys.float_info.min))
            frames = part.end_frame + 1
            if not part.word.startswith(("<", "(")):
                words.append((part.start_frame, part.end_frame + 1))
        fit = SCORE_UNITS * lost / max(1, frames)
        return _Path(found.hypstr, found.best_score, fit, tuple(words))


def confidence_of(fit: float, cover: float) -> float:
    """0 to 1, of the `_Path.fit` of the words and their `_Loudness.cover`."""
    evidence = FIT_WEIGHT * fit + COVER_WEIGHT * cover + OFFSET
    return round(1 / (1 + math.exp(-max(-50.0, evidence))), 3)


class _Loudness:
    """Which frames of an utterance are loud: words that leave many of them out are not all that was
    said."""

    def __init__(self, samples: Samples, sample_rate_hz: int) -> None:
        length = sample_rate_hz // FRAME_HZ
        whole = samples[: len(samples) // length * length].astype(np.float64)
        power = np.square(whole.reshape(-1, length)).mean(axis=1) + 1.0
        if len(power) == 0:
            power = np.ones(1)
        noise, peak = np.percentile(power, (10, 95))
        self._loud = power > max(LOUD_OVER_NOISE * noise, peak / LOUD_BELOW_PEAK)

    def cover(self, words: Sequence[tuple[int, int]]) -> float:
        """The part of the loud frames that lie within words, 0 to 1."""
        within = sum(int(self._loud[start:end].sum()) for start, end in words)
        return within / max(1, int(self._loud.sum()))


def widen(samples: Samples, sample_rate_hz: int) -> Samples:
    """Sound of a telephone line as the model expects it: 16 kHz, with a band above 4 kHz.

    That is the mirror image of the band below, and a floor of noise. A consonant such as s was cut
    off for the most part, and what is left of it hisses; a vowel has little up there. So the image
    is strong where the line hisses, and soft elsewhere.
    """
    low = soxr.resample(samples.astype(np.float64), sample_rate_hz, RATE_HZ)
    if sample_rate_hz == RATE_HZ // 2:
        spread = np.zeros(2 * len(samples))
        spread[::2] = 2 * samples.astype(np.float64)
        count = min(len(low), len(spread))
        low = low[:count] + _mirror_gain(samples)[:count] * (spread[:count] - low[:count])
    return to_int16(low + _noise(len(low)))


def _mirror_gain(samples: Samples) -> _Floats:
    """How strong the mirror image is, for twice as many samples."""
    sound = samples.astype(np.float64)
    steep = np.diff(sound, prepend=0.0)
    hiss = _smoothed(np.square(steep)) / (_smoothed(np.square(sound)) + QUIET_POWER)
    share = np.clip((hiss - HISS_FROM) / (HISS_TO - HISS_FROM), 0.0, 1.0)
    return np.repeat(MIRROR_LEAST + MIRROR_HISS * share, 2)


def _smoothed(power: _Floats) -> _Floats:
    window = np.hanning(HISS_SAMPLES + 2)[1:-1]
    return np.convolve(power, window / window.sum(), "same")[: len(power)]


def _noise(count: int) -> _Floats:
    """Noise that falls 3 dB an octave, the same each time, so that the same sound is recognized
    the same."""
    spectrum = np.fft.rfft(np.random.default_rng(1).normal(size=count))
    spectrum /= np.sqrt(np.maximum(1, np.arange(len(spectrum))))
    noise = np.fft.irfft(spectrum, count)
    return np.asarray(noise * (FLOOR / max(1e-9, float(noise.std()))))
