"""Going on with calls that another engine has lost."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import structlog

from .call import SNAPSHOT_VERSION, Call
from .sip.adoption import peer_of
from .sip.digest import Credentials
from .sip.edge import Flow
from .sip.listener import TRANSPORTS
from .sip.transport import ListenError, SipEndpoint
from .sip.ua import UserAgent
from .snapshot import SnapshotError, State, member, number

if TYPE_CHECKING:
    from .engine import Engine

log = structlog.get_logger(__name__)

IN_VAIN = (("Reason", 'SIP;cause=503;text="cannot be taken over"'),)


async def adopt(
    engine: Engine,
    agent: UserAgent,
    endpoint: SipEndpoint,
    snapshot: Mapping[str, Any],
    credentials: Credentials | None,
) -> Call:
    """See `Engine.adopt`."""
    number(snapshot, "version", SNAPSHOT_VERSION, SNAPSHOT_VERSION)
    state, stood = member(snapshot, "sip", dict), member(snapshot, "media", dict)
    flow = flow_to(endpoint, state)
    media = engine.media_on(flow)
    try:
        media.resume(stood)
        sip = agent.adopt(state, flow, credentials)
    except BaseException:
        media.close()
        raise
    call = engine.keep(sip)
    try:
        await call.adopted(media)
    except BaseException:
        sip.hangup(IN_VAIN)
        raise
    log.info("call adopted", call=call.id, call_id=call.call_id)
    return call


def flow_to(endpoint: SipEndpoint, state: State) -> Flow:
    """The way to the call's peer, by our first listener that leads there. SnapshotError."""
    host, port, transport, name = peer_of(state)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise SnapshotError(f"host: {host} is no numeric address") from None
    try:
        if transport in TRANSPORTS:
            return endpoint.flow(host, port, transport=transport, name=name)
    except ListenError:
        pass
    raise SnapshotError(f"host: no listener of this engine leads to {host} by {transport}")
