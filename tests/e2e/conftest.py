"""What every end-to-end test gets: both event loops, prompts of known bytes, free ports, an engine.

An engine under test runs on real loopback sockets in the test's own event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import uvloop
from ringwheel import Call, Engine
from ringwheel.media.transfer import OnRefer

from ..ports import pairs_of
from .client import TIMEOUT_S, Phone

Handler = Callable[[Call], Awaitable[None]]
ServeFunction = Callable[..., contextlib.AbstractAsyncContextManager[Engine]]


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Each asynchronous test runs on both, unless it is marked ``one_loop``."""
    if item.get_closest_marker("one_loop"):
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@contextlib.asynccontextmanager
async def serving(
    handler: Handler, *, on_refer: OnRefer | None = None, **options: object
) -> AsyncIterator[Engine]:
    """An engine that runs ``handler`` for each call; its calls are cut when the block is left."""
    settings = {"sip": ["udp:127.0.0.1:0"], "rtp_ports": pairs_of(40), **options}
    async with Engine(**settings) as engine:  # type: ignore[arg-type]
        served = asyncio.create_task(engine.serve(handler, on_refer=on_refer))
        await asyncio.sleep(0)
        try:
            yield engine
        finally:
            await engine.drain(0)
            async with asyncio.timeout(TIMEOUT_S):
                await served


def address_of(engine: Engine) -> tuple[str, int]:
    """Where the engine's first listener is reached."""
    host, _, port = engine.addresses[0].rpartition(":")
    return host.strip("[]"), int(port)


@contextlib.asynccontextmanager
async def phoning(engine: Engine, **options: object) -> AsyncIterator[Phone]:
    """A phone that calls the engine."""
    async with Phone(address_of(engine), **options) as phone:  # type: ignore[arg-type]
        yield phone


async def eventually(condition: Callable[[], bool]) -> None:
    """Give way to others until ``condition`` holds; TimeoutError if it never does."""
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110 - counters have nobody to wait for
            await asyncio.sleep(0.001)


@pytest.fixture
def make_prompt(tmp_path: Path) -> Iterator[Callable[..., tuple[Path, bytes]]]:
    """Writes a prompt of random payload bytes, mu-law or A-law by its suffix; path and bytes."""
    source = random.Random(7)

    def make(name: str, length_bytes: int) -> tuple[Path, bytes]:
        payload = source.randbytes(length_bytes)
        (tmp_path / name).write_bytes(payload)
        return tmp_path / name, payload

    yield make
