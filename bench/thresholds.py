"""`bench recognition --engine`: what a threshold of confidence lets through, without a call.

The sound of the fixed set goes to the engine as the server would cut it out of the line, in this
process. What is in no grammar is said to each kind of question.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from ..cli.errors import STATUS_FAILED, CommandError
from ..media.codec import Samples
from ..robot.grammar.model import Grammar
from ..robot.speech.engines.engine import EngineFailed, Recognizer, make_engine
from ..robot.speech.server.endpoint import BLOCK_MS, Endpointer
from .limit import Progress
from .measure import machine
from .utterances import ASKED, LOCALE, Utterance, grammars, make_set, on_the_line
from .voice import RATE_HZ, espeak

THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
BLOCK_SAMPLES = RATE_HZ * BLOCK_MS // 1000
Truth = Literal["right", "wrong", "strange"]


@dataclass(frozen=True, slots=True)
class Guess:
    """What an engine made of one utterance. ``truth`` is "strange" if it was in no grammar."""

    condition: str
    truth: Truth
    confidence: float


@dataclass(frozen=True, slots=True)
class ThresholdRow:
    """What one threshold makes of the set, in one condition."""

    condition: str
    threshold: float
    right: int
    wrong: int
    refused: int
    strange_refused: int
    strange_taken: int


@dataclass(slots=True)
class ThresholdResult:
    """The guesses, and the CPU time they took."""

    snr_db: float
    guesses: list[Guess] = field(default_factory=list)
    cpu_s: float = 0.0

    @property
    def cpu_ms_per_recognition(self) -> float:
        """Of the engine alone."""
        return round(self.cpu_s * 1000 / max(1, len(self.guesses)), 1)

    def rows(self) -> list[ThresholdRow]:
        """One for each condition and threshold."""
        return [
            self._row(condition, threshold)
            for condition in ("clean", "noisy")
            for threshold in THRESHOLDS
        ]

    def _row(self, condition: str, threshold: float) -> ThresholdRow:
        told = [guess for guess in self.guesses if guess.condition == condition]
        taken = [guess.truth for guess in told if guess.confidence >= threshold]
        strange = sum(guess.truth == "strange" for guess in told)
        right, wrong = taken.count("right"), taken.count("wrong")
        strange_taken = taken.count("strange")
        refused = len(told) - strange - right - wrong
        return ThresholdRow(
            condition, threshold, right, wrong, refused, strange - strange_taken, strange_taken
        )

    def to_json(self) -> dict[str, object]:
        """The result under its public keys."""
        return {
            "bench": "recognition-thresholds",
            **machine(),
            "snr_db": self.snr_db,
            "thresholds": [
                {name: getattr(row, name) for name in row.__slots__} for row in self.rows()
            ],
            "cpu_ms_per_recognition": self.cpu_ms_per_recognition,
        }


def cut_out(line: Samples) -> Samples:
    """The utterance, from where it begins to the last pause in it; all if there is none."""
    endpointer, cut = Endpointer(), line
    for at in range(0, len(line) - BLOCK_SAMPLES + 1, BLOCK_SAMPLES):
        if endpointer.hear(line[at : at + BLOCK_SAMPLES]) == "paused":
            cut = endpointer.sound()
    return cut


def questions(utterance: Utterance) -> Iterator[Grammar]:
    """What it is said to."""
    known = grammars()
    for kind in ASKED if utterance.meaning is None else [utterance.kind]:
        yield known[kind]


def judge(
    engine: Recognizer, sound: Samples, grammar: Grammar, said: Utterance
) -> tuple[Truth, float]:
    """One recognition; the confidence of nothing is below zero. Raises EngineFailed."""
    found = engine.recognize(sound, RATE_HZ, [grammar], LOCALE)
    match = grammar.match(found[0].text) if found else None
    truth: Truth = "wrong"
    if said.meaning is None:
        truth = "strange"
    elif match is not None and match.value == said.meaning:
        truth = "right"
    return truth, found[0].confidence if match is not None else -1.0


def run_thresholds(snr_db: float, progress: Progress) -> ThresholdResult:
    """The whole set, clean and noisy. Raises CommandError."""
    progress("speaking the set")
    utterances = make_set(espeak())
    result = ThresholdResult(snr_db)
    try:
        engine: Recognizer = make_engine("ringwheel.recognizers", "pocketsphinx")
        for condition, snr in (("clean", None), ("noisy", snr_db)):
            progress(f"{len(utterances)} utterances, {condition}")
            for number, said in enumerate(utterances):
                sound = cut_out(on_the_line(said, number, snr))
                for grammar in questions(said):
                    began_s = time.process_time()
                    truth, confidence = judge(engine, sound, grammar, said)
                    result.cpu_s += time.process_time() - began_s
                    result.guesses.append(Guess(condition, truth, confidence))
    except EngineFailed as error:
        raise CommandError(str(error), "", STATUS_FAILED) from error
    return result
