"""The benchmark's yardstick: the receiver tells streams apart, the bare loops are heard whole."""

import json
import socket
import struct
from pathlib import Path

import pytest
from ringwheel.bench._native import Receiver, run_limit
from ringwheel.bench.limit import WAYS, LimitResult
from ringwheel.bench.measure import destinations
from ringwheel.cli.main import run_command

from .test_bench_prompt_legs import a_run


def rtp(sequence: int, ssrc: int = 1, payload: bytes = b"") -> bytes:
    return struct.pack("!BBHII", 0x80, 0, sequence & 0xFFFF, sequence * 160, ssrc) + payload


def send_to(receiver: Receiver, *packets: bytes) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for packet in packets:
            sender.sendto(packet, ("127.0.0.1", receiver.ports[0]))
        return int(sender.getsockname()[1])


def test_receiver_reports_gaps_and_who_sent() -> None:
    receiver = Receiver(sockets=1, streams_max=4, capture_every=1, capture_bytes=100)
    packets = [rtp(n, ssrc=0xABCDEF01, payload=bytes([n])) for n in (1, 2, 5, 4, 4)]
    source_port = send_to(receiver, *packets)
    assert receiver.drain() == 5
    stream = receiver.stream(0)
    assert (stream["ssrc"], stream["port"]) == (0xABCDEF01, source_port)
    assert stream["packets"] == 4
    assert stream["lost"] == 1
    assert stream["duplicates"] == 1
    assert stream["reordered"] == 1
    assert receiver.captured(0) == bytes([1, 2, 5, 4])
    with pytest.raises(IndexError):
        receiver.stream(1)


def test_receiver_counts_garbage_by_reason() -> None:
    receiver = Receiver(sockets=1, streams_max=4)
    send_to(receiver, b"", b"\x80\x00\x00", b"\x00" * 12, b"\x8f" + bytes(11), rtp(1))
    assert receiver.drain() == 5
    rejected = receiver.totals()["rejected"]
    assert {reason: count for reason, count in rejected.items() if count} == {
        "too_short": 2,
        "bad_version": 1,
        "bad_csrc": 1,
    }
    assert len(receiver) == 1


def test_receiver_without_sockets_is_refused() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        Receiver(sockets=0, streams_max=1)


def test_destinations_are_all_different() -> None:
    assert len(set(destinations([40000, 40002, 40004], 1000))) == 1000


@pytest.mark.parametrize("way", ["send", "sendmmsg"])
def test_paced_loop_sends_every_leg_every_20_ms(way: str) -> None:
    receiver = Receiver(sockets=3, streams_max=50, all_loopback=True)
    sent = run_limit(way, True, destinations(receiver.ports, 33), 0.2)
    receiver.drain()
    assert sent["packets"] == 33 * 10
    assert [receiver.stream(leg)["packets"] for leg in range(len(receiver))] == [10] * 33
    assert sum(receiver.stream(leg)["lost"] for leg in range(33)) == 0


def test_unknown_way_is_refused() -> None:
    with pytest.raises(KeyError):
        run_limit("carrier pigeon", True, [(0x7F000001, 9)], 0.1)


@pytest.mark.alone
def test_bench_limit_prints_its_public_keys_and_draws_a_png(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "limit.png"
    arguments = ["--legs", "20", "--seconds", "0.1", "--rounds", "1", "--json", f"--plot={plot}"]
    assert run_command(["bench", "limit", *arguments]) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    document = json.loads(capsys.readouterr().out)
    assert document["legs"] == 20
    assert document["seconds"] == 0.1
    assert document["limit_cpu_us_per_packet"] > 0
    assert document["lost"] == 0
    assert set(document["interval_error_us"]) == {"p50", "p99", "p999", "max"}
    assert document["cores"] >= 1
    for way in ("send", "sendmmsg"):
        for pace in ("flat_out", "paced"):
            (run,) = document["ways"][way][pace]["runs"]
            assert run["packets"] == run["receiver"]["packets"] + run["receiver"]["dropped"]


def test_more_legs_than_files_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _which: (100, 1000))
    assert run_command(["bench", "limit", "--legs", "5000", "--seconds", "0.1"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "1000 are allowed" in message
    assert "ulimit" in message


def test_a_table_is_shown_without_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = LimitResult(20, 0.1)
    for way in WAYS:
        found.runs[way, False] = found.runs[way, True] = [a_run(200, 100)]
    monkeypatch.setattr("ringwheel.bench.commands.run_limit", lambda *_: found)
    assert run_command(["bench", "limit"]) == 0
    assert "sendmmsg, paced" in capsys.readouterr().out
