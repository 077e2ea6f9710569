"""Reading sound files: from whatever an operator has to mono 16-bit samples, or one clear error.

WAV, FLAC, OGG and MP3 come by libsndfile; raw G.711 is known by its extension. A file is held to be
hostile: its size, length, rate and channels are checked before memory is spent on them, and it
must be whole, since half a prompt played to a caller is worse than an error at the start.
"""

from __future__ import annotations

import errno
import io
import math
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from .codec import PCMA, PCMU, Codec, Samples

StrPath = str | os.PathLike[str]

RAW_CODECS = {
    ".ulaw": PCMU,
    ".ul": PCMU,
    ".pcmu": PCMU,
    ".alaw": PCMA,
    ".al": PCMA,
    ".pcma": PCMA,
}
"""Headerless files, one byte a sample at 8 kHz, by extension."""

CONTAINERS = frozenset({"WAV", "WAVEX", "FLAC", "OGG", "MP3"})
# Encodings that 16 bits hold without loss; others are read as floats and rounded.
_INT16_ENCODINGS = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "ULAW", "ALAW"})
_G711_ENCODINGS = {"ULAW": PCMU, "ALAW": PCMA}

MIN_RATE_HZ = 1_000
MAX_RATE_HZ = 192_000
MAX_CHANNELS = 32
BLOCK_SAMPLES = 65_536

FULL_SCALE = 32_768.0
_CONVERT = "convert it to WAV: ffmpeg -i FILE -ar 8000 -ac 1 prompt.wav"


class PromptError(Exception):
    """A prompt that cannot be played. Its text is one line: file, cause, remedy."""

    def __init__(self, path: StrPath, cause: str, remedy: str) -> None:
        self.path = os.fspath(path)
        # What the file system or a decoder said may hold line breaks: a log line must not.
        self.cause = " ".join(cause.split())
        self.remedy = remedy
        shown = self.path if self.path.isprintable() else ascii(self.path)
        super().__init__(f"prompt {shown}: {self.cause}; {remedy}")


