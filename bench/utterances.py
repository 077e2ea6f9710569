"""The fixed set of `bench recognition`: a hundred utterances, and thirty that are in no grammar.

They are spoken by espeak-ng, the same always.

Voices differ in sex, accent, pitch and pace; the numbers and the noise come from one seed.
Everything goes through mu-law, as it would on a line.
"""

from __future__ import annotations

import io
import subprocess
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr

from ..cli.errors import CommandError
from ..media.codec import PCMU, Samples
from ..robot.grammar import builders
from ..robot.grammar.model import Grammar, Json
from .voice import RATE_HZ, Sound, at_level, pink

SEED = 20_261_121
SPEECH_DBOV = -22.0
QUIET_DBOV = -70.0
"""The noise of a good line: there is always some."""
LEAD_S, TAIL_S = 0.5, 1.2

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
YES_NO = {
    "yes": True,
    "yes please": True,
    "correct": True,
    "no": False,
    "no thanks": False,
    "wrong": False,
}
MENU = ("sales", "support", "billing", "operator", "opening hours", "new order", "cancel", "repeat")
STRANGE = (
    *("purple monkey dishwasher", "what time is it", "I like coffee", "hello who is there"),
    *("elephant", "purple monkey", "can I speak to my daughter", "the weather is nice today"),
    *("I do not understand", "hold on a moment", "never mind that", "my dog is barking"),
    *("let me think about it", "could you say that again", "good morning", "is this a machine"),
    *("thank you very much", "what do you mean", "potato", "wonderful", "banana"),
    *("I am driving right now", "call me back tomorrow", "umbrella", "where are you calling from"),
    *("Robert", "just a second", "telephone", "chocolate cake", "who gave you my name"),
)
"""What is in no grammar here."""
ASKED = ("digit", "yes/no", "menu")
"""The kinds of questions that something strange is said to."""

_VOICES = ("en-us", "en-gb", "en-us+f2", "en-us+f3", "en-gb+m3", "en-us+m7", "en-us+f4", "en-us+m1")
_PACES = (130, 150, 165, 180)
_PITCHES = (35, 50, 65)
LOCALE = "en-US"


@dataclass(frozen=True, slots=True)
class Utterance:
    """What is said, in which kind of question, and what it means; None: it is in no grammar."""

    kind: str
    text: str
    meaning: Json
    sound: Sound


def grammars() -> dict[str, Grammar]:
    """The questions, by the kind of utterance."""
    return {
        "digit": builders.digits(1, 1, LOCALE),
        "digits": builders.digits(4, 4, LOCALE),
        "yes/no": builders.yes_no(LOCALE),
        "menu": builders.choices([(word, [word], None) for word in MENU], LOCALE),
    }


def _plan() -> list[tuple[str, str, Json]]:
    rng = np.random.default_rng(SEED)
    strings = [[int(n) for n in rng.integers(0, 10, 4)] for _ in range(16)]
    plan: list[tuple[str, str, Json]] = []
    plan += [("digit", DIGITS[n % 10], str(n % 10)) for n in range(20)]
    plan += [
        ("digits", " ".join(DIGITS[n] for n in four), "".join(map(str, four))) for four in strings
    ]
    plan += [("yes/no", text, meaning) for _ in range(4) for text, meaning in YES_NO.items()]
    plan += [("menu", word, word) for _ in range(5) for word in MENU]
    plan += [(ASKED[n % len(ASKED)], text, None) for n, text in enumerate(STRANGE)]
    return plan


def speak(program: str, number: int, text: str) -> Sound:
    """``text`` in the voice of this number, at 8 kHz. Raises CommandError."""
    voice = _VOICES[number % len(_VOICES)]
    pace, pitch = _PACES[number // 3 % len(_PACES)], _PITCHES[number // 5 % len(_PITCHES)]
    made = subprocess.run(
        [program, "-v", voice, "-s", str(pace), "-p", str(pitch), "--stdout", text],
        capture_output=True,
        check=False,
    )
    if made.returncode or not made.stdout:
        raise CommandError(f"espeak-ng says nothing as {voice}", "Try it by hand")
    return at_level(_read(made.stdout), SPEECH_DBOV)


def _read(wav: bytes) -> Sound:
    sound, rate_hz = soundfile.read(io.BytesIO(wav), dtype="float64")
    return np.asarray(soxr.resample(sound, rate_hz, RATE_HZ), dtype=np.float64) * 32768


def make_set(program: str) -> list[Utterance]:
    """All of them. Raises CommandError."""
    return [
        Utterance(kind, text, meaning, speak(program, number, text))
        for number, (kind, text, meaning) in enumerate(_plan())
    ]


def on_the_line(utterance: Utterance, number: int, snr_db: float | None) -> Samples:
    """An utterance with what is before and behind it, in noise, through mu-law.

    ``snr_db``: pink noise so far below the speech; None: a quiet line.
    """
    lead, tail = np.zeros(round(LEAD_S * RATE_HZ)), np.zeros(round(TAIL_S * RATE_HZ))
    sound = np.concatenate([lead, utterance.sound, tail])
    dbov = QUIET_DBOV if snr_db is None else SPEECH_DBOV - snr_db
    noise = pink(len(sound), SEED + number) * 32768 * 10 ** (dbov / 20)
    pcm = np.clip(np.rint(sound + noise), -32768, 32767).astype(np.int16)
    return PCMU.decode(PCMU.encode(pcm))
