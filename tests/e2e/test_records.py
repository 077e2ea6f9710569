"""The record of a call: what it says, where it goes, and that nothing of it costs a call."""

from __future__ import annotations

import asyncio
import json
import math
from datetime import datetime
from pathlib import Path

import pytest
import soundfile
from ringwheel import Call, Engine
from ringwheel.media import record as records_module
from ringwheel.media.record import RecordFile

from .conftest import eventually, phoning, serving
from .test_hear import EVENTS, Mouth

pytestmark = pytest.mark.one_loop


async def test_a_record_tells_what_happened(make_prompt, tmp_path):
    prompt, _ = make_prompt("menu.ulaw", 1_600)
    loop, _ = make_prompt("loop.ulaw", 800)
    file = tmp_path / "calls.jsonl"

    async def handler(call: Call) -> None:
        call.ring()
        await call.answer()
        await call.play(prompt)
        await call.play(loop, loop=True, barge_in="dtmf")
        await call.hangup("thank you")

    async with (
        serving(handler, records=file) as engine,
        phoning(engine, formats="0 101") as phone,
    ):
        mouth = Mouth(phone, await phone.call(phone.offer(*EVENTS)))
        for _ in range(10):
            mouth.packet(bytes(160), 0)
        await phone.packets(12)
        mouth.press("7")
        await phone.until_bye()
        await eventually(lambda: engine.snapshot().calls_up == 0)
        addresses = engine.addresses
        sip_port, rtp_port = phone.sip.getsockname()[1], phone.rtp.getsockname()[1]
    (line,) = file.read_text().splitlines()
    told = json.loads(line)
    times = [
        datetime.fromisoformat(told[phase])
        for phase in ("offered", "ringing", "answered", "confirmed", "ended")
    ]
    assert times == sorted(times)
    assert math.isclose(told["talked_s"], (times[4] - times[3]).total_seconds(), abs_tol=0.002)
    assert (told["version"], told["call_id"], told["codec"]) == (1, phone.call_id, "PCMU/8000")
    assert told["sip_peer"] == f"127.0.0.1:{sip_port}"
    assert told["rtp_peer"] == f"127.0.0.1:{rtp_port}"
    assert told["to"] == f"sip:robot@{addresses[0]}"
    assert (told["ended_by"], told["status"], told["reason"]) == ("local", 200, "OK")
    assert "thank you" in told["text"]
    assert told["prompts"][0] == {
        "files": [str(prompt)],
        "outcome": "finished",
        "played_ms": 200.0,
    }
    assert told["prompts"][1]["outcome"] == "barged-in"
    assert told["prompts"][1]["played_ms"] > 0
    assert told["digits_heard"] == 1
    assert told["sent"]["packets"] >= 12
    received = told["received"]
    assert (received["packets"], received["expected"], received["lost"]) == (15, 15, 0)
    assert 4.0 < told["mos_in"] <= 4.5
    assert told["mos_out"] is told["rtt_ms"] is told["sent"]["lost"] is None
    assert told["encrypted"] is False


async def test_a_record_waits_for_its_recordings_and_tells_of_them(make_prompt, tmp_path):
    prompt, _ = make_prompt("menu.ulaw", 800)
    told: list[dict[str, object]] = []
    paths = [tmp_path / name for name in ("first.wav", "second.wav")]

    async def handler(call: Call) -> None:
        await call.answer()
        await call.record(paths[0]).stop()
        call.record(paths[1])
        await call.play(prompt, loop=True)

    async with serving(handler, records=told.append) as engine, phoning(engine) as phone:
        mouth = Mouth(phone, await phone.call())
        await phone.packets(20)
        for frame in range(3):
            await phone.packets(1)
            mouth.packet(bytes(160), 0)
            mouth._timestamp += 160
            if frame == 1:
                mouth.lose()
        await phone.hang_up()
        await eventually(lambda: bool(told))
    first, second = told[0]["recordings"]
    assert (first["files"], second["files"]) == ([str(paths[0])], [str(paths[1])])
    assert soundfile.info(paths[1]).frames == second["recorded_ms"] * 8 > 0
    assert (second["lost_ms"], second["paused_ms"], second["error"]) == (0, 0, None)
    assert told[0]["recordings_untold"] == 0


async def test_recordings_beyond_the_bound_are_counted(monkeypatch, tmp_path):
    monkeypatch.setattr(records_module, "MAX_RECORDINGS", 1)
    told: list[dict[str, object]] = []

    async def handler(call: Call) -> None:
        await call.answer()
        for number in range(3):
            await call.record(tmp_path / f"{number}.wav").stop()

    async with serving(handler, records=told.append) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.until_bye()
        await eventually(lambda: bool(told))
    assert [Path(one["files"][0]).name for one in told[0]["recordings"]] == ["0.wav"]
    assert told[0]["recordings_untold"] == 2


@pytest.mark.parametrize(("formats", "status"), [("18", 488), ("0", 603)])
async def test_refused_calls_have_records_too(formats, status):
    told: list[dict[str, object]] = []

    async def handler(call: Call) -> None:
        if formats == "0":
            call.reject(603)
        await call.answer()

    async with (
        serving(handler, records=told.append) as engine,
        phoning(engine, formats=formats) as phone,
    ):
        phone.invite()
        assert (await phone.response("INVITE")).status == status
        phone.send("ACK", cseq=1)
        await eventually(lambda: bool(told))
    (record,) = told
    assert (record["status"], record["answered"], record["talked_s"]) == (status, None, 0.0)
    assert (record["codec"], record["received"]["packets"]) == (None, 0)


async def test_every_call_has_one_record_whoever_ends_it():
    told: list[dict[str, object]] = []

    async def handler(call: Call) -> None:
        await call.answer()
        await call.wait_ended()

    async with serving(handler, records=told.append) as engine:
        for _ in range(3):
            async with phoning(engine) as phone:
                await phone.call()
                await phone.hang_up()
        async with phoning(engine) as phone:
            await phone.call()
            await engine.drain(0)
            await phone.until_bye()
    assert [record["ended_by"] for record in told] == ["remote"] * 3 + ["local"]
    assert len({record["id"] for record in told}) == 4


async def test_a_taker_that_raises_costs_no_call(capsys):
    def broken(record: dict[str, object]) -> None:
        raise RuntimeError("no room in the archive")

    async def handler(call: Call) -> None:
        await call.answer()

    async with serving(handler, records=broken) as engine:
        for _ in range(2):
            async with phoning(engine) as phone:
                await phone.call()
                await phone.until_bye()
    assert "no room in the archive" in "".join(capsys.readouterr())


def test_a_full_disk_is_told_and_counted(capsys):
    file = RecordFile("/dev/full")
    for number in range(3):
        file({"number": number})
    file.close()
    assert file.dropped == 3
    assert "No space left" in "".join(capsys.readouterr())


def test_a_disk_that_stands_still_costs_records_beyond_the_bound(monkeypatch, tmp_path):
    monkeypatch.setattr(records_module, "MAX_WAITING", 4)
    monkeypatch.setattr(RecordFile, "_write", lambda self: None)
    file = RecordFile(tmp_path / "calls.jsonl")
    for number in range(7):
        file({"number": number})
    assert file.dropped == 3


async def test_a_file_that_cannot_be_opened_is_told_at_the_start(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        async with Engine(sip=["udp:127.0.0.1:0"], records=tmp_path / "no" / "calls.jsonl"):
            await asyncio.sleep(0)
