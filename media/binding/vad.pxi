# VoiceDetector: when a caller starts and stops to speak. Samples: contiguous int16.

from collections import namedtuple

import numpy as np

VoiceEvent = namedtuple("VoiceEvent", "kind duration_ms level_dbov noise_dbov")

cdef dict VOICE_SENSITIVITIES = {"low": RW_VAD_LOW, "medium": RW_VAD_MEDIUM, "high": RW_VAD_HIGH}
cdef dict VOICE_KINDS = {RW_VAD_START: "start", RW_VAD_END: "end"}


cdef class VoiceDetector:
    """Voice activity of one caller; one thread owns it.

    Sound that may be an echo of what :meth:`sent` tells of is not taken for speech.
    ValueError: no such rate (8000 or 16000), sensitivity or hangover (100 to 10,000 ms).
    """

    cdef rw_vad vad

    def __cinit__(
        self, uint32_t sample_rate_hz=8000, *, sensitivity="medium", uint32_t hangover_ms=500
    ):
        cdef rw_vad_config config
        if sensitivity not in VOICE_SENSITIVITIES:
            raise ValueError(f"no sensitivity {sensitivity!r}")
        config.sample_rate_hz = sample_rate_hz
        config.hangover_ms = hangover_ms
        config.sensitivity = VOICE_SENSITIVITIES[sensitivity]
        if rw_vad_init(&self.vad, &config):
            raise ValueError(f"not a detector's: {sample_rate_hz} Hz, {hangover_ms} ms of hangover")

    @property
    def speaking(self) -> bool:
        """True from a start to its end."""
        return rw_vad_speaking(&self.vad)

    def hear(self, const int16_t[::1] pcm):
        """Hear a block; the event that it brings, or None. ValueError: not 10 to 60 whole ms."""
        cdef rw_vad_event event
        cdef size_t samples = pcm.shape[0]
        if samples == 0 or rw_vad_hear(&self.vad, &pcm[0], samples, &event):
            raise ValueError(f"{samples} samples are not 10 to 60 whole milliseconds")
        return _voice_event(&event)

    def gap(self, uint32_t ms):
        """Let time pass in which nothing came; the event that it brings, or None."""
        cdef rw_vad_event event
        rw_vad_gap(&self.vad, ms, &event)
        return _voice_event(&event)

    def sent(self, int level_dbov) -> None:
        """Tell that sound of this level was sent to the caller now."""
        rw_vad_sent(&self.vad, level_dbov)


cdef _voice_event(const rw_vad_event *event):
    if event.kind == RW_VAD_NONE:
        return None
    return VoiceEvent(
        VOICE_KINDS[event.kind], event.duration_ms, event.level_dbov, event.noise_dbov
    )


def levels_dbov(const int16_t[::1] pcm, size_t block_samples):
    """The level of each block of ``block_samples`` and of what is left, as an int8 array."""
    cdef size_t count = pcm.shape[0], at = 0, i = 0
    levels = np.empty((count + block_samples - 1) // block_samples, np.int8)
    cdef int8_t[::1] to = levels
    while at < count:
        to[i] = rw_vad_level(&pcm[at], min(block_samples, count - at))
        at += block_samples
        i += 1
    return levels


def level_dbov(const int16_t[::1] pcm) -> int:
    """The level of a block: decibels below full scale, -127 for nothing."""
    return rw_vad_level(&pcm[0], pcm.shape[0]) if pcm.shape[0] else -127
