"""A trunk as it is configured: values that are checked when they are made, and nothing that runs.

Every error is a :class:`TrunkError`, one line that says what is wrong and what is right.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Literal, get_args

from .._core import is_token
from ..codec import UnknownCodec, codecs_by_name
from ..order import OWN_HEADERS
from ..sip.fields import format_host_port

Transport = Literal["UDP", "TCP", "TLS"]
SrtpUse = Literal["off", "optional", "required"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_PEERS = 64
MAX_RULES = 256
MAX_SOURCES = 4_096

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9\-_.]{0,62}[A-Za-z0-9])?")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9\-_]{0,61}[A-Za-z0-9])?")
_USER = re.compile(r"[A-Za-z0-9\-_.!~*'()&=+$,;?/%]{1,255}")
_PREFIX = re.compile(r"\+?[0-9*#]{0,32}")
_FIELD = re.compile(r"\{([^{}]*)\}")
_PRIVACY = frozenset({"id", "header", "session", "user", "none", "critical", "history"})

TEMPLATE_FIELDS = ("caller", "called", "trunk", "user", "domain")
"""What a template may name in braces."""


class TrunkError(ValueError):
    """A trunk that cannot be; the message is one line with cause and remedy."""


def check_template(text: str, where: str) -> str:
    """A text with known ``{fields}`` and without line breaks. TrunkError: it is none."""
    if not text or any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise TrunkError(f"{where}: {text!r} is not a line of text")
    for name in _FIELD.findall(text):
        if name not in TEMPLATE_FIELDS:
            known = ", ".join(f"{{{known}}}" for known in TEMPLATE_FIELDS)
            raise TrunkError(f"{where}: there is no {{{name}}}; use one of {known}")
    if "{" in _FIELD.sub("", text) or "}" in _FIELD.sub("", text):
        raise TrunkError(f"{where}: a brace in {text!r} has no partner")
    return text


def is_host(text: str) -> bool:
    """True for a numeric address, without brackets, and for a domain name."""
    if _is_address(text):
        return True
    labels = text.rstrip(".").split(".")
    # A last label of digits alone is a mistyped address (RFC 1123 section 2.1).
    return (
        len(text) <= 253
        and not labels[-1].isdecimal()
        and all(_LABEL.fullmatch(label) for label in labels)
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _whole(value: int, low: int, high: int, where: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise TrunkError(f"{where}: {value!r} is not a whole number from {low:,} to {high:,}")


def _seconds(value: float, low: float, high: float, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise TrunkError(f"{where}: {value!r} is not a number from {low:g} to {high:g}")


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to the other side: an address, or a name that DNS resolves (RFC 3263).

    ``port`` 0: a name is looked up by NAPTR and SRV, an address has the transport's own port.
    ``transport`` None: what DNS says, UDP where it says nothing. Calls go to the lowest
    ``priority`` that is up; within one, ``weight`` is the share that a peer gets.
    """

    host: str
    port: int = 0
    transport: Transport | None = None
    priority: int = 0
    weight: int = 1

    def __post_init__(self) -> None:
        if not is_host(self.host):
            raise TrunkError(f"peer: {self.host!r} is neither an address nor a host name")
        if self.transport is not None and self.transport not in get_args(Transport):
            raise TrunkError(f"peer: {self.transport!r} is no transport; use udp, tcp or tls")
        _whole(self.port, 0, 65_535, f"peer {self.host}: port")
        _whole(self.priority, 0, 65_535, f"peer {self.host}: priority")
        _whole(self.weight, 0, 65_535, f"peer {self.host}: weight")

    @classmethod
    def parse(cls, text: str, *, priority: int = 0, weight: int = 1) -> Peer:
        """Read ``[udp:|tcp:|tls:]HOST[:PORT]``; an IPv6 address with a port has brackets."""
        scheme, colon, rest = text.partition(":")
        named = bool(colon) and scheme.upper() in get_args(Transport)
        host, port = _split_port(rest if named else text)
        transport: Transport | None = scheme.upper() if named else None  # type: ignore[assignment]
        return cls(host, port, transport, priority, weight)

    @property
    def uri(self) -> str:
        """The SIP URI that leads there, to be resolved."""
        address = format_host_port(self.host, self.port or None)
        return f"sip:{address}" + (f";transport={self.transport.lower()}" if self.transport else "")

    @property
    def numeric(self) -> bool:
        """True for an address, which needs no DNS."""
        return _is_address(self.host)

    def __str__(self) -> str:
        address = format_host_port(self.host, self.port or None)
        return f"{self.transport.lower()}:{address}" if self.transport else address


