"""Playlists and legs of the C core against plain byte strings, for any order of steps."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from ringwheel._testcore import ffi, lib

from ..legs import empty_leg

SILENCE = 0xD5
SSRC = 0xCAFE_F00D
MAX_PACKET_BYTES = 1472

# Nothing, whole packets, and lengths about a packet's own, where two prompts share one.
lengths = st.one_of(
    st.sampled_from([0, 0, 80, 160, 240, 480]),
    st.integers(0, 5),
    st.integers(70, 170),
    st.integers(300, 1100),
)
prompts = st.lists(lengths, max_size=5)


def sound(seed: int, length: int) -> bytes:
    """Bytes that tell where they are from."""
    return bytes((seed * 37 + i * 11 + i // 256) % 256 for i in range(length))


def make_playlist(play_id: int, parts: list[bytes], loop: bool):
    """A playlist of the C core; it holds its own references to its prompts."""
    made = [lib.rw_prompt_create(part, len(part)) for part in parts]
    playlist = lib.rw_playlist_create(play_id, made, len(made), loop)
    for prompt in made:
        lib.rw_prompt_release(prompt)
    return playlist


@given(parts=prompts, reads=st.lists(lengths, max_size=20), loop=st.booleans())
@example(parts=[160, 0, 0], reads=[160], loop=False)  # ended with its last byte, not a slot later
def test_what_is_read_is_the_prompts_one_after_the_other(parts, reads, loop):
    sounds = [sound(n, length) for n, length in enumerate(parts)]
    whole = b"".join(sounds)
    playlist = make_playlist(1, sounds, loop)
    if loop and not whole:
        assert playlist == ffi.NULL
        return
    place = 0
    endless = whole * (sum(reads) // max(1, len(whole)) + 2)
    for wanted in reads:
        room = ffi.new("uint8_t[]", wanted + 1)
        got = lib.rw_playlist_read(playlist, room, wanted)
        assert got == (wanted if loop else min(wanted, len(whole) - place))
        assert bytes(ffi.buffer(room, got)) == endless[place : place + got]
        place += got
        assert playlist.played_bytes == place
        assert lib.rw_playlist_ended(playlist) == (not loop and place == len(whole))
    lib.rw_playlist_destroy(playlist)


@dataclass
class Queued:
    """A list in the model's queue; ``place`` counts bytes played, round after round."""

    play_id: int
    whole: bytes
    loop: bool
    place: int = 0

    def read(self, wanted: int) -> bytes:
        """The next bytes; fewer at the end."""
        if self.loop:
            taken = bytes(self.whole[(self.place + i) % len(self.whole)] for i in range(wanted))
        else:
            taken = self.whole[self.place : self.place + wanted]
        self.place += len(taken)
        return taken

    @property
    def ended(self) -> bool:
        """True when there is nothing more to come."""
        return not self.loop and self.place == len(self.whole)


