"""Requests of ours that are no INVITE: outside of dialogs, and again where credentials are asked.

A challenge (RFC 3261 22.2, 22.3) is answered by the same request with a new branch and the next
CSeq; who sent the request hears of the last response only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .digest import CREDENTIAL_HEADERS, AuthAttempt, Credentials, DigestClient
from .edge import Flow
from .events import HeaderLines
from .message import Headers, Request, Response
from .transaction import ClientUser
from .uri import SipUri

if TYPE_CHECKING:
    from .ua import UserAgent

DAY_S = 86_400


class RequestSeries:
    """What requests that belong together share: Call-ID, From tag, a CSeq that grows, credentials.

    A registration needs one for all its refreshes (RFC 3261 10.2); what stands alone gets its own.
    """

    __slots__ = ("auth", "call_id", "cseq", "from_tag")

    def __init__(self, agent: UserAgent, credentials: Credentials | None = None) -> None:
        self.call_id = agent.new_token()
        self.from_tag = agent.new_token()
        self.cseq = 0
        self.auth: DigestClient | None = None
        self.set_credentials(agent, credentials)

    def set_credentials(self, agent: UserAgent, credentials: Credentials | None) -> None:
        """Use these from the next request on."""
        self.auth = DigestClient(credentials, agent.new_token) if credentials else None

    def next_cseq(self) -> int:
        """Take the next sequence number."""
        self.cseq += 1
        return self.cseq


class PendingRequest:
    """A request whose final response is outstanding. It is the user of its transactions."""

    __slots__ = (
        "_agent",
        "_attempt",
        "_auth",
        "_flow",
        "_next_cseq",
        "_user",
        "request",
    )

    def __init__(
        self,
        agent: UserAgent,
        request: Request,
        flow: Flow,
        user: ClientUser | None,
        *,
        auth: DigestClient | None,
        next_cseq: Callable[[], int],
    ) -> None:
        """Sends it; ``next_cseq`` numbers a repetition."""
        self._agent = agent
        self._flow = flow
        self._user = user
        self._auth = auth
        self._attempt = None if auth is None else AuthAttempt(auth)
        self._next_cseq = next_cseq
        self.request = request
        if auth is not None:
            auth.sign(request)
        agent.transactions.send_request(request, flow, self)

    def forget(self) -> None:
        """Tell nobody what becomes of it; the transaction comes to its own end."""
        self._user = self._attempt = None

    def on_response(self, response: Response) -> None:
        """A response to the request, or to its repetition."""
        if self._attempt is not None and self._attempt.answers(response):
            self._send_again()
        elif self._user is not None:
            self._user.on_response(response)

    def on_timeout(self) -> None:
        """Nobody answered."""
        if self._user is not None:
            self._user.on_timeout()

    def _send_again(self) -> None:
        agent = self._agent
        request = repeated(agent, self.request, self._flow, self._next_cseq(), self._auth)
        self.request = request
        agent.transactions.send_request(request, self._flow, self)


def repeated(
    agent: UserAgent,
    request: Request,
    flow: Flow,
    cseq: int,
    auth: DigestClient | None,
    *,
    uri: str | None = None,
) -> Request:
    """The same request once more: new branch, next CSeq, and signed (RFC 3261 8.1.3.5, 22.2).

    ``uri`` is the Request-URI of a redirection.
    """
    via, branch = agent.via(flow)
    headers = Headers([("Via", via)])
    for name, value in request.headers:
        if name == "CSeq":
            headers.add("CSeq", f"{cseq} {request.method}")
        elif name != "Via" and name not in CREDENTIAL_HEADERS:
            headers.add(name, value)
    again = Request(
        headers,
        method=request.method,
        uri=uri or request.uri,
        body=request.body,
        call_id=request.call_id,
        cseq=cseq,
        cseq_method=request.method,
        from_tag=request.from_tag,
        to_tag=request.to_tag,
        branch=branch,
    )
    if auth is not None:
        auth.sign(again)
    return again


def request_outside(
    agent: UserAgent,
    method: str,
    uri: str,
    flow: Flow,
    *,
    from_uri: str,
    to_uri: str,
    headers: HeaderLines,
    body: bytes,
    series: RequestSeries,
) -> Request:
    """A request outside of dialogs (RFC 3261 8.1.1). ValueError: a malformed URI or header."""
    for address in (uri, from_uri, to_uri):
        SipUri.parse(address)
    via, branch = agent.via(flow)
    cseq = series.next_cseq()
    lines = [
        ("Via", via),
        ("From", f"<{from_uri}>;tag={series.from_tag}"),
        ("To", f"<{to_uri}>"),
        ("Call-ID", series.call_id),
        ("CSeq", f"{cseq} {method}"),
        ("Max-Forwards", "70"),
    ]
    return Request(
        Headers([*lines, *headers]),
        method=method,
        uri=uri,
        body=body,
        call_id=series.call_id,
        cseq=cseq,
        cseq_method=method,
        from_tag=series.from_tag,
        branch=branch,
    )


def retry_after_s(response: Response) -> int | None:
    """The seconds of Retry-After (RFC 3261 20.33), bounded to a day; None if there are none."""
    digits = (response.headers.get("Retry-After") or "")[:32].partition(";")[0].partition("(")[0]
    digits = digits.strip()
    return min(int(digits), DAY_S) if digits.isascii() and digits.isdigit() else None
