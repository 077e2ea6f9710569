# Shard and Prompt: the C core's media side.

import os

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.errno cimport EINVAL
from libc.string cimport memcpy

from .events import (
    DigitHeard,
    LegClosed,
    LegFigures,
    MarkReached,
    MediaTimeout,
    PlayEnded,
    PlayOutcome,
    Quantiles,
    Reception,
    RelayEnded,
    SeatEnded,
    SoundHeard,
    SpeechHeard,
    TapEnded,
    Tapped,
    Told,
)

cdef enum:
    EVENT_BATCH = 256
    LEG_DICE_BYTES = 26
    LEGS_PER_DRAW = 32

_OUTCOMES = tuple(PlayOutcome)


cdef int fill_address(rw_address *to, str host, uint16_t port) except -1:
    cdef bytes text = host.encode("ascii", "replace")
    if rw_address_parse(to, text, port) < 0:
        raise ValueError(f"not a numeric IP address: {host!r}")
    return 0


def open_udp_socket(str host not None, uint16_t port, int traffic_class) -> int:
    """A non-blocking UDP socket bound to a numeric address; the caller owns the descriptor.

    ``traffic_class`` marks its packets in the IP header. OSError: it cannot be had.
    """
    cdef rw_address address
    fill_address(&address, host, port)
    cdef int fd = rw_udp_open(&address.any, rw_address_bytes(&address), traffic_class)
    raise_errno(fd)
    return fd


cdef int fill_media(rw_leg_media *to, media) except -1:
    fill_address(&to.remote, media.remote_host, media.remote_port)
    to.clock_rate_hz = media.clock_rate_hz
    to.payload_type = media.payload_type
    to.ptime_ms = media.ptime_ms
    to.bytes_per_ts = media.bytes_per_ts
    to.silence = media.silence
    cdef bytes silence_packet = media.silence_packet
    if len(silence_packet) > RW_MAX_SILENCE_BYTES:
        raise ValueError(f"a packet of silence of {len(silence_packet)} bytes")
    to.silence_bytes = len(silence_packet)
    memcpy(to.silence_packet, <const char *>silence_packet, len(silence_packet))
    to.send = media.send
    to.receive = media.receive
    to.event_payload_type = payload_type_of(media.event_payload_type)
    to.comfort_noise_payload_type = payload_type_of(media.comfort_noise_payload_type)
    to.takes_comfort_noise = media.takes_comfort_noise
    to.rtcp_mux = media.rtcp_mux
    to.rtcp.any.sa_family = 0
    if media.rtcp_port is not None:
        fill_address(&to.rtcp, media.rtcp_host or media.remote_host, media.rtcp_port)
    return 0


cdef uint8_t payload_type_of(number):
    return <uint8_t>RW_NO_PAYLOAD_TYPE if number is None else number


cdef dict SILENCE_POLICIES = {
    "stop": RW_SILENCE_STOP,
    "send": RW_SILENCE_SEND,
    "comfort-noise": RW_SILENCE_COMFORT_NOISE,
}


cdef rw_playlist *playlist_of(uint64_t play_id, prompts, bint loop) except NULL:
    # Held until the list has its own share of each: a sequence may make them as it is asked.
    cdef list held = [prompts[i] for i in range(len(prompts))]
    cdef Py_ssize_t count = len(held), i
    cdef rw_prompt **pointers = <rw_prompt **>PyMem_Malloc(count * sizeof(rw_prompt *) + 1)
    cdef rw_playlist *playlist
    if pointers == NULL:
        raise MemoryError()
    try:
        for i in range(count):
            pointers[i] = (<Prompt?>held[i]).prompt
        playlist = rw_playlist_create(play_id, pointers, count, loop)
    finally:
        PyMem_Free(pointers)
    if playlist == NULL:
        raise ValueError("a list to be looped has no sound in it")
    return playlist


cdef const rw_codec *codec_called(str name, uint32_t clock_rate_hz) except NULL:
    cdef bytes text = name.encode()
    cdef const rw_codec *codec = rw_codec_find(text, clock_rate_hz)
    if codec == NULL:
        raise ValueError(f"there is no codec {name}/{clock_rate_hz}")
    return codec


