"""The configuration of `ringwheel serve`: a TOML file, and flags that override it.

Both ways lead through the same checks, :data:`CHECKS`; every error names the key, or the flag,
and says what is right. Keys may be written with ``_`` or ``-``. Paths of prompts and certificates
in a file are relative to that file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from ..media.codec import DEFAULT_CODECS
from ..media.engine import MIN_MEDIA_TIMEOUT_MS, CodecOrder, Srtp
from ..media.events import Silence
from ..media.monitor.addresses import hep_address, http_address
from ..media.monitor.monitor import MAX_TRACE_MESSAGES, TRACE_MESSAGES
from ..media.pool import RtpSockets, RtpSource
from ..media.ports import RtpPorts
from ..media.sip.gate import GateRules
from ..media.sip.session_timer import MIN_SE_S, checked_intervals
from ..media.sip.tls import TlsConfig, VerifyClient
from ..media.sip.transport import GATHER_MS, MAX_GATHER_MS, Listener, ListenError
from ..media.trunk import Peer, Trunk, TrunkError
from ..robot.speech.mrcp.service import MrcpOptions
from ..robot.speech.stream.wire import PeerBargeIn, StreamFailed, read_address
from .access import GATE_FLAGS, override_gate, read_gate
from .checks import (
    Problem,
    Refused,
    amount,
    choice,
    codecs,
    decimal,
    flag,
    numeric_address,
    problem_of,
    read_table,
    text,
    texts,
    whole,
)
from .errors import CommandError
from .speech_servers import read_speech
from .trunks import read_trunks

MAX_CONFIG_BYTES = 1024 * 1024
MAX_MEDIA_TIMEOUT_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """What `ringwheel serve` runs with. ``max_calls`` None: as many as ports and files allow.

    ``per_source_rate`` is the number of requests outside of dialogs taken from one address per
    second; None: no limit. ``speech``: the servers that scripts speak and hear by.
    """

    prompts: tuple[Path, ...] = ()
    loop: bool = False
    sip: tuple[str, ...] = ("udp:127.0.0.1:5060",)
    codecs: tuple[str, ...] = tuple(codec.label for codec in DEFAULT_CODECS)
    codec_order: CodecOrder = "caller"
    rtp_ports: tuple[int, int] = (20000, 40000)
    advertise: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None
    tls_verify_client: VerifyClient = "off"
    shards: int = 1
    realtime: bool = False
    max_calls: int | None = None
    rtp_sockets: RtpSockets = "per-leg"
    rtp_source: RtpSource = "sdp"
    silence: Silence = "stop"
    media_timeout_ms: int = 0
    stream: str | None = None
    stream_max_s: float = 3_600.0
    stream_barge_in: PeerBargeIn = "none"
    stream_token_env: str | None = None
    srtp: Srtp = "off"
    records: Path | None = None
    record: Path | None = None
    per_source_rate: float | None = None
    session_expires_s: int = 1_800
    min_se_s: int = MIN_SE_S
    sip_gather_ms: int = GATHER_MS
    drain_s: float = 30.0
    http: str | None = None
    trace_messages: int = TRACE_MESSAGES
    hep: str | None = None
    hep_id: int = 1
    dns: tuple[str, ...] = ()
    gate: GateRules = field(default_factory=GateRules)
    trunks: tuple[Trunk, ...] = ()
    speech: MrcpOptions | None = None


def _prompts(value: object) -> tuple[Path, ...]:
    # A comma may stand in a file name: only a real list makes several of it.
    return tuple(Path(name) for name in texts([value] if isinstance(value, str) else value))


def _sip(value: object) -> tuple[str, ...]:
    listeners = texts(value)
    try:
        parsed = [Listener.parse(listener) for listener in listeners]
    except ListenError as error:
        raise Refused(str(error)) from None
    if len(set(parsed)) != len(parsed):
        raise Refused("the same listener stands there twice")
    return listeners


def _address_by(read: Callable[[str], object]) -> Callable[[object], str]:
    def check(value: object) -> str:
        address = str(value) if isinstance(value, int) else text(value)
        try:
            read(address)
        except ListenError as error:
            raise Refused(str(error)) from None
        return address

    return check


def _dns(value: object) -> tuple[str, ...]:
    servers = texts(value)
    for server in servers:
        try:
            if not Peer.parse(server).numeric:
                raise Refused(f"{server!r} is no address; a server for names has none itself")
        except TrunkError as error:
            raise Refused(str(error).removeprefix("peer: ")) from None
    return servers


def _rtp_ports(value: object) -> tuple[int, int]:
    low, high = (decimal(part.strip()) for part in _port_texts(value))
    if not 1024 <= low < high <= 65535:
        raise Refused(f"{value!r} is not a range within 1024-65535, such as 20000-40000")
    return low, high


def _port_texts(value: object) -> tuple[str, str]:
    """Both ends of ``"20000-40000"`` or ``[20000, 40000]``."""
    parts = value.split("-") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or len(parts) != 2:
        raise Refused(f"{value!r} is not a range such as 20000-40000")
    return str(parts[0]), str(parts[1])


def _stream(value: object) -> str:
    url = text(value)
    try:
        read_address(url)
    except StreamFailed as error:
        raise Refused(str(error)) from None
    return url


def _media_timeout_ms(value: object) -> int:
    timeout_ms: int = whole(0, MAX_MEDIA_TIMEOUT_MS)(value)
    if 0 < timeout_ms < MIN_MEDIA_TIMEOUT_MS:
        raise Refused(f"{timeout_ms} is too short; use 0 for never, or {MIN_MEDIA_TIMEOUT_MS} up")
    return timeout_ms


def _path(value: object) -> Path:
    return value if isinstance(value, Path) else Path(text(value))


def _directory(value: object) -> Path:
    path = _path(value)
    if not path.is_dir():
        raise Refused(f"{str(path)!r} is not a directory; create it first")
    return path


CHECKS: dict[str, Callable[[object], Any]] = {
    "prompts": _prompts,
    "loop": flag,
    "sip": _sip,
    "codecs": codecs,
    "codec_order": choice(get_args(CodecOrder)),
    "rtp_ports": _rtp_ports,
    "advertise": lambda value: numeric_address(text(value)),
    "tls_cert": _path,
    "tls_key": _path,
    "tls_ca": _path,
    "tls_verify_client": choice(get_args(VerifyClient)),
    "shards": whole(1, 64),
    "realtime": flag,
    "max_calls": whole(1, 1_000_000),
    "rtp_sockets": choice(get_args(RtpSockets)),
    "rtp_source": choice(get_args(RtpSource)),
    "silence": choice(get_args(Silence)),
    "media_timeout_ms": _media_timeout_ms,
    "stream": _stream,
    "stream_max_s": amount(1, 86_400),
    "stream_barge_in": choice(get_args(PeerBargeIn)),
    "stream_token_env": text,
    "srtp": choice(get_args(Srtp)),
    "records": _path,
    "record": _directory,
    "per_source_rate": amount(0.1, 1_000_000),
    "session_expires_s": whole(0, 86_400),
    "min_se_s": whole(1, 86_400),
    "sip_gather_ms": whole(0, MAX_GATHER_MS),
    "drain_s": amount(0, 86_400),
    "dns": _dns,
    "http": _address_by(http_address),
    "trace_messages": whole(0, MAX_TRACE_MESSAGES),
    "hep": _address_by(hep_address),
    "hep_id": whole(0, 2**32 - 1),
}
"""The check of each key: from what TOML or a flag gave to what the class holds."""

_TABLES = {"trunk": text, "gate": text, "speech": text}
"""Keys that are tables, for who writes one of them wrong; they are read on their own."""

_FLAGS = {
    "prompts": "--prompt",
    "codecs": "--codec",
    "drain_s": "--drain",
    "stream_max_s": "--stream-max",
    "session_expires_s": "--session-expires",
    "min_se_s": "--min-se",
}
"""Flags that are not called as their key."""


_TLS_FILES = frozenset({"tls_cert", "tls_key", "tls_ca"})


def flag_of(key: str) -> str:
    """The command-line flag of a configuration key."""
    return _FLAGS.get(key, "--" + key.replace("_", "-"))


def load_config(path: Path) -> ServeConfig:
    """Read and check a TOML file. Raises :class:`CommandError` that names the key and reason."""
    config, problems = check_config(path)
    if problems:
        more = f" ({len(problems) - 1} more: ringwheel config check)" if problems[1:] else ""
        raise CommandError(f"configuration {path}: {problems[0]}", problems[0].remedy + more)
    return config


def check_config(path: Path) -> tuple[ServeConfig, list[Problem]]:
    """Read a TOML file, and say all that is wrong with it; what is wrong has its default.

    Raises :class:`CommandError` if there is no reading it.
    """
    values = _read_toml(path, f"configuration {path}")
    problems: list[Problem] = []
    trunks = read_trunks(values.pop("trunk", {}), path.parent, problems)
    gate = read_gate(values.pop("gate", {}), path.parent, problems)
    speech = None
    if "speech" in values:
        speech = read_speech(values.pop("speech"), path.parent, problems)
    checked = read_table(values, CHECKS | _TABLES, "", problems)
    if "prompts" in checked:
        checked["prompts"] = tuple(path.parent / prompt for prompt in checked["prompts"])
    for key in _TLS_FILES & checked.keys():
        checked[key] = path.parent / checked[key]
    config = ServeConfig(**checked, trunks=trunks, gate=gate, speech=speech)
    problems += _contradictions(config)
    return config, problems


def override(config: ServeConfig, flags: Mapping[str, object]) -> ServeConfig:
    """``config`` with the flags that were given, by key; None and () stand for not given."""
    given = {key: value for key, value in flags.items() if value not in (None, (), [])}
    gate_flags = {key: given.pop(key) for key in GATE_FLAGS if key in given}
    problems: list[Problem] = []
    checked = read_table(given, CHECKS, "", problems)
    gate = override_gate(config.gate, gate_flags, problems) if gate_flags else config.gate
    config = replace(config, **checked, gate=gate)
    for problem in problems:
        raise CommandError(f"{flag_of(problem.key)}: {problem.cause}", problem.remedy)
    for problem in _contradictions(config):
        raise CommandError(str(problem), problem.remedy)
    return config


def _read_toml(path: Path, where: str) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
        if len(data) > MAX_CONFIG_BYTES:
            raise CommandError(f"{where} is larger than 1 MiB", "Name a TOML file")
        return tomllib.loads(data.decode())
    except OSError as error:
        cause = f"{where} cannot be read: {error.strerror or error}"
        raise CommandError(cause, "Check the path and its permissions") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise CommandError(f"{where} is not TOML: {error}", "Correct that place") from error


def _contradictions(config: ServeConfig) -> Iterator[Problem]:
    """What no key can say alone."""
    low, high = config.rtp_ports
    calls = rtp_call_capacity(config.rtp_ports)
    if config.rtp_sockets == "per-leg" and (config.max_calls or 0) > calls:
        yield Problem(
            "",
            f"the RTP ports {low}-{high} are enough for {calls:,} calls, not {config.max_calls:,}",
            "Widen --rtp-ports, or lower --max-calls",
        )
    try:
        checked_intervals(config.session_expires_s, config.min_se_s)
    except ValueError as error:
        yield Problem("", str(error), "Correct --session-expires or --min-se")
    if config.rtp_sockets == "shared" and config.rtp_source == "latch":
        yield Problem(
            "",
            "calls on shared RTP sockets are told apart by the addresses in their SDP",
            "Use --rtp-sockets per-leg with --rtp-source latch",
        )
    if config.stream is not None and config.prompts:
        yield Problem("", "a call has either prompts or an agent", "Name --prompt or --stream")
    yield from _tls_problems(config)


def _tls_problems(config: ServeConfig) -> Iterator[Problem]:
    if config.tls_cert is None or config.tls_key is None:
        for listener in config.sip:
            if Listener.parse(listener).transport == "TLS":
                cause = f"{listener} has no certificate to show"
                yield Problem("", cause, "Name its files with --tls-cert and --tls-key")
    try:
        tls_of(config)
    except ValueError as error:
        problem = problem_of("", error)
        yield replace(problem, remedy=f"{problem.remedy}: --tls-cert, --tls-key, --tls-ca")


def tls_of(config: ServeConfig) -> TlsConfig:
    """The files of TLS. ValueError: some are missing."""
    return TlsConfig(config.tls_cert, config.tls_key, config.tls_ca, config.tls_verify_client)


def rtp_call_capacity(rtp_ports: tuple[int, int]) -> int:
    """Calls that a range has room for: an even port for RTP and the odd one behind for RTCP."""
    return RtpPorts(*rtp_ports).capacity
