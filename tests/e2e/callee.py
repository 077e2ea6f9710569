"""An independent little SIP callee for tests: a `Phone` that is called."""

from __future__ import annotations

from dataclasses import dataclass

from .client import Message, Phone, bracketed


@dataclass(slots=True)
class Callee(Phone):
    """Takes one call. Whatever it sends goes to where the INVITE came from; ``tag`` is its own."""

    server: tuple[str, int] = ("", 0)
    tag: str = "callee"

    @property
    def uri(self) -> str:
        """What to dial."""
        return f"sip:callee@{bracketed(self.host)}:{self.sip.getsockname()[1]}"

    async def invited(self) -> Message:
        """The INVITE, first or again."""
        return await self.request("INVITE")

    def reply(
        self, request: Message, status: str, body: str = "", *headers: str, tag: str = ""
    ) -> None:
        """Answer a request as the callee whose tag that is."""
        via = request.get("Via")
        port = int(via.partition(";")[0].rpartition(":")[2])
        server = via.split()[1].partition(";")[0].rpartition(":")[0].strip("[]")
        copied = ("via", "from", "call-id", "cseq")
        to = request.get("To")
        if ";tag=" not in to and not status.startswith("100"):
            to += f";tag={tag or self.tag}"
        own = f"Contact: <{self.uri}>"
        lines = [
            f"SIP/2.0 {status}",
            *(f"{name}: {value}" for name, value in request.headers if name.lower() in copied),
            f"To: {to}",
            *([] if any(line.startswith("Contact:") for line in headers) else [own]),
            *headers,
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
            "",
            body,
        ]
        self.sip.sendto("\r\n".join(lines).encode(), (server, port))

    def answer(self, request: Message, status: str = "200 OK", body: str = "") -> None:
        """Answer a request, with SDP if ``body`` is given."""
        self.reply(request, status, body)

    def hang_up_on(self, invite: Message, *headers: str) -> None:
        """Send a BYE to who has sent ``invite``."""
        host, port = bracketed(self.host), self.sip.getsockname()[1]
        contact = invite.get("Contact").strip("<>")
        target, _, target_port = contact.partition("@")[2].rpartition(":")
        lines = [
            f"BYE {contact} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK-{self.call_id}-bye",
            "Max-Forwards: 70",
            f"From: {invite.get('To')};tag={self.tag}",
            f"To: {invite.get('From')}",
            f"Call-ID: {invite.get('Call-ID')}",
            "CSeq: 1 BYE",
            *headers,
            "Content-Length: 0",
            "",
            "",
        ]
        data = "\r\n".join(lines).encode()
        self.sip.sendto(data, (target.strip("[]"), int(target_port)))
