"""Material for `bench vad`: speech by espeak-ng, and noise, tones and echoes made here."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from ..cli.errors import CommandError

RATE_HZ = 8000
FRAME_SAMPLES = 160
FRAME_MS = 20
SPEECH_BELOW_PEAK_DB = 30.0  # a frame of clean speech this far below its loudest is a pause
SILENT_RMS = 1.0

Sound = npt.NDArray[np.float64]
Frames = npt.NDArray[np.bool_]

VOICES = ("en-us", "en-gb+f3", "de+m3", "fr+f2", "es+m7")
SENTENCES = (
    "Yes, please. I would like to change the appointment to next Tuesday morning.",
    "No, that is not right. My number is four five double two nine.",
    "Hello? Who is calling? I did not ask for this.",
    "Could you say that again, a little more slowly, so that I may write it down?",
)
PROMPT = (
    "Good morning. This is the robot of the health centre. We are calling to remind you of your "
    "appointment. Please say yes if you will come, or no if you need another day."
)


@dataclass(frozen=True, slots=True)
class Material:
    """What a detector hears, frame by frame, and what is true of it."""

    name: str
    kind: str
    sound: npt.NDArray[np.int16]
    speech: Frames
    onsets: list[int] = field(default_factory=list)
    sent: Sound | None = None


def espeak() -> str:
    """The program. Raises CommandError."""
    if program := shutil.which("espeak-ng"):
        return program
    raise CommandError(
        "bench vad speaks by espeak-ng, which is not here", "Install it: apt-get install espeak-ng"
    )


def speak(program: str, text: str, voice: str) -> Sound:
    """``text`` at 8 kHz in telephone band, its loudness not yet set. Raises CommandError."""
    made = subprocess.run(
        [program, "-v", voice, "-s", "160", "--stdout", text], capture_output=True, check=False
    )
    if made.returncode or not made.stdout:
        raise CommandError(
            f"espeak-ng says nothing as {voice}", made.stderr.decode(errors="replace").strip()
        )
    sound, rate_hz = soundfile.read(io.BytesIO(made.stdout), dtype="float64")
    return np.asarray(soxr.resample(sound, rate_hz, RATE_HZ), dtype=np.float64) * 32768


def powers(sound: Sound) -> Sound:
    """Mean power of each whole frame."""
    whole = len(sound) // FRAME_SAMPLES * FRAME_SAMPLES
    return np.asarray((sound[:whole].reshape(-1, FRAME_SAMPLES) ** 2).mean(axis=1))


def at_level(sound: Sound, dbov: float) -> Sound:
    """``sound`` scaled so that its frames that are not pauses have this level on average."""
    power = powers(sound)
    active = power[power > power.max() / 10 ** (SPEECH_BELOW_PEAK_DB / 10)]
    return sound * float(32768 * 10 ** (dbov / 20) / np.sqrt(active.mean()))


def truth(clean: Sound) -> Frames:
    """Which frames are speech, by the energy of clean speech."""
    power = powers(clean)
    return np.asarray(power > max(SILENT_RMS, power.max() / 10 ** (SPEECH_BELOW_PEAK_DB / 10)))


def conversation(parts: list[Sound], pause_s: float) -> tuple[Sound, list[int]]:
    """Parts with a pause before each and after the last, and the frame in which each begins."""
    pause = np.zeros(round(pause_s * RATE_HZ / FRAME_SAMPLES) * FRAME_SAMPLES)
    pieces, onsets, length = [], [], 0
    for part in parts:
        onsets.append((length + len(pause)) // FRAME_SAMPLES + int(np.argmax(truth(part))))
        whole = np.pad(part, (0, -len(part) % FRAME_SAMPLES))
        pieces += [pause, whole]
        length += len(pause) + len(whole)
    return np.concatenate([*pieces, pause]), onsets


def white(samples: int, seed: int) -> Sound:
    """White noise of power 1."""
    return np.random.default_rng(seed).normal(0.0, 1.0, samples)


def pink(samples: int, seed: int) -> Sound:
    """Noise that falls 3 dB an octave."""
    spectrum = np.fft.rfft(white(samples, seed))
    spectrum /= np.sqrt(np.maximum(1, np.arange(len(spectrum))))
    noise = np.fft.irfft(spectrum, samples)
    return np.asarray(noise / noise.std())


def babble(samples: int, speech: list[Sound]) -> Sound:
    """A room of people: sixteen voices from different places of the same speech."""
    joined = np.concatenate([part / part.std() for part in speech])
    starts = np.linspace(0, len(joined), 16, endpoint=False).astype(int)
    noise = np.sum([np.resize(np.roll(joined, -start), samples) for start in starts], axis=0)
    return np.asarray(noise / noise.std())


def hum(samples: int, base_hz: float = 50.0) -> Sound:
    """Mains hum with its first harmonics."""
    time = np.arange(samples) / RATE_HZ
    return np.asarray(sum(np.sin(2 * np.pi * base_hz * n * time) / n for n in (1, 2, 3, 4)))


def dtmf(samples: int) -> Sound:
    """Digits of 100 ms, one each 400 ms."""
    time = np.arange(samples) / RATE_HZ
    digit = (time // 0.4).astype(int)
    low = np.array([697.0, 770.0, 852.0, 941.0])[digit % 4]
    high = np.array([1209.0, 1336.0, 1477.0, 1633.0])[digit // 4 % 4]
    tones = np.sin(2 * np.pi * low * time) + np.sin(2 * np.pi * high * time)
    return np.asarray(tones * (time % 0.4 < 0.1))


def clicks(samples: int, seed: int) -> Sound:
    """Bursts of 20 ms and single loud samples, two a second."""
    noise = white(samples, seed)
    place = np.arange(samples) % (RATE_HZ // 2)
    burst = np.arange(samples) // (RATE_HZ // 2) % 2 == 0
    return np.where((place == 1000) | (burst & (place >= 1000) & (place < 1160)), noise, 0.0)


def to_pcm(sound: Sound) -> npt.NDArray[np.int16]:
    """16-bit samples."""
    return np.rint(sound).clip(-32768, 32767).astype(np.int16)


def echo(sent: Sound, return_loss_db: float, delay_ms: int) -> Sound:
    """What comes back of ``sent``."""
    delay = delay_ms * RATE_HZ // 1000
    return np.pad(sent, (delay, 0))[: len(sent)] * 10 ** (-return_loss_db / 20)


def make_material(seconds: float) -> list[Material]:
    """Everything that the detectors are tried on. Raises CommandError."""
    program = espeak()
    parts = [
        at_level(speak(program, text, voice), level_dbov)
        for level_dbov, voice in zip((-18, -24, -21, -28, -24), VOICES, strict=True)
        for text in SENTENCES
    ]
    clean, onsets = conversation(parts, 1.5)
    samples = round(seconds * RATE_HZ) // FRAME_SAMPLES * FRAME_SAMPLES
    noises: dict[str, Callable[[int], Sound]] = {
        "white": lambda length: white(length, 1),
        "pink": lambda length: pink(length, 2),
        "babble": lambda length: babble(length, parts),
    }
    speech = truth(clean)
    power = float(powers(clean)[speech].mean())
    made = [Material("speech, no noise", "speech", to_pcm(clean), speech, onsets)]
    for snr_db in (30, 20, 15, 10, 5, 0):
        for name, noise in noises.items():
            sound = clean + noise(len(clean)) * np.sqrt(power / 10 ** (snr_db / 10))
            made.append(
                Material(f"speech, {name} {snr_db} dB", "speech", to_pcm(sound), speech, onsets)
            )
    nothing = np.zeros(samples // FRAME_SAMPLES, dtype=np.bool_)
    for level_dbov in (-60, -40, -20):
        for name, noise in noises.items():
            sound = noise(samples) * 32768 * 10 ** (level_dbov / 20)
            made.append(Material(f"{name} {level_dbov} dBov", "noise", to_pcm(sound), nothing))
    made += [
        Material("hum", "noise", to_pcm(hum(samples) * 500), nothing),
        Material("DTMF", "noise", to_pcm(dtmf(samples) * 4000), nothing),
        Material("clicks", "noise", to_pcm(clicks(samples, 3) * 8000), nothing),
    ]
    return made + make_echoes(program, clean, onsets)


def make_echoes(program: str, caller: Sound, onsets: list[int]) -> list[Material]:
    """A prompt that comes back, alone and with a caller who speaks into it."""
    prompt = at_level(speak(program, PROMPT, VOICES[0]), -16)
    sent = np.resize(np.pad(prompt, (0, RATE_HZ // 2)), len(caller))
    line = white(len(caller), 4) * 32768 * 10 ** (-65 / 20)
    nothing = np.zeros(len(caller) // FRAME_SAMPLES, dtype=np.bool_)
    made = []
    for loss_db in (15, 20, 30):
        for delay_ms in (20, 120, 400):
            back = echo(sent, loss_db, delay_ms) + line
            name = f"-{loss_db} dB, {delay_ms} ms"
            made.append(Material(f"echo {name}", "echo", to_pcm(back), nothing, [], sent))
            both = to_pcm(back + caller)
            made.append(Material(f"both {name}", "double talk", both, truth(caller), onsets, sent))
    return made
