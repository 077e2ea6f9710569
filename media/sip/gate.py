"""The gate: who gets service. Sources that are known, users who prove themselves, and strangers.

Datagrams of strangers are judged before anybody reads them (:meth:`Gate.admits`), requests before
anything is kept for them (:meth:`Gate.passes`): what is refused costs no transaction and no state
(RFC 3261 8.2.7). Whatever belongs to a call or a request of ours passes from anywhere: who knows
the 64 random bits of a tag or branch that we made was told them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol, get_args

import structlog

from .counters import Count, Counters
from .digest import Algorithm, Challenger, Lookup, Outcome
from .edge import Flow, Timers
from .events import HeaderLines
from .message import Request
from .offences import Offence, Offences
from .sources import NetworkTable, SourceRates, source_of

log = structlog.get_logger(__name__)

Strangers = Literal["open", "drop", "403", "challenge"]

SCANNERS = (
    "friendly-scanner",
    "friendly-request",
    "sipvicious",
    "sipcli",
    "sip-scan",
    "siparmyknife",
    "sundayddr",
    "pplsip",
    "iwar",
)
"""Parts of the User-Agent of programs that look for open servers."""

KNOWN_HOSTS = 65_536
STRANGERS = 16_384
BANS = 4_096
PROVEN_MS = 300_000
"""How long an address whose user was authenticated may send as fast as it likes."""

LOOK_BYTES = 4_096
"""How far into a stranger's datagram its tags are looked for."""

_STATUS_LINE = b"SIP/2.0 "
_TO_TAG = re.compile(rb"\n(?:[Tt][Oo]|[Tt])[ \t]*:[^\r\n]*;[ \t]*tag=([0-9a-f]{16})")
_BRANCH = re.compile(rb";[ \t]*branch=([^;,\s]+)")
_CSEQ = re.compile(rb"\n[Cc][Ss][Ee][Qq][ \t]*:[ \t]*[0-9]+[ \t]+([A-Z]+)")


@dataclass(frozen=True, slots=True)
class GateRules:
    """Who gets service.

    ``allow``: networks whose requests are served. ``trunks``: names of trunks and the networks that
    their calls come from. ``users``: finds the secret of those who prove themselves by digest for
    ``realm`` and any of ``algorithms``, wherever they come from. ``strangers``, everybody else:
    ``"drop"`` answers nothing, ``"403"`` refuses, ``"challenge"`` asks for credentials, ``"open"``
    serves them. None chooses: to challenge if there are users, to drop if there is a network or
    trunk, else to be open.
    ``scanners``: requests whose User-Agent contains one of these texts are dropped, from whomever.
    ``stranger_requests_per_s``: how many datagrams of a stranger are answered at all; any number
    once a user has proved itself from there.
    ``ban_after`` failures (wrong credentials, a scanner's User-Agent, requests that were refused
    with 403) within ``ban_s`` have a source dropped for ``ban_s``; 0: never. Networks that are
    known are never banned. With IPv6 a source is a /64 in these two, an address elsewhere.

    Raises ValueError for a network that is none, and for rules that contradict each other.
    """

    allow: tuple[str, ...] = ()
    trunks: tuple[tuple[str, tuple[str, ...]], ...] = ()
    users: Lookup | None = field(default=None, repr=False)
    realm: str = "ringwheel"
    algorithms: tuple[Algorithm, ...] = (Algorithm.SHA_256, Algorithm.MD5)
    strangers: Strangers | None = None
    scanners: tuple[str, ...] = SCANNERS
    stranger_requests_per_s: float = 5.0
    ban_after: int = 10
    ban_s: float = 600.0

    def __post_init__(self) -> None:
        for text in (*self.allow, *(text for _, texts in self.trunks for text in texts)):
            ipaddress.ip_network(text)
        if self.strangers is not None and self.strangers not in get_args(Strangers):
            choices = ", ".join(get_args(Strangers))
            raise ValueError(f"strangers: {self.strangers!r} is not one of: {choices}")
        if (self.users is None) == (self.policy == "challenge"):
            raise ValueError("strangers are challenged where there are users, and only there")
        if not self.stranger_requests_per_s > 0 or not self.ban_s > 0 or self.ban_after < 0:
            raise ValueError("use more than 0 for stranger_requests_per_s and ban_s")

    @property
    def policy(self) -> Strangers:
        """What becomes of strangers."""
        if self.strangers is not None:
            return self.strangers
        if self.users is not None:
            return "challenge"
        return "drop" if self.allow or self.trunks else "open"


