"""The addresses that a monitor is given."""

from __future__ import annotations

import ipaddress

from ..sip.transport import ListenError

DEFAULT_HOST = "127.0.0.1"


def http_address(text: str) -> tuple[str, int]:
    """Read ``PORT``, which is one of 127.0.0.1, or ``HOST:PORT`` with a numeric host.

    ListenError: anything else.
    """
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ListenError(f"{text}: write it as PORT, HOST:PORT or [V6]:PORT")
    if not host:
        return DEFAULT_HOST, int(port)
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        if ipaddress.ip_address(bare).version == 6 and bare == host:
            raise ListenError(f"{text}: write an IPv6 address in brackets")
    except ValueError:
        raise ListenError(f"{text}: {host} is no numeric address; write one") from None
    return bare, int(port)


def hep_address(text: str) -> tuple[str, int]:
    """Read ``HOST:PORT``; the host may be a name. ListenError: anything else."""
    host, port = split_address(text) if text.rpartition(":")[2].isdecimal() else ("", 0)
    if not host or not 0 < port < 65_536:
        raise ListenError(f"{text}: write it as HOST:PORT or [V6]:PORT")
    return host, port


def split_address(address: str) -> tuple[str, int]:
    """Host, without brackets, and port."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
