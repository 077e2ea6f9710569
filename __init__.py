"""Ringwheel: a SIP/RTP media engine for telephony robots."""

from ringwheel.media.call import Call, CallEnded, EndCause, EndedBy, Played
from ringwheel.media.engine import Engine, EngineFigures
from ringwheel.media.events import LegFigures, PlayOutcome, Quantiles
from ringwheel.media.prompt import PromptError
from ringwheel.media.sip.transport import ListenError

__version__ = "0.1.0"

__all__ = [
    "Call",
    "CallEnded",
    "EndCause",
    "EndedBy",
    "Engine",
    "EngineFigures",
    "LegFigures",
    "ListenError",
    "PlayOutcome",
    "Played",
    "PromptError",
    "Quantiles",
    "__version__",
]
