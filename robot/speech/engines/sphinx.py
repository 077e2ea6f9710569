"""Recognition by pocketsphinx, with the English model that its wheel brings.

The model knows sound up to 6.8 kHz, and a telephone line ends at 4: what is missing is put together
from what is there (`widen`). Confidence is how well the words explain the sound, compared with the
best that any part of the model could: the engine scores each frame against that.
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

RATE_HZ = 16_000
MAX_COMPILED = 64
"""Grammars that are kept ready; the least recently used go."""

WORD_PENALTY = 0.1
"""Of one more word: a slow one is taken for two otherwise."""

SCORE_UNITS = 1024
"""Scores of segments are shifted by ten bits (the engine's ``SENSCR_SHIFT``)."""
FIT_EVEN = -4.6
FIT_SCALE = 0.4
"""Measured with words in and out of the grammar: `ringwheel bench recognition`."""

MIRROR_GAIN = 4.0
FLOOR = 100.0
"""Noise that is added, of 16 bits: a line that is silent in digits sounds like nothing that the
model was made of."""


@dataclass(frozen=True, slots=True)
class _Path:
    """The best path of a search: what was said, and how well it explains the sound.

    ``fit`` is the mean of what a frame of speech has lost against the best senone, a natural
    logarithm below zero.
    """

    text: str
    score: float
    fit: float


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
        sound = widen(samples, sample_rate_hz).tobytes()
        paths = [path for grammar in grammars if (path := self._run(grammar.id, sound))]
        if not paths:
            return []
        ranked = sorted(paths, key=lambda path: -path.score)
        return [Hypothesis(path.text, confidence_of(path.fit)) for path in ranked]

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
        lost, frames = 0.0, 0
        for part in decoder.seg():
            if not part.word.startswith(("<", "(")):
                lost += math.log(max(part.ascore, sys.float_info.min))
                frames += part.end_frame - part.start_frame + 1
        return _Path(found.hypstr, found.best_score, SCORE_UNITS * lost / max(1, frames))


def confidence_of(fit: float) -> float:
    """0 to 1: `FIT_EVEN` is as likely wrong as right."""
    return round(1 / (1 + math.exp((FIT_EVEN - fit) / FIT_SCALE)), 3)


def widen(samples: Samples, sample_rate_hz: int) -> Samples:
    """Sound of a telephone line as the model expects it: 16 kHz, with a band above 4 kHz.

    That is the mirror image of the band below, which a consonant such as s has in common with what
    was cut off, and a floor of noise.
    """
    low = soxr.resample(samples.astype(np.float64), sample_rate_hz, RATE_HZ)
    if sample_rate_hz == RATE_HZ // 2:
        spread = np.zeros(2 * len(samples))
        spread[::2] = 2 * samples.astype(np.float64)
        spread = spread[: len(low)]
        low = low[: len(spread)] + MIRROR_GAIN * (spread - low[: len(spread)])
    return to_int16(low + _noise(len(low)))


def _noise(count: int) -> np.typing.NDArray[np.float64]:
    """Noise that falls 3 dB an octave, the same each time, so that the same sound is recognized
    the same."""
    spectrum = np.fft.rfft(np.random.default_rng(1).normal(size=count))
    spectrum /= np.sqrt(np.maximum(1, np.arange(len(spectrum))))
    noise = np.fft.irfft(spectrum, count)
    return np.asarray(noise * (FLOOR / max(1e-9, float(noise.std()))))