class LegAgainstBytes(RuleBasedStateMachine):
    """The model keeps the slot's tick and timestamp, and the bytes that are still to be heard."""

    @initialize(
        send_silence=st.booleans(),
        timestamp=st.sampled_from([0, 2**32 - 1000]),
        sequence=st.sampled_from([0, 65_530]),
        ptime_ms=st.integers(10, 60),
    )
    def start(self, send_silence: bool, timestamp: int, sequence: int, ptime_ms: int) -> None:
        self.send_silence, self.timestamp, self.sequence = send_silence, timestamp, sequence
        self.tick, self.ptime_ms = 1000, ptime_ms
        self.send, self.paused, self.marker = True, False, True
        self.queue: list[Queued] = []
        self.music: list[Queued] = []
        self.relayed = False
        self.over: list[tuple[int, int, int]] = []
        self.leg = empty_leg()
        self.ended = ffi.new("rw_playlist_queue *")
        lib.rw_playlist_queue_init(self.ended)
        config = ffi.new("rw_leg_config *")
        config.media = self.media()[0]
        config.silence_policy = lib.RW_SILENCE_SEND if send_silence else lib.RW_SILENCE_STOP
        config.fd = -1
        config.ssrc, config.first_timestamp, config.first_sequence = SSRC, timestamp, sequence
        lib.rw_leg_init(self.leg, config, 1, self.tick)
        self.plays = 0

    def media(self):
        media = ffi.new("rw_leg_media *")
        media.clock_rate_hz, media.payload_type, media.bytes_per_ts = 8000, 8, 1
        media.ptime_ms, media.silence, media.send = self.ptime_ms, SILENCE, self.send
        return media

    @rule(parts=prompts, loop=st.booleans())
    def play(self, parts: list[int], loop: bool) -> None:
        self.plays += 1
        sounds = [sound(self.plays + n, length) for n, length in enumerate(parts)]
        playlist = make_playlist(self.plays, sounds, loop)
        if playlist != ffi.NULL:
            lib.rw_playlist_queue_push(ffi.addressof(self.leg, "playing"), playlist)
            self.queue.append(Queued(self.plays, b"".join(sounds), loop))

    @rule(outcome=st.sampled_from([lib.RW_PLAY_STOPPED, lib.RW_PLAY_REPLACED]))
    def clear(self, outcome: int) -> None:
        lib.rw_leg_clear_queue(self.leg, outcome, self.ended)
        self.over += [(queued.play_id, outcome, queued.place) for queued in self.queue]
        self.queue.clear()

    @rule(length=st.integers(1, 500))
    def play_music(self, length: int) -> None:
        self.plays += 1
        self.stop_music(lib.RW_PLAY_REPLACED)
        whole = sound(self.plays, length)
        lib.rw_leg_play_music(self.leg, make_playlist(self.plays, [whole], True), self.ended)
        self.music = [Queued(self.plays, whole, True)]

    @rule()
    def end_music(self) -> None:
        lib.rw_leg_end_music(self.leg, lib.RW_PLAY_STOPPED, self.ended)
        self.stop_music(lib.RW_PLAY_STOPPED)

    def stop_music(self, outcome: int) -> None:
        self.over += [(queued.play_id, outcome, queued.place) for queued in self.music]
        self.music.clear()

    @rule(relayed=st.booleans())
    def relay(self, relayed: bool) -> None:
        self.leg.relayed = self.relayed = relayed

    @property
    def owns_slots(self) -> bool:
        return self.send and (bool(self.music) or not self.relayed)

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self.leg.paused = self.paused = paused

    @rule(send=st.booleans(), ptime_ms=st.integers(10, 60))
    def agree(self, send: bool, ptime_ms: int) -> None:
        self.send, self.ptime_ms = send, ptime_ms
        lib.rw_leg_set_media(self.leg, self.media())

    @rule(late_ms=st.one_of(st.integers(-100, 300), st.integers(0, 10**7)))
    def come_late(self, late_ms: int) -> None:
        slots = max(0, -(-late_ms // self.ptime_ms))
        assert lib.rw_leg_skip_to(self.leg, self.tick + late_ms) == slots
        self.tick += slots * self.ptime_ms
        self.timestamp = (self.timestamp + slots * 8 * self.ptime_ms) % 2**32
        self.marker = self.marker or slots > 0

    def read(self) -> bytes:
        """What is heard in this slot."""
        if not self.owns_slots:
            return b""
        if self.music:
            return self.music[0].read(8 * self.ptime_ms)
        heard = b""
        if self.paused:
            return heard
        while self.queue and len(heard) < 8 * self.ptime_ms:
            heard += self.queue[0].read(8 * self.ptime_ms - len(heard))
            if self.queue[0].ended:
                done = self.queue.pop(0)
                self.over.append((done.play_id, lib.RW_PLAY_FINISHED, done.place))
        return heard

    @rule(slots=st.integers(1, 6))
    def compose(self, slots: int) -> None:
        for _ in range(slots):
            packet = ffi.new("uint8_t[]", MAX_PACKET_BYTES)
            size = lib.rw_leg_compose(self.leg, packet, self.ended)
            assert bytes(ffi.buffer(packet, size)) == self.packet(self.read())
            self.tick += self.ptime_ms
            self.timestamp = (self.timestamp + 8 * self.ptime_ms) % 2**32

    def packet(self, heard: bytes) -> bytes:
        """The packet of this slot that carries ``heard``; empty if none is due."""
        if not heard and not (self.owns_slots and self.send_silence):
            self.marker = True
            return b""
        header = (
            bytes([0x80, 8 | self.marker << 7])
            + self.sequence.to_bytes(2, "big")
            + self.timestamp.to_bytes(4, "big")
            + SSRC.to_bytes(4, "big")
        )
        self.sequence = (self.sequence + 1) % 2**16
        self.marker = False
        return header + heard.ljust(8 * self.ptime_ms, bytes([SILENCE]))

    @invariant()
    def tells_each_end_once_and_in_order(self) -> None:
        told = []
        while (playlist := lib.rw_playlist_queue_pop(self.ended)) != ffi.NULL:
            told.append((playlist.play_id, playlist.outcome, playlist.played_bytes))
            lib.rw_playlist_destroy(playlist)
        assert told == self.over
        self.over.clear()

    @invariant()
    def knows_whether_it_has_to_wake(self) -> None:
        sounding = self.music or (self.queue and not self.paused)
        output = self.owns_slots and (self.send_silence or bool(sounding))
        assert lib.rw_leg_has_output(self.leg) == output
        assert self.leg.due_tick == self.tick

    def teardown(self) -> None:
        if hasattr(self, "leg"):
            self.clear(lib.RW_PLAY_LEG_CLOSED)
            self.end_music()
            self.tells_each_end_once_and_in_order()


TestLeg = LegAgainstBytes.TestCase
TestLeg.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
