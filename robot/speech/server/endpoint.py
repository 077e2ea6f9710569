"""Where speech begins and pauses: the sound of an utterance cut out of what a caller sends."""

from __future__ import annotations

from collections import deque
from typing import Literal

import numpy as np

from ....media._core import VoiceDetector
from ....media.codec import Samples

RATE_HZ = 8_000
BLOCK_MS = 20
PAUSE_MS = 300
"""Silence that is a pause: long enough for the stop of a consonant, short enough that what was said
is recognized before the shortest timeout that anybody sets."""
LEAD_MS = 240
"""Sound before speech began that belongs to the utterance: soft beginnings, and silence that the
recognizer measures the line by."""
MAX_UTTERANCE_MS = 60_000

Change = Literal["began", "paused", "resumed"]

_SENSITIVITIES: tuple[tuple[float, Literal["low", "medium", "high"]], ...] = (
    (0.34, "low"),
    (0.67, "medium"),
    (1.01, "high"),
)


class Endpointer:
    """Hears blocks of `BLOCK_MS`. ``sensitivity``: 0 to 1 (RFC 6787, 9.4.2). Of an utterance it
    keeps ``longest_ms``."""

    def __init__(self, sensitivity: float = 0.5, longest_ms: int = MAX_UTTERANCE_MS) -> None:
        self._longest_ms = longest_ms
        level = next(name for below, name in _SENSITIVITIES if sensitivity < below)
        self._detector = VoiceDetector(RATE_HZ, sensitivity=level, hangover_ms=PAUSE_MS)
        self._before: deque[Samples] = deque()
        self._blocks: list[Samples] = []
        self._began = False

    def hear(self, block: Samples) -> Change | None:
        """What this block has changed."""
        event = self._detector.hear(block)
        if self._began:
            if len(self._blocks) * BLOCK_MS < self._longest_ms:
                self._blocks.append(block)
        else:
            self._before.append(block)
        if event is None:
            self._forget_old()
            return None
        if event.kind == "end":
            return "paused"
        if self._began:
            return "resumed"
        self._begin(event.duration_ms)
        return "began"

    def sound(self) -> Samples:
        """The utterance up to now; it goes on."""
        return np.concatenate(self._blocks) if self._blocks else np.empty(0, np.int16)

    def restart(self) -> None:
        """The utterance is done with: the next speech is a new one."""
        self._before.extend(self._blocks[-LEAD_MS // BLOCK_MS :])
        self._blocks, self._began = [], False

    def _begin(self, heard_ms: int) -> None:
        self._began = True
        count = (LEAD_MS + heard_ms) // BLOCK_MS + 1
        self._blocks = list(self._before)[-count:]
        self._before.clear()

    def _forget_old(self) -> None:
        """Until speech is sure of, its beginning may lie up to half a second back."""
        while len(self._before) * BLOCK_MS > LEAD_MS + 600:
            self._before.popleft()