cdef rw_ear *ear_of(hearing) except NULL:
    cdef rw_ear_config config
    cdef rw_ear *ear = NULL
    cdef const rw_codec *codec = codec_called(hearing.codec, hearing.clock_rate_hz)
    if hearing.sensitivity not in VOICE_SENSITIVITIES:
        raise ValueError(f"no sensitivity {hearing.sensitivity!r}")
    config.speech = hearing.speech
    config.tones = hearing.tones
    config.sensitivity = VOICE_SENSITIVITIES[hearing.sensitivity]
    config.hangover_ms = hearing.hangover_ms
    config.media_timeout_ms = hearing.media_timeout_ms
    raise_errno(rw_ear_create(&config, codec, &ear))
    return ear


_NO_RECEPTION = Reception()


cdef reception_of(const rw_hearing *hearing):
    if not hearing.sources:
        return _NO_RECEPTION
    return Reception(
        hearing.expected, hearing.lost, hearing.reordered, hearing.duplicates, hearing.gaps,
        hearing.sources, hearing.jitter_us, hearing.max_jitter_us,
    )


cdef told_of(const rw_told *told):
    if not told.reports:
        return None
    return Told(
        told.reports, told.expected, told.lost, told.fraction_lost / 256, told.jitter_us,
        told.max_jitter_us, told.rtt_us if told.rtts else None,
    )


cdef event_of(const rw_event *event):
    if event.kind == RW_EVENT_PLAY_ENDED:
        return PlayEnded(
            event.leg_id, event.play_id, _OUTCOMES[<int>event.outcome], event.played_bytes,
            event.played_packets)
    if event.kind == RW_EVENT_DIGIT:
        return DigitHeard(
            event.leg_id, chr(event.digit.symbol), event.digit.ended, event.digit.duration_ms,
            event.tone)
    if event.kind == RW_EVENT_SPEECH:
        return SpeechHeard(
            event.leg_id, event.speech.kind == RW_VAD_START, event.speech.duration_ms,
            event.speech.level_dbov, event.speech.noise_dbov)
    if event.kind == RW_EVENT_MEDIA_TIMEOUT:
        return MediaTimeout(event.leg_id)
    if event.kind == RW_EVENT_SOUND:
        return SoundHeard(event.leg_id, event.tap_id)
    if event.kind == RW_EVENT_MARK:
        return MarkReached(event.leg_id, event.play_id, event.mark_id, event.mark_cleared)
    if event.kind == RW_EVENT_TAP_ENDED:
        return TapEnded(event.leg_id, event.tap_id, tapped_of(&event.tapped))
    if event.kind == RW_EVENT_SEAT_ENDED:
        return SeatEnded(event.leg_id, event.seat_id, -event.status, tapped_of(&event.tapped))
    if event.kind == RW_EVENT_RELAY_ENDED:
        return RelayEnded(event.leg_id)
    return LegClosed(event.leg_id, -event.status, figures_of(event))


cdef figures_of(const rw_event *event):
    return LegFigures(
        event.packets_sent, event.packets_skipped, event.send_errors,
        event.packets_received, event.bytes_received, event.packets_rejected, event.digits_sent,
        reception_of(&event.hearing), told_of(&event.told),
    )


cdef tapped_of(const rw_jitter_figures *figures):
    return Tapped(
        figures.played_samples, figures.concealed_samples, figures.silent_samples,
        figures.stretched_samples, figures.shrunk_samples, figures.discarded_late,
        figures.discarded_full, figures.discarded_broken, figures.delay_ms, figures.max_delay_ms,
    )


cdef object quantiles_of(const rw_histogram *histogram):
    return Quantiles(
        rw_histogram_total(histogram),
        rw_histogram_quantile(histogram, 0.5),
        rw_histogram_quantile(histogram, 0.99),
        rw_histogram_quantile(histogram, 0.999),
        rw_histogram_max(histogram),
    )


