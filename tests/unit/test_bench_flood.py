"""`bench flood`: what it sends is what it says, and everything is counted under public keys."""

import json
import socket
from collections import Counter
from pathlib import Path

import pytest
from ringwheel.bench._native import Receiver
from ringwheel.bench.flood import WINDOWS, FloodResult, outcome
from ringwheel.bench.flooder_process import Flooder, Kinds
from ringwheel.bench.measure import Reception
from ringwheel.cli.main import run_command


def heard_with(p99_us: int, lost: int = 0) -> Reception:
    error_us = {"p50": 1, "p99": p99_us, "p999": p99_us, "max": p99_us}
    return Reception(1, 100, lost, 0, 0, 0, 0, 0, 0, 0, error_us, error_us)


@pytest.mark.alone
def test_the_others_are_measured_and_reasons_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "flood.png"
    arguments = ["--legs", "20", "--seconds", "1", "--rounds", "1", "--json", f"--plot={plot}"]
    assert run_command(["bench", "flood", *arguments]) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    document = json.loads(capsys.readouterr().out)
    assert (document["bench"], document["rate_per_s"]) == ("flood", 5000)
    assert document["lost"] == 0
    assert document["ratio"] > 0
    for window in WINDOWS:
        assert set(document[window]["interval_error_us"]) == {"p50", "p99", "p999", "max"}
    sent, counted = document["sent"], document["counted"]
    assert set(sent) == set(Kinds(1).by_name)
    assert counted["taken"] >= 20 * 50
    for reason in ("too_short", "bad_version", "bad_csrc", "unproved_source", "digit_storm"):
        assert counted[f"received_{reason}"] > 0
    assert counted["received_too_short"] <= sent["empty"] + sent["malformed"]
    rtcp = sum(count for name, count in counted.items() if name.startswith("rtcp_"))
    assert 0 < rtcp <= sent["rtcp_lies"]


def test_a_table_is_shown_without_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = FloodResult(5, 0.2, 500.0, {window: [heard_with(100)] for window in WINDOWS})
    monkeypatch.setattr("ringwheel.bench.commands.run_flood", lambda *_: found)
    assert run_command(["bench", "flood"]) == 0
    shown = capsys.readouterr().out
    assert "500 datagrams/s" in shown
    assert "undisturbed" in shown


def test_the_ratio_is_that_of_the_medians() -> None:
    windows = {
        "undisturbed": [heard_with(us) for us in (100, 900, 200)],
        "elsewhere": [heard_with(us) for us in (100, 100, 100)],
        "flooded": [heard_with(us, lost=1) for us in (300, 10, 5000)],
    }
    result = FloodResult(1, 1.0, 5000.0, windows)
    assert result.ratio_to("undisturbed") == 1.5
    assert result.ratio_to("elsewhere") == 3.0
    assert result.lost == 3


def test_only_what_became_of_datagrams_is_told() -> None:
    counters = Counter(
        packets_received=5,
        received_stale=2,
        received_sequence_jump=0,
        packets_sent=9,
        rtcp_received=3,
        rtcp_sent=1,
        rtcp_untrue=4,
    )
    assert outcome(counters) == {
        "taken": 5,
        "rtcp_taken": 3,
        "received_stale": 2,
        "rtcp_untrue": 4,
    }


def test_each_kind_is_what_its_name_says() -> None:
    kinds = Kinds(seed=7).by_name
    receiver = Receiver(sockets=1, streams_max=2000)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:

        def rejected(kind: str) -> dict[str, int]:
            receiver.begin_window()
            for _ in range(200):
                sender.sendto(kinds[kind](), ("127.0.0.1", receiver.ports[0]))
            receiver.drain()
            found = receiver.totals()["rejected"]
            return {reason: count for reason, count in found.items() if count}

        assert rejected("empty") == {"too_short": 200}
        assert sum(rejected("malformed").values()) == 200
        assert rejected("rush") == rejected("long") == rejected("digit_storm") == {}
        before = len(receiver)
        assert rejected("strangers") == {}
        assert len(receiver) == before + 200
    assert len(kinds["long"]()) == 12 + 1400
    assert {kinds["rtcp_lies"]()[1] for _ in range(100)} == set(range(200, 206))


def test_the_victim_knows_one_address_of_two() -> None:
    flooder = Flooder()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as victim:
        victim.bind(("127.0.0.1", 0))
        victim.setblocking(False)
        for _ in Kinds(1).by_name:
            flooder.turn(victim.getsockname(), rate_per_s=200)
        sources = Counter()
        for _ in range(flooder.sent.total()):
            sources[victim.recvfrom(2048)[1][1]] += 1
    known = sources.pop(flooder.port)
    assert list(sources.values()) == [flooder.sent["unknown_address"]]
    assert known + flooder.sent["unknown_address"] == flooder.sent.total() == 8 * 20
