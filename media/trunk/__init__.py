"""SIP trunks: whom calls go through, who may call, and by which rules."""

from .trunk import (
    CallerRules,
    HeaderRules,
    Peer,
    Registration,
    Trunk,
    TrunkError,
    TrunkLimits,
)

__all__ = [
    "CallerRules",
    "HeaderRules",
    "Peer",
    "Registration",
    "Trunk",
    "TrunkError",
    "TrunkLimits",
]