cdef int check_packets(
    size_t payload_bytes, const uint16_t[::1] packet_bytes, const int8_t[::1] levels_dbov
) except -1:
    cdef size_t total = 0
    cdef Py_ssize_t i
    for i in range(packet_bytes.shape[0]):
        if not 0 < packet_bytes[i] <= RW_PROMPT_MAX_PACKET_BYTES:
            raise ValueError(f"a packet of {packet_bytes[i]} bytes")
        total += packet_bytes[i]
    if not total or total != payload_bytes:
        raise ValueError(f"packets of {total} bytes for {payload_bytes} bytes")
    if levels_dbov is None or levels_dbov.shape[0] != packet_bytes.shape[0]:
        raise ValueError(f"not one level for each of {packet_bytes.shape[0]} packets")
    return 0


cdef class Prompt:
    """Encoded sound, copied once and shared by every leg that plays it.

    ``payload``: the RTP payload bytes of a sample-based codec, in one piece. ``levels_dbov``: how
    loud each ``level_bytes`` of it are, as :func:`levels_dbov` measures; without them the echo guard
    takes it for loud. With ``packet_bytes`` it is of a codec whose packets are whole, so long each,
    with one level for each. ValueError: not one level for each piece, or packets of other lengths.
    """

    cdef rw_prompt *prompt

    def __cinit__(
        self, const uint8_t[::1] payload not None, const int8_t[::1] levels_dbov=None,
        size_t level_bytes=0, const uint16_t[::1] packet_bytes=None,
    ):
        cdef size_t count = payload.shape[0]
        cdef const uint8_t *start = &payload[0] if count else NULL
        if packet_bytes is not None:
            check_packets(count, packet_bytes, levels_dbov)
            self.prompt = rw_prompt_create_of_packets(
                start, &packet_bytes[0], &levels_dbov[0], packet_bytes.shape[0])
        elif levels_dbov is None or not count:
            self.prompt = rw_prompt_create(start, count)
        elif not level_bytes or levels_dbov.shape[0] != (count + level_bytes - 1) // level_bytes:
            raise ValueError(f"{levels_dbov.shape[0]} levels for {count} bytes")
        else:
            self.prompt = rw_prompt_create_with_levels(
                start, count, &levels_dbov[0], levels_dbov.shape[0], level_bytes)
        if self.prompt == NULL:
            raise MemoryError()

    def __dealloc__(self):
        if self.prompt != NULL:
            rw_prompt_release(self.prompt)

    def __len__(self) -> int:
        return rw_prompt_bytes(self.prompt)

    def __bytes__(self) -> bytes:
        return rw_prompt_payload(self.prompt)[:rw_prompt_bytes(self.prompt)]


cdef class LiveSound:
    """Sound that is made while it plays, at the sample rate of its codec.

    ``codec`` is ``(SDP name, clock rate in Hz)``, ``ptime_ms`` the packet time of the leg that is to
    play it, ``room_ms`` how much may wait. ``lead_ms``: so much more than a packet waits before the
    first is played. ``marks``: so many may wait. With ``rounds_up`` what is less than a packet is
    played with silence behind it, when nothing was added for a slot. With ``encoded`` it takes
    payload of the codec (G.711). OSError EINVAL: times that are none, or another codec.
    """

    cdef rw_live *live

    def __cinit__(self, codec, uint32_t ptime_ms, uint32_t room_ms, *, uint32_t lead_ms=0,
                  uint32_t marks=0, bint encoded=False, bint rounds_up=False):
        cdef rw_live_config config
        config.ptime_ms = ptime_ms
        config.room_ms = room_ms
        config.lead_ms = lead_ms
        config.marks = marks
        config.encoded = encoded
        config.rounds_up = rounds_up
        raise_errno(rw_live_create(codec_called(codec[0], codec[1]), &config, &self.live))

    def __dealloc__(self):
        rw_live_release(self.live)

    def write(self, const int16_t[::1] samples) -> int:
        """Take as many samples as there is room for; returns how many."""
        return rw_live_write(self.live, &samples[0], samples.shape[0]) if samples.shape[0] else 0

    def write_encoded(self, const uint8_t[::1] payload) -> int:
        """The same of payload, where it is ``encoded``: returns how many bytes."""
        if not payload.shape[0]:
            return 0
        return rw_live_write_encoded(self.live, &payload[0], payload.shape[0])

    def mark(self, uint64_t mark_id) -> None:
        """Have :class:`MarkReached` tell when all that was written has been played, or cleared.
        OSError ENOBUFS: too many marks wait."""
        raise_errno(rw_live_mark(self.live, mark_id))

    def clear(self) -> None:
        """What was written is not played any more, from the next packet on."""
        rw_live_clear(self.live)

    def finish(self) -> None:
        """Nothing more is written: playing ends behind what waits."""
        rw_live_finish(self.live)

    @property
    def waiting(self) -> int:
        """Samples that wait to be played."""
        return rw_live_waiting(self.live)

    @property
    def writable(self) -> int:
        """Samples that there is room for."""
        return rw_live_writable(self.live)

    @property
    def starved(self) -> int:
        """How often a packet was due and its sound was not there."""
        return rw_live_starved(self.live)

    @property
    def dropped(self) -> int:
        """Samples that another leg has heard, and there was no room for."""
        return rw_live_dropped(self.live)


