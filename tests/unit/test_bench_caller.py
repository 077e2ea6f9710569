"""The caller process, against a small answering machine over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from ringwheel.bench.hearing import Ears, Expected, Source
from ringwheel.media import _core
from ringwheel.media.codec import PCMU
from ringwheel.media.events import LegMedia, PlayEnded
from ringwheel.media.prompt import encode_sound, read_sound
from ringwheel.media.sdp import LocalMedia, answer_offer, parse_sdp
from ringwheel.media.sip.transport import SipEndpoint
from ringwheel.media.sip.ua import UserAgent, UserAgentConfig


class AnsweringMachine:
    """Answers every call; plays ``payloads`` and hangs up, or does neither."""

    def __init__(self, payloads: list[bytes] | None, status: int = 200) -> None:
        self.payloads = payloads
        self.status = status
        self.endpoint = SipEndpoint(["udp:127.0.0.1:0"])
        config = UserAgentConfig(self.endpoint.addresses)
        self.agent = UserAgent(self.endpoint.send, self.endpoint.timers, config, self)
        self.shard = _core.Shard(64)
        self.calls: dict[int, Any] = {}
        self.media: dict[str, tuple[socket.socket, LegMedia]] = {}

    @property
    def target(self) -> str:
        return f"udp:{self.endpoint.addresses[0]}"

    def start(self) -> None:
        self.endpoint.start(self.agent)
        asyncio.get_running_loop().add_reader(self.shard.event_fd, self.on_events)

    def stop(self) -> None:
        self.agent.shutdown()
        self.endpoint.close()
        asyncio.get_running_loop().remove_reader(self.shard.event_fd)
        self.shard.stop()

    def on_events(self) -> None:
        for event in self.shard.poll_events():
            if isinstance(event, PlayEnded) and event.leg_id in self.calls:
                self.calls.pop(event.leg_id).hangup()
                self.shard.close_leg(event.leg_id)

    def on_invite(self, call: Any) -> None:
        if self.status != 200:
            call.reject(self.status)
            return
        rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        rtp.bind(("127.0.0.1", 0))
        local = LocalMedia("127.0.0.1", rtp.getsockname()[1], (PCMU,), 1)
        answer = answer_offer(parse_sdp(call.remote_sdp), local)
        assert answer.media is not None
        self.media[call.id] = (
            rtp,
            LegMedia(answer.media.remote_host, answer.media.remote_port),
        )
        call.accept(answer.body)

    def on_ack(self, call: Any, sdp: bytes | None) -> None:
        rtp, media = self.media.pop(call.id)
        if self.payloads is None:
            rtp.close()
            return
        leg_id = self.shard.open_leg(media, fd=rtp.detach())
        self.calls[leg_id] = call
        self.shard.play(leg_id, 1, [_core.Prompt(payload) for payload in self.payloads])

    def on_ended(self, call: Any, cause: Any) -> None:
        if call.id in self.media:
            self.media.pop(call.id)[0].close()


async def run_caller(machine: AnsweringMachine, *options: str) -> tuple[int, list[dict[str, Any]]]:
    machine.start()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ringwheel.bench.caller",
            machine.target,
            *options,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
    finally:
        machine.stop()
    assert process.returncode is not None
    return process.returncode, [json.loads(line) for line in output.splitlines()]


def write_prompt(file: Path, samples: int, seed: int) -> bytes:
    """A prompt file of noise; returns its payload."""
    noise = np.random.default_rng(seed).normal(0, 3000, samples).clip(-32768, 32767)
    soundfile.write(file, noise.astype(np.int16), 8000)
    return encode_sound(read_sound(file), PCMU).payload


async def test_calls_hear_the_whole_list(tmp_path: Path) -> None:
    files = [tmp_path / "a.wav", tmp_path / "b.wav"]
    payloads = [write_prompt(file, 901 + seed, seed) for seed, file in enumerate(files)]
    records = tmp_path / "records.jsonl"
    options = [f"--expect={file}" for file in files]
    status, (summary,) = await run_caller(
        AnsweringMachine(payloads), "--calls=6", "--rate=100", f"--records={records}", *options
    )
    assert (status, summary["failed"], summary["faults"]) == (0, 0, {})
    assert summary["statuses"] == {"200": 6}
    assert summary["payloads_checked"] == 6
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    assert sorted(line["number"] for line in lines) == list(range(6))
    # 901 + 902 samples: 11 full packets, and one that is filled up with silence.
    assert [line["heard"]["packets"] for line in lines] == [12] * 6
    assert {line["ended_by"] for line in lines} == {"remote"}


async def test_another_prompt_than_expected_is_a_fault(tmp_path: Path) -> None:
    write_prompt(tmp_path / "a.wav", 800, 1)
    played = write_prompt(tmp_path / "b.wav", 800, 2)
    status, (summary,) = await run_caller(
        AnsweringMachine([played]), "--calls=2", "--rate=100", f"--expect={tmp_path / 'a.wav'}"
    )
    assert (status, summary["failed"], summary["payloads_wrong"]) == (1, 2, 2)
    assert all(fault.startswith("payload differs at byte") for fault in summary["faults"])


async def test_silence_where_a_prompt_is_expected_is_a_fault(tmp_path: Path) -> None:
    write_prompt(tmp_path / "a.wav", 800, 1)
    status, (summary,) = await run_caller(
        AnsweringMachine(None), "--hold=0.1", f"--expect={tmp_path / 'a.wav'}"
    )
    assert (status, summary["faults"]) == (1, {"heard nothing": 1})


async def test_caller_hangs_up_after_its_hold() -> None:
    status, lines = await run_caller(
        AnsweringMachine(None), "--calls=20", "--rate=200", "--hold=0.6", "--progress"
    )
    summary = lines[-1]
    assert (status, summary["calls"], summary["failed"]) == (0, 20, 0)
    assert summary["up_most"] == 20
    assert lines[0]["placed"] == 20


async def test_refused_calls_are_told_by_status() -> None:
    status, (summary,) = await run_caller(
        AnsweringMachine(None, status=486), "--calls=3", "--rate=100"
    )
    assert (status, summary["failed"], summary["statuses"]) == (1, 3, {"486": 3})


async def test_a_call_that_never_ends_is_ended_and_a_fault() -> None:
    status, (summary,) = await run_caller(AnsweringMachine(None), "--patience=0.2")
    assert (status, summary["failed"]) == (1, 1)
    assert "did not hang up" in next(iter(summary["faults"]))


async def test_nonsense_is_one_line_and_status_2() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ringwheel.bench.caller", "udp:nowhere:5060"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert errors.count(b"\n") == 1


@pytest.mark.parametrize(
    ("heard", "fault"),
    [
        (b"abc" + b"\xff" * 157, None),
        (b"abc" + b"\xff" * 156, "ends after 159 bytes of 160"),
        (b"abx" + b"\xff" * 157, "differs at byte 2: 0x78 instead of 0x63"),
        (b"abc" + b"\xff" * 317, "goes on for 160 bytes after its end"),
        (b"", "ends after 0 bytes of 160"),
    ],
)
def test_payload_verdicts(heard: bytes, fault: str | None) -> None:
    assert Expected(b"abc", 0xFF).fault(heard) == fault


def test_looped_payload_may_stop_anywhere() -> None:
    looped = Expected(b"abc", 0xFF, loop=True)
    assert looped.fault(b"abcabcab") is None
    assert looped.fault(b"") is None
    assert looped.fault(b"abcabd") == "differs at byte 5: 0x64 instead of 0x63"


def test_a_source_serves_one_call_after_another() -> None:
    ears = Ears(sockets=1, streams_max=4, expected=None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", 0))
        source = Source(0, "127.0.0.1", sender.getsockname()[1])
        for ssrc in (1, 2):
            packet = b"\x80\x00\x00\x01\x00\x00\x00\x00" + ssrc.to_bytes(4, "big")
            sender.sendto(packet, ("127.0.0.1", ears.port_of(0)))
        ears.listen()
    first = ears.heard(source, 0)
    assert first is not None
    assert first.streams == 2
    second = ears.heard(source, first.first_arrival_ns + 1)
    assert second is not None
    assert (second.streams, second.fault) == (1, None)
    assert ears.heard(source, second.first_arrival_ns + 1) is None
