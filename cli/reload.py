"""SIGHUP: the configuration is read again, checked, and what can change without a restart does."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import fields, replace

import structlog

from ..media.engine import Engine
from ..media.sip.gate import GateRules
from ..media.sip.transport import ListenError
from .config import ServeConfig
from .errors import CommandError

log = structlog.get_logger(__name__)

RELOADED = frozenset({"gate", "trunks"})
"""Keys that take effect at once; the others need a restart."""


def gate_rules(config: ServeConfig) -> GateRules:
    """Who gets service: the gate's rules, and the sources of every trunk."""
    trunks = tuple((trunk.name, trunk.inbound) for trunk in config.trunks)
    return replace(config.gate, trunks=trunks)


class Reloader:
    """Goes by a new configuration, if it is right; else the old one stays."""

    def __init__(
        self, engine: Engine, config: ServeConfig, settle: Callable[[], ServeConfig]
    ) -> None:
        self._engine = engine
        self._config = config
        self._settle = settle

    async def reload(self) -> None:
        """Read it again. Whatever is wrong with it is a line in the log, and nothing more."""
        try:
            # Files may lie on a slow disk: not in the thread that answers calls.
            config = await asyncio.to_thread(self._settle)
        except CommandError as error:
            log.error("configuration not reloaded", cause=str(error))
            return
        changed = {
            item.name
            for item in fields(ServeConfig)
            if getattr(config, item.name) != getattr(self._config, item.name)
        }
        self._engine.reload(config.trunks)
        self._engine.guard(gate_rules(config))
        self._config = replace(self._config, **{key: getattr(config, key) for key in RELOADED})
        self._reload_certificates()
        log.info(
            "configuration reloaded",
            changed=sorted(changed & RELOADED),
            needs_restart=sorted(changed - RELOADED),
        )

    def _reload_certificates(self) -> None:
        """Certificates are renewed under the names that they had."""
        try:
            self._engine.reload_tls()
        except ListenError as error:
            log.error("certificates not reloaded", cause=str(error))


@contextlib.asynccontextmanager
async def reload_on_signal(
    engine: Engine, config: ServeConfig, settle: Callable[[], ServeConfig]
) -> AsyncIterator[None]:
    """Reload at SIGHUP; those that come while one is at work are one more."""
    asked = asyncio.Event()
    reloader = Reloader(engine, config, settle)

    async def attend() -> None:
        while True:
            await asked.wait()
            asked.clear()
            await reloader.reload()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, asked.set)
    async with asyncio.TaskGroup() as tasks:
        attending = tasks.create_task(attend())
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            attending.cancel()
