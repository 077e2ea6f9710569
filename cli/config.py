"""The configuration of `ringwheel serve`: a TOML file, and flags that override it.

Both ways lead through the same checks, :data:`CHECKS`; every error names the key, or the flag,
and says what is right. Keys may be written with ``_`` or ``-``. Paths of prompts in a file are
relative to that file.
"""

from __future__ import annotations

import difflib
import ipaddress
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from ..media.codec import DEFAULT_CODECS, UnknownCodec, codecs_by_name
from ..media.engine import CodecOrder, Srtp
from ..media.events import Silence
from ..media.monitor.addresses import hep_address, http_address
from ..media.monitor.monitor import MAX_TRACE_MESSAGES, TRACE_MESSAGES
from ..media.pool import RtpSockets, RtpSource
from ..media.ports import RtpPorts
from ..media.sip.session_timer import MIN_SE_S, checked_intervals
from ..media.sip.transport import Listener, ListenError
from .errors import CommandError

MAX_CONFIG_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """What `ringwheel serve` runs with. ``max_calls`` None: as many as ports and files allow.

    ``per_source_rate`` is the number of requests outside of dialogs taken from one address per
    second; None: no limit.
    """

    prompts: tuple[Path, ...] = ()
    loop: bool = False
    sip: tuple[str, ...] = ("udp:127.0.0.1:5060",)
    codecs: tuple[str, ...] = tuple(codec.label for codec in DEFAULT_CODECS)
    codec_order: CodecOrder = "caller"
    rtp_ports: tuple[int, int] = (20000, 40000)
    advertise: str | None = None
    shards: int = 1
    max_calls: int | None = None
    rtp_sockets: RtpSockets = "per-leg"
    rtp_source: RtpSource = "sdp"
    silence: Silence = "stop"
    srtp: Srtp = "off"
    records: Path | None = None
    record: Path | None = None
    per_source_rate: float | None = None
    session_expires_s: int = 1_800
    min_se_s: int = MIN_SE_S
    drain_s: float = 30.0
    http: str | None = None
    trace_messages: int = TRACE_MESSAGES
    hep: str | None = None
    hep_id: int = 1


class _Refused(ValueError):
    """Why a value is refused; becomes a :class:`CommandError` once the key is known."""


def _decimal(text: str) -> int:
    """A number of up to five digits, or -1."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else -1


def _numeric_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise _Refused(f"{text!r} is not an IP address") from None


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _Refused(f"{value!r} is not a text")
    return value


def _texts(value: object) -> tuple[str, ...]:
    """A list of texts, or one text with commas."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, (list, tuple)) or not value:
        raise _Refused(f"{value!r} is not a list of texts")
    return tuple(_text(part) for part in value)


def _prompts(value: object) -> tuple[Path, ...]:
    # A comma may stand in a file name: only a real list makes several of it.
    return tuple(Path(text) for text in _texts([value] if isinstance(value, str) else value))


def _sip(value: object) -> tuple[str, ...]:
    listeners = _texts(value)
    try:
        parsed = [Listener.parse(text) for text in listeners]
    except ListenError as error:
        raise _Refused(str(error)) from None
    if len(set(parsed)) != len(parsed):
        raise _Refused("the same listener stands there twice")
    return listeners


def _address_by(read: Callable[[str], object]) -> Callable[[object], str]:
    def check(value: object) -> str:
        text = str(value) if isinstance(value, int) else _text(value)
        try:
            read(text)
        except ListenError as error:
            raise _Refused(str(error)) from None
        return text

    return check


def _codecs(value: object) -> tuple[str, ...]:
    try:
        return tuple(codec.label for codec in codecs_by_name(_texts(value)))
    except UnknownCodec as error:
        raise _Refused(str(error)) from None


def _rtp_ports(value: object) -> tuple[int, int]:
    low, high = (_decimal(part.strip()) for part in _port_texts(value))
    if not 1024 <= low < high <= 65535:
        raise _Refused(f"{value!r} is not a range within 1024-65535, such as 20000-40000")
    return low, high


def _port_texts(value: object) -> tuple[str, str]:
    """Both ends of ``"20000-40000"`` or ``[20000, 40000]``."""
    parts = value.split("-") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or len(parts) != 2:
        raise _Refused(f"{value!r} is not a range such as 20000-40000")
    return str(parts[0]), str(parts[1])


def _directory(value: object) -> Path:
    path = value if isinstance(value, Path) else Path(_text(value))
    if not path.is_dir():
        raise _Refused(f"{str(path)!r} is not a directory; create it first")
    return path


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Refused(f"{value!r} is neither true nor false")
    return value


