"""Prompts: sound files as a codec's payload, made once, shared by all legs.

A :class:`PromptLibrary` holds what was encoded, bounded in bytes. A file that changed on disk is
a new prompt; legs that play the old one keep it.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np

from ._core import Prompt, levels_dbov
from .codec import Codec, Samples
from .events import PlayEnded
from .packets import PACKET_MS, packets_of
from .sound import (
    Levels,
    PromptError,
    Sound,
    SoundLimits,
    StrPath,
    check_file,
    file_error,
    measure_levels,
    read_sound,
    resample,
)

__all__ = [
    "EncodedPrompt",
    "Levels",
    "Playable",
    "PromptError",
    "PromptLibrary",
    "Sound",
    "SoundLimits",
    "encode_sound",
    "join_prompts",
    "measure_levels",
    "read_sound",
    "tail_behind",
]

DEFAULT_LIBRARY_BYTES = 256 * 1024 * 1024
LOADER_THREADS = 2
LEVEL_MS = 20
"""How finely a prompt's loudness is known, to the echo guard of the voice detector."""
SEAM_MS = 200
"""How long the state of an adaptive codec remembers what came before."""


@dataclass(frozen=True, slots=True)
class Seam:
    """What it takes to play a prompt of an adaptive codec behind another one.

    ``head`` and ``tail`` are its first and last :data:`SEAM_MS`; ``rest`` is the payload behind
    the head.
    """

    head: Samples
    tail: Samples
    rest: Prompt


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """A prompt as it goes on the wire. ``samples`` counts them, at the codec's sample rate.

    ``native`` is what legs play; it holds the payload. ``pcm`` is the sound itself where packets
    are whole, since a list of prompts is encoded as one there.
    """

    codec: Codec
    native: Prompt = field(repr=False)
    samples: int
    duration_ms: float
    path: str
    peak_dbfs: float
    rms_dbfs: float
    seam: Seam | None = field(default=None, repr=False)
    pcm: Samples | None = field(default=None, repr=False)

    @property
    def held_bytes(self) -> int:
        """Memory for its payload, and for its samples where they are kept."""
        held = len(self.native) + (len(self.seam.rest) if self.seam else 0)
        return held if self.pcm is None else held + self.pcm.nbytes

    @property
    def payload(self) -> bytes:
        """A copy of the payload bytes."""
        return bytes(self.native)


def encode_sound(sound: Sound, codec: Codec) -> EncodedPrompt:
    """Resample and encode. G.711 that is in the codec already passes through, bit for bit."""
    if codec.whole_packets:
        samples = resample(sound.samples, sound.rate_hz, codec.sample_rate_hz)
        alone = packets_of(samples, codec, PACKET_MS, loop=False)
        return _prompt_of(alone, samples, codec, sound.path, pcm=samples)
    if sound.g711 is codec:
        samples, payload = sound.samples, sound.codes
    else:
        samples = resample(sound.samples, sound.rate_hz, codec.sample_rate_hz)
        payload = codec.encode(samples)
    seam = _seam_of(samples, payload, codec) if codec.adapts else None
    return _prompt_of(_native_of(payload, samples, codec), samples, codec, sound.path, seam=seam)


def _prompt_of(
    native: Prompt,
    samples: Samples,
    codec: Codec,
    path: str,
    *,
    seam: Seam | None = None,
    pcm: Samples | None = None,
) -> EncodedPrompt:
    levels = measure_levels(samples)
    return EncodedPrompt(
        codec,
        native,
        len(samples),
        len(samples) * 1000 / codec.sample_rate_hz,
        path,
        levels.peak_dbfs,
        levels.rms_dbfs,
        seam,
        pcm,
    )


