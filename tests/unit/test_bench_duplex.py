"""`bench duplex`: both directions are heard whole, and told under the public keys."""

import json
import socket
import struct
from pathlib import Path

import pytest
from ringwheel.bench._native import Receiver, Talker, run_limit
from ringwheel.bench.duplex import KINDS, DuplexResult, Exchange
from ringwheel.bench.measure import LOOPBACK, Reception, Run, destinations
from ringwheel.bench.speech import caller_sound
from ringwheel.cli.main import run_command
from ringwheel.media._core import VoiceDetector
from ringwheel.media.codec import PCMU

QUIET = {"p50": 1, "p99": 2, "p999": 3, "max": 4}
LATE = {"p50": 50_000, "p99": 50_000, "p999": 50_000, "max": 50_000}


def an_exchange(
    cpu_us: int, *, talked: int = 100, received: int = 100, lost: int = 0, late: bool = False
) -> Exchange:
    reception = Reception(
        streams=1,
        packets=100 - lost,
        lost=lost,
        duplicates=0,
        reordered=0,
        timestamp_jumps=0,
        spurts=0,
        rejected=0,
        unknown=0,
        receiver_dropped=0,
        interval_error_us=QUIET,
        worst_leg_interval_error_us=QUIET,
    )
    sent = Run(
        packets=100,
        failed=0,
        skipped=0,
        cpu_us=cpu_us,
        wall_us=2_000_000,
        lateness_us=LATE if late else QUIET,
        reception=reception,
    )
    return Exchange(sent=sent, talked=talked, received=received)


def leg_sockets(receiver: Receiver, legs: int) -> list[socket.socket]:
    """Connected to where they would send, so that strangers do not get in."""
    sockets = []
    for address, port in destinations(receiver.ports, legs):
        leg = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        leg.bind(("127.0.0.1", 0))
        leg.connect((socket.inet_ntoa(struct.pack("!I", address)), port))
        leg.setblocking(False)
        sockets.append(leg)
    return sockets


def port_of(leg: socket.socket) -> int:
    return int(leg.getsockname()[1])


@pytest.mark.alone
def test_every_leg_is_heard_and_hears_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "duplex.png"
    arguments = ["--legs", "20", "--seconds", "1", "--rounds", "1", "--json", f"--plot={plot}"]
    assert run_command(["bench", "duplex", *arguments]) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    document = json.loads(capsys.readouterr().out)
    assert (document["bench"], document["legs"]) == ("duplex", 20)
    assert document["lost"] == document["received_lost"] == document["failed"] == 0
    assert document["events_dropped"] == 0
    assert document["ratio"] > 0
    assert document["plain_ratio"] > 0
    (detecting,), (plain,), (limit,) = (
        document[kind]["runs"] for kind in ("detecting", "plain", "limit")
    )
    for run in (detecting, plain):
        assert run["receiver"]["streams"] == 20
        assert run["received_packets"] >= 20 * 50
    assert detecting["digits_heard"] > 0
    assert detecting["speech_heard"] > 0
    assert plain["digits_heard"] == plain["speech_heard"] == 0
    assert limit["packets"] == 20 * 50
    assert limit["received_packets"] > 0


def test_a_table_is_shown_without_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = DuplexResult(10, 2.0, {kind: [an_exchange(400)] for kind in KINDS})
    monkeypatch.setattr("ringwheel.bench.commands.run_duplex", lambda *_: found)
    assert run_command(["bench", "duplex"]) == 0
    shown = capsys.readouterr().out
    assert "detecting" in shown
    assert "bare loop" in shown


def test_ratios_are_medians_of_rounds_and_losses_add_up() -> None:
    result = DuplexResult(10, 2.0)
    result.runs["detecting"] = [
        an_exchange(600, received=97),
        an_exchange(800, lost=2),
        an_exchange(900),
    ]
    result.runs["plain"] = [an_exchange(400), an_exchange(400, talked=101), an_exchange(400)]
    result.runs["limit"] = [an_exchange(400), an_exchange(400), an_exchange(400)]
    told = result.to_json()
    assert told["ratio"] == 2.0
    assert told["plain_ratio"] == 1.0
    assert told["cpu_us_per_leg_second"] == 400.0  # 800 us for a hundred packets
    assert told["received_lost"] == 4
    assert told["lost"] == 2
    assert told["saturated"] is False


def test_a_late_bare_loop_is_called_saturated(capsys: pytest.CaptureFixture[str]) -> None:
    runs = {"detecting": [an_exchange(1)], "plain": [an_exchange(1)]}
    assert DuplexResult(10, 2.0, runs | {"limit": [an_exchange(1, late=True)]}).saturated
    assert not DuplexResult(10, 2.0, runs | {"limit": [an_exchange(1)]}).saturated


def test_the_talker_speaks_from_where_each_leg_sends_to() -> None:
    receiver = Receiver(sockets=3, streams_max=10, all_loopback=True)
    legs = leg_sockets(receiver, 7)
    sound = bytes(range(160)) + bytes(160)
    talker = Talker(
        receiver,
        destinations(receiver.ports, 7),
        [(LOOPBACK, port_of(leg)) for leg in legs],
        [(0, 160, [sound[:160], sound[160:]])],
    )
    talker.run(0.3)
    heard = 0
    for leg in legs:
        packets = []
        while True:
            try:
                packets.append(leg.recv(2048))
            except BlockingIOError:
                break
        assert [int.from_bytes(packet[2:4]) for packet in packets] == list(range(len(packets)))
        assert {packet[12:] for packet in packets} == {sound[:160], sound[160:]}
        heard += len(packets)
        leg.close()
    assert heard == talker.packets > 7 * 3
    assert talker.failed == 0


def test_the_talker_refuses_what_is_not_the_receivers() -> None:
    receiver = Receiver(sockets=1, streams_max=1)
    sounds = [(0, 160, [bytes(160)])]
    with pytest.raises(OSError, match="Invalid argument"):
        Talker(receiver, [(LOOPBACK, receiver.ports[0] ^ 1)], [(LOOPBACK, 9)], sounds)
    with pytest.raises(OSError, match="Invalid argument"):
        Talker(receiver, [(LOOPBACK, receiver.ports[0])], [(LOOPBACK, 9)], [(0, 160, [])])
    with pytest.raises(OSError, match="Invalid argument"):
        Talker(receiver, [(LOOPBACK, receiver.ports[0])], [(LOOPBACK, 9)], [])
    with pytest.raises(ValueError, match="0 origins for 1 destinations"):
        Talker(receiver, [], [(LOOPBACK, 9)], sounds)


def test_the_bare_exchange_wants_a_socket_for_each_leg() -> None:
    with pytest.raises(ValueError, match="0 sockets for 1 legs"):
        run_limit("exchange", True, [(LOOPBACK, 9)], 0.1)


def test_the_callers_sound_is_whole_packets_with_speech_in_them() -> None:
    sound = caller_sound()
    assert len(sound) % 160 == 0
    detector = VoiceDetector(8000)
    heard = [detector.hear(PCMU.decode(sound[at : at + 160])) for at in range(0, len(sound), 160)]
    assert [event.kind for event in heard if event].count("start") >= 8