def _whole(low: int, high: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        # A bool is an int to Python, but not to whoever wrote the file.
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise _Refused(f"{value!r} is not a whole number from {low:,} to {high:,}")
        return value

    return check


def _amount(low: float, high: float) -> Callable[[object], float]:
    def check(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _Refused(f"{value!r} is not a number")
        if low <= value <= high:  # False for what is not a number, nan
            return float(value)
        raise _Refused(f"{value!r} is not a number from {low:g} to {high:g}")

    return check


def _choice(choices: tuple[str, ...]) -> Callable[[object], str]:
    def check(value: object) -> str:
        if value not in choices:
            raise _Refused(f"{value!r} is not one of: {', '.join(choices)}")
        return str(value)

    return check


CHECKS: dict[str, Callable[[object], Any]] = {
    "prompts": _prompts,
    "loop": _flag,
    "sip": _sip,
    "codecs": _codecs,
    "codec_order": _choice(get_args(CodecOrder)),
    "rtp_ports": _rtp_ports,
    "advertise": lambda value: _numeric_address(_text(value)),
    "shards": _whole(1, 64),
    "max_calls": _whole(1, 1_000_000),
    "rtp_sockets": _choice(get_args(RtpSockets)),
    "rtp_source": _choice(get_args(RtpSource)),
    "silence": _choice(get_args(Silence)),
    "srtp": _choice(get_args(Srtp)),
    "records": lambda value: value if isinstance(value, Path) else Path(_text(value)),
    "record": _directory,
    "per_source_rate": _amount(0.1, 1_000_000),
    "session_expires_s": _whole(0, 86_400),
    "min_se_s": _whole(1, 86_400),
    "drain_s": _amount(0, 86_400),
    "http": _address_by(http_address),
    "trace_messages": _whole(0, MAX_TRACE_MESSAGES),
    "hep": _address_by(hep_address),
    "hep_id": _whole(0, 2**32 - 1),
}
"""The check of each key: from what TOML or a flag gave to what the class holds."""

_FLAGS = {
    "prompts": "--prompt",
    "codecs": "--codec",
    "drain_s": "--drain",
    "session_expires_s": "--session-expires",
    "min_se_s": "--min-se",
}
"""Flags that are not called as their key."""


def flag_of(key: str) -> str:
    """The command-line flag of a configuration key."""
    return _FLAGS.get(key, "--" + key.replace("_", "-"))


def load_config(path: Path) -> ServeConfig:
    """Read and check a TOML file. Raises :class:`CommandError` that names the key and reason."""
    where = f"configuration {path}"
    values = {key.replace("-", "_"): value for key, value in _read_toml(path, where).items()}
    for key in values:
        if key not in CHECKS:
            raise CommandError(f"{where}: {key!r} is not a key", _nearest_key(key))
    checked = {key: _checked(key, value, f"{where}: {key}") for key, value in values.items()}
    if "prompts" in checked:
        checked["prompts"] = tuple(path.parent / prompt for prompt in checked["prompts"])
    return _consistent(ServeConfig(**checked))


def override(config: ServeConfig, flags: Mapping[str, object]) -> ServeConfig:
    """``config`` with the flags that were given, by key; None and () stand for not given."""
    given = {key: value for key, value in flags.items() if value not in (None, (), [])}
    checked = {key: _checked(key, value, flag_of(key)) for key, value in given.items()}
    return _consistent(replace(config, **checked))


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


def _nearest_key(key: str) -> str:
    near = difflib.get_close_matches(key, CHECKS, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Keys are: {', '.join(CHECKS)}"


def _checked(key: str, value: object, where: str) -> Any:
    try:
        return CHECKS[key](value)
    except _Refused as error:
        raise CommandError(f"{where}: {error}", "Correct it, or see --help") from None


def _consistent(config: ServeConfig) -> ServeConfig:
    """What no key can say alone."""
    low, high = config.rtp_ports
    calls = rtp_call_capacity(config.rtp_ports)
    if config.rtp_sockets == "per-leg" and (config.max_calls or 0) > calls:
        raise CommandError(
            f"the RTP ports {low}-{high} are enough for {calls:,} calls, not {config.max_calls:,}",
            "Widen --rtp-ports, or lower --max-calls",
        )
    try:
        checked_intervals(config.session_expires_s, config.min_se_s)
    except ValueError as error:
        raise CommandError(str(error), "Correct --session-expires or --min-se") from None
    if config.rtp_sockets == "shared" and config.rtp_source == "latch":
        raise CommandError(
            "calls on shared RTP sockets are told apart by the addresses in their SDP",
            "Use --rtp-sockets per-leg with --rtp-source latch",
        )
    return config


def rtp_call_capacity(rtp_ports: tuple[int, int]) -> int:
    """Calls that a range has room for: an even port for RTP and the odd one behind for RTCP."""
    return RtpPorts(*rtp_ports).capacity
