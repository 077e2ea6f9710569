"""baresip is sent to a third party, and goes there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from ringwheel import Call, Engine, Transferred
from ringwheel.media.engine import CallHandlerFunction

from .test_baresip import CONFIG, dial


@contextlib.asynccontextmanager
async def engine(handler: CallHandlerFunction) -> AsyncIterator[Engine]:
    """An engine on loopback."""
    async with Engine(["udp:127.0.0.1:0"]) as ours:
        serving = asyncio.create_task(ours.serve(handler))
        yield ours
        await ours.drain(1)
        await serving


async def test_it_goes_where_it_is_sent(program, chirps, share_heard, tmp_path: Path):
    baresip = program("baresip", "baresip-core")
    home = tmp_path / "baresip"
    home.mkdir()
    (home / "config").write_text(CONFIG.format(folder=home, module="g711.so", rate_hz=8000))
    (home / "accounts").write_text("<sip:baresip@127.0.0.1>;regint=0;audio_codecs=pcmu\n")
    (home / "contacts").write_text("")
    results: list[Transferred] = []

    async def plays(call: Call) -> None:
        await call.answer()
        await call.play(*chirps)

    async def sends_away(call: Call) -> None:
        await call.answer()
        results.append(await call.transfer(f"sip:third@{third.addresses[0]}", how="refer"))

    async with engine(plays) as third, engine(sends_away) as robot:
        host, _, port = robot.addresses[0].rpartition(":")
        said = await asyncio.to_thread(dial, baresip, home, host, int(port), calls=2)
    assert results == [Transferred(200, "OK", "refer")], said
    heard = max(home.glob("dump-*-dec.wav"), key=lambda file: file.stat().st_size)
    assert share_heard(heard, chirps)[0] > 0.9
