"""What `bench stream` counts."""

from __future__ import annotations

import socket

from ringwheel.bench.clearer import Measured, arrivals_of
from ringwheel.bench.interrupter import rtp_socket
from ringwheel.bench.stream import StreamResult, quantiles_of

MS = 1_000_000


def test_a_clear_is_measured_to_the_last_old_and_the_first_new_packet():
    measured = Measured()
    packets = [(80 * MS, 1), (100 * MS, 1), (120 * MS, 1), (140 * MS, 2), (160 * MS, 2)]
    measured.note(105 * MS, 1, 2, packets)
    measured.note(121 * MS, 1, 2, packets)
    measured.note(100 * MS, 7, 2, packets)
    assert (measured.old_ms, measured.new_ms, measured.failed) == ([15.0, 0.0], [35.0, 19.0], 1)


def test_the_result_has_the_cost_of_a_second_of_a_call():
    told = StreamResult(10, [1.0, 3.0], [20.0, 22.0], 0, 500_000, 5_000_000).to_json()
    assert told["cpu_us_per_call_second"] == 10_000
    assert told["last_old_packet_ms"] == {"p50": 3.0, "p95": 3.0, "p99": 3.0, "max": 3.0}
    assert quantiles_of([])["p99"] == 0.0


def test_arrivals_are_the_kernels_with_what_was_said():
    with rtp_socket() as rtp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for sound in (5, 6):
            sender.sendto(bytes(12) + bytes([sound]) * 160, rtp.getsockname())
        (first_ns, first), (second_ns, second) = arrivals_of(rtp)
    assert (first, second) == (5, 6)
    assert 0 < first_ns <= second_ns
