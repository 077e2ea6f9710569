"""A call's sound to agents: Twilio's Media Streams over WebSocket, and Asterisk's AudioSocket."""

from .session import Streamed, StreamEnd, StreamFigures, stream
from .totals import StreamTotals
from .wire import StreamFailed

__all__ = ["StreamEnd", "StreamFailed", "StreamFigures", "StreamTotals", "Streamed", "stream"]
