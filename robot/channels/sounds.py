"""Sounds that no author has to bring: silences and the beep, as files that play like others."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soundfile

RATE_HZ = 8_000
BEEP_MS, BEEP_HZ = 300, 1_000
STEP_MS = 20
MAX_PAUSE_MS = 60_000
FADE_SAMPLES = 80


class Sounds:
    """Makes each sound once, in a folder that is removed in the end."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ringwheel-sounds-")
        self._made: dict[str, Path] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()

    def pause(self, pause_ms: int) -> Path:
        """Silence, in whole packets, of a minute at most."""
        packets = min(max(pause_ms, 0), MAX_PAUSE_MS) // STEP_MS
        samples = np.zeros(max(packets, 1) * STEP_MS * RATE_HZ // 1000, np.int16)
        return self._keep(f"pause-{packets}", samples)

    def beep(self) -> Path:
        """What is heard before a recording."""
        time_s = np.arange(BEEP_MS * RATE_HZ // 1000) / RATE_HZ
        edge = np.minimum(1, np.arange(len(time_s)) / FADE_SAMPLES)
        tone = 8_000 * np.sin(2 * np.pi * BEEP_HZ * time_s) * edge * edge[::-1]
        return self._keep("beep", tone.astype(np.int16))

    def _keep(self, name: str, samples: np.ndarray) -> Path:
        path = self._made.get(name)
        if path is None:
            path = Path(self._folder.name, f"{name}.wav")
            soundfile.write(path, samples, RATE_HZ, subtype="PCM_16")
            self._made[name] = path
        return path