@dataclass(frozen=True, slots=True)
class SoundLimits:
    """What a prompt may cost at most."""

    max_file_bytes: int = 64 * 1024 * 1024
    max_duration_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound file in memory.

    ``samples`` is mono (the mean of the file's ``channels``) at ``rate_hz``. ``container`` and
    ``encoding`` are libsndfile's names; a raw file has container ``RAW``. Where the file holds
    mono G.711 at 8 kHz, ``g711`` is its codec and ``codes`` are its very bytes.
    """

    path: str
    samples: Samples
    rate_hz: int
    channels: int
    container: str
    encoding: str
    g711: Codec | None = None
    codes: bytes = b""

    @property
    def duration_ms(self) -> float:
        return len(self.samples) * 1000 / self.rate_hz


@dataclass(frozen=True, slots=True)
class Levels:
    """How loud samples are, in dB below full scale (digital silence is minus infinity)."""

    peak_dbfs: float
    rms_dbfs: float


def read_sound(path: StrPath, limits: SoundLimits | None = None) -> Sound:
    """Read a whole sound file. Raises :class:`PromptError`, and nothing else."""
    limits = limits or SoundLimits()
    data = _read_bytes(path, limits)
    raw = RAW_CODECS.get(Path(path).suffix.lower())
    if raw is not None:
        _check_duration(path, len(data) / raw.sample_rate_hz, limits)
        samples = raw.decode(data)
        return Sound(os.fspath(path), samples, raw.sample_rate_hz, 1, "RAW", raw.name, raw, data)
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            return _read_decoded(path, data, file, limits)
    except (soundfile.SoundFileError, RuntimeError, ValueError, TypeError) as error:
        reason = getattr(error, "error_string", None) or str(error)
        cause = f"not a sound file that can be read ({reason.strip().rstrip('.')})"
        raise PromptError(path, cause, _CONVERT) from error


def _read_bytes(path: StrPath, limits: SoundLimits) -> bytes:
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            check_file(path, status, limits)
            data = file.read(limits.max_file_bytes + 1)
    except (OSError, ValueError) as error:
        raise file_error(path, error) from error
    if len(data) < status.st_size or len(data) > limits.max_file_bytes:
        raise PromptError(path, "the file changed while it was read", "try again")
    return data


def _open_at_once(path: str, flags: int) -> int:
    """Not blocking: to open a FIFO would otherwise wait for ever."""
    return os.open(path, flags | os.O_NONBLOCK)


def check_file(path: StrPath, status: os.stat_result, limits: SoundLimits) -> None:
    """Raise :class:`PromptError` unless this is a regular file of a bearable size."""
    if stat.S_ISDIR(status.st_mode):
        raise PromptError(path, "is a directory", "name a sound file")
    if not stat.S_ISREG(status.st_mode):
        raise PromptError(path, "is not a regular file", "name a sound file")
    if status.st_size == 0:
        raise PromptError(path, "the file is empty", "record or copy it again")
    if status.st_size > limits.max_file_bytes:
        megabytes = limits.max_file_bytes / 1_000_000
        cause = f"the file has {status.st_size:,} bytes, more than {megabytes:,.0f} MB"
        raise PromptError(path, cause, "shorten it, or use FLAC or MP3")


_REMEDIES = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EISDIR: "name a sound file",
    errno.EACCES: "let the user of this process read it",
    errno.ENAMETOOLONG: "check the path",
}


def file_error(path: StrPath, error: OSError | ValueError) -> PromptError:
    """The error of the file system in the words of a :class:`PromptError`."""
    if isinstance(error, OSError):
        cause = (error.strerror or str(error)).lower()
        return PromptError(path, cause, _REMEDIES.get(error.errno or 0, "check the file"))
    return PromptError(path, str(error), "check the path")


def _check_duration(path: StrPath, duration_s: float, limits: SoundLimits) -> None:
    if duration_s > limits.max_duration_s:
        cause = f"lasts more than {limits.max_duration_s:g} s"
        raise PromptError(path, cause, "cut it, or raise the limit")


def _read_decoded(
    path: StrPath, data: bytes, file: soundfile.SoundFile, limits: SoundLimits
) -> Sound:
    _check_header(path, file)
    extent = _wav_data_extent(data) if file.format in {"WAV", "WAVEX"} else None
    if (extent and extent[1] > len(data) - extent[0]) or (
        file.format == "OGG" and not _ogg_is_whole(data)
    ):
        raise _truncated(path)
    samples = _read_mono(path, file, limits)
    codec = _G711_ENCODINGS.get(file.subtype)
    codes = b""
    if extent and codec and (file.channels, file.samplerate) == (1, codec.sample_rate_hz):
        codes = data[extent[0] : extent[0] + extent[1]]
    # Not so where a decoder of ours and libsndfile disagree about where the sound ends.
    same = codec if codec and len(codes) == len(samples) else None
    return Sound(
        os.fspath(path),
        samples,
        file.samplerate,
        file.channels,
        file.format,
        file.subtype,
        same,
        codes if same else b"",
    )


def _check_header(path: StrPath, file: soundfile.SoundFile) -> None:
    if file.format not in CONTAINERS:
        raise PromptError(path, f"format {file.format} is not supported", _CONVERT)
    if not MIN_RATE_HZ <= file.samplerate <= MAX_RATE_HZ:
        raise PromptError(path, f"a sample rate of {file.samplerate} Hz is absurd", _CONVERT)
    if file.channels > MAX_CHANNELS:
        raise PromptError(path, f"{file.channels} channels are too many", _CONVERT)


def _truncated(path: StrPath) -> PromptError:
    return PromptError(path, "the file is cut short", "record or copy it again")


def _read_mono(path: StrPath, file: soundfile.SoundFile, limits: SoundLimits) -> Samples:
    """All frames, a block at a time, so that a header cannot ask for more memory than sound."""
    max_frames = int(limits.max_duration_s * file.samplerate)
    dtype = "int16" if file.subtype in _INT16_ENCODINGS else "float32"
    block_frames = max(1, BLOCK_SAMPLES // file.channels)
    blocks: list[Samples] = []
    frames = 0
    while len(block := file.read(block_frames, dtype=dtype, always_2d=True)):
        frames += len(block)
        if frames > max_frames:
            _check_duration(path, math.inf, limits)
        blocks.append(_mono_block(path, block))
    if not frames:
        raise PromptError(path, "the file holds no sound", "record or copy it again")
    # libsndfile counts frames it does not know yet as the highest number there is.
    if frames < file.frames < 2**62:
        raise _truncated(path)
    return np.concatenate(blocks)


def _mono_block(path: StrPath, block: npt.NDArray[Any]) -> Samples:
    """The mean of all channels as 16-bit samples, saturated."""
    if block.dtype == np.int16:
        return block[:, 0].copy() if block.shape[1] == 1 else to_int16(block.mean(axis=1))
    if not np.isfinite(block).all():
        cause = "holds samples that are not numbers"
        raise PromptError(path, cause, "export it again")
    return to_int16(block.mean(axis=1, dtype=np.float64) * FULL_SCALE)


def to_int16(values: npt.NDArray[np.floating[Any]]) -> Samples:
    """Values on the 16-bit scale, rounded and saturated (never wrapped)."""
    samples: Samples = np.clip(np.rint(values), -32768, 32767).astype(np.int16)
    return samples


# What programs write as the size of a stream that they cannot seek in: sox, and ffmpeg.
_STREAMED_BYTES = 0x7FFF0000


def _wav_data_extent(data: bytes) -> tuple[int, int] | None:
    """Offset and length of the data chunk as its header says; None where there is no telling."""
    if data[:4] != b"RIFF":
        return None
    at = 12
    while at + 8 <= len(data):
        size_bytes = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"data":
            return None if size_bytes >= _STREAMED_BYTES else (at + 8, size_bytes)
        at += 8 + size_bytes + (size_bytes & 1)
    return None


def _ogg_is_whole(data: bytes) -> bool:
    """True if the last page is complete and says that it is the last (RFC 3533 section 6)."""
    at = data.rfind(b"OggS")
    if at < 0 or at + 27 > len(data):
        return False
    segments = data[at + 27 : at + 27 + data[at + 26]]
    return bool(data[at + 5] & 4) and at + 27 + data[at + 26] + sum(segments) <= len(data)


def blocks_of(samples: Samples) -> Iterator[Samples]:
    """The samples in blocks, for work that would take several times their memory at once."""
    for at in range(0, len(samples), BLOCK_SAMPLES):
        yield samples[at : at + BLOCK_SAMPLES]


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Samples at another rate, saturated; at least one. The length is right to half a sample."""
    if from_hz == to_hz:
        return samples
    stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")
    parts = [
        to_int16(stream.resample_chunk(block.astype(np.float32))) for block in blocks_of(samples)
    ]
    parts.append(to_int16(stream.resample_chunk(np.zeros(0, np.float32), last=True)))
    resampled = np.concatenate(parts)
    return resampled if len(resampled) else samples[:1]


def measure_levels(samples: Samples) -> Levels:
    """Peak and root mean square of ``samples`` (at least one)."""
    peak = max(int(np.abs(block.astype(np.int32)).max()) for block in blocks_of(samples))
    energy = sum(float(np.square(block, dtype=np.float64).sum()) for block in blocks_of(samples))
    return Levels(_dbfs(peak), _dbfs(math.sqrt(energy / len(samples))))


def _dbfs(magnitude: float) -> float:
    return 20 * math.log10(magnitude / FULL_SCALE) if magnitude else -math.inf
