"""A phone by pjsua2, in a process of its own (PJSIP is GPL): does what lines of JSON tell it.

python pjsua2_phone.py FOLDER [--srtp] [--tls-ca FILE --tls-cert FILE --tls-key FILE]

It answers who calls, sends back what it hears, and records it to FOLDER/heard-N.wav. A line that it
reads is ``{"do": NAME, "with": TEXT}``, one that it writes ``{"event": NAME, "with": TEXT}``.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
from pathlib import Path

import pjsua2 as pj
from pjsua2_client import HearingCall, make_account, start_endpoint

POLL_MS = 10
CHUNK_BYTES = 65536


def tell(event: str, text: object = "") -> None:
    """One line for whoever drives the phone."""
    print(json.dumps({"event": event, "with": str(text)}), flush=True)


class EchoCall(HearingCall):
    """Sends back what it hears, and tells what happens to it."""

    def __init__(self, phone: Phone, call_id: int = pj.PJSUA_INVALID_ID) -> None:
        wav = phone.folder / f"heard-{len(phone.calls)}.wav"
        super().__init__(phone, str(wav), call_id)
        self._phone = phone
        phone.calls.append(self)

    def onCallState(self, prm: pj.OnCallStateParam) -> None:
        super().onCallState(prm)
        if self.over:
            tell("ended", self.status)
        elif self.getInfo().state == pj.PJSIP_INV_STATE_CONFIRMED:
            tell("confirmed")

    def onCallMediaState(self, prm: pj.OnCallMediaStateParam) -> None:
        super().onCallMediaState(prm)
        if self.stream is not None:
            sound = self.getAudioMedia(self.stream)
            sound.startTransmit(sound)
        tell("held" if self.held else "media")

    def onDtmfDigit(self, prm: pj.OnDtmfDigitParam) -> None:
        tell("digit", prm.digit)

    def onCallTransferRequest(self, prm: pj.OnCallTransferRequestParam) -> None:
        prm.newCall = EchoCall(self._phone)

    def onCallTransferStatus(self, prm: pj.OnCallTransferStatusParam) -> None:
        tell("transfer", prm.statusCode)

    def onCallReplaceRequest(self, prm: pj.OnCallReplaceRequestParam) -> None:
        prm.newCall = EchoCall(self._phone)
        tell("replaced")


class Phone(pj.Account):
    """Its calls, the first one first."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.calls: list[EchoCall] = []

    def onIncomingCall(self, prm: pj.OnIncomingCallParam) -> None:
        answer = pj.CallOpParam()
        answer.statusCode = 200
        EchoCall(self, prm.callId).answer(answer)

    def do(self, name: str, text: str) -> None:
        """What a line asks for; where there are several calls, with the first."""
        change = pj.CallOpParam(True)
        match name:
            case "call":
                EchoCall(self).makeCall(text, change)
            case "hold":
                self.calls[0].setHold(change)
            case "resume":
                change.opt.flag = pj.PJSUA_CALL_UNHOLD
                self.calls[0].reinvite(change)
            case "press":
                self.calls[0].dialDtmf(text)
            case "transfer":
                self.calls[0].xfer(text, change)
            case "attend":
                self.calls[0].xferReplaces(self.calls[1], change)
            case "hang up":
                self.calls[0].hangup(pj.CallOpParam())
            case _:
                raise ValueError(name)


def main(options: argparse.Namespace) -> None:
    endpoint = start_endpoint("pcmu", options.tls_ca, options.tls_cert, options.tls_key)
    phone = Phone(options.folder)
    make_account(options.srtp, False, phone)
    (transport,) = endpoint.transportEnum()
    tell("ready", endpoint.transportGetInfo(transport).localAddress)
    unread = b""
    while True:
        endpoint.libHandleEvents(POLL_MS)
        if not select.select([sys.stdin], [], [], 0)[0]:
            continue
        chunk = os.read(sys.stdin.fileno(), CHUNK_BYTES)
        if not chunk:  # nobody drives it any more
            break
        *lines, unread = (unread + chunk).split(b"\n")
        for line in lines:
            order = json.loads(line)
            phone.do(order["do"], order["with"])
    while phone.calls:  # all have to be gone before the library
        del phone.calls.pop().recorder  # which completes the file
    phone.shutdown()
    endpoint.libDestroy(pj.PJSUA_DESTROY_NO_RX_MSG)  # else it sits there for a second


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--srtp", action="store_true")
    for name in ("--tls-ca", "--tls-cert", "--tls-key"):
        parser.add_argument(name, default="", metavar="FILE")
    main(parser.parse_args())
