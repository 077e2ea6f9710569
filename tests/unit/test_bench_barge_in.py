"""What `bench barge-in` counts, and what its callers send."""

from __future__ import annotations

import socket

from ringwheel.bench.barge_in import BargeInResult, BargeIns
from ringwheel.bench.interrupter import digit_packets, last_arrival_ns, rtp_socket, voice_packets
from ringwheel.media._core import VoiceDetector
from ringwheel.media.codec import PCMU


def test_quantiles_are_latencies_that_were_measured():
    found = BargeIns([30.0, 10.0, 20.0, 40.0], missed=1, failed=2)
    told = found.to_json()
    assert told == {
        "interrupted": 4,
        "missed": 1,
        "failed": 2,
        "latency_ms": {"p50": 30.0, "p95": 40.0, "p99": 40.0, "max": 40.0},
    }
    assert BargeIns([], 3, 0).to_json()["latency_ms"]["p99"] == 0.0
    result = BargeInResult(4, 20.0, {"speech": found}).to_json()
    assert (result["bench"], result["speech"]) == ("barge-in", told)


def test_the_callers_voice_is_one_from_its_first_packets_on():
    packets = voice_packets(number=7)
    assert [int.from_bytes(packet[2:4]) for packet in packets] == list(range(40))
    detector = VoiceDetector(8000)
    heard = [detector.hear(PCMU.decode(packet[12:])) for packet in packets[:3]]
    assert [event.kind for event in heard if event] == ["start"]


def test_a_digit_ends_three_times():
    events = [packet[12:] for packet in digit_packets(101)]
    assert [event[0] for event in events] == [5] * 7
    assert [event[1] >> 7 for event in events] == [0, 0, 0, 0, 1, 1, 1]
    assert [int.from_bytes(event[2:]) for event in events] == [160, 320, 480, 640, 800, 800, 800]


def test_the_last_arrival_is_the_kernels():
    with rtp_socket() as rtp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        assert last_arrival_ns(rtp) == 0
        sender.sendto(b"one", rtp.getsockname())
        first_ns = last_arrival_ns(rtp)
        for _ in range(3):
            sender.sendto(b"more", rtp.getsockname())
        assert last_arrival_ns(rtp) > first_ns > 0