# Its thread pushes to recordings until __dealloc__ ends it; only then may their recorders go. The
# collector would empty `recorders` before that, and no cycle goes through them.
@cython.no_gc
cdef class Shard:
    """One media thread with its timer wheel and legs. See ``csrc/shard/shard.h``.

    ``backend`` is ``"per-leg"`` or ``"shared"``; the latter takes ``shared_fd``, a bound UDP socket
    that the shard owns, and closes even if it cannot be made. ``max_control_sockets``: how many
    sockets it may open for RTCP by itself. With ``realtime`` the thread comes before all that does
    not run in real time; PermissionError: it may not. Errors of the C core come as OSError.
    """

    cdef rw_shard *shard
    cdef set recorders  # of which a recording was ever tapped
    cdef bytes dice  # drawn at once for several legs, which saves a system call each
    cdef Py_ssize_t dice_used

    def __cinit__(self, uint32_t max_legs, str backend="per-leg", int shared_fd=-1,
                  uint32_t max_control_sockets=0, bint realtime=False):
        self.recorders = set()
        cdef bytes name = backend.encode()
        cdef rw_shard_config config
        config.backend = name
        config.shared_fd = shared_fd
        config.max_legs = max_legs
        config.max_control_sockets = max_control_sockets
        config.realtime = realtime
        cdef int error = rw_shard_create(&config, &self.shard)
        if error < 0 and shared_fd >= 0:
            os.close(shared_fd)
        raise_errno(error)
        error = rw_shard_start(self.shard)
        if error < 0:
            rw_shard_destroy(self.shard)
            self.shard = NULL
            raise_errno(error)

    def __dealloc__(self):
        if self.shard != NULL:
            with nogil:
                rw_shard_stop(self.shard)
                rw_shard_destroy(self.shard)

    def stop(self) -> None:
        """Close all legs and end the thread; the last events can still be polled."""
        with nogil:
            rw_shard_stop(self.shard)

    def open_leg(self, media, *, int fd=-1, str silence="stop", hearing=None,
                 SrtpKeys keys=None, bint latch=False) -> int:
        """Open a leg for ``media`` (:class:`LegMedia`) and return its id.

        ``silence`` is what it sends while nothing plays (:data:`Silence`). With ``hearing`` (:class:`Hearing`) it tells of digits, speech and silence, and reports by
        RTCP. With ``keys`` it sends and takes SRTP, and nothing else. With ``latch`` a source that
        proves itself in time may take the place of ``media``'s address. On success the shard owns
        ``fd``. SSRC, CNAME, first sequence number and first timestamp are random (RFC 3550 section
        5.1). OSError: ENOSPC, all legs in use; EMSGSIZE, packets would be too long.
        """
        cdef rw_leg_config config
        cdef uint64_t leg_id
        cdef int error
        fill_media(&config.media, media)
        config.fd = fd
        config.silence_policy = SILENCE_POLICIES[silence]
        config.source_policy = RW_LATCH_POLICY_LATCH if latch else RW_LATCH_POLICY_SDP
        cdef const uint8_t *dice = self.throw_dice()
        config.ssrc = (<const uint32_t *>dice)[0]
        config.first_timestamp = (<const uint32_t *>dice)[1]
        config.rtcp_seed.dice = (<const uint32_t *>dice)[2]
        memcpy(config.rtcp_seed.cname, dice + 12, sizeof(config.rtcp_seed.cname))
        config.first_sequence = (<const uint16_t *>dice)[12]
        config.ear = ear_of(hearing) if hearing is not None else NULL
        config.srtp = NULL
        if keys is not None:
            error = rw_srtp_create(&keys.config, &config.srtp)
            if error < 0:
                rw_ear_destroy(config.ear)
                raise_errno(error)
        with nogil:
            error = rw_shard_open_leg(self.shard, &config, &leg_id)
            if error < 0:
                rw_ear_destroy(config.ear)
                rw_srtp_destroy(config.srtp)
        raise_errno(error)
        return leg_id

    cdef const uint8_t *throw_dice(self) except NULL:
        if self.dice is None or self.dice_used == len(self.dice):
            self.dice = os.urandom(LEG_DICE_BYTES * LEGS_PER_DRAW)
            self.dice_used = 0
        cdef const uint8_t *thrown = self.dice
        thrown += self.dice_used
        self.dice_used += LEG_DICE_BYTES
        return thrown

    def close_leg(self, uint64_t leg_id) -> None:
        """Close a leg and its socket; a :class:`LegClosed` follows."""
        cdef int error
        with nogil:
            error = rw_shard_close_leg(self.shard, leg_id)
        raise_errno(error)

    def update_leg(self, uint64_t leg_id, media) -> None:
        """Take over a new agreement (:class:`LegMedia`); what plays goes on."""
        cdef rw_leg_media new
        cdef int error
        fill_media(&new, media)
        with nogil:
            error = rw_shard_update_leg(self.shard, leg_id, &new)
        raise_errno(error)

    def rekey(self, uint64_t leg_id, SrtpKeys keys not None) -> None:
        """Change the keys of a leg that was opened with some; its streams go on."""
        cdef int error
        with nogil:
            error = rw_shard_rekey(self.shard, leg_id, &keys.config)
        raise_errno(error)

    def play(self, uint64_t leg_id, uint64_t play_id, prompts, *, bint loop=False,
             bint replace=False, uint8_t barge_in=0) -> None:
        """Queue ``prompts`` (a sequence of :class:`Prompt`) as one list, or play it at once.

        ``barge_in`` says what ends it: :class:`BargeIn`.

        Its end is told by exactly one :class:`PlayEnded` with ``play_id``. ValueError: a list to be
        looped has no sound in it.
        """
        self.hand_over(leg_id, playlist_of(play_id, prompts, loop), replace, barge_in)

    def play_music(self, uint64_t leg_id, uint64_t play_id, prompts) -> None:
        """Play ``prompts`` round and round, in the place of all that is queued or relayed, which
        goes on from its place after :meth:`end_music`. Otherwise as :meth:`play`."""
        cdef rw_playlist *music = playlist_of(play_id, prompts, True)
        cdef int error
        with nogil:
            error = rw_shard_play_music(self.shard, leg_id, music)
            if error < 0:
                rw_playlist_destroy(music)
        raise_errno(error)

    def end_music(self, uint64_t leg_id) -> None:
        """End what :meth:`play_music` began."""
        cdef int error
        with nogil:
            error = rw_shard_end_music(self.shard, leg_id)
        raise_errno(error)

    cdef int hand_over(self, uint64_t leg_id, rw_playlist *playlist, bint replace,
                       uint8_t barge_in) except -1:
        cdef int error
        playlist.barge_in = barge_in
        with nogil:
            error = rw_shard_play(self.shard, leg_id, playlist, replace)
            if error < 0:
                rw_playlist_destroy(playlist)
        raise_errno(error)
        return 0

    def play_live(self, uint64_t leg_id, uint64_t play_id, LiveSound live not None, *,
                  bint replace=False, uint8_t barge_in=0) -> None:
        """As :meth:`play`, what is written to ``live`` meanwhile."""
        cdef rw_playlist *playlist = rw_playlist_create_live(play_id, live.live)
        if playlist == NULL:
            raise MemoryError()
        self.hand_over(leg_id, playlist, replace, barge_in)

    def stop_playing(self, uint64_t leg_id) -> None:
        """End every list of the leg now."""
        cdef int error
        with nogil:
            error = rw_shard_stop_playing(self.shard, leg_id)
        raise_errno(error)

    def send_digits(self, uint64_t leg_id, str digits not None, uint16_t on_ms, uint16_t off_ms):
        """Send digits as telephone events. OSError EINVAL: too many, no digits, or times too short."""
        cdef rw_digits order
        cdef bytes symbols = digits.encode("ascii", "replace")
        cdef int error
        if len(symbols) > RW_MAX_DIGITS:
            raise_errno(-EINVAL)
        memcpy(order.symbols, <const char *>symbols, len(symbols) + 1)
        order.on_ms = on_ms
        order.off_ms = off_ms
        with nogil:
            error = rw_shard_send_digits(self.shard, leg_id, &order)
        raise_errno(error)

    def relay(self, uint64_t leg_id, uint64_t to, codec, to_codec) -> None:
        """Send what a leg hears to another leg of this shard, in the place of what that one plays.

        ``codec`` and ``to_codec`` are ``(SDP name, clock rate in Hz)`` of the two.
        """
        cdef rw_relay *relay = NULL
        cdef int error
        raise_errno(rw_relay_create(
            codec_called(codec[0], codec[1]), codec_called(to_codec[0], to_codec[1]), &relay))
        with nogil:
            error = rw_shard_relay(self.shard, leg_id, to, relay)
            if error < 0:
                rw_relay_destroy(relay)
        raise_errno(error)

    def tap_recording(self, uint64_t leg_id, uint64_t tap_id, codec, RecordingFile file not None):
        """Record what a leg of ``codec`` hears and sends; its end is told by :class:`TapEnded`.

        ``codec`` is ``(SDP name, clock rate in Hz)``. Keep ``file`` open until then.
        """
        cdef rw_tap *tap = NULL
        if file.usable() == NULL:
            raise ValueError("the recording is finished")
        self.recorders.add(file.recorder)
        raise_errno(rw_tap_create_recording(
            tap_id, codec_called(codec[0], codec[1]), file.recording, &tap))
        self.add_tap(leg_id, tap)

    def tap_listener(self, uint64_t leg_id, uint64_t tap_id, codec, Listener listener not None):
        """Give what a leg hears to ``listener``; the first that waits is told by
        :class:`SoundHeard`, the end by :class:`TapEnded`."""
        cdef rw_tap *tap = NULL
        raise_errno(rw_tap_create_listening(
            tap_id, codec_called(codec[0], codec[1]), listener.listener, &tap))
        self.add_tap(leg_id, tap)

    def tap_speaker(self, uint64_t leg_id, uint64_t tap_id, codec, LiveSound live not None):
        """Give what a leg of ``codec`` hears from now on to ``live``, which another leg plays and
        nobody else writes to. Its end, which finishes ``live``, is told by :class:`TapEnded`."""
        cdef rw_tap *tap = NULL
        raise_errno(rw_tap_create_speaking(
            tap_id, codec_called(codec[0], codec[1]), live.live, &tap))
        self.add_tap(leg_id, tap)

    cdef int add_tap(self, uint64_t leg_id, rw_tap *tap) except -1:
        cdef int error
        with nogil:
            error = rw_shard_tap(self.shard, leg_id, tap)
            if error < 0:
                rw_tap_destroy(tap)
        raise_errno(error)
        return 0

    def end_tap(self, uint64_t leg_id, uint64_t tap_id) -> None:
        """End what :meth:`tap_recording`, :meth:`tap_listener` or :meth:`tap_speaker` began."""
        cdef int error
        with nogil:
            error = rw_shard_end_tap(self.shard, leg_id, tap_id)
        raise_errno(error)

    def join(self, uint64_t leg_id, uint64_t seat_id, codec, Room room not None,
             rw_mixer_role role, uint64_t whisper_to) -> None:
        """Give a leg of ``codec`` a seat in ``room``; its end is told by :class:`SeatEnded`.

        ``role`` is a :class:`Role`, ``whisper_to`` the leg that hears it if it whispers.
        ValueError: the room is on another shard.
        """
        cdef rw_seat *seat = NULL
        cdef int error
        if room.shard is not None and room.shard is not self:
            raise ValueError(
                "the call is on another shard than the conference; all its calls have to be on one:"
                " use an engine with one shard")
        raise_errno(rw_seat_create(
            seat_id, room.conference, codec_called(codec[0], codec[1]), &seat))
        with nogil:
            error = rw_shard_join(self.shard, leg_id, seat, role, whisper_to)
            if error < 0:
                rw_seat_destroy(seat)
        raise_errno(error)
        room.shard = self

    def set_role(self, uint64_t leg_id, uint64_t seat_id, rw_mixer_role role,
                 uint64_t whisper_to) -> None:
        """Change what :meth:`join` said."""
        cdef int error
        with nogil:
            error = rw_shard_set_role(self.shard, leg_id, seat_id, role, whisper_to)
        raise_errno(error)

    def leave(self, uint64_t leg_id, uint64_t seat_id) -> None:
        """End what :meth:`join` began."""
        cdef int error
        with nogil:
            error = rw_shard_leave(self.shard, leg_id, seat_id)
        raise_errno(error)

    def end_relay(self, uint64_t leg_id) -> None:
        """End what :meth:`relay` began."""
        cdef int error
        with nogil:
            error = rw_shard_end_relay(self.shard, leg_id)
        raise_errno(error)

    def pause(self, uint64_t leg_id, bint paused) -> None:
        """Hold what plays at its place, or go on from there."""
        cdef int error
        with nogil:
            error = rw_shard_pause(self.shard, leg_id, paused)
        raise_errno(error)

    @property
    def event_fd(self) -> int:
        """Readable when there are events; owned by the shard."""
        return rw_shard_event_fd(self.shard)

    def poll_events(self) -> list:
        """Up to 256 waiting events (``media/events.py``), oldest first."""
        cdef rw_event events[EVENT_BATCH]
        cdef size_t count = rw_shard_poll_events(self.shard, events, EVENT_BATCH), i
        return [event_of(&events[i]) for i in range(count)]

    def leg_figures(self, uint64_t leg_id):
        """:class:`LegFigures` of an open leg, or None if it is gone."""
        cdef rw_event figures
        if rw_shard_leg_stats(self.shard, leg_id, &figures) < 0:
            return None
        return figures_of(&figures)

    def packets_sent(self, uint64_t leg_id) -> int:
        """The one of a leg's figures that each prompt asks for; 0 if the leg is gone."""
        cdef rw_event figures
        return figures.packets_sent if rw_shard_leg_stats(self.shard, leg_id, &figures) == 0 else 0

    @property
    def legs_open(self) -> int:
        return rw_shard_legs_open(self.shard)

    def counters(self) -> dict:
        """All counters by name; they only grow."""
        cdef unsigned int i
        named = {}
        for i in range(RW_COUNTERS):
            if rw_counter_name(<rw_counter>i) != NULL:
                named[rw_counter_name(<rw_counter>i).decode()] = rw_shard_counter(
                    self.shard, <rw_counter>i)
        return named

    def lateness_us(self):
        """:class:`Quantiles` of how late packets were handed to the kernel, in microseconds."""
        return quantiles_of(rw_shard_lateness_us(self.shard))

    def lateness_up_to(self, bounds_us):
        """How many packets were at most so late, for each of the bounds; then how many there were,
        and the sum of their lateness, in microseconds and to about 2 %."""
        cdef const rw_histogram *lateness = rw_shard_lateness_us(self.shard)
        counts = [rw_histogram_up_to(lateness, bound_us) for bound_us in bounds_us]
        return counts, rw_histogram_total(lateness), rw_histogram_sum(lateness)

    @property
    def turns(self) -> int:
        """How often the thread has looked for work; it rests while there is none."""
        return rw_shard_turns(self.shard)

    def poke(self):
        """Have the thread look for work at once."""
        rw_shard_poke(self.shard)

    def batch_packets(self):
        """:class:`Quantiles` of how many packets a tick sent."""
        return quantiles_of(rw_shard_batch_packets(self.shard))

    @property
    def cpu_ns(self) -> int:
        """CPU time of the shard's thread in nanoseconds; 0 once it is stopped."""
        return rw_shard_cpu_ns(self.shard)
