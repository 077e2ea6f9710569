"""Ringwheel: a SIP/RTP media engine for telephony robots."""

from .media.call import Call, CallEnded, EndCause, EndedBy, HoldRefused, Played, Quality
from .media.conference import Conference
from .media.dialling import DialFailed, DialledCall
from .media.early_sound import EarlySound
from .media.engine import Engine
from .media.events import LegFigures, PlayOutcome, Quantiles
from .media.figures import EngineFigures
from .media.keypad import Gathered, GatherEnd
from .media.memory import settle_gc
from .media.monitor import Monitor
from .media.outcome import Outcome
from .media.pool import RealtimeRefused
from .media.prompt import PromptError
from .media.recording import Recorded, Recording
from .media.sdp import ApplicationLine
from .media.sip.digest import Credentials
from .media.sip.events import Refuse
from .media.sip.gate import GateRules
from .media.sip.tls import TlsConfig
from .media.sip.transport import ListenError
from .media.snapshot import SnapshotError
from .media.transfer import Refer, Transferred
from .media.trunk import (
    CallerRules,
    HeaderRules,
    Peer,
    Registration,
    Trunk,
    TrunkError,
    TrunkLimits,
)
from .media.trunk.figures import TrunkFigures

__version__ = "0.1.0"

__all__ = [
    "ApplicationLine",
    "Call",
    "CallEnded",
    "CallerRules",
    "Conference",
    "Credentials",
    "DialFailed",
    "DialledCall",
    "EarlySound",
    "EndCause",
    "EndedBy",
    "Engine",
    "EngineFigures",
    "GateRules",
    "GatherEnd",
    "Gathered",
    "HeaderRules",
    "HoldRefused",
    "LegFigures",
    "ListenError",
    "Monitor",
    "Outcome",
    "Peer",
    "PlayOutcome",
    "Played",
    "PromptError",
    "Quality",
    "Quantiles",
    "RealtimeRefused",
    "Recorded",
    "Recording",
    "Refer",
    "Refuse",
    "Registration",
    "SnapshotError",
    "TlsConfig",
    "Transferred",
    "Trunk",
    "TrunkError",
    "TrunkFigures",
    "TrunkLimits",
    "__version__",
    "settle_gc",
]
