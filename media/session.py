"""The media of one call: offer and answer on one side, its leg on the other."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ._core import SRTP_AVAILABLE, SrtpKeys
from .codec import Codec
from .events import Hearing, LegMedia
from .leg import Leg
from .packets import silence_packet
from .pool import Place, ShardPool
from .sdp import (
    ApplicationLine,
    Direction,
    LocalMedia,
    NegotiatedMedia,
    NotAcceptable,
    SdpReason,
    SrtpPolicy,
    SrtpTerms,
    agreement_of,
    agreement_state,
    answer_to,
    make_offer,
    offer_again,
    parse_sdp,
    settle_answer,
    settled,
)
from .snapshot import SnapshotError, State, member, number, text

_SENDING = (Direction.SENDRECV, Direction.SENDONLY)
_RECEIVING = (Direction.SENDRECV, Direction.RECVONLY)
_NOWHERE = ("0.0.0.0", "::")
"""The hold of RFC 2543."""
COMFORT_NOISE_PAYLOAD_TYPE = 13
"""The static one (RFC 3389 section 4), which some senders use without asking."""


SRTP_SECRET_BYTES = 32
"""What a call's keys are made of."""

MAX_SDP_LINES = 1_000

VERSION_GAP = 1_000
"""How often the session may have been described since it was written down: a version that is used
twice would tell the peer that nothing has changed (RFC 3264 section 8)."""


