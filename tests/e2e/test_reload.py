"""SIGHUP: other rules for who may call, from now on; a wrong file changes nothing; calls go on."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from .client import TIMEOUT_S, Phone
from .conftest import eventually

pytestmark = pytest.mark.one_loop


class Server:
    """A `ringwheel serve` on a configuration that the test writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "serve.log"
        (folder / "a.ulaw").write_bytes(bytes(range(256)) * 40)

    def configure(self, text: str, *listeners: str) -> None:
        sip = json.dumps(["udp:127.0.0.1:0", *listeners])
        head = f'prompts = ["a.ulaw"]\nloop = true\nsip = {sip}\n'
        head += 'rtp_ports = "17600-17699"\ndrain_s = 0\n'
        (self.folder / "ringwheel.toml").write_text(head + text)

    def events(self, name: str) -> list[dict]:
        text = self.log.read_text()
        lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        return [line for line in lines if line["event"] == name]

    async def event(self, name: str, number: int = 1) -> dict:
        """The ``number``-th event of that name, as soon as it is logged."""
        await eventually(lambda: len(self.events(name)) >= number)
        return self.events(name)[number - 1]

    async def hang_up(self, name: str, number: int = 1) -> dict:
        """SIGHUP, and what is logged of it."""
        self.process.send_signal(signal.SIGHUP)
        return await self.event(name, number)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[str, int]]:
        command = ["-m", "ringwheel.cli.main", "--log-format", "json", "serve", "--config"]
        with self.log.open("wb") as stderr:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, *command, str(self.folder / "ringwheel.toml"), stderr=stderr
            )
            try:
                await self.event("serving")
                host, _, port = self.events("listening")[0]["sip"][0].rpartition(":")
                yield host, int(port)
                self.process.terminate()
                async with asyncio.timeout(TIMEOUT_S):
                    assert await self.process.wait() == 0
            finally:
                if self.process.returncode is None:
                    self.process.kill()


async def test_rules_change_and_calls_go_on(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.configure('[gate]\nallow = ["127.9.9.1"]\n')
    async with server.running() as address:
        async with Phone(address, "127.9.9.1") as known, Phone(address, "127.9.9.2") as other:
            await known.call()
            await known.packets(5)
            other.invite()
            assert (await server.event("sip source rejected"))["source"] == "127.9.9.2"

            server.configure('[gate]\nallow = ["127.9.9.2/24"]\n')
            refused = await server.hang_up("configuration not reloaded")
            assert "write 127.9.9.0/24" in refused["cause"]
            known.send("OPTIONS")
            assert (await known.response("OPTIONS")).status == 200

            server.configure('max_calls = 7\n[gate]\nallow = ["127.9.9.2"]\n')
            told = await server.hang_up("configuration reloaded")
            assert (told["changed"], told["needs_restart"]) == (["gate"], ["max_calls"])
            other.call_id = "after"
            await other.call()
            known.waiting_packets()
            await known.packets(5)
            known.cseq = 1
            await known.hang_up()
            await other.hang_up()
        assert not [e for e in server.events("sip source rejected") if e["source"] == "127.9.9.1"]


async def test_a_trunk_that_comes_is_let_in(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.configure('[trunk.one]\nsources = ["127.9.9.1"]\n')
    async with server.running() as address, Phone(address, "127.9.9.2") as phone:
        phone.invite()
        await server.event("sip source rejected")
        server.configure('[trunk.one]\nsources = ["127.9.9.1"]\n[trunk.two]\npeers = "127.9.9.2"\n')
        assert (await server.hang_up("configuration reloaded"))["changed"] == ["trunks"]
        phone.call_id = "again"
        await phone.call()
        await phone.hang_up()


async def test_certificates_are_renewed(tmp_path: Path) -> None:
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    def issue() -> bytes:
        issued = authority.issue_cert("127.0.0.1")
        for name, blobs in (("key", [issued.private_key_pem]), ("cert", issued.cert_chain_pems)):
            (tmp_path / f"{name}.pem").write_bytes(b"".join(blob.bytes() for blob in blobs))
        return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())

    async def shown(port: int) -> bytes:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return bytes(certificate)

    first = issue()
    server = Server(tmp_path)
    server.configure('tls_cert = "cert.pem"\ntls_key = "key.pem"\n', "tls:127.0.0.1:0")
    async with server.running():
        port = int(server.events("listening")[0]["sip"][1].rpartition(":")[2])
        assert await shown(port) == first
        (tmp_path / "cert.pem").write_text("no certificate")
        told = await server.hang_up("certificates not reloaded")
        assert "cert.pem" in told["cause"]
        assert await shown(port) == first
        second = issue()
        await server.hang_up("configuration reloaded", 2)
        assert await shown(port) == second