class Served(Protocol):
    """What the gate asks of the user agent behind it."""

    def has_call(self, tag: str) -> bool:
        """True if ``tag`` is our side's of a call that is not over."""

    def expects(self, branch: str, method: str) -> bool:
        """True if a request of ours waits for a response."""

    def knows(self, request: Request) -> bool:
        """True if a request belongs to a transaction that was let in."""

    def refuse(self, request: Request, status: int, flow: Flow, headers: HeaderLines = ()) -> None:
        """Answer without a transaction."""


class Gate:
    """The rules at work. Only its tables of sources have state, and each is bounded."""

    def __init__(
        self, rules: GateRules, timers: Timers, counters: Counters, served: Served
    ) -> None:
        self._timers = timers
        self._counters = counters
        self._served = served
        self._offences = Offences(timers)
        self._bans: dict[str, int] = {}
        self._failures: dict[str, tuple[int, int]] = {}
        self._proven: dict[str, int] = {}
        self.reload(rules)

    def reload(self, rules: GateRules) -> None:
        """Go by other rules from now on. Calls that run, bans and failures stay; whoever knows the
        peers of trunks says them again."""
        self.rules = rules
        self._peers: dict[str, tuple[str, ...]] = {}
        self._policy = rules.policy
        self._challenger = None
        if rules.users is not None:
            self._challenger = Challenger(
                rules.realm, rules.users, self._timers, algorithms=rules.algorithms
            )
        rate = rules.stranger_requests_per_s
        burst = max(10, round(2 * rate))
        self._rates = SourceRates(rate, burst, STRANGERS, self._timers)
        parts = "|".join(re.escape(text) for text in rules.scanners)
        self._scanner = re.compile(parts, re.IGNORECASE) if parts else None
        self._read_networks()

    def set_peers(self, trunk: str, hosts: Iterable[str]) -> None:
        """The addresses that a trunk's names lead to now: its calls may come from them."""
        known = tuple(hosts)
        if self._peers.get(trunk, ()) != known:
            self._peers[trunk] = known
            self._read_networks()

    def _read_networks(self) -> None:
        sources = [*self.rules.trunks, *self._peers.items(), ("", self.rules.allow)]
        self._networks = NetworkTable(
            (ipaddress.ip_network(text), name) for name, texts in sources for text in texts
        )
        # Judgements by address: the name of the trunk, "" without one; and who is known to be none.
        self._known: dict[str, str] = {}
        self._strangers: set[str] = set()

    def trunk_of(self, host: str) -> str | None:
        """The name of the trunk that an address belongs to."""
        return self._networks.find(host) or None

    # Before anything is read

    def admits(self, data: bytes, host: str) -> bool:
        """Is a datagram worth reading?"""
        return host in self._known or self._admits_unknown(data, host)

    def admits_connection(self, host: str) -> bool:
        """May this address open a connection? Only who could get an answer may."""
        if self._is_known(host) or (self._policy != "drop" and not self._is_banned(host)):
            return True
        self._drop(host)
        return False

    def _admits_unknown(self, data: bytes, host: str) -> bool:
        if self._is_known(host) or self._is_ours(data):
            return True
        if self._policy == "drop" or self._is_banned(host):
            self._drop(host)
            return False
        if self._is_proven(host) or self._rates.take(source_of(host)):
            return True
        self._counters.add(Count.STRANGERS_TOO_FAST)
        return False

    def _is_known(self, host: str) -> bool:
        """True for an address of the rules, and, if all may come, for any that is not banned."""
        if host in self._known:
            return True
        if host in self._strangers:
            return False
        name = self._networks.find(host)
        if name is None and self._policy == "open" and not self._is_banned(host):
            name = ""
        if name is not None:
            if len(self._known) >= KNOWN_HOSTS:
                self._known.clear()
            self._known[host] = name
            return True
        if self._policy != "open":  # there a ban has an end, and the stranger passes again
            if len(self._strangers) >= STRANGERS:
                self._strangers.clear()
            self._strangers.add(host)
        return False

    def _is_ours(self, data: bytes) -> bool:
        """True if a datagram names a call or a request of ours, by bits that nobody can guess."""
        if data.startswith(_STATUS_LINE):
            branch, method = _BRANCH.search(data, 0, LOOK_BYTES), _CSEQ.search(data, 0, LOOK_BYTES)
            if branch is None or method is None:
                return False
            return self._served.expects(branch[1].decode("latin-1"), method[1].decode())
        tag = _TO_TAG.search(data, 0, LOOK_BYTES)
        return tag is not None and self._served.has_call(tag[1].decode())

    def _drop(self, host: str) -> None:
        banned = self._is_banned(host)
        self._counters.add(Count.DROPPED_BANNED if banned else Count.DROPPED_STRANGERS)
        self._offences.note(host, Offence.BANNED if banned else Offence.STRANGER)

    # Before anything is kept

    def passes(self, request: Request, flow: Flow) -> bool:
        """True: the request gets service. False: it was dropped, or answered without a state."""
        host = flow.remote_host
        if self._is_known(host):
            return request.to_tag is not None or not self._is_scanner(request, host)
        if self._served.knows(request):
            return True
        tag = request.to_tag
        return (tag is not None and self._served.has_call(tag)) or self._serves(request, flow)

    def _serves(self, request: Request, flow: Flow) -> bool:
        """Judge a stranger's request that belongs to nothing."""
        host = flow.remote_host
        if self._policy == "drop" or self._is_banned(host):
            self._drop(host)
        elif self._is_scanner(request, host) or request.method == "ACK":
            return False  # no answer follows an ACK, which is to our refusal
        elif self._challenger is not None:
            return self._proves(self._challenger, request, flow)
        else:
            self._forbid(request, flow)
        return False

    def _is_scanner(self, request: Request, host: str) -> bool:
        agent = request.headers.get("User-Agent")
        if agent is None or self._scanner is None or not self._scanner.search(agent):
            return False
        self._counters.add(Count.DROPPED_SCANNERS)
        self._offences.note(host, Offence.SCANNER, agent)
        self._failed(host)
        return True

    def _forbid(self, request: Request, flow: Flow) -> None:
        self._counters.add(Count.REFUSED_STRANGERS)
        self._offences.note(flow.remote_host, Offence.STRANGER, request.method)
        self._failed(flow.remote_host)
        self._served.refuse(request, 403, flow)

    def _proves(self, challenger: Challenger, request: Request, flow: Flow) -> bool:
        verdict = challenger.check(request)
        if verdict.outcome is Outcome.GOOD:
            self._counters.add(Count.AUTHENTICATED)
            self._note_proof(flow.remote_host)
            return True
        if verdict.outcome in (Outcome.WRONG, Outcome.MALFORMED):
            self._counters.add(Count.REFUSED_CREDENTIALS)
            self._offences.note(flow.remote_host, Offence.WRONG_CREDENTIALS, verdict.user)
            self._failed(flow.remote_host)
        else:
            self._counters.add(Count.CHALLENGED)
        stale = verdict.outcome is Outcome.STALE
        self._served.refuse(request, 401, flow, challenger.challenge(stale=stale))
        return False

    def _note_proof(self, host: str) -> None:
        self._failures.pop(source_of(host), None)
        self._proven.pop(host, None)
        _make_room(self._proven)
        self._proven[host] = self._timers.now_ms + PROVEN_MS

    def _is_proven(self, host: str) -> bool:
        until_ms = self._proven.get(host)
        if until_ms is not None and self._timers.now_ms >= until_ms:
            del self._proven[host]
            return False
        return until_ms is not None

    # Bans

    def _failed(self, host: str) -> None:
        """One more failure of a source, which may be one too many."""
        if not self.rules.ban_after or self._networks.find(host) is not None:
            return
        now_ms, source = self._timers.now_ms, source_of(host)
        count, since_ms = self._failures.pop(source, (0, now_ms))
        if now_ms - since_ms >= 1_000 * self.rules.ban_s:
            count, since_ms = 0, now_ms
        if count + 1 >= self.rules.ban_after:
            self._ban(host)
            return
        _make_room(self._failures)
        self._failures[source] = (count + 1, since_ms)

    def _ban(self, host: str) -> None:
        _make_room(self._bans)
        self._bans[source_of(host)] = self._timers.now_ms + round(1_000 * self.rules.ban_s)
        self._known.clear()  # judgements of all addresses of this source: the others come again
        self._proven.pop(host, None)
        self._counters.add(Count.SOURCES_BANNED)
        self._offences.note(host, Offence.BANNED)

    def _is_banned(self, host: str) -> bool:
        if not self._bans:
            return False
        source = source_of(host)
        until_ms = self._bans.get(source)
        if until_ms is None:
            return False
        if self._timers.now_ms < until_ms:
            return True
        del self._bans[source]
        return False


def _make_room(table: dict[str, int] | dict[str, tuple[int, int]]) -> None:
    """Drop the oldest entry of a full table."""
    if len(table) >= BANS:
        del table[next(iter(table))]


def warn_if_open(rules: GateRules | None, hosts: Iterable[str]) -> None:
    """Say so where everybody in reach of an address that is not loopback gets service."""
    if rules is not None and rules.policy != "open":
        return
    reached = [host for host in hosts if not ipaddress.ip_address(host).is_loopback]
    if reached:
        log.warning(
            "open to everybody", listeners=reached, remedy="say who may call: allow, users, trunks"
        )
