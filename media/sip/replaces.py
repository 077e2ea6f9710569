"""Where a transfer leads: Refer-To (RFC 3515), Replaces (RFC 3891), and the dialog it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .counters import Count
from .dialog import Dialog, DialogKey
from .fields import get_param, parse_params, split_commas
from .message import Request, SipParseError, SipReject
from .screening import BAD_REQUEST, GLARE, Rejection
from .uri import NameAddr, SipUri

if TYPE_CHECKING:
    from .session import SipCall

_NO_SUCH_DIALOG = Rejection(481, Count.REJECTED_REPLACES)
_EARLY_ONLY = Rejection(486, Count.REJECTED_REPLACES)
_OVER = Rejection(603, Count.REJECTED_REPLACES)


@dataclass(frozen=True, slots=True)
class Replaces:
    """The dialog that a call is to take the place of, as its recipient names it: ``to_tag`` is the
    recipient's own tag. ``early_only``: only while it is not answered."""

    call_id: str
    to_tag: str
    from_tag: str
    early_only: bool = False

    @classmethod
    def parse(cls, value: str) -> Replaces:
        """Read a header value. SipParseError: malformed, or not exactly one tag of each kind."""
        call_id, semicolon, rest = value.partition(";")
        params = parse_params(semicolon + rest)
        names = [name for name, _ in params]
        if not call_id.strip() or names.count("to-tag") != 1 or names.count("from-tag") != 1:
            raise SipParseError(SipReject.PARAMETER)
        return cls(
            call_id.strip(),
            get_param(params, "to-tag") or "",
            get_param(params, "from-tag") or "",
            "early-only" in names,
        )

    @classmethod
    def of(cls, dialog: Dialog) -> Replaces:
        """How the peer in ``dialog`` knows it."""
        return cls(dialog.call_id, dialog.remote_tag or "0", dialog.local_tag)

    def __str__(self) -> str:
        early_only = ";early-only" if self.early_only else ""
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{early_only}"


@dataclass(frozen=True, slots=True)
class ReferTo:
    """Whom a REFER asks to call: ``uri``, without headers, and what that call replaces there."""

    uri: str
    replaces: Replaces | None = None

    @classmethod
    def of(cls, request: Request) -> ReferTo:
        """Read the one Refer-To of a REFER (RFC 3515 2.4.2).

        SipParseError: none, several, malformed; status 416: a scheme that nobody can call, and 501:
        another method than INVITE is asked for.
        """
        values = [value for line in request.headers.all("Refer-To") for value in split_commas(line)]
        if len(values) != 1:
            raise SipParseError(SipReject.ADDRESS)
        target = NameAddr.parse(values[0]).target()
        if (target.param("method") or "INVITE").upper() != "INVITE":
            raise SipParseError(SipReject.URI, 501)
        # RFC 3261 19.1.5: of the headers that a URI may ask for, only this one is heeded.
        wanted = [value for name, value in target.headers if name.lower() == "replaces"]
        if len(wanted) > 1:
            raise SipParseError(SipReject.URI)
        params = tuple(param for param in target.params if param[0] != "method")
        uri = str(replace(target, headers=(), params=params))
        return cls(uri, Replaces.parse(wanted[0]) if wanted else None)

    def __str__(self) -> str:
        """The header's value. SipParseError: ``uri`` is none."""
        target = SipUri.parse(self.uri)
        if self.replaces is not None:
            target = replace(target, headers=(("Replaces", str(self.replaces)),))
        return f"<{target}>"


def replaced_by(
    request: Request, value: str, dialogs: Mapping[DialogKey, SipCall]
) -> SipCall | Rejection:
    """The call whose place a new INVITE with a Replaces ``value`` takes, or why it may not."""
    try:
        if len(request.headers.all("Replaces")) != 1:
            return BAD_REQUEST
        wanted = Replaces.parse(value)
    except SipParseError:
        return BAD_REQUEST
    # RFC 3891 section 3: a tag of 0 stands for the one that a peer of RFC 2543 has not.
    call = dialogs.get((wanted.call_id, wanted.to_tag, wanted.from_tag))
    if call is None and wanted.from_tag == "0":
        call = dialogs.get((wanted.call_id, wanted.to_tag, ""))
    return _NO_SUCH_DIALOG if call is None else _standing(call, wanted)


def _standing(call: SipCall, wanted: Replaces) -> SipCall | Rejection:
    if call.ended:
        return _OVER
    if not call.answered:
        # RFC 3891 section 3: an early dialog that the peer began; and one of ours has no media yet
        # that could be handed over.
        return _NO_SUCH_DIALOG
    if wanted.early_only:
        return _EARLY_ONLY
    return GLARE if call.awaits_ack else call