def _split_port(text: str) -> tuple[str, int]:
    host, port = text, ""
    if text.startswith("["):
        host, _, behind = text[1:].partition("]")
        if behind and not behind.startswith(":"):
            raise TrunkError(f"peer: {text!r} has something other than a port behind its address")
        port = behind[1:]
        if behind and not port:
            raise TrunkError(f"peer: {text!r} ends without its port")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
        if not port:
            raise TrunkError(f"peer: {text!r} ends without its port")
    if port and not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) <= 65_535):
        raise TrunkError(f"peer: {port!r} is no port; take 1 to 65535")
    return host, int(port or 0)


@dataclass(frozen=True, slots=True)
class Registration:
    """A binding that is kept up at the other side, so that it knows where to send calls.

    ``user`` is that of the address of record and of our Contact, to which calls then come.
    ``domain`` is that of the registrar, where it is not the first peer; REGISTER goes
    to the trunk's peers.
    """

    user: str
    domain: str = ""
    expires_s: int = 600

    def __post_init__(self) -> None:
        if not _USER.fullmatch(self.user):
            raise TrunkError(f"registration: {self.user!r} is not the user part of a SIP URI")
        if self.domain and not is_host(self.domain):
            raise TrunkError(f"registration: {self.domain!r} is neither an address nor a name")
        _whole(self.expires_s, 30, 86_400, "registration: expires_s")


@dataclass(frozen=True, slots=True)
class TrunkLimits:
    """What a trunk may carry; None: no limit.

    ``channels``: calls at the same time, both directions together. ``calls_per_s``: calls that we
    place; ``burst_calls`` may go at once, and others are spread.
    """

    channels: int | None = None
    calls_per_s: float | None = None
    burst_calls: int = 1

    def __post_init__(self) -> None:
        if self.channels is not None:
            _whole(self.channels, 1, 1_000_000, "channels")
        if self.calls_per_s is not None:
            _seconds(self.calls_per_s, 0.01, 10_000, "calls_per_s")
        _whole(self.burst_calls, 1, 10_000, "burst_calls")


@dataclass(frozen=True, slots=True)
class CallerRules:
    """Who we say that we are, and how numbers are written on this trunk.

    ``from_uri``, ``display`` and ``asserted`` (P-Asserted-Identity, RFC 3325) are templates;
    ``privacy`` is the value of the Privacy header (RFC 3323), with which From is anonymous, unless
    it is ``none``. ``default`` is the caller where a call names none; without it we are our own
    account, wherever a template takes ``{caller}``.
    ``caller_prefixes`` and ``called_prefixes`` say what to put in the place of a number's
    beginning, the longest that fits: ``{"+44": "0", "+": "00"}``.
    """

    from_uri: str = "sip:{caller}@{domain}"
    display: str = ""
    asserted: str = ""
    privacy: str = ""
    default: str = ""
    caller_prefixes: tuple[tuple[str, str], ...] = ()
    called_prefixes: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        check_template(self.from_uri, "from_uri")
        for name in ("display", "asserted"):
            if text := getattr(self, name):
                check_template(text, name)
        for where, text in (("from_uri", self.from_uri), ("asserted", self.asserted)):
            if text and not text.startswith(("sip:", "sips:", "tel:")):
                raise TrunkError(f"{where}: {text!r} is no URI; write sip:{{caller}}@{{domain}}")
        if self.default and not _USER.fullmatch(self.default):
            raise TrunkError(f"default: {self.default!r} is not the user part of a SIP URI")
        unknown = [word for word in self.privacy.split(";") if word and word not in _PRIVACY]
        if unknown:
            raise TrunkError(f"privacy: {unknown[0]!r} is none of {', '.join(sorted(_PRIVACY))}")
        _check_prefixes(self.caller_prefixes, "caller_prefixes")
        _check_prefixes(self.called_prefixes, "called_prefixes")


def _check_prefixes(pairs: tuple[tuple[str, str], ...], where: str) -> None:
    if len(pairs) > MAX_RULES:
        raise TrunkError(f"{where}: more than {MAX_RULES} rules")
    if len({before for before, _ in pairs}) != len(pairs):
        raise TrunkError(f"{where}: the same beginning stands there twice")
    for text in (text for pair in pairs for text in pair):
        if not _PREFIX.fullmatch(text):
            raise TrunkError(f"{where}: {text!r} is no beginning of a number, such as +44 or 00")


