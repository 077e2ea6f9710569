"""What the C core tells: events of legs, and their figures."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag, StrEnum
from typing import Literal, NamedTuple


class PlayOutcome(StrEnum):
    """How playing a list came to its end, in the order of ``rw_play_outcome``."""

    FINISHED = "finished"
    STOPPED = "stopped"
    REPLACED = "replaced"
    LEG_CLOSED = "leg-closed"
    BARGED_IN = "barged-in"


Silence = Literal["stop", "send", "comfort-noise"]
"""What is sent while nothing plays: nothing, packets of silence, or comfort noise now and then."""


class LegMedia(NamedTuple):
    """What offer and answer agreed on for the sound that a leg sends.

    ``bytes_per_ts``: payload bytes per RTP timestamp unit (1 for G.711 and G.722, 2 for L16, 0
    where packets are whole). ``silence``: the payload byte that sounds as silence; where packets
    are whole, ``silence_packet`` is the packet that does. ``send`` is False while the other side
    holds the call: nothing is sent, and what plays stands still. ``receive`` is False where nothing
    is to be heard. The payload types of telephone events (RFC 4733) and of comfort noise (RFC 3389)
    are None if they are not agreed on; ``takes_comfort_noise``: it may be sent. ``rtcp_port``:
    where the peer takes RTCP, None for nowhere; ``rtcp_host``: None for that of RTP; ``rtcp_mux``:
    it shares the port of RTP (RFC 5761).
    """

    remote_host: str
    remote_port: int
    payload_type: int = 0
    ptime_ms: int = 20
    clock_rate_hz: int = 8000
    bytes_per_ts: int = 1
    silence: int = 0xFF
    send: bool = True
    receive: bool = True
    event_payload_type: int | None = None
    comfort_noise_payload_type: int | None = None
    takes_comfort_noise: bool = False
    silence_packet: bytes = b""
    rtcp_host: str | None = None
    rtcp_port: int | None = None
    rtcp_mux: bool = False


class Reception(NamedTuple):
    """What a leg with ears says of the stream it heard: RTP packets, and RFC 3550's jitter.

    ``gaps``: runs of missing packets. ``sources``: how many SSRCs were taken.
    """

    expected: int = 0
    lost: int = 0
    reordered: int = 0
    duplicates: int = 0
    gaps: int = 0
    sources: int = 0
    jitter_us: int = 0
    max_jitter_us: int = 0


class Told(NamedTuple):
    """What the peer said of the stream that we send, in its last RTCP report.

    ``reports``: how many there were. ``expected``: packets that we had sent by then.
    ``recent_loss``: the share that was lost since the report before, 0 to 1. ``rtt_us``: the round
    trip that was measured last, None if the peer has not taken part in that. All of it is only what
    the peer says.
    """

    reports: int
    expected: int
    lost: int
    recent_loss: float
    jitter_us: int
    max_jitter_us: int
    rtt_us: int | None


class LegFigures(NamedTuple):
    """Counts of one leg since it was opened.

    ``reception`` is as of the last RTCP report, some seconds ago, or of the leg's end. ``told`` is
    None if the peer has not reported.
    """

    packets_sent: int = 0
    packets_skipped: int = 0
    send_errors: int = 0
    packets_received: int = 0
    bytes_received: int = 0
    packets_rejected: int = 0
    digits_sent: int = 0
    reception: Reception = Reception()
    told: Told | None = None


class Hearing(NamedTuple):
    """What a leg listens for in sound of ``codec`` (its SDP name and clock).

    ``speech``: tell when the caller speaks. ``tones``: hear digits in the sound where no telephone
    events are agreed on. ``hangover_ms``: silence that ends speech, 100 to 10,000.
    ``media_timeout_ms``: tell when nothing came for so long; 0: never.
    """

    codec: str
    clock_rate_hz: int
    speech: bool = True
    tones: bool = True
    sensitivity: str = "medium"
    hangover_ms: int = 500
    media_timeout_ms: int = 0


class BargeIn(IntFlag):
    """What the caller may do to end a prompt, as ``rw_barge_in``."""

    NONE = 0
    DTMF = 1
    SPEECH = 2
    BOTH = 3


class Role(IntEnum):
    """Who hears a member of a conference, as ``rw_mixer_role``."""

    TALK = 0
    LISTEN = 1
    WHISPER = 2


class DigitHeard(NamedTuple):
    """The caller began or ended to press a digit; ``tone``: heard in the sound."""

    leg_id: int
    symbol: str
    ended: bool
    duration_ms: int
    tone: bool


class SpeechHeard(NamedTuple):
    """The caller started or stopped to speak. Levels in dBov (RFC 6465), speech and noise floor."""

    leg_id: int
    started: bool
    duration_ms: int
    level_dbov: int
    noise_dbov: int


class MediaTimeout(NamedTuple):
    """Nothing was heard for the time that was asked for."""

    leg_id: int


class PlayEnded(NamedTuple):
    """A playlist came to its end; its last packet has been handed to the kernel.

    ``played_packets`` are counted where packets are whole.
    """

    leg_id: int
    play_id: int
    outcome: PlayOutcome
    played_bytes: int
    played_packets: int = 0


class MarkReached(NamedTuple):
    """Live sound was played up to a mark; ``cleared``: it was given up before."""

    leg_id: int
    play_id: int
    mark_id: int
    cleared: bool


class LegClosed(NamedTuple):
    """A leg and its socket are gone. ``error`` is 0, or the errno that closed it."""

    leg_id: int
    error: int
    figures: LegFigures


class RelayEnded(NamedTuple):
    """A relay from this leg is no more in use, and was freed."""

    leg_id: int


class SoundHeard(NamedTuple):
    """There is sound for a listener that had read all; or what another leg plays has begun."""

    leg_id: int
    tap_id: int


class Tapped(NamedTuple):
    """What continuous sound was made of: each sample was played as it came, or made up in place of
    what was lost or late (concealed), or silent because the sender was, or added to wait longer
    (stretched). ``shrunk_samples`` were left out to wait less. Discarded: packets.
    """

    played_samples: int = 0
    concealed_samples: int = 0
    silent_samples: int = 0
    stretched_samples: int = 0
    shrunk_samples: int = 0
    discarded_late: int = 0
    discarded_full: int = 0
    discarded_broken: int = 0
    delay_ms: int = 0
    max_delay_ms: int = 0


class TapEnded(NamedTuple):
    """A leg gives its sound no more to a recording or a listener."""

    leg_id: int
    tap_id: int
    tapped: Tapped = Tapped()


class SeatEnded(NamedTuple):
    """A leg is in a conference no more. ``error``: the errno for which it was never in it, or 0.

    ``tapped``: what the others heard of it was made of.
    """

    leg_id: int
    seat_id: int
    error: int = 0
    tapped: Tapped = Tapped()


class RecordingStalled(NamedTuple):
    """Writing has begun to fail with the errno ``error``; it is tried again."""

    recording_id: int
    error: int


class RecordingGap(NamedTuple):
    """Silence was written in place of ``samples``; ``error``: an errno, 0 if the disk was slow."""

    recording_id: int
    samples: int
    error: int


class RecordingFinished(NamedTuple):
    """All files are closed. ``error``: the errno of the last failure, or 0. Samples per channel."""

    recording_id: int
    samples: int
    gap_samples: int
    paused_samples: int
    files: int
    error: int


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Summary of a histogram: number of values, then values."""

    count: int
    p50: int
    p99: int
    p999: int
    max: int
