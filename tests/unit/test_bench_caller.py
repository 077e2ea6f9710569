"""The caller process, against a small answering machine over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from ringwheel import Call, Engine
from ringwheel.bench.hearing import Ears, Expected, Source

Handler = Callable[[Call], Awaitable[None]]


async def run_caller(handler: Handler, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """Calls an engine; the caller's exit status, and the lines that it printed."""
    async with Engine(["udp:127.0.0.1:0"]) as engine, asyncio.TaskGroup() as tasks:
        tasks.create_task(engine.serve(handler))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ringwheel.bench.caller",
            f"udp:{engine.addresses[0]}",
            *options,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        await engine.drain(1.0)
    assert process.returncode is not None
    return process.returncode, [json.loads(line) for line in output.splitlines()]


def playing(*files: Path) -> Handler:
    """Answers, plays, hangs up."""

    async def play(call: Call) -> None:
        await call.answer()
        await call.play(*files)

    return play


async def answer_only(call: Call) -> None:
    await call.answer()
    await call.wait_ended()


async def refuse(call: Call) -> None:
    call.reject(486)


def write_prompt(file: Path, samples: int, seed: int) -> Path:
    """A prompt file of noise."""
    noise = np.random.default_rng(seed).normal(0, 3000, samples).clip(-32768, 32767)
    soundfile.write(file, noise.astype(np.int16), 8000)
    return file


async def test_calls_hear_the_whole_list(tmp_path: Path) -> None:
    files = [write_prompt(tmp_path / f"{seed}.wav", 901 + seed, seed) for seed in range(2)]
    records = tmp_path / "records.jsonl"
    options = [f"--expect={file}" for file in files]
    status, (summary,) = await run_caller(
        playing(*files), "--calls=6", "--rate=100", f"--records={records}", *options
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
    expected = write_prompt(tmp_path / "a.wav", 800, 1)
    played = write_prompt(tmp_path / "b.wav", 800, 2)
    status, (summary,) = await run_caller(
        playing(played), "--calls=2", "--rate=100", f"--expect={expected}"
    )
    assert (status, summary["failed"], summary["payloads_wrong"]) == (1, 2, 2)
    assert all(fault.startswith("payload differs at byte") for fault in summary["faults"])


async def test_silence_where_a_prompt_is_expected_is_a_fault(tmp_path: Path) -> None:
    expected = write_prompt(tmp_path / "a.wav", 800, 1)
    status, (summary,) = await run_caller(answer_only, "--hold=0.1", f"--expect={expected}")
    assert (status, summary["faults"]) == (1, {"heard nothing": 1})


async def test_caller_hangs_up_after_its_hold() -> None:
    status, lines = await run_caller(
        answer_only, "--calls=20", "--rate=200", "--hold=2", "--progress"
    )
    summary = lines[-1]
    assert (status, summary["calls"], summary["failed"]) == (0, 20, 0)
    assert summary["up_most"] == 20
    assert lines[-2]["placed"] == 20


async def test_refused_calls_are_told_by_status() -> None:
    status, (summary,) = await run_caller(refuse, "--calls=3", "--rate=100")
    assert (status, summary["failed"], summary["statuses"]) == (1, 3, {"486": 3})


async def test_a_call_that_never_ends_is_ended_and_a_fault() -> None:
    status, (summary,) = await run_caller(answer_only, "--patience=0.2")
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
