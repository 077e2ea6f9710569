# Header lines of SIP messages. Each call asks for a dozen of them: in Python that is a dozen loops.

import re

_NO_TOKEN = re.compile(r"[^A-Za-z0-9\-.!%*_+`'~]")


cdef str plain(text):
    """A text as Cython takes it: of no class of its own, as those of a StrEnum are. TypeError."""
    return text if type(text) is str else str.__str__(text)


def is_token(str text not None) -> bool:
    """True for a token of RFC 3261 section 25.1."""
    return text != "" and _NO_TOKEN.search(text) is None


cdef tuple good_line(name, value):
    cdef str plain_name = plain(name), plain_value = plain(value)
    if plain_name not in SIP_HEADER_NAMES and not is_token(plain_name):
        raise ValueError("a header name that is no token")
    if "\n" in plain_value or "\r" in plain_value:
        raise ValueError("a line break inside a SIP header")
    return plain_name, plain_value


cdef class Headers:
    """Header lines in wire order, under their canonical long names (``Via``, ``Call-ID``).

    Look-up by canonical name is exact: the parser has already turned compact forms and any case
    into the canonical name (``v``, ``VIA`` and ``via`` all read as ``Via``). Headers that the
    parser does not know (``X-Account``) keep their spelling and are found in any case.
    Line breaks in values, and names that are no tokens, are refused with ValueError.
    """

    cdef list lines  # of pairs: name, value

    def __init__(self, lines=()):
        self.lines = []
        for name, value in lines:
            self.add(name, value)

    @staticmethod
    def adopt(list lines not None) -> Headers:
        """Take over a list of lines that are known to be good: parsed, or copied from parsed."""
        cdef Headers headers = Headers.__new__(Headers)
        headers.lines = lines
        return headers

    def copy(self) -> Headers:
        """A copy that changes on its own."""
        return Headers.adopt(self.lines.copy())

    def __iter__(self):
        return iter(self.lines)

    def __len__(self):
        return len(self.lines)

    def __contains__(self, str name not None):
        return self.get(name) is not None

    def __eq__(self, other):
        return isinstance(other, Headers) and self.lines == (<Headers>other).lines

    __hash__ = None

    def __repr__(self):
        return f"Headers({self.lines!r})"

    cpdef str get(self, str name):
        """Value of the first line of that name, unfolded and stripped; None if there is none."""
        cdef tuple line
        for line in self.lines:
            if <str>line[0] == name:
                return <str>line[1]
        if name in SIP_HEADER_NAMES:
            return None
        wanted = name.lower()
        for line in self.lines:
            if (<str>line[0]).lower() == wanted:
                return <str>line[1]
        return None

    def only(self, str name not None):
        """The value of the one line of that canonical name; None if there is none, or several."""
        cdef tuple line
        found = None
        for line in self.lines:
            if <str>line[0] == name:
                if found is not None:
                    return None
                found = line[1]
        return found

    def all(self, str name not None) -> list:
        """Values of every line of that name, one entry a line (commas are not split)."""
        cdef tuple line
        if name in SIP_HEADER_NAMES:
            return [line[1] for line in self.lines if <str>line[0] == name]
        wanted = name.lower()
        return [line[1] for line in self.lines if (<str>line[0]).lower() == wanted]

    def add(self, name, value) -> None:
        """Append a line."""
        self.lines.append(good_line(name, value))

    def set(self, name, value) -> None:
        """Put one line in the place of every line of that name, at the end."""
        self.remove(name)
        self.add(name, value)

    def replace_first(self, name, value) -> None:
        """Change the value of the first line of that name where it stands. KeyError: no such."""
        cdef Py_ssize_t index
        cdef tuple line = good_line(name, value)
        for index in range(len(self.lines)):
            if <str>(<tuple>self.lines[index])[0] == <str>line[0]:
                self.lines[index] = line
                return
        raise KeyError(name)

    def remove(self, name) -> None:
        """Take every line of that name out."""
        wanted = name.lower()
        self.lines = [line for line in self.lines if line[0].lower() != wanted]

    def render(self, str start_line not None, bytes body not None) -> bytes:
        """The message of these headers as it goes on the wire, with a Content-Length that is right.

        ValueError: a line break in the start line or a header.
        """
        return render_lines(start_line, self.lines, body)


def answer_lines(Headers headers not None, wanted, str to_tag, added) -> list:
    """Those lines of a request that are ``wanted`` in its response, then the ``added`` ones.

    ``to_tag`` is put behind To, if there is one. ValueError: as of `Headers`.
    """
    cdef tuple line
    cdef list lines = []
    for line in headers.lines:
        if line[0] in wanted:
            if to_tag is not None and <str>line[0] == "To":
                line = ("To", f"{line[1]};tag={to_tag}")
            lines.append(line)
    for name, value in added:
        lines.append(good_line(name, value))
    return lines


def render_lines(str start_line not None, list headers not None, bytes body not None) -> bytes:
    """See `Headers.render`; ``headers`` are pairs of name and value."""
    cdef tuple line
    lines = [f"{line[0]}: {line[1]}" for line in headers if <str>line[0] != "Content-Length"]
    lines.append(f"Content-Length: {len(body)}\r\n\r\n")
    head = start_line + "\r\n" + "\r\n".join(lines)
    # Header injection: no more line breaks than are written here.
    if head.count("\n") != len(lines) + 2 or head.count("\r") != len(lines) + 2:
        raise ValueError("a line break inside a SIP header or start line")
    return head.encode("utf-8", "surrogateescape") + body
