"""Ringwheel: a SIP/RTP media engine for telephony robots."""

__version__ = "0.1.0"