def _native_of(payload: bytes, samples: Samples, codec: Codec) -> Prompt:
    level_bytes = LEVEL_MS * codec.bytes_per_s // 1000
    levels = levels_dbov(samples, LEVEL_MS * codec.sample_rate_hz // 1000)
    return Prompt(payload, levels, level_bytes)


def _seam_of(samples: Samples, payload: bytes, codec: Codec) -> Seam:
    count = SEAM_MS * codec.sample_rate_hz // 1000
    # What was encoded: with half a pair filled up.
    samples = np.append(samples, np.zeros(-len(samples) % codec.samples_per_ts, np.int16))
    head_bytes = SEAM_MS * codec.bytes_per_s // 1000
    rest = _native_of(payload[head_bytes:], samples[count:], codec)
    return Seam(samples[:count].copy(), samples[-count:].copy(), rest)


NOTHING: Samples = np.zeros(0, np.int16)


def join_prompts(
    prompts: Sequence[EncodedPrompt], *, loop: bool, tail: Samples = NOTHING
) -> list[Prompt]:
    """What a leg plays for ``prompts`` (all of one codec), one after the other.

    ``tail`` is what :func:`tail_behind` gave for what the leg has played before.

    An adaptive codec is heard with the state that the prompt before has left: decoded so, a prompt
    that was encoded from rest begins with a bang. So its head is encoded anew behind the other's
    tail. The first prompt of a loop comes behind the last one, for all rounds but one.
    """
    if loop:
        tail = tail_behind(tail, prompts)
    natives = []
    for prompt in prompts:
        natives += _behind(tail, prompt)
        tail = tail_behind(tail, [prompt])
    return natives


def tail_behind(tail: Samples, prompts: Sequence[EncodedPrompt]) -> Samples:
    """The last :data:`SEAM_MS` of what is heard, once ``prompts`` came behind ``tail``; of codecs
    that do not adapt, nothing."""
    for prompt in prompts:
        if prompt.seam is not None:
            count = SEAM_MS * prompt.codec.sample_rate_hz // 1000
            tail = np.concatenate([tail, prompt.seam.tail])[-count:]
    return tail


def _behind(tail: Samples, prompt: EncodedPrompt) -> list[Prompt]:
    if prompt.seam is None or not len(tail):
        return [prompt.native]
    codec = prompt.codec
    tail_bytes = len(tail) // codec.samples_per_ts * codec.bytes_per_ts
    head = prompt.seam.head
    payload = codec.encode(np.concatenate([tail, head]))
    return [_native_of(payload[tail_bytes:], head, codec), prompt.seam.rest]


class Playable(NamedTuple):
    """What a leg plays for a list of prompts. ``tail`` is what the next list comes behind.

    ``packet_ms`` is how long a packet lasts. ``ends_ms`` is the length of the sound, where it is
    known and has an end.
    """

    natives: list[Prompt]
    codec: Codec
    packet_ms: int
    ends_ms: float = math.inf
    tail: Samples = NOTHING

    def played_ms(self, ended: PlayEnded) -> float:
        """How much of it was handed to the network, without the silence in the last packet."""
        bytes_per_s = self.codec.bytes_per_s
        if bytes_per_s:  # packets are not whole
            return ended.played_bytes * 1000 / bytes_per_s
        return min(float(ended.played_packets * self.packet_ms), self.ends_ms)


_Key = tuple[int, int, int, int, str]
_ListKey = tuple[tuple[_Key, ...], int, bool]


def _join_list(prompts: Sequence[EncodedPrompt], packet_ms: int, *, loop: bool) -> EncodedPrompt:
    codec = prompts[0].codec
    samples = np.concatenate([prompt.pcm for prompt in prompts if prompt.pcm is not None])
    native = packets_of(samples, codec, packet_ms, loop=loop)
    return _prompt_of(native, samples, codec, ", ".join(prompt.path for prompt in prompts))


class PromptLibrary:
    """Encoded prompts by file and codec; the least recently used go first beyond ``max_bytes``.

    Where packets are whole, so are lists of prompts: each that is played is kept like a file.

    A file is known by device, inode, modification time and size, so that all names of one file
    share an entry and a changed file is read anew. :meth:`get` and :meth:`load` may be called from
    any thread; however many ask for a prompt at once, it is read once. A prompt larger than the
    whole library is served, and not kept.
    """

    def __init__(
        self, max_bytes: int = DEFAULT_LIBRARY_BYTES, limits: SoundLimits | None = None
    ) -> None:
        self.max_bytes = max_bytes
        self.limits = limits or SoundLimits()
        self._lock = threading.Lock()
        self._prompts: OrderedDict[_Key | _ListKey, EncodedPrompt] = OrderedDict()
        self._held_bytes = 0
        self._loading: dict[_Key | _ListKey, Future[EncodedPrompt]] = {}
        self._executor = ThreadPoolExecutor(LOADER_THREADS, thread_name_prefix="ringwheel-prompt")

    def __len__(self) -> int:
        return len(self._prompts)

    @property
    def held_bytes(self) -> int:
        """Payload bytes of all prompts held."""
        return self._held_bytes

    def get(self, path: StrPath, codec: Codec) -> EncodedPrompt:
        """The prompt, read in this thread if need be. Raises :class:`PromptError`."""
        key = self._key(path, codec)
        found, ours = self._find(key)
        if isinstance(found, EncodedPrompt):
            return found
        if ours:
            self._make(key, partial(self._read, path, codec), found)
        return found.result()

    async def load(self, path: StrPath, codec: Codec) -> EncodedPrompt:
        """The prompt, read in a worker thread if need be. Raises :class:`PromptError`."""
        return await self._obtain(self._key(path, codec), partial(self._read, path, codec))

    def held(self, paths: Sequence[StrPath], codec: Codec, packet_ms: int) -> Playable | None:
        """What :meth:`arrange` gives, at once; None where it has anything to do for that."""
        if codec.adapts or not codec.bytes_per_ts:
            return None
        natives: list[Prompt] = []
        for path in paths:
            prompt = self._held(self._key(path, codec))
            if prompt is None:
                return None
            natives.append(prompt.native)
        return Playable(natives, codec, packet_ms)

    async def arrange(
        self,
        paths: Sequence[StrPath],
        codec: Codec,
        *,
        packet_ms: int = PACKET_MS,
        loop: bool = False,
        tail: Samples = NOTHING,
    ) -> Playable:
        """What a leg plays for those files, one after the other. Raises :class:`PromptError`.

        ``tail`` is that of the :class:`Playable` which the leg has played before.
        """
        keys = tuple([self._key(path, codec) for path in paths])
        prompts = [
            self._held(key) or await self._obtain(key, partial(self._read, path, codec))
            for key, path in zip(keys, paths, strict=True)
        ]
        ends_ms = math.inf if loop else sum([prompt.duration_ms for prompt in prompts])
        if codec.whole_packets:
            natives = await self._join_packets((keys, packet_ms, loop), prompts)
        elif codec.adapts:
            natives = join_prompts(prompts, loop=loop, tail=tail)
            # A play that is stopped leaves another tail: near enough, as is the last packet's fill.
            tail = tail_behind(tail, prompts)
        else:
            natives = [prompt.native for prompt in prompts]
        return Playable(natives, codec, packet_ms, ends_ms, tail)

    async def encode(self, samples: Samples, codec: Codec, packet_ms: int) -> Prompt:
        """What a leg plays for a sound that is no file."""
        if not codec.whole_packets:
            return _native_of(codec.encode(samples), samples, codec)
        encode = partial(packets_of, samples, codec, packet_ms, loop=False)
        return await asyncio.get_running_loop().run_in_executor(self._executor, encode)

    async def _join_packets(self, key: _ListKey, prompts: list[EncodedPrompt]) -> list[Prompt]:
        _, packet_ms, loop = key
        if not prompts:
            return []
        if len(prompts) == 1 and packet_ms == PACKET_MS and not loop:
            return [prompts[0].native]
        joined = await self._obtain(key, partial(_join_list, prompts, packet_ms, loop=loop))
        return [joined.native]

    async def _obtain(
        self, key: _Key | _ListKey, make: Callable[[], EncodedPrompt]
    ) -> EncodedPrompt:
        found, ours = self._find(key)
        if isinstance(found, EncodedPrompt):
            return found
        if ours:
            try:
                self._executor.submit(self._make, key, make, found)
            except RuntimeError as error:  # The library is closed.
                self._finish(key, found, error)
        return await asyncio.wrap_future(found)

    def close(self) -> None:
        """Wait for loads under way and end the worker threads. :meth:`get` goes on working."""
        self._executor.shutdown(wait=True)

    def _key(self, path: StrPath, codec: Codec) -> _Key:
        try:
            status = os.stat(path)  # noqa: PTH116 - with every play: a Path costs more than it
        except (OSError, ValueError) as error:
            raise file_error(path, error) from error
        key = status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size, codec.label
        if key not in self._prompts:  # else it was checked before it was read
            check_file(path, status, self.limits)
        return key

    def _held(self, key: _Key) -> EncodedPrompt | None:
        with self._lock:
            prompt = self._prompts.get(key)
            if prompt is not None:
                self._prompts.move_to_end(key)
            return prompt

    def _find(self, key: _Key | _ListKey) -> tuple[EncodedPrompt | Future[EncodedPrompt], bool]:
        """The prompt, or the load to wait for and whether it is the caller's to carry out."""
        with self._lock:
            prompt = self._prompts.get(key)
            if prompt is not None:
                self._prompts.move_to_end(key)
                return prompt, False
            if key in self._loading:
                return self._loading[key], False
            loading: Future[EncodedPrompt] = Future()
            # Running from the first: a waiter that is cancelled must not cancel the others.
            loading.set_running_or_notify_cancel()
            self._loading[key] = loading
            return loading, True

    def _read(self, path: StrPath, codec: Codec) -> EncodedPrompt:
        return encode_sound(read_sound(path, self.limits), codec)

    def _make(
        self,
        key: _Key | _ListKey,
        make: Callable[[], EncodedPrompt],
        loading: Future[EncodedPrompt],
    ) -> None:
        try:
            outcome: EncodedPrompt | BaseException = make()
        except BaseException as error:  # noqa: BLE001 - whoever waits must hear of any failure
            outcome = error
        self._finish(key, loading, outcome)

    def _finish(
        self,
        key: _Key | _ListKey,
        loading: Future[EncodedPrompt],
        outcome: EncodedPrompt | BaseException,
    ) -> None:
        with self._lock:
            del self._loading[key]
            if isinstance(outcome, EncodedPrompt):
                self._keep(key, outcome)
        if isinstance(outcome, EncodedPrompt):
            loading.set_result(outcome)
        else:
            loading.set_exception(outcome)

    def _keep(self, key: _Key | _ListKey, prompt: EncodedPrompt) -> None:
        if prompt.held_bytes > self.max_bytes:
            return
        self._prompts[key] = prompt
        self._held_bytes += prompt.held_bytes
        while self._held_bytes > self.max_bytes:
            _, oldest = self._prompts.popitem(last=False)
            self._held_bytes -= oldest.held_bytes
