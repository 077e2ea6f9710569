"""What a trunk makes of a call that is to go out by it: URIs, caller, headers. Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..order import ANONYMOUS, hides
from ..sip.message import Headers
from ..sip.uri import SipUri
from .trunk import Trunk

ANONYMOUS_NAME = "Anonymous"
"""RFC 3323 section 4.1.1.3."""

Lines = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call as it was ordered. ``caller`` is a URI, or the user part of one; "" for none.
    ``as_it_stands``: the other side itself has written the URI."""

    uri: SipUri
    caller: str
    display_name: str = ""
    headers: Lines = ()
    as_it_stands: bool = False


@dataclass(frozen=True, slots=True)
class Dressed:
    """The same call as it goes out."""

    uri: str
    from_uri: str
    display_name: str
    headers: Lines


def dress(trunk: Trunk, wanted: Wanted) -> Dressed:
    """Apply the trunk's rules. ValueError: no SIP URI comes of a number, or no header of a rule."""
    rules = trunk.caller
    hidden = _is_anonymous(wanted.caller) or _hidden_by(trunk, wanted)
    given = "" if _is_anonymous(wanted.caller) else _user_of(wanted.caller)
    prefixes = () if wanted.as_it_stands else rules.called_prefixes
    called = rewritten(wanted.uri.user or "", prefixes)
    fields = {
        "caller": _escaped(rewritten(given or rules.default, rules.caller_prefixes)),
        "called": _escaped(called),
        "trunk": trunk.name,
        "user": _escaped(trunk.user or _registered_user(trunk)),
        "domain": trunk.uri_host,
    }
    own_from = _identity(rules.from_uri, trunk, fields)
    from_uri = _checked(ANONYMOUS if hidden else own_from, trunk, "from_uri")
    display = rules.display.format(**fields) if rules.display else wanted.display_name
    return Dressed(
        str(wanted.uri)
        if wanted.as_it_stands
        else _called_uri(trunk, wanted.uri, fields["called"]),
        from_uri,
        ANONYMOUS_NAME if hidden else display,
        _headers(trunk, wanted.headers, from_uri, fields),
    )


def rewritten(number: str, prefixes: Iterable[tuple[str, str]]) -> str:
    """A number with another beginning, by the longest of ``prefixes`` that fits."""
    fitting = [pair for pair in prefixes if number.startswith(pair[0])]
    if not fitting:
        return number
    before, after = max(fitting, key=lambda pair: len(pair[0]))
    return after + number[len(before) :]


def _headers(trunk: Trunk, given: Lines, from_uri: str, fields: dict[str, str]) -> Lines:
    rules = trunk.headers
    lines = Headers(given)
    if trunk.caller.asserted and "P-Asserted-Identity" not in lines:
        asserted = _checked(_identity(trunk.caller.asserted, trunk, fields), trunk, "asserted")
        lines.add("P-Asserted-Identity", f"<{asserted}>")
    if trunk.caller.privacy and "Privacy" not in lines:
        lines.add("Privacy", trunk.caller.privacy)
    for source, name in rules.copy:
        values = [f"<{from_uri}>"] if source.lower() == "from" else lines.all(source)
        for value in values:
            lines.add(name, value)
    for name in rules.remove:
        lines.remove(name)
    for name, template in rules.add:
        lines.add(name, template.format(**fields))
    return tuple(lines)


def _called_uri(trunk: Trunk, ordered: SipUri, called: str) -> str:
    """The Request-URI: the trunk's domain in the place of its name, parameters as they were."""
    params = tuple(pair for pair in ordered.params if pair[0] not in ("transport", "maddr"))
    tail = str(SipUri("sip", None, "x", None, params)).removeprefix("sip:x")
    user = f"{called}@" if called else ""
    return _checked(f"{ordered.scheme}:{user}{trunk.uri_host}{tail}", trunk, "the called number")


def _identity(template: str, trunk: Trunk, fields: dict[str, str]) -> str:
    """Who we say that we are. Where that takes a caller and none is known, it is our own account,
    or the host alone."""
    if fields["caller"] or "{caller}" not in template:
        return template.format(**fields)
    user = f"{fields['user']}@" if fields["user"] else ""
    return f"sip:{user}{trunk.uri_host}"


def _hidden_by(trunk: Trunk, wanted: Wanted) -> bool:
    """True if the trunk's rules hide who calls, and the call itself does not say otherwise."""
    if not hides(trunk.caller.privacy):
        return False
    own = Headers(wanted.headers).get("Privacy")
    return own is None or hides(own)


def _registered_user(trunk: Trunk) -> str:
    return trunk.registration.user if trunk.registration else ""


def _is_anonymous(caller: str) -> bool:
    return caller.lower() == ANONYMOUS


def _user_of(caller: str) -> str:
    """The number in a caller that may be a URI."""
    if caller.partition(":")[0].lower() not in ("sip", "sips", "tel"):
        return caller
    return SipUri.parse(caller).user or ""


def _escaped(user: str) -> str:
    """A user part as it stands in a URI."""
    return str(SipUri("sip", user, "x"))[len("sip:") : -len("@x")]


def _checked(uri: str, trunk: Trunk, where: str) -> str:
    try:
        SipUri.parse(uri)
    except ValueError:
        raise ValueError(
            f"trunk {trunk.name}: {where} makes {uri!r}, which is no SIP URI"
        ) from None
    return uri