class MediaSession:
    """Takes a place in ``pool`` when it is made, and a leg once both sides have agreed.

    ``bind_host`` is where the RTP socket is bound, ``host`` the address that SDP announces. The
    codec of the first agreement stays for the whole call, and so does whether it is encrypted.
    ``own_order``: the order of ``codecs`` decides on an offer, not that of the offer.
    ``comfort_noise``: it is offered, and agreed on where the peer offers it. ``direction`` is our
    part in the agreement: what we are ready for, whatever the peer is. Raises NoRtpPort.
    """

    __slots__ = (
        "_agreed_body",
        "_applications",
        "_codecs",
        "_comfort_noise",
        "_early",
        "_hearing",
        "_host",
        "_keys",
        "_last_body",
        "_negotiated",
        "_offered",
        "_offered_applications",
        "_own_order",
        "_place",
        "_pool",
        "_port",
        "_session_id",
        "_spare",
        "_srtp",
        "_srtp_secret",
        "direction",
        "leg",
    )

    def __init__(
        self,
        pool: ShardPool,
        codecs: tuple[Codec, ...],
        bind_host: str,
        host: str,
        *,
        beside: Leg | None = None,
        hearing: Hearing | None = None,
        srtp: SrtpPolicy = SrtpPolicy.OFF,
        own_order: bool = False,
        comfort_noise: bool = False,
    ) -> None:
        self._own_order = own_order
        self._comfort_noise = comfort_noise
        self._hearing = hearing
        self._srtp = srtp
        self._srtp_secret = b"" if srtp is SrtpPolicy.OFF else os.urandom(SRTP_SECRET_BYTES)
        self._keys: SrtpKeys | None = None
        self._pool = pool
        self._place: Place | None = pool.reserve(bind_host, beside)
        self._port = self._place.port
        self._host = host
        self._codecs = codecs
        self._session_id = random.getrandbits(62)
        self._last_body = b""
        self._agreed_body = b""
        self._negotiated: NegotiatedMedia | None = None
        self._early = False
        self._spare: Place | None = None
        self._applications: tuple[ApplicationLine, ...] = ()
        self._offered_applications: tuple[ApplicationLine, ...] = ()
        self.direction = self._offered = Direction.SENDRECV
        self.leg: Leg | None = None

    @property
    def codec(self) -> Codec | None:
        """The codec agreed on; None before."""
        return self._negotiated.codec if self._negotiated else None

    @property
    def port(self) -> int:
        """The local RTP port."""
        return self._port

    @property
    def negotiated(self) -> NegotiatedMedia | None:
        """The last agreement; None before the first."""
        return self._negotiated

    @property
    def held(self) -> bool:
        """True while the peer takes no sound."""
        return self._negotiated is not None and self._negotiated.held

    @property
    def ptime_ms(self) -> int:
        """The length of the packets that are sent; 20 before the agreement."""
        media = self._negotiated
        return _of_codec(media.codec, media.ptime_ms).ptime_ms if media else 20

    @property
    def sends_events(self) -> bool:
        """True if digits are sent as telephone events (RFC 4733)."""
        media = self._negotiated
        return media is not None and media.telephone_event_payload_type is not None

    def answer(self, offer: bytes, applications: Sequence[ApplicationLine] | None = None) -> bytes:
        """Our answer to the peer's offer. Raises SdpError (its ``status`` fits the response).

        ``applications`` answer its application lines, in their order; None: as they stand.
        """
        lines = self._applications if applications is None else tuple(applications)
        answer = answer_to(offer, self._local(lines))
        media = answer.media
        if media is None:
            if self._negotiated is None:
                raise NotAcceptable(SdpReason.NO_AUDIO, "every stream is off")
            # RFC 3264 section 8.2: a stream that is turned off gets nothing, until it is on again.
            media = self._negotiated._replace(direction=Direction.INACTIVE, held=True)
        else:
            self._agreed_body = answer.body
        self._last_body = answer.body
        self._applications = answer.applications
        self._agree(media)
        return answer.body

    def meet(self, offer: bytes | None) -> bytes:
        """Our answer to another peer, that takes the place of ours, or our offer where it has made
        none. Raises SdpError, as :meth:`answer`."""
        if self._srtp_secret:  # which the one who leaves knows
            self._srtp_secret = os.urandom(SRTP_SECRET_BYTES)
        self._applications = ()
        return self.offer() if offer is None else self.answer(offer)

    def offer(
        self,
        direction: Direction | None = None,
        applications: Sequence[ApplicationLine] | None = None,
    ) -> bytes:
        """Our offer, for an INVITE that came without one (RFC 3261 section 13.2.1), or to change
        our ``direction``. What stands is offered again as it is: peers may not expect more.

        ``applications``: our application lines, those that stand first; None: those that stand.
        """
        self._offered = direction or self.direction
        lines = self._applications if applications is None else tuple(applications)
        self._offered_applications = lines
        local = self._local(lines, self._offered)
        if self._negotiated is None:
            self._last_body = make_offer(local)
        else:
            self._last_body = offer_again(self._agreed_body, self._negotiated, local)
        return self._last_body

    def settle(self, answer: bytes, *, early: bool = False) -> None:
        """The peer's answer to our last offer. Raises SdpError.

        ``early``: it is not the last word, as in a provisional response. Until that comes nothing
        is sent, and the codec may still change: then ``leg`` is closed and None, to be opened anew.
        """
        media = settle_answer(self._last_body, answer, self._local())
        if self._offered is Direction.INACTIVE:
            # It cannot be answered otherwise (RFC 3264 section 6.1): so it tells nothing.
            media = media._replace(held=self.held)
        self.direction, self._agreed_body = self._offered, self._last_body
        if self._offered_applications:
            self._applications = settled(self._offered_applications, parse_sdp(answer))
        self._early = early
        self._agree(media)

    def confirm(self) -> None:
        """The early answer was the last word."""
        assert self._negotiated is not None
        self._early = False
        self._agree(self._negotiated)

    def snapshot(self) -> State:
        """Where the session stands, as plain data for JSON, without keys. There is an agreement."""
        assert self._negotiated is not None
        lines = self._agreed_body.decode("latin-1").splitlines()
        return {
            "session_id": self._session_id,
            "version": _version_of(self._last_body),
            "sdp": [line for line in lines if not line.startswith("a=crypto:")],
            "direction": self.direction.value,
            "agreed": agreement_state(self._negotiated),
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Stand where the session of a :meth:`snapshot` stood, but on a port and with keys of our
        own: :meth:`offer` comes next, and tells the peer so. SnapshotError."""
        self._srtp_secret = os.urandom(SRTP_SECRET_BYTES)
        media = agreement_of(member(state, "agreed", dict), self._srtp_secret)
        if media.srtp is not None and not SRTP_AVAILABLE:
            raise SnapshotError("srtp: built without libsrtp2")
        lines = member(state, "sdp", list)
        body = "".join(f"{text({'sdp': line}, 'sdp')}\r\n" for line in lines[:MAX_SDP_LINES])
        self._agreed_body = body.encode("latin-1", "replace")
        try:
            if not any(stream.port for stream in parse_sdp(self._agreed_body).media):
                raise SnapshotError("sdp: it has no stream that is on")
            self.direction = Direction(text(state, "direction"))
        except ValueError as error:
            raise SnapshotError(f"sdp: {error}") from error
        self._session_id = number(state, "session_id", 2**63 - 1)
        version = number(state, "version", 2**62) + VERSION_GAP
        self._last_body = b"v=0\r\no=- %d %d " % (self._session_id, version)
        self._negotiated = media
        self._codecs = (media.codec,)
        self._srtp = SrtpPolicy.OFF if media.srtp is None else SrtpPolicy.REQUIRED

    def _local(
        self,
        applications: tuple[ApplicationLine, ...] = (),
        direction: Direction | None = None,
    ) -> LocalMedia:
        return LocalMedia(
            self._host,
            self._port,
            self._codecs,
            self._session_id,
            last_body=self._last_body,
            direction=direction or self.direction,
            comfort_noise=self._comfort_noise,
            own_order=self._own_order,
            rtcp_mux=True,
            srtp=self._srtp,
            srtp_secret=self._srtp_secret,
            applications=applications,
        )

    def _agree(self, media: NegotiatedMedia) -> None:
        old = self._negotiated
        if old is not None:
            media = _following(old, media)
        keys = None if media.srtp is None else _keys_of(media.srtp)
        self._negotiated = media
        if not self._early:
            self._codecs = (media.codec,)
            self._srtp = SrtpPolicy.OFF if keys is None else SrtpPolicy.REQUIRED
        if self.leg is not None:
            same = old is not None and old.codec == media.codec
            if same and (keys is None) == (self._keys is None):
                self._update(self.leg, keys)
            else:
                # Only before the last word: another fork speaks, which has chosen otherwise.
                self.leg.close()
                self.leg, self._place, self._spare = None, self._spare, None
        self._keys = keys
        if self._spare is not None and not self._early:
            self._drop_spare(self._spare)

    def _update(self, leg: Leg, keys: SrtpKeys | None) -> None:
        assert self._negotiated is not None
        leg.update(_leg_media(self._negotiated, self._early))
        if keys is not None and keys != self._keys:
            leg.rekey(keys)

    def _drop_spare(self, spare: Place) -> None:
        self._pool.give_up(spare)
        self._spare = None

    def open(self) -> Leg:
        """Open the leg: from now on sound can be sent. OSError: the system refuses the socket."""
        assert self._place is not None and self._negotiated is not None
        if self._early:
            self._spare = self._pool.double(self._place)
        place, self._place = self._place, None
        hearing = _hearing_of(self._hearing, self._negotiated.codec)
        media = _leg_media(self._negotiated, self._early)
        self.leg = self._pool.open(place, media, hearing, self._keys)
        return self.leg

    def close(self) -> None:
        """Close the leg, or give the place up if there is none yet."""
        if self.leg is not None:
            self.leg.close()
        elif self._place is not None:
            self._pool.give_up(self._place)
            self._place = None
        if self._spare is not None:
            self._drop_spare(self._spare)


@lru_cache(maxsize=64)
def _hearing_of(hearing: Hearing | None, codec: Codec) -> Hearing | None:
    """The same, of sound of that codec."""
    if hearing is None:
        return None
    return hearing._replace(codec=codec.name, clock_rate_hz=codec.clock_rate_hz)


def _version_of(body: bytes) -> int:
    """The version in a description of ours, which begins "v=0 CRLF o=- ID VERSION"."""
    return int(body.split(b" ", 3)[2])


def _following(old: NegotiatedMedia, media: NegotiatedMedia) -> NegotiatedMedia:
    """The agreement that follows an ``old`` one, with what stays of that."""
    if media.direction is Direction.INACTIVE or media.remote_host in _NOWHERE:
        # Where nothing comes from or goes to, the address means nothing: stay where we were.
        media = media._replace(
            remote_host=old.remote_host,
            remote_port=old.remote_port,
            rtcp_host=old.rtcp_host,
            rtcp_port=old.rtcp_port,
        )
    if media.codec.whole_packets and old.codec == media.codec:
        # What plays was encoded in packets of that length, which cannot be cut anew.
        media = media._replace(ptime_ms=old.ptime_ms)
    return media


def _leg_media(media: NegotiatedMedia, early: bool) -> LegMedia:
    """``early``: nothing is sent yet."""
    prototype = _of_codec(media.codec, media.ptime_ms)
    noise = media.comfort_noise_payload_type
    return LegMedia(
        media.remote_host,
        media.remote_port,
        media.payload_type,
        *prototype[3:7],
        not early and media.direction in _SENDING,
        media.direction in _RECEIVING,
        media.telephone_event_payload_type,
        prototype.comfort_noise_payload_type if noise is None else noise,
        noise is not None,
        prototype.silence_packet,
        media.rtcp_host,
        media.rtcp_port,
        media.rtcp_mux,
    )


@lru_cache(maxsize=64)
def _of_codec(codec: Codec, ptime_ms: int) -> LegMedia:
    """What follows from these for a leg, whoever its peer is. The length of packets is a wish, not
    a must (RFC 8866 section 6.4): 60 ms of L16 at 16 kHz fit no packet."""
    return LegMedia(
        "",
        0,
        ptime_ms=min(ptime_ms, codec.max_ptime_ms),
        clock_rate_hz=codec.clock_rate_hz,
        bytes_per_ts=codec.bytes_per_ts,
        silence=codec.silence,
        comfort_noise_payload_type=(
            COMFORT_NOISE_PAYLOAD_TYPE if codec.clock_rate_hz == 8000 else None
        ),
        silence_packet=silence_packet(codec, ptime_ms) if codec.whole_packets else b"",
    )


def _keys_of(terms: SrtpTerms) -> SrtpKeys:
    """Raises NotAcceptable for terms that this build cannot keep."""
    local, remote = terms.local, terms.remote
    try:
        return SrtpKeys(
            terms.suite.name,
            local.key + local.salt,
            remote.key + remote.salt,
            local_mki=local.mki,
            remote_mki=remote.mki,
        )
    except (OSError, ValueError) as error:
        raise NotAcceptable(SdpReason.CRYPTO_PARAMETER, str(error)) from None
