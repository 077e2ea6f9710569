"""What protocols over byte streams have in common: bytes are taken, and given out in pieces."""

from __future__ import annotations


class ByteStream:
    """Bytes of a stream that are not given out yet; a framer derives from it.

    A framer moves ``_at`` on over what it skips, notes in ``_length`` how long the piece is that
    begins there as soon as it knows, and in ``_searched`` up to where it need not look again.
    """

    __slots__ = ("_at", "_broken", "_buffer", "_length", "_searched")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0  # where what was not given out begins
        self._searched = 0  # up to here there is no end of what is looked for
        self._length = 0  # of the piece that begins at _at; 0: not known yet
        self._broken = False

    @property
    def buffered(self) -> int:
        """Bytes that were taken and not given out."""
        return len(self._buffer) - self._at

    def feed(self, data: bytes) -> None:
        """Take what came. Call ``next`` until it gives None before more is fed."""
        if self._broken:
            return
        if self._at:
            del self._buffer[: self._at]
            self._searched = max(0, self._searched - self._at)
            self._at = 0
        self._buffer += data

    def _piece(self) -> bytes | None:
        """The piece of ``_length``, given out; None: it is not whole."""
        if self.buffered < self._length:
            return None
        end = self._at + self._length
        piece = bytes(self._buffer[self._at : end])
        self._at = self._searched = end
        self._length = 0
        return piece

    def _end(self) -> None:
        """Nothing more can be told apart: what comes is not kept."""
        self._broken = True
        self._buffer.clear()
        self._at = self._searched = self._length = 0
