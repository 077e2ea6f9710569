"""Transfers: the other side of a call is told to call somebody else, or tells us to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, get_args

import structlog

from .call import Call, CallEnded
from .dialling import DialFailed, DialledCall
from .sdp import SdpError
from .sip.events import CallStateError
from .sip.fields import has_token
from .sip.message import SipParseError
from .sip.refer import Progress, ReferEnd, ReferOutcome, Referral, Refers
from .sip.replaces import ReferTo, Replaces
from .sip.session import SipCall

if TYPE_CHECKING:
    from .engine import Engine

log = structlog.get_logger(__name__)

Means = Literal["auto", "refer", "bridge"]
OnProgress = Callable[[Progress], None]

MAX_TIMEOUT_S = 180.0

LEAVE_S = 2.0
"""How long who has referred us may take to hear that we are connected, before we hang up."""

MAX_HOPS = 8
"""How often a call that a transfer has led to may be transferred on: two peers that refer us to
each other must not have us calling for ever."""

_UNABLE = frozenset({405, 420, 489, 501})
"""What a peer answers that knows no REFER, or not what it needs."""


@dataclass(frozen=True, slots=True)
class Transferred:
    """How a transfer ended.

    ``status`` and ``reason`` are what the third party answered, as SIP has it, or the peer itself
    where it refuses. ``how``: the peer has called (``refer``), or we have (``bridge``). ``told`` is
    False where the peer has agreed, and did not say how its call ended.
    """

    status: int
    reason: str
    how: Literal["refer", "bridge"]
    told: bool = True

    @property
    def ok(self) -> bool:
        """True if the two are, or were, connected, as far as we know."""
        return 200 <= self.status < 300


class Refer:
    """The other side of ``call`` asks us to call ``target``: :meth:`follow` or :meth:`reject` it.

    ``attended``: it has talked with the target, and our call takes the place of its own.
    ``referred_by`` is who asks, as the Referred-By header has it (RFC 3892), or None. A transfer
    that is neither followed nor rejected within 10 s is refused.
    """

    __slots__ = ("_referral", "_transfers", "call", "followed", "referred_by", "target")

    def __init__(self, transfers: Transfers, call: Call, referral: Referral) -> None:
        self._transfers = transfers
        self._referral = referral
        self.call = call
        self.target = referral.target
        self.referred_by = referral.referred_by
        self.followed: Call | None = None

    def __repr__(self) -> str:
        return f"<Refer of {self.call.id} to {self.target}>"

    @property
    def attended(self) -> bool:
        """True if our call takes the place of one that the other side has."""
        return self._referral.replaces is not None

    def reject(self, status: int = 603) -> None:
        """Refuse with a SIP status of 300 to 699; the call goes on."""
        self._referral.reject(status)

    async def follow(
        self, *, timeout_s: float = 60.0, caller: str | None = None, leave: bool = True
    ) -> Call:
        """Call the target, and tell the other side how that goes; returns the answered call.

        The call with the other side is ended with that, unless ``leave`` is False: then it may be
        bridged with the new one. The new one is ended when the function that was called with this
        referral returns. ``caller`` as for :meth:`Engine.dial`. Raises DialFailed (the call with
        the other side goes on), RuntimeError if it was decided before.
        """
        referral = self._referral
        if not referral.accept():
            raise RuntimeError("the transfer was followed or refused before, or came too late")
        outcome = Progress(487, "Request Terminated")
        try:
            self.followed = await self._transfers.engine.dial(
                self.target,
                caller=caller,
                timeout_s=timeout_s,
                headers=self._headers(),
                # Without ourselves, who hold the call that holds this.
                ringing=lambda other: referral.tell(Progress(*other.progress)),
                beside=None if leave else self.call,
                trunk=self.call.trunk,
            )
            self._transfers.note_hop(self.call, self.followed)
            outcome = Progress(200, "OK")
        except DialFailed as error:
            outcome = Progress(error.status, error.reason)
            raise
        except (ValueError, CallEnded):
            outcome = Progress(500, "Server Internal Error")
            raise
        finally:
            referral.tell(outcome, self.call.abandon if leave and self.followed else None)
        if leave:  # also if nobody answers what we tell, which the new side must not wait for
            asyncio.get_running_loop().call_later(LEAVE_S, self.call.abandon)
        return self.followed

    def _headers(self) -> list[tuple[str, str]]:
        lines = []
        if self._referral.replaces is not None:
            lines.append(("Replaces", str(self._referral.replaces)))
        if self.referred_by is not None:
            lines.append(("Referred-By", self.referred_by))
        return lines


OnRefer = Callable[[Call, Refer], Awaitable[None]]
"""What decides on transfers that others ask for, and talks with whom they lead to."""


class Transfers:
    """The transfers of one engine, whoever asks for them. Without ``policy`` nobody else does."""

    __slots__ = ("_hops", "engine", "policy")

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._hops: dict[str, int] = {}
        self.policy: OnRefer | None = None

    # What the SIP layers tell

    def on_refer(self, call: SipCall, referral: Referral) -> None:
        """A peer asks us to call somebody."""
        ours, policy = call.context, self.policy
        if policy is None or not isinstance(ours, Call):
            referral.reject()
            return
        log.info("transfer asked for", call=ours.id, target=referral.target)
        if self._hops.get(ours.id, 0) >= MAX_HOPS:
            log.warning("transfer refused", call=ours.id, cause=f"transferred {MAX_HOPS} times")
            referral.reject(483)
        else:
            self.engine.run(self._decide(policy, Refer(self, ours, referral)))

    def on_replaces(self, call: SipCall, replaced: SipCall) -> None:
        """A call came in that takes the place of another: ours goes on with it (RFC 3891)."""
        ours = replaced.context
        if not isinstance(ours, Call):
            call.reject(481)
            return
        try:
            ours.move_to(call)
        except SdpError as error:
            log.warning("replacing call refused", call=ours.id, cause=str(error))
            call.reject(error.status)
            return
        log.info("call replaced", call=ours.id, call_id=call.call_id, was=replaced.call_id)
        self.engine.moved(ours, replaced, call)
        replaced.hangup()

    def note_hop(self, call: Call, followed: Call) -> None:
        """A transfer of ``call`` has led to ``followed``."""
        self._hops[followed.id] = self._hops.get(call.id, 0) + 1

    async def _decide(self, policy: OnRefer, refer: Refer) -> None:
        """The task of one transfer that a peer asks for, and of the call that it leads to."""
        try:
            await _ask(policy, refer)
            refer.reject()  # where nobody has decided
            if refer.followed is not None:
                await refer.followed.hangup()
        finally:
            if refer.followed is not None:
                refer.followed.abandon()
                del self._hops[refer.followed.id]

    # What calls ask

    async def transfer(
        self,
        call: Call,
        target: str | Call,
        *,
        how: Means,
        timeout_s: float,
        caller: str | None,
        on_progress: OnProgress | None,
    ) -> Transferred:
        """What :meth:`Call.transfer` does."""
        if how not in get_args(Means):
            raise ValueError(f"how: {how!r}; use one of {', '.join(get_args(Means))}")
        if not 0 < timeout_s <= MAX_TIMEOUT_S:
            raise ValueError(f"timeout_s: {timeout_s:g}; use more than 0, up to {MAX_TIMEOUT_S:g}")
        call.connected()
        refer_to = self._refer_to(call, target)
        tell = on_progress or _nothing
        if how == "refer" or (how == "auto" and _takes_refer(call.sip)):
            outcome = await _refer(call, refer_to, timeout_s, tell)
            unable = outcome.end is ReferEnd.REFUSED and outcome.status in _UNABLE
            if how == "refer" or not unable:
                return await _referred(call, target, outcome)
        return await self._bridge(call, target, timeout_s, caller, tell)

    def _refer_to(self, call: Call, target: str | Call) -> ReferTo:
        """What a REFER names. ValueError: it cannot be called."""
        if isinstance(target, Call):
            if target is call:
                raise ValueError("a call cannot be transferred to itself")
            target.connected()
            dialog = target.sip.dialog
            assert dialog is not None  # since there is sound
            return ReferTo(dialog.remote_target, Replaces.of(dialog))
        try:
            return ReferTo(self.engine.public_uri(target))
        except SipParseError:
            raise ValueError(f"{target!r} is no SIP URI; write it as sip:USER@HOST") from None

    async def _bridge(
        self,
        call: Call,
        target: str | Call,
        timeout_s: float,
        caller: str | None,
        tell: OnProgress,
    ) -> Transferred:
        call.check_unbridged()  # before anybody's telephone rings
        if isinstance(target, Call):
            other = target
        else:
            try:
                other = await self._dial(call, target, timeout_s, caller, tell)
            except DialFailed as error:
                return Transferred(error.status, error.reason, "bridge")
        tell(Progress(200, "OK"))
        try:
            await call.bridge(other)
            await asyncio.gather(call.hangup(), other.hangup())
        finally:
            if other is not target:
                other.abandon()
        return Transferred(200, "OK", "bridge")

    async def _dial(
        self, call: Call, uri: str, timeout_s: float, caller: str | None, tell: OnProgress
    ) -> Call:
        """The third party's call. CallEnded: nobody waits for it any more."""
        dialling = asyncio.ensure_future(
            self.engine.dial(
                uri,
                caller=caller,
                timeout_s=timeout_s,
                ringing=lambda other: tell(Progress(*other.progress)),
                beside=call,
            )
        )
        ending = asyncio.ensure_future(call.wait_ended())
        try:
            await asyncio.wait([dialling, ending], return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                raise CallEnded(ending.result())
            return dialling.result()
        except BaseException:
            dialling.cancel()
            dialling.add_done_callback(_drop)
            raise
        finally:
            ending.cancel()


async def _ask(policy: OnRefer, refer: Refer) -> None:
    try:
        await policy(refer.call, refer)
    except CallEnded:
        pass
    except DialFailed as error:
        log.info("transfer led nowhere", call=refer.call.id, cause=str(error))
    except Exception:
        log.exception("transfer handler failed", call=refer.call.id)


def _drop(dialling: asyncio.Future[DialledCall]) -> None:
    """Nobody wants what was dialled any more."""
    if not dialling.cancelled() and dialling.exception() is None:
        dialling.result().abandon()


def _nothing(_: Progress) -> None:
    """Nobody wants to know."""


def _takes_refer(sip: SipCall) -> bool:
    """False if the peer's INVITE lists what it takes, and REFER is not among it (RFC 3261 20.5)."""
    listed = [] if sip.outgoing else sip.invite.headers.all("Allow")
    return not listed or has_token(listed, "REFER")


async def _refer(
    call: Call, refer_to: ReferTo, timeout_s: float, on_progress: OnProgress
) -> ReferOutcome:
    done: asyncio.Future[ReferOutcome] = asyncio.get_running_loop().create_future()
    refers = Refers.of(call.sip)
    try:
        refers.ask(
            refer_to,
            timeout_ms=int(1_000 * timeout_s),
            on_progress=on_progress,
            on_outcome=partial(_settle, done),
        )
    except CallStateError as error:
        raise RuntimeError(str(error)) from None
    try:
        return await done
    except asyncio.CancelledError:
        refers.forget()
        raise


def _settle(done: asyncio.Future[ReferOutcome], outcome: ReferOutcome) -> None:
    if not done.done():  # cancelled by whoever waited
        done.set_result(outcome)


async def _referred(call: Call, target: str | Call, outcome: ReferOutcome) -> Transferred:
    """Leave the two alone, if they are connected. CallEnded: the call is over, for nothing."""
    told = outcome.end is not ReferEnd.UNTOLD
    done = Transferred(outcome.status, outcome.reason, "refer", told)
    if done.ok:
        if isinstance(target, Call):
            target.abandon()
        await call.hangup()
    elif outcome.end is ReferEnd.LOST and call.ended is not None:
        raise CallEnded(call.ended)
    return done
