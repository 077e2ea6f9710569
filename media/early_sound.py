"""What is heard before a call is answered: a ringback, busy or congestion tone, speech, silence.

Tones are told by frequency and cadence, as ITU-T E.180 and its supplement 2 list them for most
networks: single tones about 400 to 450 Hz, and mixtures between 350 and 620 Hz; ringing long with
longer pauses, busy in even pulses of about half a second, congestion in shorter or uneven ones.
"""

from __future__ import annotations

import asyncio
from enum import Enum, StrEnum, auto
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ._core import Listener
from .codec import Codec, Samples
from .leg import Leg
from .listening import ROOM_MS

BLOCK_MS = 20
BLOCKS_PER_S = 1000 // BLOCK_MS

TONES_HZ = (300, 700)
"""Where a tone's energy lies, the width of a window of 20 ms included."""
VOICE_HZ = (100, 3_800)
TONE_SHARE = 0.85
"""The least share of its energy that a tone has in its band; speech has that for a moment only."""
ACTIVE_RMS = 200.0
"""About -44 dBov: tones are sent at -25 and more (E.180 section 7), idle lines hiss below -50."""

GLITCH_BLOCKS = 2
"""Shorter runs are the edges of others."""
RUNS_KEPT = 12

RINGING_ON = round(0.7 * BLOCKS_PER_S)
RINGING_PULSE_ON = round(0.3 * BLOCKS_PER_S)
RINGING_OFF = round(1.1 * BLOCKS_PER_S)
PULSE_MAX = round(0.9 * BLOCKS_PER_S)
PULSES = 2
"""So many whole pulses tell a busy tone from the double ring of some networks."""
CONGESTION_PERIOD = 0.62 * BLOCKS_PER_S
UNEVEN = 0.15 * BLOCKS_PER_S
CONTINUOUS = 4 * BLOCKS_PER_S
"""A tone without an end: number unobtainable, or no service."""
SPEECH = round(0.4 * BLOCKS_PER_S)
SILENT_FIRST = 2 * BLOCKS_PER_S
SILENT_LATER = 8 * BLOCKS_PER_S
"""Longer than any pause in ringing."""

POLL_S = 0.4
"""Sound is looked at so often: a call that rings must cost next to nothing."""


class EarlySound(StrEnum):
    """What is heard before the answer. ``speech`` is speech or music, as in an announcement."""

    RINGBACK = "ringback"
    BUSY = "busy"
    CONGESTION = "congestion"
    SPEECH = "speech"
    SILENCE = "silence"


class _Kind(Enum):
    """What a block of 20 ms holds."""

    SILENT = auto()
    TONE = auto()
    OTHER = auto()


class _Run(NamedTuple):
    """Blocks of one kind in a row."""

    kind: _Kind
    blocks: int


