"""`ringwheel prompt`: what is in a prompt file, and whether it is fit to be played."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ..media.codec import PCMA, PCMU, Samples
from ..media.prompt import PromptError, Sound, encode_sound, measure_levels, read_sound
from .errors import CommandError, capitalized
from .help import examples

PACKET_MS = 20
TOO_QUIET_DBFS = -40.0
LONG_SILENCE_MS = 300.0
# Room noise in a good recording stays below this.
SILENCE_DBFS = -50.0
# One sample at full scale can be chance; three in a row are a wave that was cut off.
CLIPPED_RUN = 3

app = typer.Typer(help="Look at prompt files.", no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class PromptInfo:
    """What `prompt info` shows; field names are the keys of its JSON.

    Levels are null for digital silence. ``packets`` is at 20 ms, the last one filled up;
    ``passes_through`` names the codec in which the file's bytes are sent unchanged.
    """

    file: str
    container: str
    encoding: str
    rate_hz: int
    channels: int
    duration_ms: float
    packets: int
    payload_bytes: int
    passes_through: str | None
    peak_dbfs: float | None
    rms_dbfs: float | None
    leading_silence_ms: float
    clipped_samples: int
    warnings: tuple[str, ...]


@app.command(
    "info",
    epilog=examples("ringwheel prompt info welcome.wav", "ringwheel prompt info menu.flac --json"),
)
def info(
    file: Annotated[Path, typer.Argument(help="WAV, FLAC, OGG, MP3 or raw G.711 (.ulaw, .alaw).")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show codec, length, packets and level of a prompt, and what is wrong with it."""
    try:
        found = describe(read_sound(file))
    except PromptError as error:
        cause, remedy = f"prompt {error.path}: {error.cause}", capitalized(error.remedy)
        raise CommandError(cause, remedy) from error
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
        return
    for line in lines_of(found):
        typer.echo(line)


def describe(sound: Sound) -> PromptInfo:
    """Measure a sound as it was recorded, before it is resampled."""
    encoded = encode_sound(sound, sound.g711 or PCMU)
    levels = measure_levels(sound.samples)
    leading_silence_ms = leading_silence_samples(sound.samples) * 1000 / sound.rate_hz
    clipped = count_clipped(sound.samples)
    return PromptInfo(
        file=sound.path,
        container=sound.container,
        encoding=sound.encoding,
        rate_hz=sound.rate_hz,
        channels=sound.channels,
        duration_ms=round(sound.duration_ms, 3),
        packets=math.ceil(encoded.duration_ms / PACKET_MS),
        payload_bytes=len(encoded.payload),
        passes_through=sound.g711.name if sound.g711 else None,
        peak_dbfs=_finite(levels.peak_dbfs),
        rms_dbfs=_finite(levels.rms_dbfs),
        leading_silence_ms=round(leading_silence_ms, 1),
        clipped_samples=clipped,
        warnings=tuple(_warnings(levels.rms_dbfs, leading_silence_ms, clipped)),
    )


def leading_silence_samples(samples: Samples) -> int:
    """Samples before the first one that is louder than silence; all of them if none is."""
    threshold = 32768 * 10 ** (SILENCE_DBFS / 20)
    loud = (samples > threshold) | (samples < -threshold)
    return int(loud.argmax()) if loud.any() else len(samples)


def count_clipped(samples: Samples) -> int:
    """Samples at full scale that stand in runs of at least three."""
    full = (samples >= 32767) | (samples <= -32767)
    edges = np.flatnonzero(np.diff(full, prepend=False, append=False))
    runs = edges[1::2] - edges[::2]
    return int(runs[runs >= CLIPPED_RUN].sum())


def _finite(level_dbfs: float) -> float | None:
    return round(level_dbfs, 1) if math.isfinite(level_dbfs) else None


def _warnings(rms_dbfs: float, leading_silence_ms: float, clipped: int) -> list[str]:
    warnings = []
    if clipped:
        warnings.append(f"clipped ({clipped:,} samples at full scale): record it at a lower level")
    if rms_dbfs == -math.inf:
        warnings.append("digital silence: callers hear nothing")
    elif rms_dbfs < TOO_QUIET_DBFS:
        warnings.append(f"too quiet ({rms_dbfs:.0f} dBFS): aim for -26 to -18 dBFS")
    if leading_silence_ms > LONG_SILENCE_MS and rms_dbfs > -math.inf:
        warnings.append(f"{leading_silence_ms:.0f} ms of silence at the start: cut it")
    return warnings


def lines_of(found: PromptInfo) -> list[str]:
    """The same for people."""
    channels = {1: "mono", 2: "stereo"}.get(found.channels, f"{found.channels} channels")
    through = found.passes_through
    others = " and ".join(codec.name for codec in (PCMU, PCMA) if codec.name != through)
    played = (
        f"sent as it is in {through}, encoded once for {others}"
        if through
        else (f"encoded once for each of {others}")
    )
    peak, rms = (
        "silence" if level is None else f"{level:.1f} dBFS"
        for level in (found.peak_dbfs, found.rms_dbfs)
    )
    return [
        f"file      {found.file}",
        f"format    {found.container} {found.encoding}, {found.rate_hz:,} Hz, {channels}",
        f"played    {played}",
        f"length    {found.duration_ms:,.1f} ms, {found.packets:,} packets of {PACKET_MS} ms, "
        f"{found.payload_bytes:,} bytes",
        f"level     peak {peak}, RMS {rms}",
        *(f"warning   {warning}" for warning in found.warnings),
    ]
