"""One call by pjsua2, in a process of its own (PJSIP is GPL): prints one JSON line about it.

python pjsua2_client.py TARGET_URI WAV CODEC [--hang-up-after S] [--srtp] [--mux] [--dial DIGITS]
    [--hold FROM_S TO_S] [--tls-ca FILE] [--transfer URI | --attend URI]

The call is recorded to WAV through PJSIP's own conference bridge and jitter buffer, without a sound
device; one that it makes because it was transferred to WAV-2.wav. pjsua2 polls with select and its
worker threads call into Python, so it is polled here.
"""

from __future__ import annotations

import argparse
import json
import time

import pjsua2 as pj

DEADLINE_S = 60.0
DIAL_AFTER_S = 0.3
TRANSFER_AFTER_S = 0.3


class HearingCall(pj.Call):
    """Records what it hears."""

    def __init__(self, account: pj.Account, wav: str, call_id: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(account, call_id)
        self.account = account
        self.wav = wav
        self.next: HearingCall | None = None
        self.told: list[int] = []
        self.recorder = pj.AudioMediaRecorder()
        self.recorder.createRecorder(wav)
        self.confirmed_s: float | None = None
        self.over = False
        self.status = 0
        self.codec = ""
        self.stream: int | None = None
        self.held = False
        self.holds = 0

    def onCallState(self, prm: pj.OnCallStateParam) -> None:
        info = self.getInfo()
        self.status = info.lastStatusCode
        if info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            self.confirmed_s = time.monotonic()
        self.over = info.state == pj.PJSIP_INV_STATE_DISCONNECTED

    def onCallMediaState(self, prm: pj.OnCallMediaStateParam) -> None:
        info = self.getInfo()  # has to outlive its media
        for media in info.media:
            active = media.status in (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD)
            self.held = media.status == pj.PJSUA_CALL_MEDIA_REMOTE_HOLD
            self.holds += self.held
            if media.type == pj.PJMEDIA_TYPE_AUDIO and active:
                self.getAudioMedia(media.index).startTransmit(self.recorder)
                self.stream = media.index
                self.codec = self.getStreamInfo(media.index).codecName

    def onCallTransferRequest(self, prm: pj.OnCallTransferRequestParam) -> None:
        self.next = HearingCall(self.account, f"{self.wav}-2.wav")
        prm.newCall = self.next

    def onCallTransferStatus(self, prm: pj.OnCallTransferStatusParam) -> None:
        self.told.append(prm.statusCode)

    def reports(self) -> dict[str, object]:
        """What RTCP has told PJSIP: our CNAME, our reports on its stream, and the round trip."""
        if self.stream is None:
            return {}
        stat = self.getStreamStat(self.stream)  # has to outlive its parts
        rtcp = stat.rtcp
        return {
            "cname": rtcp.peerSdes.cname,
            "updates": rtcp.txStat.updateCount,
            "lost": rtcp.txStat.loss,
            "rtts": rtcp.rttUsec.n,
            "rtt_us": rtcp.rttUsec.mean,
        }


def start_endpoint(
    codec: str, tls_ca: str = "", tls_cert: str = "", tls_key: str = ""
) -> pj.Endpoint:
    """PJSIP on a free port of loopback, without a sound device, with one codec; by TLS, if there is
    an authority to trust, and else by UDP. The certificate is for those who call it."""
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.logConfig.level = 0
    config.logConfig.consoleLevel = 0
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    config.medConfig.noVad = True
    config.medConfig.clockRate = 8000
    endpoint.libInit(config)
    transport = pj.TransportConfig()
    transport.boundAddress = "127.0.0.1"
    transport.tlsConfig.CaListFile = tls_ca
    transport.tlsConfig.certFile = tls_cert
    transport.tlsConfig.privKeyFile = tls_key
    transport.tlsConfig.verifyServer = True
    endpoint.transportCreate(
        pj.PJSIP_TRANSPORT_TLS if tls_ca else pj.PJSIP_TRANSPORT_UDP, transport
    )
    endpoint.libStart()
    endpoint.audDevManager().setNullDev()
    for known in endpoint.codecEnum2():
        wanted = known.codecId.startswith(f"{codec.upper()}/8000")
        endpoint.codecSetPriority(known.codecId, 255 if wanted else 0)
    return endpoint


def make_account(encrypted: bool, mux: bool, account: pj.Account | None = None) -> pj.Account:
    """An account that needs no registrar; encrypted, it offers RTP/SAVP and takes nothing else."""
    account = account or pj.Account()
    config = pj.AccountConfig()
    config.idUri = "sip:pjsua2@127.0.0.1"
    config.mediaConfig.transportConfig.boundAddress = "127.0.0.1"
    config.mediaConfig.rtcpMuxEnabled = mux
    if encrypted:
        config.mediaConfig.srtpUse = pj.PJMEDIA_SRTP_MANDATORY
        config.mediaConfig.srtpSecureSignaling = 0
    account.create(config)
    return account


class Transfer:
    """Sends the other side to a third party, blind or after it has called there itself."""

    def __init__(self, account: pj.Account, call: HearingCall, options: argparse.Namespace) -> None:
        self._account = account
        self._call = call
        self._blind = options.transfer
        self._attended = options.attend
        self._wav = f"{options.wav}-other.wav"
        self.other: HearingCall | None = None

    @property
    def over(self) -> bool:
        """Nothing else is up."""
        return all(call is None or call.over for call in (self.other, self._call.next))

    def go_on(self) -> None:
        """The next step, if it is time."""
        if self._call.over:
            return
        if self._blind:
            self._call.xfer(self._blind, pj.CallOpParam(True))
            self._blind = ""
        elif self._attended and self.other is None:
            self.other = HearingCall(self._account, self._wav)
            self.other.makeCall(self._attended, pj.CallOpParam(True))
        elif self._attended and self.other is not None and self.other.confirmed_s is not None:
            self._call.xferReplaces(self.other, pj.CallOpParam(True))
            self._attended = ""


def main(options: argparse.Namespace) -> None:
    endpoint = start_endpoint(options.codec, options.tls_ca)
    account = make_account(options.srtp, options.mux)
    call = HearingCall(account, options.wav)
    call.makeCall(options.target, pj.CallOpParam(True))
    deadline_s = time.monotonic() + DEADLINE_S
    dial, hang_up_after_s = options.dial, options.hang_up_after
    reports: dict[str, object] = {}
    hold = list(options.hold)
    transfer = Transfer(account, call, options)
    while not (call.over and transfer.over) and time.monotonic() < deadline_s:
        endpoint.libHandleEvents(10)
        talk_s = time.monotonic() - (call.confirmed_s or time.monotonic())
        if dial and talk_s > DIAL_AFTER_S:
            call.dialDtmf(dial)
            dial = ""
        if hold and talk_s > hold[0]:
            change = pj.CallOpParam(True)
            if len(hold) == 2:
                call.setHold(change)
            else:
                change.opt.flag = pj.PJSUA_CALL_UNHOLD
                call.reinvite(change)
            del hold[0]
        if talk_s > TRANSFER_AFTER_S:
            transfer.go_on()
        if hang_up_after_s is not None and talk_s > hang_up_after_s:
            reports = call.reports()
            call.hangup(pj.CallOpParam())
            hang_up_after_s = None
    print(
        json.dumps(
            {
                "confirmed": call.confirmed_s is not None,
                "over": call.over,
                "status": call.status,
                "codec": call.codec,
                "holds": call.holds,
                "held": call.held,
                "reports": reports,
                "told": call.told,
                "moved": call.next is not None and call.next.confirmed_s is not None,
            }
        ),
        flush=True,
    )
    for one in (call, transfer.other, call.next):
        if one is not None:
            del one.recorder  # which completes the file
    del call, transfer, one
    account.shutdown()
    endpoint.libDestroy(pj.PJSUA_DESTROY_NO_RX_MSG)  # else it sits there for a second


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("target", "wav", "codec"):
        parser.add_argument(name)
    parser.add_argument("--hang-up-after", type=float, metavar="S")
    parser.add_argument("--srtp", action="store_true")
    parser.add_argument("--mux", action="store_true")
    parser.add_argument("--tls-ca", default="", metavar="FILE")
    parser.add_argument("--hold", nargs=2, type=float, default=(), metavar=("FROM_S", "TO_S"))
    parser.add_argument("--dial", default="", metavar="DIGITS")
    parser.add_argument("--transfer", default="", metavar="URI")
    parser.add_argument("--attend", default="", metavar="URI")
    main(parser.parse_args())
