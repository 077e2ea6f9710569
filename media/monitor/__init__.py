"""What people and programs see of a running engine: metrics, health, calls, SIP messages."""

from .monitor import Monitor

__all__ = ["Monitor"]