class EarlySoundDetector:
    """Says what sound is. ``sound`` is None until there is enough to tell, and may change."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._bands = _bands(sample_rate_hz)
        self._length = sample_rate_hz * BLOCK_MS // 1000
        self._rest: Samples = np.empty(0, np.int16)
        self._runs: list[_Run] = []
        self._speech = 0.0
        self.sound: EarlySound | None = None

    def hear(self, samples: Samples) -> None:
        """The next sound, of any length."""
        joined = np.concatenate([self._rest, samples])
        whole = len(joined) // self._length * self._length
        self._rest = joined[whole:]
        if not whole:
            return
        for kind in self._kinds(joined[:whole].reshape(-1, self._length)):
            self._take(kind)
        self.sound = self._judge() or self.sound

    def _kinds(self, blocks: Samples) -> list[_Kind]:
        window, tones, voice = self._bands
        loud = np.sqrt(np.mean(np.square(blocks.astype(np.float32)), axis=1)) >= ACTIVE_RMS
        power = np.abs(np.fft.rfft(blocks * window, axis=1)) ** 2
        share = power[:, tones].sum(axis=1) / (power[:, voice].sum(axis=1) + 1.0)
        return [
            (_Kind.TONE if tonal else _Kind.OTHER) if active else _Kind.SILENT
            for active, tonal in zip(loud.tolist(), (share >= TONE_SHARE).tolist(), strict=True)
        ]

    def _take(self, kind: _Kind) -> None:
        if kind is _Kind.OTHER:
            self._speech = min(self._speech + 1, 2 * SPEECH)
        elif kind is _Kind.TONE:
            self._speech = max(self._speech - 0.5, 0)
        runs = self._runs
        if runs and runs[-1].kind is not kind:
            self._close_run()
        if runs and runs[-1].kind is kind:
            runs[-1] = _Run(kind, runs[-1].blocks + 1)
        else:
            runs.append(_Run(kind, 1))
            del runs[:-RUNS_KEPT]

    def _close_run(self) -> None:
        """What was too short belongs to what was before it."""
        runs = self._runs
        if runs[-1].blocks <= GLITCH_BLOCKS:
            glitch = runs.pop()
            if runs:
                runs[-1] = _Run(runs[-1].kind, runs[-1].blocks + glitch.blocks)

    def _judge(self) -> EarlySound | None:
        if self._speech >= SPEECH:
            return EarlySound.SPEECH
        last = self._runs[-1]
        if last.kind is _Kind.SILENT and len(self._runs) == 1 and last.blocks >= SILENT_FIRST:
            return EarlySound.SILENCE
        if last.kind is _Kind.SILENT and last.blocks >= SILENT_LATER:
            return EarlySound.SILENCE
        return _by_cadence(self._cadence())

    def _cadence(self) -> list[_Run]:
        """Tones and pauses since there was something else, from the first tone on."""
        runs: list[_Run] = []
        for run in reversed(self._runs):
            if run.kind is _Kind.OTHER and run.blocks > GLITCH_BLOCKS:
                break
            runs.insert(0, run)
        while runs and runs[0].kind is not _Kind.TONE:
            runs.pop(0)
        return runs


def _by_cadence(runs: list[_Run]) -> EarlySound | None:
    """What tones and pauses in turn mean; the last of them may still go on."""
    ons = [run.blocks for run in runs if run.kind is _Kind.TONE]
    offs = [run.blocks for run in runs if run.kind is _Kind.SILENT]
    if ons and max(ons) >= CONTINUOUS:
        return EarlySound.CONGESTION
    pulses = list(zip(ons, offs, strict=False))
    whole = pulses if len(ons) > len(offs) else pulses[:-1]
    if len(whole) >= PULSES and max(max(whole)) <= PULSE_MAX and max(ons) <= PULSE_MAX:
        return _by_pulses(whole)
    long_pause = any(on >= RINGING_PULSE_ON and off >= RINGING_OFF for on, off in pulses)
    if long_pause or (ons and max(ons) >= RINGING_ON):
        return EarlySound.RINGBACK
    return None


def _by_pulses(pulses: list[tuple[int, int]]) -> EarlySound:
    period = sum(on + off for on, off in pulses) / len(pulses)
    unevenness = max(abs(on - off) for on, off in pulses[1:])  # the first may have lost its head
    if period <= CONGESTION_PERIOD or unevenness > UNEVEN:
        return EarlySound.CONGESTION
    return EarlySound.BUSY


_Mask = npt.NDArray[np.bool_]


@lru_cache(maxsize=8)
def _bands(sample_rate_hz: int) -> tuple[npt.NDArray[np.float32], _Mask, _Mask]:
    """Window of a block, and which of its frequencies are those of tones, and of voice."""
    length = sample_rate_hz * BLOCK_MS // 1000
    at_hz = np.fft.rfftfreq(length, 1 / sample_rate_hz)
    tones = (at_hz >= TONES_HZ[0]) & (at_hz <= TONES_HZ[1])
    voice = (at_hz >= VOICE_HZ[0]) & (at_hz <= VOICE_HZ[1])
    return np.hanning(length).astype(np.float32), tones, voice


class EarlyEar:
    """Hears what a leg hears, until it is stopped."""

    __slots__ = ("_detector", "_listener", "_loop", "_tap", "_timer", "leg")

    def __init__(self, leg: Leg, codec: Codec) -> None:
        self.leg = leg
        self._detector = EarlySoundDetector(codec.sample_rate_hz)
        self._listener = Listener(codec.sample_rate_hz, ROOM_MS)
        self._tap = leg.listen(codec, self._listener, _wait_for_poll)
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(POLL_S, self._poll)

    @property
    def sound(self) -> EarlySound | None:
        """What it is, as far as can be told."""
        return self._detector.sound

    def stop(self) -> None:
        """Hear no more. To be called before the leg's end, or after it."""
        self._timer.cancel()
        self._detector.hear(self._listener.read())
        self.leg.end_tap(self._tap)

    def _poll(self) -> None:
        self._detector.hear(self._listener.read())
        self._timer = self._loop.call_later(POLL_S, self._poll)


def _wait_for_poll() -> None:
    """There is sound: it waits for the next look at it."""