@dataclass(frozen=True, slots=True)
class HeaderRules:
    """What is done to the headers of each INVITE that goes out, in this order.

    ``copy``: the value of one header also goes out under another name. ``remove``: headers that do
    not go out. ``add``: name and template of headers that are put in.
    """

    copy: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()
    add: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        names = [*self.remove, *(name for name, _ in self.add), *(to for _, to in self.copy)]
        if len(names) > MAX_RULES:
            raise TrunkError(f"headers: more than {MAX_RULES} rules")
        for name in names:
            if not is_token(name):
                raise TrunkError(f"headers: {name!r} is not the name of a header")
            if name.lower() in OWN_HEADERS:
                raise TrunkError(f"headers: {name} belongs to the protocol; no rule may change it")
        for source, _ in self.copy:
            if not is_token(source):
                raise TrunkError(f"headers: {source!r} is not the name of a header")
        for name, template in self.add:
            check_template(template, f"headers: {name}")


@dataclass(frozen=True, slots=True)
class Trunk:
    """Another side's SIP service, as we use it.

    ``name``: calls to ``sip:NUMBER@NAME`` go by it. ``peers``: its addresses; none for a trunk that
    only calls us. ``domain``: the host of URIs that we send, by default the first peer's.
    ``user`` and ``password`` answer its challenges; a password is never shown. ``codecs`` and
    ``srtp`` stand in the place of the engine's where they are given. ``sources``: networks in CIDR
    form that its calls come from, by default the addresses of its peers.
    ``options_interval_s``: how often a peer is asked whether it is alive; 0: never.
    ``peer_timeout_s``: how long a peer may be silent before the call goes to the next, which it
    also does after one of ``failover_statuses``.
    """

    name: str
    peers: tuple[Peer, ...] = ()
    domain: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    registration: Registration | None = None
    codecs: tuple[str, ...] = ()
    srtp: SrtpUse | None = None
    limits: TrunkLimits = field(default_factory=TrunkLimits)
    caller: CallerRules = field(default_factory=CallerRules)
    headers: HeaderRules = field(default_factory=HeaderRules)
    sources: tuple[str, ...] = ()
    options_interval_s: float = 30.0
    peer_timeout_s: float = 4.0
    failover_statuses: tuple[int, ...] = (408, 500, 502, 503, 504)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or _is_address(self.name):
            raise TrunkError(f"trunk {self.name!r}: a name has letters, digits, - _ . and no more")
        try:
            self._check()
        except TrunkError as error:
            raise TrunkError(f"trunk {self.name}: {error}") from None

    def _check(self) -> None:
        if not self.peers and not self.sources:
            raise TrunkError("neither peers to call nor sources that call; name one of them")
        if len(self.peers) > MAX_PEERS:
            raise TrunkError(f"more than {MAX_PEERS} peers")
        if len({(peer.host, peer.port, peer.transport) for peer in self.peers}) < len(self.peers):
            raise TrunkError("the same peer stands there twice")
        if self.domain and not is_host(self.domain):
            raise TrunkError(f"domain: {self.domain!r} is neither an address nor a host name")
        self._check_credentials()
        try:
            codecs_by_name(self.codecs)
        except UnknownCodec as error:
            raise TrunkError(f"codecs: {error}") from None
        if self.srtp is not None and self.srtp not in get_args(SrtpUse):
            raise TrunkError(f"srtp: {self.srtp!r} is not one of: {', '.join(get_args(SrtpUse))}")
        if len(self.sources) > MAX_SOURCES:
            raise TrunkError(f"sources: more than {MAX_SOURCES} networks")
        for text in self.sources:
            network_of(text)
        if self.options_interval_s:
            _seconds(self.options_interval_s, 1, 86_400, "options_interval_s")
        _seconds(self.peer_timeout_s, 0.5, 32, "peer_timeout_s")
        for status in self.failover_statuses:
            _whole(status, 400, 699, "failover_statuses")

    def _check_credentials(self) -> None:
        if bool(self.user) != bool(self.password):
            missing = "password" if self.user else "user"
            raise TrunkError(f"user and password go together; there is no {missing}")
        if any(ord(character) < 32 for character in self.user + self.password):
            raise TrunkError("user or password has a control character, perhaps a line break")
        if self.registration is not None and not self.peers:
            raise TrunkError("registration needs a peer to register with")

    @property
    def uri_host(self) -> str:
        """The host of URIs on this trunk, in brackets where it is an IPv6 address."""
        host = self.domain or (self.peers[0].host if self.peers else self.name)
        return format_host_port(host, None)

    @property
    def inbound(self) -> tuple[str, ...]:
        """Where its calls come from, as far as that is known without DNS."""
        return self.sources or tuple(peer.host for peer in self.peers if peer.numeric)

    @property
    def networks(self) -> tuple[Network, ...]:
        """``sources``, read."""
        return tuple(network_of(text) for text in self.sources)


def network_of(text: str) -> Network:
    """An address or a network in CIDR form. TrunkError: it is neither."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        wider = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise TrunkError(f"{text!r} is no network; write 192.0.2.0/24 or 192.0.2.7") from None
    raise TrunkError(f"{text!r} has bits behind its mask; write {wider}")
