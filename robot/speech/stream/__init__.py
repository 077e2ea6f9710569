"""A call's sound to agents: Twilio's Media Streams over WebSocket, and Asterisk's AudioSocket."""

from .session import Streamed, StreamEnd, StreamFigures, stream
from .wire import StreamFailed

__all__ = ["StreamEnd", "StreamFailed", "StreamFigures", "Streamed", "stream"]
