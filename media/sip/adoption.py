"""Confirmed calls written down, and continued by another user agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..snapshot import SnapshotError, State, member, number, optional_number, text
from .dialog import SNAPSHOT_KEY, SNAPSHOT_TEXTS, Dialog, address_uri
from .edge import Flow
from .events import CallStateError
from .message import Headers, Request, SipParseError
from .session import CallState, SipCall
from .session_timer import SessionTimer
from .uri import SipUri
from .ways import UDP

if TYPE_CHECKING:
    from .ua import UserAgent

MAX_ROUTES = 32
MAX_CSEQ = 2**31 - 1
"""RFC 3261 8.1.1.5."""

CSEQ_GAP = 1_000
"""How many requests the other agent may have sent since the state was written down. Only the order
of sequence numbers counts (RFC 3261 12.2.2), so a gap harms nothing."""


class AdoptedCall(SipCall):
    """A call that came in to another user agent and is continued here, from CONFIRMED on."""

    __slots__ = ()

    def __init__(self, agent: UserAgent, dialog: Dialog, flow: Flow) -> None:
        invite = _invite_of(dialog, outgoing=self.outgoing)
        super().__init__(agent, dialog.local_tag, invite, flow, CallState.CONFIRMED)
        self.dialog: Dialog = dialog


class AdoptedOutgoingCall(AdoptedCall):
    """The same of a call that another user agent placed."""

    __slots__ = ()

    outgoing = True


def snapshot_of(call: SipCall) -> State:
    """A confirmed call as SIP sees it. CallStateError: it is not confirmed, or over."""
    if call.state is not CallState.CONFIRMED or call.dialog is None:
        raise CallStateError("only a call that is confirmed and not over can be written down")
    flow = call.flow
    host, port = _reached_at(flow)
    return {
        "dialog": call.dialog.snapshot(),
        "outgoing": call.outgoing,
        "session_timer": call.session_timer and call.session_timer.snapshot(),
        "peer": {
            "host": host,
            "port": port,
            "transport": flow.transport,
            "name": flow.name or flow.peer_name,
        },
    }


def _reached_at(flow: Flow) -> tuple[str, int]:
    """Where another engine connects to: our connection ends with us, and so does its port."""
    if flow.transport == UDP or flow.alias is None:
        return flow.remote_host, flow.remote_port
    return flow.remote_host, flow.alias[1]


def adopted_call(agent: UserAgent, state: Mapping[str, Any], flow: Flow) -> AdoptedCall:
    """The call of a `snapshot_of`, whose peer is reached by ``flow``. SnapshotError."""
    dialog = dialog_of(member(state, "dialog", dict))
    dialog.local_cseq += CSEQ_GAP
    kind = AdoptedOutgoingCall if member(state, "outgoing", bool) else AdoptedCall
    call = kind(agent, dialog, flow)
    if state.get("session_timer") is not None:
        call.session_timer = SessionTimer.of(call, member(state, "session_timer", dict))
    return call


def peer_of(state: Mapping[str, Any]) -> tuple[str, int, str, str]:
    """Host, port and transport by which the peer is reached, and the name in its certificate.

    SnapshotError.
    """
    peer = member(state, "peer", dict)
    name = text(peer, "name") if peer.get("name") else ""
    return text(peer, "host"), number(peer, "port", 65_535, 1), text(peer, "transport"), name


def dialog_of(state: Mapping[str, Any]) -> Dialog:
    """The dialog of a `Dialog.snapshot`. SnapshotError."""
    routes = member(state, "route_set", list)
    if len(routes) > MAX_ROUTES:
        raise SnapshotError(f"route_set: {len(routes)} routes, at most {MAX_ROUTES}")
    call_id, local_tag, remote_tag = (text(state, name) for name in SNAPSHOT_KEY)
    texts: dict[str, Any] = {name: text(state, name) for name in SNAPSHOT_TEXTS}
    dialog = Dialog(
        (call_id, local_tag, remote_tag),
        **texts,
        local_cseq=number(state, "local_cseq", MAX_CSEQ - CSEQ_GAP),
        remote_cseq=optional_number(state, "remote_cseq", MAX_CSEQ),
        route_set=tuple(text({"route_set": route}, "route_set") for route in routes),
    )
    try:
        for uri in (dialog.remote_target, *map(address_uri, dialog.route_set)):
            SipUri.parse(uri)
        address_uri(dialog.local)
        address_uri(dialog.remote)
    except SipParseError as error:
        raise SnapshotError(f"dialog: {error}") from error
    return dialog


def _invite_of(dialog: Dialog, *, outgoing: bool) -> Request:
    """As much of the INVITE that began the dialog as the dialog tells."""
    caller, callee = dialog.remote, dialog.local
    if outgoing:
        caller, callee = callee, caller
    return Request(
        Headers([("From", caller), ("To", callee), ("Call-ID", dialog.call_id)]),
        method="INVITE",
        uri=dialog.remote_target,
        call_id=dialog.call_id,
        cseq=0,
        cseq_method="INVITE",
    )
