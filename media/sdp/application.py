"""Application lines, which stand beside the stream of sound: what MRCPv2 sets its control channels
up by (RFC 6787 section 4.2, RFC 4145)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .description import Attribute, MediaDescription, SessionDescription, parse_sdp
from .errors import SdpError

APPLICATION = "application"


class ApplicationLine(NamedTuple):
    """One ``m=application`` line with its attributes, as it was read or is to be written.

    ``port`` 0 is a line that is refused, or was turned off. ``host`` is where the port is, None for
    the address of the whole description. ``attributes`` are pairs of name and value, None for the
    value of a flag.
    """

    port: int
    protocol: str = "TCP/MRCPv2"
    attributes: tuple[Attribute, ...] = ()
    formats: tuple[str, ...] = ("1",)
    host: str | None = None

    def value(self, name: str) -> str | None:
        """The value of the first attribute of that name; None if there is none."""
        return next((value for found, value in self.attributes if found == name), None)

    def standing(self) -> ApplicationLine:
        """The line as it is said again: its connection is there already (RFC 4145 section 5)."""
        old, new = ("connection", "new"), ("connection", "existing")
        attributes = tuple(new if pair == old else pair for pair in self.attributes)
        return self._replace(attributes=attributes)


def is_application(media: MediaDescription) -> bool:
    """True for a line of this kind, whatever its protocol."""
    return media.kind.lower() == APPLICATION


def applications_of(description: SessionDescription) -> tuple[ApplicationLine, ...]:
    """The application lines of a description, in their order. What could not be written back, such
    as control characters, is left out of their attributes."""
    return tuple([_read(media) for media in description.media if is_application(media)])


def applications_in(body: bytes | None) -> tuple[ApplicationLine, ...]:
    """The same of a description that was not read yet; none, if it cannot be."""
    if not body or b"application" not in body.lower():
        return ()
    try:
        return applications_of(parse_sdp(body))
    except SdpError:
        return ()


def _read(media: MediaDescription) -> ApplicationLine:
    attributes = tuple([pair for pair in media.attributes if _is_writable(*pair)])
    host = media.connection.host if media.connection else None
    return ApplicationLine(media.port, media.protocol, attributes, media.formats, host)


def _is_writable(name: str, value: str | None) -> bool:
    return name.isprintable() and name != "" and (value is None or value.isprintable())


def section_of(line: ApplicationLine, host: str) -> str:
    """The line as it goes out in a description whose address is ``host``. ValueError: it cannot."""
    tokens = (line.protocol, *line.formats)
    if not 0 <= line.port <= 65535 or not line.formats:
        raise ValueError(f"an application line of port {line.port}, formats {line.formats}")
    if not all(token.isprintable() and token and " " not in token for token in tokens):
        raise ValueError(f"an application line of {tokens}: use words without spaces")
    if not all(_is_writable(*pair) for pair in line.attributes):
        raise ValueError(f"an application line with {line.attributes}: use printable text")
    lines = [f"m={APPLICATION} {line.port} {' '.join(tokens)}\r\n"]
    if line.port:
        lines += _address_lines(line.host, host)
        lines += [_attribute_line(*pair) for pair in line.attributes]
    return "".join(lines)


def _attribute_line(name: str, value: str | None) -> str:
    return f"a={name}\r\n" if value is None else f"a={name}:{value}\r\n"


def _address_lines(host: str | None, description_host: str) -> Iterator[str]:
    if host is not None and host != description_host:
        version = ipaddress.ip_address(host).version
        yield f"c=IN IP{version} {host}\r\n"


def stream_id(lines: Iterable[ApplicationLine]) -> str | None:
    """The ``mid`` that the stream of sound has to carry for these lines to speak of it (RFC 6787
    section 4.2, ``cmid``); None if they speak of none."""
    return next((cmid for line in lines if line.port and (cmid := line.value("cmid"))), None)


def settled(
    offered: tuple[ApplicationLine, ...], answer: SessionDescription
) -> tuple[ApplicationLine, ...]:
    """Our lines as they stand by the answer to them: what was refused stays off."""
    answered = applications_of(answer)
    return tuple(
        line.standing() if theirs.port else line._replace(port=0)
        for line, theirs in zip(offered, answered, strict=False)
    )
