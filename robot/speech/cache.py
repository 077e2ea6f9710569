"""Spoken prompts that are kept: sound by what was to be said, so that nothing is made twice.

A file is named by the hash of all that its sound depends on. It is written under another name and
moved to its place when it is whole, so that several processes may share a folder, and none ever
reads half a file.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import secrets
import time
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import structlog

from ...media.codec import Samples
from ...media.sound import PromptError, StrPath, read_sound
from .engines.engine import EngineFailed, Synthesizer, Utterance

log = structlog.get_logger(__name__)

VERSION = 1
"""Of what a name stands for: files of another version are never found again, and go in time."""
DEFAULT_LIMIT_BYTES = 512 * 1024 * 1024
MAX_SOUND_S = 600
ABANDONED_S = 3_600.0
"""Half-written files of a process that has died are older than this."""
SUFFIX, PARTIAL = ".wav", ".part"


@dataclass(slots=True)
class CacheFigures:
    """What became of what was asked for. ``bytes_held``: when one was kept last."""

    hits: int = 0
    misses: int = 0
    corrupt: int = 0
    evicted: int = 0
    bytes_held: int = 0


class PromptCache:
    """Sound files in ``folder``, of at most ``limit_bytes`` together; the least recently used go.

    ``synthesizer`` makes what is missing; without one, only what is there can be had.
    """

    def __init__(
        self,
        folder: StrPath,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
        synthesizer: Synthesizer | None = None,
    ) -> None:
        if limit_bytes < 1:
            raise ValueError("a cache needs room for one byte at least")
        self._folder = Path(folder)
        self._limit_bytes = limit_bytes
        self._synthesizer = synthesizer
        self._making: dict[str, asyncio.Future[Path]] = {}
        self._checked: set[str] = set()
        self.figures = CacheFigures()
        self._folder.mkdir(parents=True, exist_ok=True)

    def key(self, utterance: Utterance, engine: str | None = None) -> str:
        """The name of its sound: a hash of everything that it depends on."""
        name = engine or (self._synthesizer.name if self._synthesizer else "")
        parts = [
            VERSION,
            name,
            utterance.text,
            utterance.locale,
            utterance.voice,
            utterance.ssml,
            utterance.rate,
            utterance.volume,
        ]
        return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()

    def find(self, utterance: Utterance, engine: str | None = None) -> Path | None:
        """The file, if it is there and whole; None is a miss. It counts as used."""
        name = self.key(utterance, engine)
        path = self._path(name)
        if not path.exists() or not self._is_whole(name, path):
            self.figures.misses += 1
            return None
        with suppress(OSError):  # another process may have evicted it
            os.utime(path)
        self.figures.hits += 1
        return path

    async def render(self, utterance: Utterance) -> Path:
        """The file, made if it is not there. Raises EngineFailed, OSError.

        Those who want the same at the same time wait for one of them.
        """
        if (found := self.find(utterance)) is not None:
            return found
        if self._synthesizer is None:
            raise EngineFailed("missing", "the prompt is not in the cache, and nothing makes it")
        name = self.key(utterance)
        if name not in self._making:
            making = asyncio.ensure_future(self._make(self._synthesizer, utterance, name))
            self._making[name] = making
            making.add_done_callback(lambda _: self._making.pop(name, None))
        return await asyncio.shield(self._making[name])

    def put(self, utterance: Utterance, samples: Samples, rate_hz: int, engine: str) -> Path:
        """Keep sound that was made elsewhere, such as by a speech server. Raises OSError."""
        name = self.key(utterance, engine)
        self._write(name, samples, rate_hz)
        return self._path(name)

    async def _make(self, synthesizer: Synthesizer, utterance: Utterance, name: str) -> Path:
        blocks: list[Samples] = []
        most = MAX_SOUND_S * synthesizer.sample_rate_hz
        await synthesizer.check(utterance)
        async with aclosing(synthesizer.synthesize(utterance)) as sound:
            async for block in sound:
                blocks.append(block)
                most -= len(block)
                if most < 0:
                    raise EngineFailed("failed", f"a prompt of more than {MAX_SOUND_S} s; split it")
        samples = np.concatenate(blocks) if blocks else np.zeros(1, np.int16)
        await asyncio.to_thread(self._write, name, samples, synthesizer.sample_rate_hz)
        return self._path(name)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{SUFFIX}"

    def _is_whole(self, name: str, path: Path) -> bool:
        """Read it once, and drop it if that cannot be done."""
        if name in self._checked:
            return True
        try:
            read_sound(path)
        except PromptError as error:
            self.figures.corrupt += 1
            log.warning("cached prompt dropped", path=str(path), cause=error.cause)
            path.unlink(missing_ok=True)
            return False
        self._checked.add(name)
        return True

    def _write(self, name: str, samples: Samples, rate_hz: int) -> None:
        file = io.BytesIO()
        soundfile.write(file, samples, rate_hz, format="WAV", subtype="PCM_16")
        partial = self._folder / f"{name}.{secrets.token_hex(4)}{PARTIAL}"
        try:
            partial.write_bytes(file.getvalue())
            partial.replace(self._path(name))
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        self._checked.add(name)
        self._evict(name)

    def _evict(self, newest: str) -> None:
        """Make room: half-written files that nobody writes, then the least recently used."""
        used: list[tuple[float, int, Path]] = []
        for path in self._folder.iterdir():
            with suppress(OSError):
                status = path.stat()
                if path.suffix == SUFFIX:
                    used.append((status.st_mtime, status.st_size, path))
                elif path.suffix == PARTIAL and status.st_mtime < time.time() - ABANDONED_S:
                    path.unlink()
        total = sum(size for _, size, _ in used)
        self.figures.bytes_held = total
        for _, size, path in sorted(used):
            if total <= self._limit_bytes:
                return
            if path.stem != newest:
                path.unlink(missing_ok=True)
                self._checked.discard(path.stem)
                self.figures.evicted += 1
                total -= size
                self.figures.bytes_held = total
