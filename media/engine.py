"""The engine: listeners, media threads, prompts, and a task for each call."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, get_args

import structlog

from ._core import SRTP_AVAILABLE, Shard
from .adoption import adopt
from .call import Call, CallEnded
from .capacity import (
    RESERVED_FILES,
    SPEECH_SESSIONS,
    affordable_calls,
    check_capacity,
    spare_files,
)
from .codec import Codec, codecs_by_name
from .connection import Connection
from .dialling import (
    DialFailed,
    DialledCall,
    Dialler,
    EarlyFunction,
    RingingFunction,
    Wishes,
)
from .events import Hearing, Silence
from .figures import EngineFigures, sip_counters, unreadable
from .leg import Leg
from .order import DEFAULT_TIMEOUT_S, Way, extra_headers, hides, make_order
from .outcome import Outcome
from .pool import RealtimeRefused, RtpSockets, RtpSource, ShardPool, announced_host
from .ports import NoRtpPort, rtp_port_range
from .prompt import PromptLibrary
from .record import Record, RecordFile, RecordTaker
from .recording import Recorder
from .sdp import ApplicationLine, SrtpPolicy
from .session import MediaSession
from .sip.admission import Limits
from .sip.digest import Credentials
from .sip.edge import Flow, MessageObserver
from .sip.events import EndCause
from .sip.gate import GateRules, warn_if_open
from .sip.info import InfoDigit
from .sip.message import Response
from .sip.redirect import MAX_TARGETS
from .sip.session import SipCall
from .sip.session_timer import MIN_SE_S, checked_intervals
from .sip.tls import TlsConfig
from .sip.transport import GATHER_MS, Listener, ListenError, SipEndpoint, checked_gather_ms
from .sip.ua import UserAgent, UserAgentConfig
from .sound import StrPath
from .transfer import OnRefer, Transfers
from .trunk.directory import checked_servers, checked_trunks, rules_for, start_trunks
from .trunk.figures import TrunkFigures
from .trunk.trunk import Trunk

log = structlog.get_logger(__name__)

CallHandlerFunction = Callable[[Call], Awaitable[None]]
Voice = Literal["off", "low", "medium", "high"]
Srtp = Literal["off", "optional", "required"]
CodecOrder = Literal["caller", "own"]

GOODBYE_S = 1.0
"""How long a drain that is over waits for answers to its BYEs, and for ACKs that are still due."""

MIN_MEDIA_TIMEOUT_MS = 1_000

_OF_SERVERS = Hearing("", 0, speech=False, tones=False)
"""What is heard of servers of speech."""

HANDLER_GRACE_S = 1.0
"""How long handlers may go on when serving has ended."""


class Engine:
    """Answers SIP calls, and runs a handler for each; an asynchronous context manager.

    ``sip``: listeners, ``udp:HOST:PORT``, ``tcp:...`` or ``tls:...``, each perhaps with
    ``=HOST[:PORT]`` behind it, the address that peers reach it by. ``tls``: certificates, for
    listeners and for connections that we open. ``codecs``: names in order of preference.
    ``codec_order``: whose order decides where both sides have several, the ``"caller"``'s or our
    ``"own"``; ours does where the caller leaves the offer to us. ``rtp_ports``: first and last port
    for RTP; each call takes two. ``advertise``: the numeric address that peers reach us by, where
    it is not the one we listen on. ``max_calls``: calls beyond it are refused
    with 503; by default what the port range and the file limit allow. ``max_speech_sessions``:
    sessions that are dialled with control channels, as of MRCPv2; they are no calls to
    ``max_calls``, records and figures. Files are kept for so many; where nobody says there may be
    256, as files go. ``per_source_rate``: new requests a second that one address may send.
    ``rtp_sockets``: ``"per-leg"``, or ``"shared"``
    behind a trunk, where each call has a remote address of its own. ``rtp_source``: whose sound is
    taken and where ours goes: ``"sdp"``, the address in the caller's SDP and nobody else, or
    ``"latch"``, where a caller behind a NAT is heard from the address that it really sends from, if
    that one proves itself at the beginning. ``silence``: what to send while nothing plays: nothing
    (``"stop"``), packets of silence (``"send"``), or ``"comfort-noise"`` (RFC 3389), a packet of it
    now and then to callers who take it and nothing to others. ``voice``: how easily a caller is
    taken to speak; ``"off"`` saves the work where no prompt is to be ended by speech.
    ``media_timeout_ms``: hang up when nothing was heard for so long, holds apart; 0: never.
    ``srtp``: whether sound is encrypted (RFC
    4568): never, where the caller offers it, or always. ``records``: a file to which the record of
    each call is appended, as a line of JSON, or a function that is called with it. ``gate``: who
    gets service; None: the calls of ``trunks``, or everybody who can reach the listeners, where
    there are none. ``trunks``: the other sides that calls go by, named in the host of what is
    dialled. ``dns``: servers to ask for names, ``HOST`` or ``HOST:PORT``, instead of the system's.
    ``session_expires_s``: calls of ours ask for a session timer of so long (RFC 4028), and no
    longer one is agreed to; 0: we never ask. ``min_se_s``: the shortest that callers may ask for;
    the RFC has 90 as the least. ``sip_gather_ms``: how long SIP over UDP gathers while it keeps
    coming, 100 at most; 0: each datagram is read at once, which costs more CPU. ``realtime``: the
    media threads come before all that does not run in real time (sched(7), SCHED_RR), so that
    packets are on time beside any other load.

    Raises ListenError for a listener that cannot be opened, UnknownCodec, ValueError for figures
    that make no sense, OSError for a file of records that cannot be opened, RealtimeRefused.
    """

    agent_name = "ringwheel"

    def __init__(
        self,
        sip: Sequence[str] = ("udp:127.0.0.1:5060",),
        *,
        codecs: Sequence[str] = ("pcmu", "pcma"),
        codec_order: CodecOrder = "caller",
        rtp_ports: tuple[int, int] = (20000, 40000),
        advertise: str | None = None,
        tls: TlsConfig | None = None,
        shards: int = 1,
        max_calls: int | None = None,
        max_speech_sessions: int | None = None,
        per_source_rate: float | None = None,
        rtp_sockets: RtpSockets = "per-leg",
        rtp_source: RtpSource = "sdp",
        silence: Silence = "stop",
        voice: Voice = "medium",
        media_timeout_ms: int = 0,
        srtp: Srtp = "off",
        records: StrPath | RecordTaker | None = None,
        gate: GateRules | None = None,
        session_expires_s: int = 1_800,
        min_se_s: int = MIN_SE_S,
        sip_gather_ms: int = GATHER_MS,
        trunks: Sequence[Trunk] = (),
        dns: Sequence[str] = (),
        realtime: bool = False,
    ) -> None:
        first, last = rtp_ports
        if not 1024 <= first < last <= 65535 or not rtp_port_range(first, last):
            raise ValueError(
                f"RTP ports {first}-{last}: use a range within 1024-65535, from an even port up"
            )
        if shards < 1 or (max_calls is not None and max_calls < 1):
            raise ValueError("an engine needs at least one shard and one call")
        check_capacity(max_calls or 0, max_speech_sessions or 0)
        if not sip:
            raise ValueError("an engine needs at least one listener")
        if rtp_sockets == "shared" and len({Listener.parse(text).host for text in sip}) > 1:
            raise ValueError("shared RTP sockets need one address that all listeners have")
        _check_choice("rtp_source", rtp_source, RtpSource)
        _check_choice("codec_order", codec_order, CodecOrder)
        _check_choice("silence", silence, Silence)
        if rtp_sockets == "shared" and rtp_source == "latch":
            raise ValueError("calls on shared RTP sockets are told apart by the SDP's addresses")
        self._sip = tuple(sip)
        self._codecs = codecs_by_name(codecs)
        self._own_order = codec_order == "own"
        self._rtp_ports = rtp_ports
        self._sip_gather_ms = checked_gather_ms(sip_gather_ms)
        self._advertise = advertise
        self._tls = tls
        self._shards, self._realtime = shards, realtime
        self._rtp_sockets = rtp_sockets
        self._rtp_source = rtp_source
        self._silence = silence
        self._hearing = _hearing_of(voice, media_timeout_ms)
        self._records_to = records
        self._records: RecordTaker | None = records if callable(records) else None
        self._srtp = SrtpPolicy(srtp)
        if self._srtp is not SrtpPolicy.OFF and not SRTP_AVAILABLE:
            raise ValueError("srtp: built without libsrtp2; install libsrtp2-dev and build again")
        self._per_source_rate = per_source_rate
        self._gate_rules = gate
        self._intervals_s = checked_intervals(session_expires_s, min_se_s)
        self._trunks_wanted = checked_trunks(trunks)
        self._dns = checked_servers(dns)
        self.max_calls = max_calls or affordable_calls(rtp_ports, rtp_sockets)
        self._files_kept = self.max_calls + (max_speech_sessions or 0)
        self.max_speech_sessions = (
            SPEECH_SESSIONS if max_speech_sessions is None else max_speech_sessions
        )
        self.prompts = PromptLibrary()
        self.recorder = Recorder()
        self.transfers = Transfers(self)
        self._calls: dict[str, Call] = {}
        self._handler: CallHandlerFunction | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._announced: dict[tuple[int, str], str] = {}
        self._outcomes = dict.fromkeys(Outcome, 0)
        self.on_leg_over: Callable[[Connection], None] | None = None

    # Life

    async def __aenter__(self) -> Engine:
        if self._records_to is not None and not callable(self._records_to):
            self._records = RecordFile(self._records_to)
        try:
            self._start()
        except BaseException:
            self._close_records()
            raise
        return self

    def _close_records(self) -> None:
        if isinstance(self._records, RecordFile):
            self._records.close()

    def _start(self) -> None:
        self._endpoint = SipEndpoint(
            self._sip, self._advertise, self._tls, gather_ms=self._sip_gather_ms
        )
        try:
            self._pool = self._start_pool(self._endpoint.listeners[0].host)
        except BaseException:
            self._endpoint.close()
            raise
        self._bind_hosts = [listener.host for listener in self._endpoint.listeners]
        self._log = log.bind()  # once: binding costs more than a line that is not wanted
        # A line that nobody wants costs above all what would be in it.
        is_enabled_for = getattr(self._log, "is_enabled_for", None)
        self._tells_ends = is_enabled_for is None or is_enabled_for(logging.INFO)
        self._quiet: asyncio.Event | None = None
        self._stopped = asyncio.Event()
        self.keeps_records = self._records is not None
        self.timers = self._endpoint.timers
        self._agent = UserAgent(self._endpoint.send, self.timers, self._agent_config(), self)
        self._trunks = start_trunks(
            self._agent, self._endpoint, self._codecs, self.agent_name, self._dns
        )
        self.router = self._trunks.route
        self._agent.transfers = self.transfers
        self._endpoint.on_batch = self._pool.take_events
        self._endpoint.start(self._agent)
        self.reload(self._trunks_wanted)
        log.info("listening", sip=self.addresses, shards=self._shards, max_calls=self.max_calls)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        try:
            await self._close_sip()
        finally:
            await self._close_media()

    async def _close_sip(self) -> None:
        try:
            await self._trunks.unregister(GOODBYE_S)
        finally:  # a second Ctrl-C, most likely
            self._trunks.close()
            self._agent.shutdown()
            self._endpoint.close()
        await self._endpoint.wait_closed()

    async def _close_media(self) -> None:
        try:
            await self._pool.close()
        finally:  # behind the shards, which push to its recordings
            await self._close_files()

    async def _close_files(self) -> None:
        try:
            await self.recorder.close()
        finally:
            self._close_records()
            self.prompts.close()

    def _start_pool(self, bind_host: str) -> ShardPool:
        try:
            return ShardPool(
                shards=self._shards,
                max_legs=self.max_calls + self.max_speech_sessions + RESERVED_FILES,
                rtp_ports=self._rtp_ports,
                rtp_sockets=self._rtp_sockets,
                bind_host=bind_host,
                silence=self._silence,
                rtp_source=self._rtp_source,
                max_control_sockets=spare_files(self._files_kept) // self._shards,
                realtime=self._realtime,
            )
        except NoRtpPort as error:
            raise ListenError(str(error)) from error
        except PermissionError as error:
            if not self._realtime:
                raise
            raise RealtimeRefused from error

    def _agent_config(self) -> UserAgentConfig:
        limits = Limits(self.max_calls, self.max_speech_sessions, self._per_source_rate)
        session_expires_s, min_se_s = self._intervals_s
        return UserAgentConfig(
            self.addresses,
            self._endpoint.transports,
            limits=limits,
            session_expires_s=session_expires_s,
            min_se_s=min_se_s,
        )

    @property
    def addresses(self) -> tuple[str, ...]:
        """``host:port`` of each listener, as peers reach it."""
        return self._endpoint.addresses

    @property
    def listeners(self) -> tuple[str, ...]:
        """The same with their transports: ``udp:HOST:PORT``."""
        pairs = zip(self._endpoint.listeners, self.addresses, strict=True)
        return tuple(f"{listener.transport.lower()}:{address}" for listener, address in pairs)

    def take_record(self, record: Record) -> None:
        """A call is over, and its leg closed."""
        if self._records is not None:
            try:
                self._records(record)
            except Exception:
                log.exception("call record not taken", call=record["id"])

    def guard(self, rules: GateRules | None) -> None:
        """Serve only whom ``rules`` let in, from now on; calls that run go on. None: the calls of
        the trunks, or everybody, where there are none."""
        self._gate_rules = rules
        rules = rules or rules_for(self._trunks.configured)
        self._endpoint.gate = self._agent.guard(rules)
        self._trunks.tell_sources()
        warn_if_open(rules, [listener.host for listener in self._endpoint.listeners])

    def reload(self, trunks: Sequence[Trunk]) -> None:
        """Go by these trunks from now on; calls that run go on. ValueError: two of one name."""
        self._trunks.reload(trunks)
        self._by_trunks = bool(self._trunks)
        self.guard(self._gate_rules)

    @property
    def trunks(self) -> tuple[TrunkFigures, ...]:
        """The trunks as they are now: their peers, channels and counters."""
        return self._trunks.figures()

    def reload_tls(self) -> None:
        """Read the files of TLS again; connections from now on go by them. ListenError: one of them
        cannot be used; then everything stays as it was."""
        self._endpoint.reload_tls()

    # Serving

    async def load(self, *prompts: StrPath, as_list: bool = False, loop: bool = False) -> None:
        """Read and encode prompts before they are needed. Raises PromptError.

        ``as_list``: they will be played as one list, round and round with ``loop``; codecs whose
        packets are whole encode it as one.
        """
        for codec in self._codecs:
            for prompt in prompts:
                await self.prompts.load(prompt, codec)
            if as_list and codec.whole_packets:
                await self.prompts.arrange(prompts, codec, loop=loop)

    async def serve(self, handler: CallHandlerFunction, *, on_refer: OnRefer | None = None) -> None:
        """Run ``handler`` for each call, in a task of its own, until :meth:`drain` has ended.

        A call whose handler returns is hung up. A handler that raises costs its call, and no other.
        ``on_refer`` is run when a peer asks us to call somebody else (REFER), with the call and a
        :class:`Refer`; without it such wishes are refused.
        """
        async with asyncio.TaskGroup() as tasks:
            self._tasks, self._handler, self.transfers.policy = tasks, handler, on_refer
            try:
                await self._stopped.wait()
            finally:
                self._handler = self.transfers.policy = None
            await self._end_handlers()

    async def _end_handlers(self) -> None:
        """Cancel the handlers that do not come to their end though their calls have."""
        if not self._running:
            return
        _, late = await asyncio.wait(self._running, timeout=HANDLER_GRACE_S)
        if late:
            log.warning("call handlers cancelled", handlers=len(late))
        for task in late:
            task.cancel()

    async def adopt(
        self, snapshot: Mapping[str, Any], *, credentials: Credentials | None = None
    ) -> Call:
        """Go on with a call that another engine wrote down (`Call.snapshot`) and lost; returns
        when the peer has agreed to send its sound here, by a re-INVITE. ``credentials`` answer its
        challenges; those of the trunk that it belongs to, by default.

        SnapshotError: it cannot be read, or the call is here already. Refuse: no room, or draining.
        HoldRefused: the peer refuses, and is sent a BYE. CallEnded: it does not answer, or does
        not know the call any more.
        """
        return await adopt(self, self._agent, self._endpoint, snapshot, credentials)

    def keep(self, sip: SipCall) -> Call:
        """A call that is ours from now on, until it ends."""
        ours = sip.context = Call(self, sip)
        self._calls[sip.id] = ours
        if self._by_trunks:
            ours.trunk = self._trunks.keep(sip)
        return ours

    async def drain(self, timeout_s: float = 30.0) -> bool:
        """Refuse new calls, let the running ones and their handlers end, then stop serving.

        Calls still up after ``timeout_s`` are hung up, and get ``GOODBYE_S`` to end; handlers still
        at work then get a last second, and are cancelled. True if all came to their end by
        themselves.
        """
        self._agent.drain()
        log.info("draining", calls=len(self._calls), timeout_s=timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                await self._wait_quiet()
        except TimeoutError:
            log.warning("calls cut short", calls=len(self._calls), handlers=len(self._running))
            for call in list(self._calls.values()):
                call.abandon("the engine is shutting down")
            await self._cut_short()
            return False
        finally:
            self._stopped.set()
        return True

    async def _wait_quiet(self) -> None:
        """Wait until the last call and the last handler are over. No other comes in a drain."""
        if self._quiet is None:
            self._quiet = asyncio.Event()
        self._rest()
        await self._quiet.wait()

    async def _cut_short(self) -> None:
        """End the calls that hanging up alone does not end in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await self._wait_quiet()
        # RFC 3261 15.1.1 has a BYE wait for the ACK, which may be 32 s away or never come.
        self._agent.shutdown()

    # Dialling

    async def dial(
        self,
        uri: str,
        *,
        caller: str | None = None,
        display_name: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
        headers: Iterable[tuple[str, str]] = (),
        codecs: Sequence[str] | None = None,
        early: EarlyFunction | None = None,
        ringing: RingingFunction | None = None,
        redirects: int = MAX_TARGETS,
        credentials: Credentials | None = None,
        user_to_user: str | bytes | None = None,
        asserted_identity: str | None = None,
        privacy: str | None = None,
        diversion: str | None = None,
        beside: Call | None = None,
        applications: Sequence[ApplicationLine] = (),
        trunk: str | None = None,
    ) -> DialledCall:
        """Place a call to ``uri``; returns when it was answered. Cancelling it gives the call up.

        ``caller``: who calls, a SIP URI, or a number or name at our address; without it we are
        ``ringwheel``, or anonymous where ``privacy`` (RFC 3323: ``"id"``, ``"id;user"``) is asked
        for. ``headers`` go out as they are, ``user_to_user`` as data of RFC 7433,
        ``asserted_identity`` and ``diversion`` as a SIP URI. ``codecs``: names, instead of the
        engine's. ``early`` is called with the call as soon as there is sound before the answer: it
        may listen and record, what it plays is heard from the answer on, and it is cancelled then.
        ``ringing`` is called with it for each provisional response.
        ``redirects``: how many targets of 3xx answers to try, 0: none. ``credentials`` answer
        challenges (401, 407).
        ``beside``: on the media thread of that call, so that sound can go from one to the other.
        ``applications``: lines to offer beside the sound, as for the control channels of MRCPv2
        (RFC 6787 4.2); the call's :attr:`~Call.application_lines` are the answer to them. What such
        a server says is taken for neither speech nor digits, and its silence for no lost call.

        ``trunk``: a URI of that one's domain, or of one of its peers, goes by it and as it stands.

        Raises DialFailed when nobody answers within ``timeout_s`` (180 at most), ValueError for
        what cannot be dialled, UnknownCodec.
        """
        order = make_order(
            uri,
            caller=caller,
            user=self.agent_name,
            display_name=display_name,
            codecs=self._codecs if codecs is None else codecs_by_name(codecs),
            srtp=self._srtp,
            headers=extra_headers(
                headers,
                user_to_user=user_to_user,
                asserted_identity=asserted_identity,
                privacy=privacy,
                diversion=diversion,
            ),
            timeout_s=timeout_s,
            redirects=redirects,
            credentials=credentials,
            private=privacy is not None and hides(privacy),
            trunk=trunk,
        )
        wishes = Wishes(early, ringing, beside, tuple(applications))
        try:
            call = await Dialler(self, order, wishes).dial()
        except DialFailed as error:
            self._count(error.outcome, wishes)
            raise
        except asyncio.CancelledError:
            self._count(Outcome.CANCELLED, wishes)
            raise
        self._count(Outcome.ANSWERED, wishes)
        return call

    def _count(self, outcome: Outcome, wishes: Wishes) -> None:
        if not wishes.applications:
            self._outcomes[outcome] += 1

    def public_uri(self, uri: str) -> str:
        """A URI as others know it, who do not know the names of our trunks. ValueError."""
        return self._trunks.public_uri(uri)

    def trunk_named(self, uri: str) -> str | None:
        """The name of the trunk that a URI to be dialled leads to."""
        return self._trunks.named(uri)

    def place(self, way: Way, wishes: Wishes) -> DialledCall:
        """Send the INVITE of one attempt. Raises NoRtpPort, Refuse, ValueError."""
        order, flow = way.order, way.flow
        leg = None if wishes.beside is None else wishes.beside.connected()[0]
        media = self.media_on(
            flow, order.codecs, order.srtp, leg, controlled=bool(wishes.applications)
        )
        try:
            sip = self._agent.dial(
                order.uri,
                media.offer(applications=wishes.applications),
                flow,
                from_uri=order.from_uri(self._agent.config.addresses[flow.listener]),
                display_name=order.display_name,
                headers=order.headers,
                credentials=order.credentials,
                on_redirect=_on_redirect if order.redirects else None,
                speech=bool(wishes.applications),
            )
        except BaseException:
            media.close()
            raise
        call = DialledCall(self, sip, media, way, wishes)
        sip.context = self._calls[sip.id] = call
        if way.on_placed is not None:
            way.on_placed(call)
        return call

    def snapshot(self) -> EngineFigures:
        """Live figures."""
        return EngineFigures(
            calls_up=len(self.calls),
            calls_limit=self.max_calls,
            draining=self._agent.admission.draining,
            sip=sip_counters(self._agent, self._endpoint),
            media=self._pool.counters(),
            recorder=self.recorder.figures(),
            lateness_us=self._pool.lateness_us(),
            prompts_bytes=self.prompts.held_bytes,
            calls_by_state=self._agent.calls_by_state(),
            places_taken=self._pool.places_taken,
            transactions=len(self._agent.transactions),
            dialogs=self._agent.dialogs,
            timers=len(self._endpoint.timers),
            unreadable=unreadable(self._agent),
            outcomes={outcome.value: count for outcome, count in self._outcomes.items()},
            speech_sessions=self._agent.admission.speech_sessions,
            speech_sessions_limit=self.max_speech_sessions,
        )

    @property
    def bound_addresses(self) -> tuple[str, ...]:
        """``host:port`` of each listener on this machine, which is what captures show."""
        return self._endpoint.bound_addresses

    @property
    def draining(self) -> bool:
        """True once new calls are refused, for good."""
        return self._agent.admission.draining

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls that are not over; sessions with speech servers are none."""
        return tuple(call for call in self._calls.values() if not call.speech)

    @property
    def shards(self) -> tuple[Shard, ...]:
        """The media threads, for who looks after them."""
        return tuple(table.shard for table in self._pool.tables)

    def watch(
        self, messages: MessageObserver | None, calls: Callable[[Connection], None] | None
    ) -> None:
        """Have every SIP message shown to ``messages``, and every call to ``calls`` when its leg is
        closed; None ends that. Both are quick, and never raise."""
        self._endpoint.observer = messages
        self.on_leg_over = calls

    def media_on(
        self,
        flow: Flow,
        codecs: tuple[Codec, ...] = (),
        srtp: SrtpPolicy | None = None,
        beside: Leg | None = None,
        *,
        controlled: bool = False,
    ) -> MediaSession:
        """A media session for the peer at the other end of a flow. NoRtpPort.

        ``codecs`` and ``srtp`` instead of the engine's; ``beside``: on the shard of that leg.
        ``controlled``: the peer may be silent for any time, such as a recognizer; that it lives is
        known by its control channel. What it says is for others, and is not listened to.
        """
        hearing = _OF_SERVERS if controlled else self._hearing
        bind_host = self._bind_hosts[flow.listener]
        key = flow.listener, flow.remote_host
        host = self._announced.get(key)
        if host is None:
            if len(self._announced) > 1_000:
                self._announced.clear()
            advertised = self._endpoint.media_host(flow.listener)
            host = advertised or announced_host(bind_host, flow.remote_host)
            self._announced[key] = host
        return MediaSession(
            self._pool,
            codecs or self._codecs,
            bind_host,
            host,
            beside=beside,
            hearing=hearing,
            srtp=self._srtp if srtp is None else srtp,
            own_order=self._own_order,
            comfort_noise=self._silence == "comfort-noise",
        )

    def media_for(self, flow: Flow, trunk: str | None) -> MediaSession:
        """That of a call that came in, by the terms of its trunk if it came by one. NoRtpPort."""
        return (
            self.media_on(flow, *self._trunks.media_terms(trunk)) if trunk else self.media_on(flow)
        )

    async def _run(self, handler: CallHandlerFunction, call: Call) -> None:
        """The task of one call: its handler, and the end of the call whatever came of that."""
        try:
            try:
                await handler(call)
            except CallEnded:
                pass
            except Exception:
                log.exception("call handler failed", call=call.id)
            if call.ended is None:
                await call.hangup()
        finally:
            if call.ended is None:  # for a cancellation, of this task or out of the handler
                call.abandon()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it as handlers are run, while the engine serves; :meth:`drain` waits for it."""
        assert self._tasks is not None
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._on_run)

    def moved(self, ours: Call, left: SipCall, sip: SipCall) -> None:
        """A call goes on with another peer."""
        self._calls.pop(left.id, None)
        self._calls[sip.id] = ours
        left.context, sip.context = None, ours
        if self._by_trunks:
            ours.trunk = self._trunks.keep(sip)

    def _on_run(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._quiet is not None:
            self._rest()

    def _rest(self) -> None:
        """The last call or handler may be over: a drain waits for that."""
        if self._quiet is not None and not self._running and not self._calls:
            self._quiet.set()

    # What the SIP layers tell

    def on_invite(self, call: SipCall) -> None:
        """A call came in."""
        if self._handler is None or self._tasks is None:
            call.reject(503, headers=[("Retry-After", "1")])
            return
        if not self._by_trunks or self._trunks.receive(call):
            self.run(self._run(self._handler, self.keep(call)))

    def on_ack(self, call: SipCall, sdp: bytes | None) -> None:
        """Our answer is confirmed."""
        ours = call.context
        assert isinstance(ours, Call)
        ours.on_ack(sdp)

    def on_offer(self, call: SipCall, sdp: bytes | None) -> bytes:
        """A re-INVITE or UPDATE, or the session is to be refreshed."""
        return _call_of(call).on_offer(sdp)

    def on_answer(self, call: SipCall, sdp: bytes) -> None:
        """What we have offered before the answer, or to refresh the session, is answered."""
        _call_of(call).on_answer(sdp)

    def on_ended(self, call: SipCall, cause: EndCause) -> None:
        """A call is over."""
        ours = self._calls.pop(call.id, None)
        call.context = None  # the two know each other: else only the collector could free them
        if ours is None or ours.trunk is not None:
            self._trunks.ended(call)
        if ours is None:
            return
        ours.on_ended(cause)
        if self._quiet is not None:
            self._rest()
        if self._tells_ends:
            self._log.info(
                "speech session ended" if call.speech else "call ended",
                call=ours.id,
                call_id=call.call_id,
                by=cause.by.value,
                status=cause.status,
                packets_sent=ours.packets_sent,
            )

    def on_ringing(self, call: SipCall, response: Response) -> None:
        """A call of ours rings."""
        ours = call.context
        assert isinstance(ours, DialledCall)
        ours.on_ringing(response)

    def on_answered(self, call: SipCall, sdp: bytes | None) -> None:
        """A call of ours was answered."""
        ours = call.context
        assert isinstance(ours, DialledCall)
        ours.on_answered(sdp)

    def on_info_digit(self, call: SipCall, digit: InfoDigit) -> None:
        """A key was pressed."""
        _call_of(call).take_digit(digit.symbol)

    def on_reinvited(self, call: SipCall, status: int, sdp: bytes | None) -> None:
        """A re-INVITE of ours was answered."""
        _call_of(call).on_reinvited(status, sdp)


def _hearing_of(voice: Voice, media_timeout_ms: int) -> Hearing:
    _check_choice("voice", voice, Voice)
    if media_timeout_ms < 0 or 0 < media_timeout_ms < MIN_MEDIA_TIMEOUT_MS:
        raise ValueError(f"media_timeout_ms: use 0 or {MIN_MEDIA_TIMEOUT_MS} up")
    heard = Hearing("", 0, speech=voice != "off", media_timeout_ms=media_timeout_ms)
    return heard if voice == "off" else heard._replace(sensitivity=voice)


def _check_choice(name: str, value: str, choices: object) -> None:
    if value not in get_args(choices):
        raise ValueError(f"{name}: {value!r}; use one of {', '.join(get_args(choices))}")


def _call_of(call: SipCall) -> Call:
    assert isinstance(call.context, Call)
    return call.context


def _on_redirect(call: SipCall, target: str) -> None:
    assert isinstance(call.context, DialledCall)
    call.context.on_redirect(target)
