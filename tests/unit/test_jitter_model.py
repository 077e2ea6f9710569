"""The jitter buffer: exact against a plain timeline while packets come in time, and for any packets
at all within its promises."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from ringwheel._testcore import ffi, lib

SLOT, PER_MS = 160, 8
INITIAL_MS, MAX_MS = 60, 200
LOST_PACKET_SAMPLES = 60 * PER_MS
RETURN_SAMPLES = 5 * PER_MS  # in which concealment fades over to sound
POISON = -32768  # none of the samples that we send
GUARD = 16

CODECS = {
    ffi.string(lib.rw_codec_at(n).label).decode(): lib.rw_codec_at(n)
    for n in range(lib.rw_codec_count())
}


def new_jitter(codec, min_ms: int = 20, max_ms: int = MAX_MS, initial_ms: int = INITIAL_MS):
    made = ffi.new("rw_jitter **")
    config = ffi.new("rw_jitter_config *", (min_ms, max_ms, initial_ms))
    assert lib.rw_jitter_create(codec, config, made) == 0
    return ffi.gc(made[0], lib.rw_jitter_destroy)


def figures_of(jitter):
    figures = ffi.new("rw_jitter_figures *")
    lib.rw_jitter_read(jitter, figures)
    return figures


def packet_of(sequence: int, timestamp: int, payload: bytes):
    """A packet and what keeps its payload alive."""
    data = ffi.new("uint8_t[]", payload)
    packet = ffi.new("rw_rtp_packet *")
    packet.header.sequence = sequence % 2**16
    packet.header.timestamp = timestamp % 2**32
    packet.payload, packet.payload_bytes = data, len(payload)
    return packet, data


def take(jitter, samples: int) -> tuple[int, list[int]]:
    """The kind, and the samples; nothing was written behind them."""
    pcm = ffi.new("int16_t[]", [POISON] * (samples + GUARD))
    kind = lib.rw_jitter_take(jitter, pcm, samples)
    taken = list(pcm)
    assert taken[samples:] == [POISON] * GUARD
    return kind, taken[:samples]


# --- packets that come in time -------------------------------------------------------------------


@dataclass(frozen=True)
class Sent:
    """A packet of L16: lost if it comes in no slot."""

    number: int
    position: int
    samples: int
    slot: int | None

    @property
    def sound(self) -> list[int]:
        return [1 + (self.position + n) % 30_000 for n in range(self.samples)]

    @property
    def payload(self) -> bytes:
        return b"".join(value.to_bytes(2, "big") for value in self.sound)


@st.composite
def streams(draw: st.DrawFn) -> list[Sent]:
    """Packets of any lengths, with pauses, losses and as much jitter as the delay allows."""
    sent, position = [], INITIAL_MS * PER_MS
    for number in range(draw(st.integers(1, 60))):
        samples = draw(st.sampled_from([10, 20, 20, 20, 30, 40, 60])) * PER_MS
        needed = position // SLOT
        early = draw(st.integers(0, 4))
        lost = number and draw(st.sampled_from([False] * 5 + [True]))
        slot = None if lost else max(0, needed - early)
        sent.append(Sent(number, position, samples, 0 if number == 0 else slot))
        position += samples + draw(st.sampled_from([0] * 6 + [1, 80, 160, 1600, 8000]))
    return sent


@dataclass
class Expected:
    """What the buffer must make of it, by walking along the timeline once."""

    sound: dict[int, int]  # by position; those that are not faded over
    played: int = 0
    concealed: int = 0
    silent: int = INITIAL_MS * PER_MS

    @classmethod
    def of(cls, sent: list[Sent]) -> Expected:
        expected = cls({})
        before: Sent | None = None
        for packet in (p for p in sent if p.slot is not None):
            gap = lost = 0
            if before:
                gap = packet.position - before.position - before.samples
                lost = packet.number - before.number - 1
            concealed = min(gap, lost * LOST_PACKET_SAMPLES)
            expected.concealed += concealed
            expected.silent += gap - concealed
            expected.played += packet.samples
            for n, value in enumerate(packet.sound):
                if not gap or n >= RETURN_SAMPLES:
                    expected.sound[packet.position + n] = value
            before = packet
        return expected


@settings(max_examples=100, deadline=None)
@given(
    sent=streams(),
    shuffle=st.randoms(use_true_random=False),
    sequence=st.sampled_from([0, 7, 65_500]),
    timestamp=st.sampled_from([0, 2**32 - 2000, 2**31 - 100]),
)
def test_what_comes_in_time_is_played_in_its_place(sent, shuffle, sequence, timestamp):
    jitter = new_jitter(CODECS["l16-8k"])
    reception = ffi.new("rw_reception *")
    lib.rw_reception_init(reception, 8000)
    received = [p for p in sent if p.slot is not None]
    order = [received[0], *shuffle.sample(received[1:], len(received) - 1)]
    heard: list[int] = []
    last = received[-1]
    end = last.position + last.samples
    while len(heard) < end:
        for p in (p for p in order if p.slot == len(heard) // SLOT):
            packet, _alive = packet_of(sequence + p.number, timestamp + p.position, p.payload)
            verdict = lib.rw_reception_hear(
                reception, ffi.addressof(packet, "header"), len(heard) * 125
            )
            assert lib.rw_jitter_put(jitter, packet, verdict) == lib.RW_JITTER_KEPT
        heard += take(jitter, min(SLOT, end - len(heard)))[1]
        assert POISON not in heard[-SLOT:]
    expected, figures = Expected.of(sent), figures_of(jitter)
    assert {at: heard[at] for at in expected.sound} == expected.sound
    assert figures.played_samples == expected.played
    assert figures.concealed_samples == expected.concealed
    assert figures.silent_samples == expected.silent
    assert figures.stretched_samples == figures.shrunk_samples == 0
    assert figures.discarded_late == figures.discarded_full == figures.discarded_broken == 0


# --- any packets ---------------------------------------------------------------------------------

HEARD = [
    *[lib.RW_HEARD_NEW] * 4,
    lib.RW_HEARD_LATE,
    lib.RW_HEARD_NEW_SOURCE,
    lib.RW_HEARD_RESTART,
    lib.RW_HEARD_DUPLICATE,
]


class JitterBuffer(RuleBasedStateMachine):
    """Whatever comes, each sample is counted once, and the delay has its bound."""

    @initialize(
        label=st.sampled_from(sorted(CODECS)),
        delays_ms=st.sampled_from([(20, 60, 200), (10, 10, 10), (20, 20, 1000)]),
    )
    def start(self, label: str, delays_ms: tuple[int, int, int]) -> None:
        minimum, initial, self.max_ms = delays_ms
        self.jitter = new_jitter(CODECS[label], minimum, self.max_ms, initial)
        self.ts = CODECS[label].clock_rate_hz // 50
        self.taken, self.sequence, self.timestamp = 0, 65_530, 2**32 - 500

    def check_verdict(self, verdict: int, heard: int) -> None:
        assert 0 <= verdict <= lib.RW_JITTER_NO_ROOM
        assert (verdict == lib.RW_JITTER_NOT_HEARD) == (heard == lib.RW_HEARD_DUPLICATE)

    @rule(
        ahead=st.sampled_from([1, 1, 1, 1, 2, 5, 0, -1, -3, 64, 2999, 30_000]),
        step=st.sampled_from([1, 1, 1, 1, 2, 0, -1, 0.5, 3, 50, 5000, 10**6]),
        size=st.sampled_from([160, 160, 320, 1, 3, 0, 80, 480, 960, 1472, 1473]),
        byte=st.integers(0, 255),
        heard=st.sampled_from(HEARD),
    )
    def put(self, ahead: int, step: float, size: int, byte: int, heard: int) -> None:
        self.sequence += ahead
        self.timestamp += int(step * self.ts)
        packet, _alive = packet_of(self.sequence, self.timestamp, bytes([byte]) * size)
        self.check_verdict(lib.rw_jitter_put(self.jitter, packet, heard), heard)

    @rule(count=st.integers(1, 100), size=st.sampled_from([1, 80, 160, 640]))
    def flood(self, count: int, size: int) -> None:
        for _ in range(count):
            self.put(1, 1, size, 0x55, lib.RW_HEARD_NEW)

    @rule(size=st.sampled_from([0, 1, 11, 200]), heard=st.sampled_from(HEARD))
    def put_noise(self, size: int, heard: int) -> None:
        self.sequence += 1
        packet, _alive = packet_of(self.sequence, self.timestamp, bytes([60] * size))
        self.check_verdict(lib.rw_jitter_put_comfort_noise(self.jitter, packet, heard), heard)

    @rule(heard=st.sampled_from(HEARD))
    def put_event(self, heard: int) -> None:
        self.sequence += 1
        packet, _alive = packet_of(self.sequence, self.timestamp, b"")
        header = ffi.addressof(packet, "header")
        self.check_verdict(lib.rw_jitter_put_other(self.jitter, header, heard), heard)

    @rule(samples=st.sampled_from([160, 160, 320, 1, 0, 7, 1000]), times=st.integers(1, 20))
    def take(self, samples: int, times: int) -> None:
        for _ in range(times):
            played = figures_of(self.jitter).played_samples
            kind, _ = take(self.jitter, samples)
            self.taken += samples
            sound = figures_of(self.jitter).played_samples > played
            assert (kind == lib.RW_JITTER_SOUND) == sound

    @invariant()
    def each_sample_is_counted_once(self) -> None:
        figures = figures_of(self.jitter)
        counted = (
            figures.played_samples,
            figures.concealed_samples,
            figures.silent_samples,
            figures.stretched_samples,
        )
        assert sum(counted) == self.taken
        assert max(counted) <= self.taken
        assert max(figures.delay_ms, figures.max_delay_ms) <= self.max_ms


TestJitterBuffer = JitterBuffer.TestCase
TestJitterBuffer.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("label", sorted(CODECS))
def test_silence_follows_the_last_sound_forever(label):
    """Nothing comes: 60 ms are concealed at most, then there is nothing to hear."""
    jitter = new_jitter(CODECS[label])
    for n in range(5):
        packet, _alive = packet_of(n, n * CODECS[label].clock_rate_hz // 50, bytes([0x28] * 160))
        lib.rw_jitter_put(jitter, packet, lib.RW_HEARD_NEW)
    for _ in range(50):
        take(jitter, 320)
    for _ in range(100):
        kind, samples = take(jitter, 320)
        assert kind == lib.RW_JITTER_SILENCE
        assert samples == [0] * 320
