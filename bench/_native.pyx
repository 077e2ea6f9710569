# cython: language_level=3
"""Cython binding of the C side of the benchmarks: checks arguments, calls, converts errors."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

import os

from array import array
from cpython.array cimport array

cdef extern from "<arpa/inet.h>" nogil:
    struct in_addr:
        uint32_t s_addr
    struct sockaddr_in:
        uint16_t sin_family
        uint16_t sin_port
        in_addr sin_addr
    int AF_INET
    uint32_t htonl(uint32_t host)
    uint16_t htons(uint16_t host)
    uint32_t ntohl(uint32_t network)
    uint16_t ntohs(uint16_t network)

cdef extern from "histogram/histogram.h" nogil:
    const unsigned RW_HISTOGRAM_BUCKETS
    ctypedef struct rw_histogram:
        pass
    uint64_t rw_histogram_total(const rw_histogram *histogram)
    uint64_t rw_histogram_quantile(const rw_histogram *histogram, double fraction)
    uint64_t rw_histogram_max(const rw_histogram *histogram)
    uint64_t rw_histogram_bucket(const rw_histogram *histogram, unsigned bucket, uint64_t *top)

cdef extern from "bench/limit.h" nogil:
    ctypedef enum rw_limit_way:
        RW_LIMIT_SEND
        RW_LIMIT_SENDMMSG
        RW_LIMIT_EXCHANGE
        RW_LIMIT_RELAY
    ctypedef struct rw_limit_config:
        rw_limit_way way
        bint paced
        uint32_t legs
        uint64_t duration_us
        const sockaddr_in *to
        const int *fds
    ctypedef struct rw_limit_result:
        uint64_t packets
        uint64_t failed
        uint64_t received
        uint64_t ticks
        uint64_t cpu_us
        uint64_t wall_us
        rw_histogram lateness_us
    int rw_limit_run(const rw_limit_config *config, rw_limit_result *result)

cdef extern from "bench/floor.h" nogil:
    ctypedef struct rw_floor_counts:
        uint64_t requests
        uint64_t calls
        uint64_t dropped
    int rw_floor_run(int fd, uint64_t duration_us, rw_floor_counts *counts)

cdef extern from "rtp/rtp.h" nogil:
    enum:
        RW_RTP_TOO_SHORT
        RW_RTP_BAD_VERSION
        RW_RTP_BAD_CSRC
        RW_RTP_BAD_EXTENSION
        RW_RTP_BAD_PADDING
        RW_RTP_REJECTS

cdef extern from "bench/stream.h" nogil:
    ctypedef struct rw_stream:
        uint64_t first_arrival_ns
        uint64_t last_arrival_ns
        uint64_t packets
        uint64_t duplicates
        uint64_t reordered
        uint64_t timestamp_jumps
        uint64_t spurts
        rw_histogram interval_error_us
    uint64_t rw_stream_lost(const rw_stream *stream)

cdef extern from "bench/receiver.h" nogil:
    ctypedef struct rw_receiver:
        pass
    ctypedef struct rw_receiver_config:
        uint32_t sockets
        uint32_t streams_max
        uint32_t ptime_us
        uint32_t capture_every
        uint32_t capture_bytes
        bint all_loopback
    ctypedef struct rw_receiver_totals:
        uint64_t packets
        uint64_t *rejected
        uint64_t oversized
        uint64_t unknown
        uint64_t dropped
    ctypedef struct rw_receiver_source:
        uint32_t socket
        uint32_t ssrc
        sockaddr_in from_ "from"
    int rw_receiver_open(rw_receiver **receiver, const rw_receiver_config *config)
    void rw_receiver_close(rw_receiver *receiver)
    uint16_t rw_receiver_port(const rw_receiver *receiver, uint32_t index)
    int64_t rw_receiver_drain(rw_receiver *receiver)
    int rw_receiver_run(rw_receiver *receiver, uint64_t duration_us)
    void rw_receiver_begin_window(rw_receiver *receiver)
    void rw_receiver_read_totals(const rw_receiver *receiver, rw_receiver_totals *totals)
    const rw_histogram *rw_receiver_interval_error_us(const rw_receiver *receiver)
    uint32_t rw_receiver_streams(const rw_receiver *receiver)
    const rw_stream *rw_receiver_stream(const rw_receiver *receiver, uint32_t index,
                                        rw_receiver_source *source)
    const uint8_t *rw_receiver_captured(const rw_receiver *receiver, uint32_t index, size_t *bytes)

cdef extern from "bench/talker.h" nogil:
    ctypedef struct rw_talker:
        pass
    ctypedef struct rw_talker_sound:
        uint8_t payload_type
        uint16_t ptime_ts
        uint32_t frames
        const uint16_t *frame_bytes
        const uint8_t *payload
    ctypedef struct rw_talker_config:
        uint32_t legs
        const sockaddr_in *from_ "from"
        const sockaddr_in *to
        const rw_talker_sound *sounds
        uint32_t sound_count
    int rw_talker_open(rw_talker **talker, rw_receiver *receiver, const rw_talker_config *config)
    void rw_talker_close(rw_talker *talker)
    int rw_talker_run(rw_talker *talker, uint64_t duration_us)
    uint64_t rw_talker_packets(const rw_talker *talker)
    uint64_t rw_talker_failed(const rw_talker *talker)

cdef extern from "bench/pairs.h" nogil:
    ctypedef struct rw_pairs:
        pass
    ctypedef enum rw_pairs_verdict:
        RW_PAIRS_RIGHT
        RW_PAIRS_STRANGER
        RW_PAIRS_REPEATED
        RW_PAIRS_DISORDERED
        RW_PAIRS_NOT_SAID
        RW_PAIRS_MISTYPED
        RW_PAIRS_MISTIMED
        RW_PAIRS_ALTERED
    ctypedef struct rw_pairs_config:
        uint32_t legs
        const uint16_t *ports
        uint8_t *payload_types
        uint16_t *ptime_ts
        uint32_t keep_every
        uint32_t keep_packets
    ctypedef struct rw_pairs_kept:
        uint32_t frame
        uint16_t bytes
        const uint8_t *payload
    int rw_pairs_open(rw_pairs **pairs, rw_receiver *receiver, const rw_talker *talker,
                      const rw_pairs_config *config)
    void rw_pairs_close(rw_pairs *pairs)
    uint64_t rw_pairs_count(const rw_pairs *pairs, rw_pairs_verdict verdict)
    const rw_histogram *rw_pairs_delay_us(const rw_pairs *pairs)
    void rw_pairs_begin_window(rw_pairs *pairs)
    const rw_pairs_kept *rw_pairs_kept_of(const rw_pairs *pairs, uint32_t leg, uint32_t *count)

LIMIT_WAYS = {
    "send": RW_LIMIT_SEND,
    "sendmmsg": RW_LIMIT_SENDMMSG,
    "exchange": RW_LIMIT_EXCHANGE,
    "relay": RW_LIMIT_RELAY,
}

cdef tuple VERDICTS = (
    (RW_PAIRS_RIGHT, "right"),
    (RW_PAIRS_STRANGER, "stranger"),
    (RW_PAIRS_REPEATED, "repeated"),
    (RW_PAIRS_DISORDERED, "disordered"),
    (RW_PAIRS_NOT_SAID, "not_said"),
    (RW_PAIRS_MISTYPED, "mistyped"),
    (RW_PAIRS_MISTIMED, "mistimed"),
    (RW_PAIRS_ALTERED, "altered"),
)

cdef tuple REJECTS = (
    (RW_RTP_TOO_SHORT, "too_short"),
    (RW_RTP_BAD_VERSION, "bad_version"),
    (RW_RTP_BAD_CSRC, "bad_csrc"),
    (RW_RTP_BAD_EXTENSION, "bad_extension"),
    (RW_RTP_BAD_PADDING, "bad_padding"),
)


cdef dict quantiles(const rw_histogram *histogram):
    return {
        "p50": rw_histogram_quantile(histogram, 0.5),
        "p99": rw_histogram_quantile(histogram, 0.99),
        "p999": rw_histogram_quantile(histogram, 0.999),
        "max": rw_histogram_max(histogram),
    }


cdef list counts_of(const rw_histogram *histogram):
    cdef uint64_t top = 0, count
    cdef unsigned bucket
    counts = []
    for bucket in range(RW_HISTOGRAM_BUCKETS):
        count = rw_histogram_bucket(histogram, bucket, &top)
        if count:
            counts.append((top, count))
    return counts


cdef raise_errno(int64_t negative_errno):
    raise OSError(-negative_errno, os.strerror(-negative_errno))


def run_floor(int fd, double seconds) -> dict:
    """Answer SIP requests that come to a UDP socket, statelessly, for ``seconds``.

    Returns requests, calls (INVITEs answered) and dropped answers. Raises OSError: no such socket.
    """
    cdef rw_floor_counts counts = {"requests": 0, "calls": 0, "dropped": 0}
    cdef uint64_t duration_us = <uint64_t>(seconds * 1e6)
    cdef int error
    with nogil:
        error = rw_floor_run(fd, duration_us, &counts)
    if error:
        raise_errno(error)
    return counts


cdef sockaddr_in *addresses_of(list addresses) except NULL:
    """An array of what are ``(IPv4 as int, port)``; the caller frees it."""
    cdef sockaddr_in *made = <sockaddr_in *>calloc(len(addresses) + 1, sizeof(sockaddr_in))
    if made == NULL:
        raise MemoryError
    try:
        for index, (address, port) in enumerate(addresses):
            made[index].sin_family = AF_INET
            made[index].sin_addr.s_addr = htonl(address)
            made[index].sin_port = htons(port)
    except BaseException:
        free(made)
        raise
    return made


def run_limit(str way, bint paced, list destinations, double seconds, fds=()) -> dict:
    """Run a bare loop, without the GIL, for ``seconds``.

    ``way`` is a key of ``LIMIT_WAYS``; ``destinations`` has one ``(IPv4 as int, port)`` a leg, and
    ``fds`` one bound socket a leg for the ways "exchange" and "relay"; they stay open.
    Returns packets, failed, received, ticks, cpu_us (of this process), wall_us and lateness_us
    (quantiles). Raises OSError if the sockets cannot be had, KeyError for an unknown way,
    ValueError for another number of sockets than of legs.
    """
    cdef rw_limit_config config
    cdef int error
    cdef array sockets = array("i", fds)
    config.way = LIMIT_WAYS[way]
    if config.way in (RW_LIMIT_EXCHANGE, RW_LIMIT_RELAY) and len(sockets) != len(destinations):
        raise ValueError(f"{len(sockets)} sockets for {len(destinations)} legs")
    cdef sockaddr_in *to = addresses_of(destinations)
    cdef rw_limit_result *result = <rw_limit_result *>calloc(1, sizeof(rw_limit_result))
    try:
        if result == NULL:
            raise MemoryError
        config.paced = paced
        config.legs = len(destinations)
        config.duration_us = <uint64_t>(seconds * 1e6)
        config.to = to
        config.fds = sockets.data.as_ints
        with nogil:
            error = rw_limit_run(&config, result)
        if error:
            raise_errno(error)
        return {
            "packets": result.packets,
            "failed": result.failed,
            "received": result.received,
            "ticks": result.ticks,
            "cpu_us": result.cpu_us,
            "wall_us": result.wall_us,
            "lateness_us": quantiles(&result.lateness_us),
        }
    finally:
        free(to)
        free(result)


cdef class Receiver:
    """RTP receiver on loopback; see csrc/bench/receiver.h. One thread at a time uses it.

    ``sockets`` UDP sockets on free ports; at most ``streams_max`` streams are told apart, by
    receiving socket, source address and SSRC. The payload of every ``capture_every``-th is
    kept (0: of none), ``capture_bytes`` of each at most. With ``all_loopback`` any address of 127.0.0.0/8 reaches the
    sockets, else 127.0.0.1 only. Raises OSError if the sockets cannot be had.
    """

    cdef rw_receiver *receiver
    cdef uint32_t sockets

    def __cinit__(
        self,
        *,
        uint32_t sockets,
        uint32_t streams_max,
        uint32_t ptime_ms=20,
        uint32_t capture_every=0,
        uint32_t capture_bytes=0,
        bint all_loopback=False,
    ):
        cdef rw_receiver_config config
        config.sockets = sockets
        config.streams_max = streams_max
        config.ptime_us = ptime_ms * 1000
        config.capture_every = capture_every
        config.capture_bytes = capture_bytes
        config.all_loopback = all_loopback
        cdef int error = rw_receiver_open(&self.receiver, &config)
        if error:
            raise_errno(error)
        self.sockets = sockets

    def __dealloc__(self):
        if self.receiver != NULL:
            rw_receiver_close(self.receiver)

    @property
    def ports(self) -> list:
        """UDP port of each socket."""
        return [rw_receiver_port(self.receiver, index) for index in range(self.sockets)]

    def drain(self) -> int:
        """Take what has arrived; returns the number of packets. Raises OSError."""
        cdef int64_t packets
        with nogil:
            packets = rw_receiver_drain(self.receiver)
        if packets < 0:
            raise_errno(packets)
        return packets

    def run(self, double seconds) -> None:
        """Drain again and again for ``seconds``, asleep in between. Raises OSError."""
        cdef uint64_t duration_us = <uint64_t>(seconds * 1e6)
        cdef int error
        with nogil:
            error = rw_receiver_run(self.receiver, duration_us)
        if error:
            raise_errno(error)

    def begin_window(self) -> None:
        """Forget all counts; streams and captured payload stay."""
        rw_receiver_begin_window(self.receiver)

    def totals(self) -> dict:
        """Counts of the window: packets, rejected (by reason), oversized, unknown, dropped."""
        cdef rw_receiver_totals totals
        rw_receiver_read_totals(self.receiver, &totals)
        return {
            "packets": totals.packets,
            "rejected": {name: totals.rejected[reason] for reason, name in REJECTS},
            "oversized": totals.oversized,
            "unknown": totals.unknown,
            "dropped": totals.dropped,
        }

    def interval_error_us(self) -> dict:
        """Interval errors of the window over all streams: p50, p99, p999, max."""
        return quantiles(rw_receiver_interval_error_us(self.receiver))

    def interval_error_counts(self) -> list:
        """Interval errors of the window over all streams, from small to large: (us, packets), where
        errors that are at most 3.2 % smaller are counted under the same number."""
        return counts_of(rw_receiver_interval_error_us(self.receiver))

    def __len__(self) -> int:
        return rw_receiver_streams(self.receiver)

    def stream(self, uint32_t index) -> dict:
        """Counts of one stream in order of appearance, and who it is. Raises IndexError."""
        cdef rw_receiver_source source
        cdef const rw_stream *stream = rw_receiver_stream(self.receiver, index, &source)
        if stream == NULL:
            raise IndexError(index)
        return {
            "socket": source.socket,
            "ssrc": source.ssrc,
            "address": ntohl(source.from_.sin_addr.s_addr),
            "port": ntohs(source.from_.sin_port),
            "packets": stream.packets,
            "lost": rw_stream_lost(stream),
            "duplicates": stream.duplicates,
            "reordered": stream.reordered,
            "timestamp_jumps": stream.timestamp_jumps,
            "spurts": stream.spurts,
            "first_arrival_ns": stream.first_arrival_ns,
            "last_arrival_ns": stream.last_arrival_ns,
            "interval_error_us": quantiles(&stream.interval_error_us),
        }

    def captured(self, uint32_t index):
        """Payload kept of one stream, in order of arrival without duplicates; None if none is."""
        cdef size_t size = 0
        cdef const uint8_t *payload = rw_receiver_captured(self.receiver, index, &size)
        if payload == NULL:
            return None
        return payload[:size]


cdef array lengths_of(list frames):
    return array("H", [len(frame) for frame in frames])


cdef class Talker:
    """The far end of many legs; see csrc/bench/talker.h. It sends from the sockets of ``receiver``.

    ``origins``: where each leg sends to, ``destinations``: where it receives, both as ``(IPv4 as
    int, port)``. ``sounds`` are ``(payload type, RTP timestamps of a packet, payloads of 20 ms)``;
    a leg hears the one at its number modulo their number. Raises OSError for an origin that is not
    the receiver's, for no legs and for no sound, ValueError if the lists do not match.
    """

    cdef rw_talker *talker
    cdef Receiver receiver

    def __cinit__(self, Receiver receiver not None, list origins, list destinations, list sounds):
        cdef rw_talker_config config
        cdef sockaddr_in *origin = NULL
        cdef sockaddr_in *to = NULL
        cdef rw_talker_sound *sound = NULL
        cdef int error
        if len(origins) != len(destinations):
            raise ValueError(f"{len(origins)} origins for {len(destinations)} destinations")
        payloads = [b"".join(frames) for _, _, frames in sounds]
        lengths = [lengths_of(frames) for _, _, frames in sounds]
        try:
            origin = addresses_of(origins)
            to = addresses_of(destinations)
            sound = <rw_talker_sound *>calloc(len(sounds) + 1, sizeof(rw_talker_sound))
            if sound == NULL:
                raise MemoryError
            for index, (payload_type, ptime_ts, frames) in enumerate(sounds):
                sound[index].payload_type = payload_type
                sound[index].ptime_ts = ptime_ts
                sound[index].frames = len(frames)
                sound[index].frame_bytes = (<array?>lengths[index]).data.as_ushorts
                sound[index].payload = payloads[index]
            config.legs = len(destinations)
            config.from_ = origin
            config.to = to
            config.sounds = sound
            config.sound_count = len(sounds)
            error = rw_talker_open(&self.talker, receiver.receiver, &config)
        finally:
            free(origin)
            free(to)
            free(sound)
        if error:
            raise_errno(error)
        self.receiver = receiver

    def __dealloc__(self):
        if self.talker != NULL:
            rw_talker_close(self.talker)

    def run(self, double seconds) -> None:
        """Talk, and drain the receiver, for ``seconds``. Raises OSError."""
        cdef uint64_t duration_us = <uint64_t>(seconds * 1e6)
        cdef int error
        with nogil:
            error = rw_talker_run(self.talker, duration_us)
        if error:
            raise_errno(error)

    @property
    def packets(self) -> int:
        """Packets sent so far."""
        return rw_talker_packets(self.talker)

    @property
    def failed(self) -> int:
        """Packets that the kernel has not taken so far."""
        return rw_talker_failed(self.talker)


cdef class Pairs:
    """What the far ends of bridged legs hear of each other; see csrc/bench/pairs.h.

    ``talker`` speaks to the legs, whose own ``ports`` come in the same order; legs 2i and 2i + 1
    are a pair. ``formats`` are ``(payload type, RTP timestamps of a packet)`` of the even and of
    the odd legs. Of each ``keep_every``-th pair the first ``keep_packets`` of each leg are kept.
    Raises OSError for an odd number of legs.
    """

    cdef rw_pairs *pairs
    cdef Talker talker

    def __cinit__(
        self, Talker talker not None, list ports, list formats, uint32_t keep_every,
        uint32_t keep_packets,
    ):
        cdef rw_pairs_config config
        cdef array numbers = array("H", ports)
        cdef int error
        for index, (payload_type, ptime_ts) in enumerate(formats[:2]):
            config.payload_types[index] = payload_type
            config.ptime_ts[index] = ptime_ts
        config.legs = len(ports)
        config.ports = numbers.data.as_ushorts
        config.keep_every = keep_every
        config.keep_packets = keep_packets
        error = rw_pairs_open(&self.pairs, talker.receiver.receiver, talker.talker, &config)
        if error:
            raise_errno(error)
        self.talker = talker

    def __dealloc__(self):
        if self.pairs != NULL:
            rw_pairs_close(self.pairs)

    def counts(self) -> dict:
        """Packets by what came of them."""
        return {name: rw_pairs_count(self.pairs, verdict) for verdict, name in VERDICTS}

    def begin_window(self) -> None:
        """Forget the delays so far."""
        rw_pairs_begin_window(self.pairs)

    def delay_us(self) -> dict:
        """Time from sending to arrival, of right packets: p50, p99, p999, max."""
        return quantiles(rw_pairs_delay_us(self.pairs))

    def kept(self, uint32_t leg) -> list:
        """``(frame, payload)`` of what was kept: which frame the other leg was told, and what came
        of it."""
        cdef uint32_t count = 0, i
        cdef const rw_pairs_kept *kept = rw_pairs_kept_of(self.pairs, leg, &count)
        return [(kept[i].frame, kept[i].payload[:kept[i].bytes]) for i in range(count)]
